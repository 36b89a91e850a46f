"""Removing targets from a configuration: only files of their own, only without standbys."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.engine import EngineConfig, load_engine
from engine.config.targets import lines_of
from engine.daemon.removing import removal, remove, remove_alone
from engine.local.durable import file_lock
from engine.model.errors import NotFound, Refused

OWN = 'kind = "esxi"\nuri = "https://esx-01/"\n[esxi]\nuser = "bp"\npassword = "file:/etc/e1"\n'
OWN += f'server = "192.0.2.1"\npin = "{"ab" * 32}"\n'
ENGINE = """site = "osaka"  # ours

# The old one.
[targets.old]
kind = "simulated"

# its store
[targets.old.store]
path = "/srv/old"
# the end of it

# The other one.
[targets.'new']
kind = "simulated"
[limits]
jobs = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a configuration with a target in a file of its own and two in engine.toml."""
    (tmp_path / "engine.toml").write_text(f'state_dir = "{tmp_path}/state"\n{ENGINE}')
    (tmp_path / "targets.d").mkdir()
    (tmp_path / "targets.d" / "esx-01.toml").write_text(OWN)
    (tmp_path / "standbys.d").mkdir()
    return tmp_path


def told(folder: Path) -> EngineConfig:
    """Return the configuration as it is now."""
    return load_engine(folder / "engine.toml")


def test_its_file_is_moved_aside_and_what_stays_is_told(folder: Path) -> None:
    """Store, share on the hosts, password and id are named; what was found last is forgotten."""
    known = folder / "state" / "targets" / "esx-01"
    known.mkdir(parents=True)
    for name in ("findings.json", "room.json", "owner", "store.json"):
        (known / name).write_text("{}")
    config = told(folder)
    going = removal(config, "esx-01")
    assert going.file == folder / "targets.d" / "esx-01.toml"
    assert going.store == folder / "state" / "store-esx-01"
    stays = " ".join(going.stays)
    for part in (str(going.store), "datastore bp-esx-01", "file:/etc/e1", str(known)):
        assert part in stays
    assert going.file.exists()

    remove(config, going)
    remove(config, going)
    assert Path(going.aside).read_text() == OWN
    assert set(told(folder).targets) == {"old", "new"}
    assert sorted(one.name for one in known.iterdir()) == ["owner", "store.json"]
    assert (folder / "engine.toml").read_text().endswith(ENGINE)


@pytest.mark.parametrize(
    "text",
    [
        'images = "/srv/erp"\ntarget = "esx-01"\n',
        'images = "/srv/erp"\ntarget = "esx-01"\nkeep = "many"\n',
    ],
    ids=["whole", "with a mistake"],
)
def test_a_target_with_standbys_stays(folder: Path, text: str) -> None:
    """They are named, and what to do; one whose file is wrong counts too."""
    (folder / "standbys.d" / "erp.toml").write_text(text)
    (folder / "standbys.d" / "no.toml").write_text("= no TOML")
    (folder / "standbys.d" / "web.toml").write_text('images = "/srv/web"\ntarget = "old"\n')
    for used in ((), ("mail",)):
        with pytest.raises(Refused) as refused:
            removal(told(folder), "esx-01", used)
        problem = refused.value.problem
        assert problem.happened.endswith(f": {', '.join(sorted(['erp', *used]))}.")
        assert "bootpoint standby remove erp" in problem.remedy
    assert (folder / "targets.d" / "esx-01.toml").exists()


def test_engine_toml_is_never_written_but_its_lines_are_told(folder: Path) -> None:
    """Taken out, these lines alone make the target go; remarks of what follows are not theirs."""
    with pytest.raises(Refused) as refused:
        removal(told(folder), "old")
    assert "itself, lines 5-6, 9-10." in str(refused.value)
    with pytest.raises(Refused, match="lines 14-15"):
        removal(told(folder), "new")
    with pytest.raises(NotFound, match="Known: esx-01, new, old"):
        removal(told(folder), "nope")
    inline = 'targets = {old = {kind = "simulated"}}\n'
    assert lines_of(inline, "old") == []
    hidden = 'site = """\n[targets.old]\n"""\n[targets.old]\nkind = "simulated"\n'
    assert lines_of(hidden, "old") == []
    (folder / "engine.toml").write_text(f'state_dir = "{folder}/state"\n{inline}')
    with pytest.raises(Refused, match=r"as targets\.old"):
        removal(told(folder), "old")
    (folder / "engine.toml").write_text(f'state_dir = "{folder}/state"\n')
    with pytest.raises(Refused, match="needs no definition"):
        removal(told(folder), "local")


def test_no_engine_comes_or_goes_meanwhile(folder: Path) -> None:
    """One that holds the state, though it does not answer, keeps the file where it is."""
    config = told(folder)
    going = removal(config, "esx-01")
    (folder / "state").mkdir()
    with file_lock(folder / "state" / "engine.lock"):
        with pytest.raises(Refused, match="An engine works with"):
            remove_alone(config, going)
        assert going.file.exists()
    (folder / "standbys.d" / "erp.toml").write_text('images = "/srv/erp"\ntarget = "esx-01"\n')
    with pytest.raises(Refused, match="Standbys are configured"):
        remove_alone(config, going)
    (folder / "standbys.d" / "erp.toml").unlink()
    remove_alone(config, going)
    assert not going.file.exists()
