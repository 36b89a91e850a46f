"""What every backend promises, on NTFS: the same files as a plain folder, or nothing at all.

NTFS keeps no owners of POSIX and gets no links; all the rest is as in `test_guest_backend`.
"""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guests.backend import Backend, Type
from engine.guests.backends.directory import folder, open_directory
from engine.guests.backends.userland import UserlandBackend, open_userland
from engine.model.errors import Failure
from engine.model.guest import Action, FileEdit, VolumeId
from tests.contract.guest_disks import ROOT, tree_of
from tests.contract.test_guest_backend import edit
from tests.guests.phony_windows import WINDOWS, Recipe, build, files_of

KERNEL = b"MZ kernel" * 100
HIVE = files_of(Recipe())[b"/Windows/System32/config/SYSTEM"]
PATCHED = HIVE[:4500] + b"\x07" + HIVE[4501:]
EDITS = [
    edit(b"/Program Files/desktop.ini", Action.REMOVE, b"[x]"),
    edit(b"/Users/Public/desktop.ini", Action.RENAME, b"[x]", b"/Users/Public/old.ini"),
    edit(b"/Users/Public/desktop.ini", Action.WRITE, None, b"new"),
    edit(b"/Windows/System32/config/SYSTEM", Action.WRITE, HIVE, PATCHED),
    edit(b"/Windows/System32/drivers/viostor.sys", Action.WRITE, None, b"MZ" * 150_000),
    edit(b"/Windows/bootpoint", Action.MKDIR, None),
    edit("/Windows/bootpoint/erster Start ä.cmd".encode(), Action.WRITE, None, b"@echo off\r\n"),
    edit(b"/Windows/bootpoint/empty", Action.WRITE, None, b""),
    edit(b"/Windows/System32/ntoskrnl.exe", Action.WRITE, KERNEL, b"MZ"),
]
MISFITS = {
    "another content": edit(b"/Windows/explorer.exe", Action.WRITE, b"other", b"x"),
    "there already": edit(b"/Windows/explorer.exe", Action.WRITE, None, b"x"),
    "there already in another case": edit(b"/windows/EXPLORER.EXE", Action.WRITE, None, b"x"),
    "not there": edit(b"/Windows/nothing", Action.WRITE, b"", b"x"),
    "no folder above": edit(b"/Nothing/x", Action.WRITE, None, b"x"),
    "a file above": edit(b"/Windows/explorer.exe/x", Action.WRITE, None, b"x"),
    "a folder": edit(b"/Windows/System32", Action.WRITE, b"", b"x"),
    "dots": edit(b"/Windows/../x", Action.WRITE, None, b"x"),
    "not empty": edit(b"/Windows", Action.REMOVE, b""),
    "target there": edit(b"/pagefile.sys", Action.RENAME, bytes(1 << 16), b"/Windows/explorer.exe"),
    "no digest": edit(b"/pagefile.sys", Action.REMOVE, None),
    "a link": edit(b"/x", Action.SYMLINK, None, b"y"),
    "a stream": edit(b"/Windows/explorer.exe:x", Action.WRITE, None, b"x"),
}

Open = Callable[[], UserlandBackend]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of a machine with Windows; tests work on copies."""
    return build(tmp_path_factory.mktemp("ntfs") / "disk.img", Recipe())


@pytest.fixture
def disk(original: Path, tmp_path: Path) -> Path:
    """A fresh copy of the disk."""
    return Path(shutil.copy(original, tmp_path / "disk.img"))


@pytest.fixture
def oracle(tmp_path: Path) -> Backend:
    """The same files in a plain folder."""
    root = tmp_path / "root"
    for path, content in files_of(Recipe()).items():
        place = root / path[1:].decode()
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return open_directory([folder(ROOT, root)])


def system_of(backend: Backend) -> VolumeId:
    """Return the volume with Windows."""
    return next(volume.id for volume in backend.volumes() if volume.start == WINDOWS)


def on(backend: Backend, edits: list[FileEdit]) -> list[FileEdit]:
    """Return edits for the volume with Windows."""
    return [replace(each, volume=system_of(backend)) for each in edits]


def files(backend: Backend, volume: VolumeId) -> list[tuple[object, ...]]:
    """Return path, type and content of everything, without owners."""
    return [
        (row[0], row[1], row[-1] if row[1] == Type.FILE else b"")
        for row in tree_of(backend, volume)
    ]


def test_the_same_edits_give_the_same_files(disk: Path, oracle: Backend) -> None:
    """After a replay NTFS holds what the plain folder holds."""
    oracle.replay(EDITS)

    with open_userland([disk]) as backend:
        written = backend.replay(on(backend, EDITS))

        assert files(backend, system_of(backend)) == files(oracle, ROOT)
        assert 300_000 < written < 310_000
        assert backend.check([system_of(backend)]) == "files"


def test_a_block_device_is_served_like_a_file(disk: Path, oracle: Backend) -> None:
    """A disk that is attached to this machine has a device's size, and QEMU a driver of its own."""
    oracle.replay(EDITS)
    words = ["losetup", "--find", "--show", str(disk)]
    device = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    try:
        with open_userland([Path(device)]) as backend:
            backend.replay(on(backend, EDITS))
            assert files(backend, system_of(backend)) == files(oracle, ROOT)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.parametrize("name", MISFITS)
def test_an_edit_that_does_not_fit_leaves_all_as_it_was(disk: Path, name: str) -> None:
    """The misfit comes last of many, and still no bit of the disk was written."""
    before = disk.read_bytes()
    good = [each for each in EDITS if b"Public" not in each.path]

    with open_userland([disk]) as backend, pytest.raises(Failure):
        backend.replay(on(backend, [*good, MISFITS[name]]))

    assert disk.read_bytes() == before


def test_reading_has_limits(disk: Path) -> None:
    """A file longer than the limit is refused with both sizes, a missing one in words."""
    with open_userland([disk]) as backend:
        system = system_of(backend)

        with pytest.raises(Failure, match=r"65536 bytes long.*at most 1000"):
            backend.read(system, b"/pagefile.sys", 1000)
        with pytest.raises(Failure, match="is not there"):
            backend.read(system, b"/nothing")
        with pytest.raises(Failure, match="is not a file but: folder"):
            backend.read(system, b"/Windows")
        with pytest.raises(Failure, match="is no symbolic link"):
            backend.link(system, b"/Windows/explorer.exe")
        assert backend.read(system, b"/Windows/System32/config/SYSTEM.LOG1") == b""
        assert backend.list(system, b"/nothing") == []


def test_a_second_replay_is_refused(disk: Path) -> None:
    """What was changed is not what the plan was made for any more."""
    with open_userland([disk]) as backend:
        backend.replay(on(backend, EDITS))

        with pytest.raises(Failure):
            backend.replay(on(backend, EDITS))


def test_other_volumes_stay_bit_for_bit(disk: Path) -> None:
    """Recovery and a replay leave volumes alone that no edit names."""
    before = disk.read_bytes()

    with open_userland([disk]) as backend:
        backend.recover()
        backend.replay(on(backend, EDITS))

    assert disk.read_bytes()[:WINDOWS] == before[:WINDOWS]
    assert disk.read_bytes()[WINDOWS:] != before[WINDOWS:]
