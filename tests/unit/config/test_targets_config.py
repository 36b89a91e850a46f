"""The pin in a target's own file, changed where it is told and nowhere else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from engine.config.targets import write_pin
from engine.model.errors import Failure, Refused

OLD, NEW = "ab" * 32, "cd" * 32
REMARK = f'# before: pin = "{OLD}"\n'
WRITTEN = {
    "a table": f'kind = "esxi"\n[esxi]\nuser = "bp"\npin = "{OLD}"\n# kept\n[store]\njobs = 1\n',
    "inline": f"kind = 'esxi'\nesxi = {{user = 'bp', pin = '{OLD}'}}\n",
    "quoted": f'[esxi]\n"pin"   =   "{OLD}"\n',
    "dotted": f'esxi.user = "bp"\nesxi.pin = "{OLD}"\n',
}
UNCLEAR = {
    "another one": f'[esxi]\npin = "{"ef" * 32}"\n',
    "none": '[esxi]\nuser = "bp"\n',
    "in parts": f'[esxi]\npin = """{OLD}"""\n',
    "half a file": f'[esxi\npin = "{OLD}"\n',
    "no table": f'esxi = "pin = \\"{OLD}\\""\n',
}


@pytest.mark.parametrize("how", WRITTEN)
def test_the_pin_is_changed_where_it_stands(tmp_path: Path, how: str) -> None:
    """However it is written; every other byte stays, those of remarks too."""
    file = tmp_path / "esx-01.toml"
    file.write_text(REMARK + WRITTEN[how])
    write_pin(file, OLD, NEW)
    assert file.read_text() == REMARK + WRITTEN[how].replace(OLD, NEW)
    assert tomllib.loads(file.read_text())["esxi"]["pin"] == NEW
    write_pin(file, NEW, NEW)
    assert file.read_text() == REMARK + WRITTEN[how].replace(OLD, NEW)


@pytest.mark.parametrize("how", UNCLEAR)
def test_what_cannot_be_told_is_left_and_said(tmp_path: Path, how: str) -> None:
    """With the very line that somebody may write by hand."""
    file = tmp_path / "esx-01.toml"
    file.write_text(UNCLEAR[how])
    with pytest.raises(Refused) as told:
        write_pin(file, OLD, NEW)
    assert f'pin = "{NEW}"' in told.value.problem.remedy
    assert file.read_text() == UNCLEAR[how]


def test_a_file_elsewhere_is_written_where_it_is(tmp_path: Path) -> None:
    """Some keep their configuration in a tree of its own, with links to it."""
    kept, file = tmp_path / "kept.toml", tmp_path / "esx-01.toml"
    kept.write_text(WRITTEN["inline"])
    file.symlink_to(kept)
    write_pin(file, OLD, NEW)
    assert file.is_symlink()
    assert NEW in kept.read_text()


def test_one_that_is_gone_or_no_text_is_told(tmp_path: Path) -> None:
    """Both are an error that names the file."""
    file = tmp_path / "esx-01.toml"
    with pytest.raises(Failure, match=r"esx-01\.toml cannot be changed: No such file"):
        write_pin(file, OLD, NEW)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Failure, match="it is no text"):
        write_pin(file, OLD, NEW)
