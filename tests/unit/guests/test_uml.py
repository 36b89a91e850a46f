"""What is believed of a throw-away kernel's answers, and what the probe says, without a kernel."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guests.backends.uml import probe
from engine.guests.backends.uml.backend import PART, RUN, batches
from engine.guests.backends.uml.kernel import _content, _problem
from engine.guests.backends.uml.machine import _disk, _stat
from engine.guests.backends.uml.shim import compiled
from engine.local.tools import ToolFailed
from engine.model.errors import Failure, Problem
from engine.model.guest import Action, FileEdit, FileSystem, Owner, Volume, VolumeId

VOLUME = Volume(VolumeId("x"), 0, 1, 1 << 20, 1 << 30, FileSystem.XFS)


@pytest.mark.parametrize(("number", "name"), [(0, "vda"), (25, "vdz"), (26, "vdaa"), (701, "vdzz")])
def test_disks_are_named_as_the_kernel_names_them(number: int, name: str) -> None:
    """Letters count as in Linux, where aa follows z."""
    assert _disk(number) == name


def test_an_answer_that_is_a_link_or_a_fifo_is_not_followed(tmp_path: Path) -> None:
    """A kernel that was taken over may lay anything into the folder; only files are read."""
    secret, link, fifo = tmp_path / "secret", tmp_path / "1.answer", tmp_path / "2.answer"
    secret.write_bytes(b"x")
    link.symlink_to(secret)
    os.mkfifo(fifo)

    with pytest.raises(OSError, match="symbolic links"):
        _content(link)
    with pytest.raises(ValueError, match="no file"):
        _content(fifo)
    assert _content(secret) == b"x"


@pytest.mark.parametrize(
    "answer", [7, [], ["file"], ["pipe", 1, 2, 3, 4], ["file", "1", 0, 0, 0], {"a": 1}]
)
def test_nonsense_about_a_file_is_a_failure(answer: object) -> None:
    """What the kernel says of a file has five fields of the right types, or is not believed."""
    with pytest.raises(Failure, match="nonsense"):
        _stat(VolumeId("x"), answer, has_owners=True)


def test_owners_of_fat_are_fixed() -> None:
    """FAT keeps none; what the kernel makes up is not told."""
    told = _stat(VolumeId("x"), ["file", 3, 0o600, 1, 2], has_owners=False)

    assert told is not None
    assert told.owner == Owner(0o755, 0, 0)


def test_edits_go_in_runs_that_fit_into_the_kernels_memory() -> None:
    """Order is kept, no run is empty, and one that is too long holds one edit."""
    sizes = [PART, 1, PART - 1, PART + 5, 3, *[0] * (RUN + 1)]
    edits = [
        FileEdit(VolumeId("x"), b"/%d" % n, Action.WRITE, None, bytes(size), Owner(), "")
        for n, size in enumerate(sizes)
    ]

    runs = list(batches(edits))

    assert [edit for some in runs for edit in some] == edits
    assert [len(some) for some in runs] == [1, 2, 1, RUN, 2]
    assert all(sum(len(e.after) for e in some) <= PART or len(some) == 1 for some in runs)


def test_a_panic_is_told_without_its_addresses() -> None:
    """Of a dying kernel's words the line that says why is shown, not the last ones."""
    said = b"Kernel panic - not syncing: EXT4-fs\n<4> [<60066afc>] ? alloc_workqueue+0x0/0x451\n"

    assert "said: Kernel panic - not syncing: EXT4-fs" in _problem("ended", said).happened
    assert "alloc_workqueue" not in _problem("ended", said).happened


def test_the_probe_boots_once_for_each_boot_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen is kept, until the host was booted or UML is another one."""
    boots: list[Path | None] = []
    monkeypatch.setattr(probe, "_boot", lambda _work, shim: boots.append(shim))

    assert [probe.find_shim(tmp_path) for _ in range(3)] == [None] * 3
    assert boots == [None]

    monkeypatch.setattr(probe, "_key", lambda: "another boot")
    probe.find_shim(tmp_path)
    assert boots == [None, None]


def test_the_shim_is_used_where_nothing_starts_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try is with the library, which is compiled once and remembered."""
    boots: list[Path | None] = []

    def boot(_work: Path, shim: Path | None) -> None:
        boots.append(shim)
        if shim is None:
            raise ToolFailed(Problem("tool.failed", "ptrace set fp regs failed, errno = 14"))

    monkeypatch.setattr(probe, "_boot", boot)

    shim = probe.find_shim(tmp_path)

    assert shim == compiled(tmp_path) == probe.find_shim(tmp_path)
    assert boots == [None, shim]
    assert not list(tmp_path.glob("*.new"))


def test_what_is_missing_is_named_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program, a kind of file system, a processor without a compiler: each has its sentence."""

    def fail(_work: Path, _shim: Path | None) -> None:
        raise ToolFailed(Problem("tool.failed", "It said: errno = 14.", remedy="Look."))

    monkeypatch.setattr(probe, "_boot", fail)
    monkeypatch.setattr(probe, "compiler", lambda: None)
    processor = probe.probe_uml([VOLUME], tmp_path)
    monkeypatch.setattr(probe, "_is_there", lambda tool: tool != "xfs_repair")
    program = probe.probe_uml([VOLUME], tmp_path)
    kind = probe.probe_uml([replace(VOLUME, kind=FileSystem.NTFS)], tmp_path)

    assert processor.missing[0] == "It said: errno = 14. Look."
    assert "packages gcc and libc6-dev" in processor.missing[1]
    assert program.missing == ("The program xfs_repair is missing: install the package xfsprogs.",)
    assert kind.missing == ("ntfs cannot be opened by the throw-away kernel.",)
