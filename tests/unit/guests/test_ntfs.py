"""NTFS in its sandbox: what is written is what other programs read, and nothing else changes."""

import contextlib
import os
import random
import shutil
import signal
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.guests.backends import ntfs, ntfs_cage, probe
from engine.guests.backends.ntfs import NtfsVolume, Trouble
from engine.guests.backends.ntfs_inside import POINT, SLICE
from engine.guests.backends.probe import probe_userland
from engine.guests.backends.userland import open_userland
from engine.model.errors import Failure
from engine.model.guest import Action, FileEdit, FileSystem, Owner, Volume, VolumeId
from tests.guests.phony_journal import leave_transaction
from tests.guests.phony_windows import (
    CONFIG,
    MIB,
    SECOND,
    SIZES,
    SYSTEM_RESERVED,
    WINDOWS,
    Recipe,
    build,
    leave_journal,
    make_ntfs,
    patch,
    run,
)

VOLUME = Volume(VolumeId("01D0"), 0, 2, WINDOWS, SIZES[WINDOWS], FileSystem.NTFS)
HIVE = bytes(random.Random(3).randbytes(MIB))
SCRIPT = b"/Windows/bootpoint/first.cmd"


def write(path: bytes, content: bytes) -> FileEdit:
    """Return an edit that writes a file."""
    return FileEdit(VOLUME.id, path, Action.WRITE, None, content, Owner(), "")


def made(path: bytes) -> FileEdit:
    """Return an edit that makes a folder."""
    return FileEdit(VOLUME.id, path, Action.MKDIR, None, b"", Owner(), "")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine with a hive of 1 MiB; tests work on copies."""
    files = {CONFIG + b"SYSTEM": HIVE}
    return build(tmp_path_factory.mktemp("ntfs") / "disk.img", Recipe(files=files))


@pytest.fixture
def disk(original: Path, tmp_path: Path) -> Path:
    """A fresh copy of the machine's disk."""
    return Path(shutil.copy(original, tmp_path / "disk.img"))


@pytest.fixture
def volume(disk: Path) -> Iterator[NtfsVolume]:
    """The volume of Windows, closed at the end."""
    found = NtfsVolume(disk, VOLUME)
    yield found
    found.close()


def part_of(disk: Path, start: int = WINDOWS) -> Path:
    """Return a copy of one volume for programs that know no offsets."""
    part = disk.with_name("part.img")
    part.write_bytes(disk.read_bytes()[start : start + SIZES[start]])
    return part


def changed(before: bytes, after: bytes) -> int:
    """Return how many blocks of 4 KiB differ."""
    return sum(
        before[at : at + 4096] != after[at : at + 4096] for at in range(0, len(before), 4096)
    )


def test_names_are_found_in_any_case(volume: NtfsVolume) -> None:
    """A path finds what Windows would find, listings give the names as they are."""
    stat = volume.stat(b"/WINDOWS/system32/CONFIG/System")

    assert stat is not None
    assert stat.size == MIB
    assert volume.read(b"/windows/SYSTEM32/config/system", MIB) == HIVE
    assert b"System32" in volume.list(b"/windows")
    assert volume.stat(b"/windows/nothing") is None
    assert volume.list(b"/windows/explorer.exe") == []


def test_another_program_reads_what_was_written(disk: Path, volume: NtfsVolume) -> None:
    """`ntfscat`, which needs no mount, finds new files, folders and contents."""
    script = "echo Größe\r\n".encode() * 900
    volume.write(
        [made(b"/Windows/bootpoint"), write(SCRIPT, script), write("/Users/ä ü".encode(), b"x")]
    )

    part = str(part_of(disk))

    assert run("ntfscat", part, SCRIPT.decode()) == script
    assert run("ntfscat", part, "/Users/ä ü") == b"x"


def test_only_changed_pages_of_a_hive_are_written(disk: Path, volume: NtfsVolume) -> None:
    """Two changed bytes in 1 MiB are two pages, and a handful of blocks on the disk."""
    before = disk.read_bytes()
    new = bytearray(HIVE)
    new[5000] ^= 1
    new[900_000] ^= 1

    written = volume.write([write(CONFIG + b"SYSTEM", bytes(new))])

    assert written == 2 * 4096
    assert changed(before, disk.read_bytes()) <= 12
    assert run("ntfscat", str(part_of(disk)), (CONFIG + b"SYSTEM").decode()) == new


@pytest.mark.parametrize("size", [0, 1, 4096, MIB - 1, MIB + 70_001])
def test_a_file_may_grow_and_shrink(volume: NtfsVolume, size: int) -> None:
    """A hive that grew is written whole; a shorter file ends where it should."""
    new = (HIVE + HIVE)[:size]

    volume.write([write(CONFIG + b"SYSTEM", new)])

    assert volume.read(CONFIG + b"SYSTEM", 2 * MIB) == new


def times(disk: Path, path: bytes) -> list[bytes]:
    """Return when a file was made and changed, as its record says."""
    lines = run("ntfsinfo", "-F", path.decode(), str(part_of(disk))).splitlines()
    return [line for line in lines if b"File Creation" in line or b"File Altered" in line]


def test_times_of_what_was_there_stay(disk: Path, volume: NtfsVolume) -> None:
    """A patched hive and the folder of a new file keep their times."""
    folder = b"/Windows/System32/drivers"
    before = [times(disk, folder)[:2], times(disk, CONFIG + b"SYSTEM")[:2]]

    volume.write([write(folder + b"/new.sys", b"x"), write(CONFIG + b"SYSTEM", HIVE[::-1])])

    assert [times(disk, folder)[:2], times(disk, CONFIG + b"SYSTEM")[:2]] == before
    assert all(b"Nov 14 22:13:20 2023" in line for lines in before for line in lines)


def test_new_files_are_not_everybodys(disk: Path, tmp_path: Path) -> None:
    """What is made gets the rights of its folder: SYSTEM runs the script, so nobody may write it.

    Without that, ntfs-3g lets everybody do everything.
    """
    part = part_of(disk)
    run("ntfssecaudit", str(part), "0750", "/Windows")
    with disk.open("r+b") as file:
        file.seek(WINDOWS)
        file.write(part.read_bytes())

    NtfsVolume(disk, VOLUME).write([made(b"/Windows/bootpoint"), write(SCRIPT, b"x")])

    part = part_of(disk)
    for path in ("/Windows/bootpoint", SCRIPT.decode()):
        assert b"mode 0750" in run("ntfssecaudit", str(part), path)
    assert b"mode 0777" in run("ntfssecaudit", str(part), "/Windows/explorer.exe")


def test_files_are_renamed_and_removed(volume: NtfsVolume) -> None:
    """Names in another case are the same files; a folder that is not empty stays."""
    where, gone = b"/Windows/EXPLORER.exe", b"/Users/public/DESKTOP.ini"
    volume.write(
        [
            FileEdit(VOLUME.id, where, Action.RENAME, "", b"/Windows/old.exe", Owner(), ""),
            FileEdit(VOLUME.id, gone, Action.REMOVE, "", b"", Owner(), ""),
            FileEdit(VOLUME.id, b"/Users/Public", Action.REMOVE, "", b"", Owner(), ""),
        ]
    )

    assert volume.read(b"/Windows/old.exe", 10) == b"MZ"
    assert volume.stat(b"/Windows/explorer.exe") is None
    assert volume.list(b"/Users") == []
    with pytest.raises(Failure, match="not empty"):
        volume.write([FileEdit(VOLUME.id, b"/Windows", Action.REMOVE, "", b"", Owner(), "")])


def test_parts_of_long_files_are_read(volume: NtfsVolume) -> None:
    """Some bytes in the middle, fewer at the end, never more than 1 MiB."""
    path = CONFIG + b"SYSTEM"

    assert volume.part(path, 1000, 7) == HIVE[1000:1007]
    assert volume.part(path, MIB - 3, 100) == HIVE[-3:]
    assert volume.part(path, 1 << 60, 100) == b""
    with pytest.raises(Failure, match="is not a file"):
        volume.part(b"/Windows", 0, 10)


ODD = [b"/a:b", b"/a?", b"/dot.", b"/space ", b"/a\\b", b"/a\nb", b"/\xff", b"/" + b"x" * 256]


@pytest.mark.parametrize("path", ODD)
def test_names_that_windows_forbids_are_refused(volume: NtfsVolume, path: bytes) -> None:
    """They would make streams, or files that Windows cannot open."""
    with pytest.raises(Failure, match=r"forbids|plain absolute"):
        volume.refuse_unspeakable([write(path, b"")])


def test_links_are_refused(volume: NtfsVolume) -> None:
    """Links of POSIX mean nothing to Windows."""
    link = FileEdit(VOLUME.id, b"/x", Action.SYMLINK, None, b"y", Owner(), "")

    with pytest.raises(Failure, match="not made on NTFS"):
        volume.refuse_unspeakable([link])


def test_a_full_volume_fails_in_words(volume: NtfsVolume) -> None:
    """No space is a Failure with the reason, never a short file."""
    with pytest.raises(Failure, match="is full"):
        volume.write([write(b"/big", b"x" * (40 * MIB))])


def test_a_clean_journal_is_left_as_it_is(disk: Path, volume: NtfsVolume) -> None:
    """A log that Windows closed is not written anew: a real one has 64 MB."""
    at = leave_journal(disk, WINDOWS, is_clean=True)
    before = disk.read_bytes()

    assert not volume.recover()
    volume.write([write(b"/Windows/new", b"x")])

    after = disk.read_bytes()
    assert after[at : at + 2 * MIB] == before[at : at + 2 * MIB]
    assert 0 < changed(before, after) < 16


@pytest.mark.parametrize("version", [1, 2])
def test_a_transaction_in_the_journal_is_replayed(
    disk: Path, volume: NtfsVolume, version: int
) -> None:
    """What Windows finished in its log only is in its place before anything else is written.

    Version 2 is what a running Windows has since 8: the log that a backup finds.
    """
    explorer = "/Windows/explorer.exe"
    shown = run("ntfsinfo", "-F", explorer, str(part_of(disk))).split()
    born = (1_500_000_000 + 11_644_473_600) * 10**7
    inode = int(shown[shown.index(b"Inode") + 1])
    leave_transaction(disk, WINDOWS, inode, born.to_bytes(8, "little"), version=version)
    assert b"2023 UTC" in times(disk, explorer.encode())[0]

    assert volume.recover()
    assert volume.trouble() is None
    volume.write([write(b"/Windows/new", b"x")])

    assert b"Fri Jul 14 02:40:00 2017 UTC" in times(disk, explorer.encode())[0]
    assert run("ntfscat", str(part_of(disk)), "/Windows/new") == b"x"
    assert not NtfsVolume(disk, VOLUME).recover()


def test_a_journal_that_cannot_be_replayed_is_refused(disk: Path, volume: NtfsVolume) -> None:
    """Emptying it would lose what Windows wrote; nothing is changed, and it can still be read."""
    leave_journal(disk, WINDOWS)
    before = disk.read_bytes()

    with pytest.raises(Trouble, match=r"journal of NTFS .* cannot be replayed"):
        volume.write([write(b"/x", b"x")])
    volume.recover()

    assert disk.read_bytes() == before
    trouble = volume.trouble()
    assert trouble is not None
    assert trouble.key == "guest.ntfs_journal"
    assert volume.read(b"/Windows/explorer.exe", 10) == b"MZ"


def test_a_hibernated_windows_is_not_written(tmp_path: Path) -> None:
    """Not by a replay, not by recovery; reading says why."""
    disk = build(tmp_path / "disk.img", Recipe(hibernated=True))
    before = disk.read_bytes()

    with open_userland([disk]) as backend:
        system = backend.volumes()[1].id
        backend.recover()
        trouble = backend.trouble(system)
        assert trouble is not None
        assert trouble.key == "guest.hibernated"
        with pytest.raises(Trouble, match="hibernated"):
            backend.replay([FileEdit(system, b"/x", Action.WRITE, None, b"x", Owner(), "")])

    assert disk.read_bytes() == before


def test_the_host_sees_no_mount(volume: NtfsVolume) -> None:
    """While the sandbox works, nothing is mounted where the engine or anybody else could look."""
    assert volume.read(b"/Windows/explorer.exe", 10) == b"MZ"

    told = Path("/proc/self/mounts").read_text().splitlines()
    assert {line.split(" ")[1] for line in told}.isdisjoint(map(str, (POINT, SLICE)))


def test_a_killed_sandbox_leaves_nothing_and_is_started_again(
    disk: Path, volume: NtfsVolume
) -> None:
    """All its processes die with it; the next question is answered by a new one."""
    assert volume.recover() is False
    session = volume._session
    assert session is not None
    os.killpg(session._process.pid, signal.SIGKILL)
    session._process.wait()

    with pytest.raises(Failure, match="ended early"):
        session.ask("stat", b"/")
    assert volume.read(b"/Windows/explorer.exe", 10) == b"MZ"
    assert NtfsVolume(disk, VOLUME).write([write(b"/x", b"x")]) == 1


def descendants(pid: int) -> dict[int, bytes]:
    """Return the command lines of a process's children and theirs."""
    found: dict[int, bytes] = {}
    parents = {pid}
    for _ in range(4):
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = status.read_text().rpartition(")")[2].split()
                if int(fields[1]) in parents:
                    found[int(status.parent.name)] = (status.parent / "cmdline").read_bytes()
        parents |= set(found)
    return found


def test_a_driver_that_hangs_is_ended(volume: NtfsVolume, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that keeps ntfs-3g busy for ever costs one time-out, and no process stays."""
    volume.recover()
    session = volume._session
    assert session is not None
    everybody = descendants(session._process.pid)
    [driver] = [pid for pid, line in everybody.items() if line.startswith(b"/tmp/ntfs-3g")]
    os.kill(driver, signal.SIGSTOP)
    monkeypatch.setattr(ntfs, "ANSWER_S", 0.5)

    with pytest.raises(Failure, match="did not answer in time"):
        volume.list(b"/Windows/System32/drivers")

    for pid in everybody:
        for _ in range(500):
            if not Path(f"/proc/{pid}/root").exists():
                break
            threading.Event().wait(0.01)
        assert not Path(f"/proc/{pid}/root").exists()


def test_two_volumes_of_one_disk_are_open_at_once(disk: Path, volume: NtfsVolume) -> None:
    """Each has a sandbox of its own, and neither locks the other out."""
    place = Volume(VolumeId("other"), 0, 1, SYSTEM_RESERVED, SIZES[SYSTEM_RESERVED], VOLUME.kind)
    other = NtfsVolume(disk, place)
    volume.recover()
    other.recover()

    other.write([write(b"/Boot/x", b"1")])
    volume.write([write(b"/Windows/x", b"2")])

    assert (other.read(b"/Boot/x", 9), volume.read(b"/Windows/x", 9)) == (b"1", b"2")
    other.close()


def test_a_volume_at_an_odd_sector_is_opened(disk: Path, tmp_path: Path) -> None:
    """Old installations start at sector 63."""
    shifted = tmp_path / "old.img"
    shifted.write_bytes(bytes(63 * 512) + part_of(disk).read_bytes())
    old = NtfsVolume(shifted, Volume(VolumeId("old"), 0, 1, 63 * 512, SIZES[WINDOWS], VOLUME.kind))

    old.write([write(SCRIPT.replace(b"bootpoint/", b""), b"x")])

    assert old.read(b"/Windows/first.cmd", 9) == b"x"
    old.close()


def test_damage_ends_in_words(disk: Path) -> None:
    """Noise in the file table gives answers or failures; no sandbox outlives it."""
    noise = random.Random(7)
    table = WINDOWS + 4 * 4096
    outcomes = set()
    for _ in range(12):
        hurt = Path(shutil.copy(disk, disk.with_name("hurt.img")))
        for _ in range(40):
            patch(hurt, table + noise.randrange(160 * 1024), noise.randbytes(8))
        found = NtfsVolume(hurt, VOLUME)
        try:
            found.list(b"/Windows/System32")
            found.read(CONFIG + b"SYSTEM", MIB)
            found.write([write(b"/Windows/x", b"x" * 5000)])
            outcomes.add("done")
        except Failure:
            outcomes.add("refused")
        found.close()
        assert found._session is None

    assert "refused" in outcomes


def test_the_boot_sector_alone_is_no_file_system(tmp_path: Path) -> None:
    """A volume that only looks like NTFS is damaged, in words."""
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.truncate(64 * MIB)
    make_ntfs(disk, SECOND, {})
    patch(disk, SECOND + 4096, bytes(SIZES[SECOND] - 4096))
    place = Volume(VolumeId("hollow"), 0, 1, SECOND, SIZES[SECOND], FileSystem.NTFS)

    with pytest.raises(Trouble, match="cannot be opened"):
        NtfsVolume(disk, place).list(b"/")


def test_a_host_without_the_sandbox_still_converts_other_guests(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery looks at all volumes; one of NTFS that nobody needs must not stand in the way."""
    monkeypatch.setattr(ntfs_cage.platform, "machine", lambda: "vax")

    with open_userland([disk]) as backend:
        backend.recover()
        with pytest.raises(Failure, match=r"could not be started: .*this processor"):
            backend.list(backend.volumes()[1].id, b"/")


def test_the_probe_says_what_ntfs_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here NTFS can be written; where FUSE cannot be mounted in a sandbox, that is said."""
    assert probe_userland([VOLUME]).is_able

    monkeypatch.setattr(ntfs_cage, "is_able", lambda: False)
    assert "cannot be mounted in a sandbox" in probe_userland([VOLUME]).missing[0]
    monkeypatch.setattr(probe, "_is_there", lambda tool: not tool.startswith("ntfs"))
    assert list(probe_userland([VOLUME]).missing) == [
        f"The program {tool} is missing: install the package ntfs-3g."
        for tool in ("ntfs-3g", "ntfs-3g.probe", "ntfsrecover", "ntfsfix")
    ]


def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """Let every sandbox be ready, and then answer so to whatever is asked."""
    said = tmp_path / "said"
    frames = (b'{"answer": "ready"}', answer)
    said.write_bytes(b"".join(struct.pack(">II", len(one), 0) + one for one in frames))

    def start(_argv: object, _in: int, _out: int, stderr: int) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["sh", "-c", 'cat "$0"; exec cat >/dev/null', str(said)],
            stdin=pipe,
            stdout=pipe,
            stderr=stderr,
        )

    monkeypatch.setattr(ntfs, "start", start)
    (tmp_path / "disk").write_bytes(bytes(4096))


@pytest.mark.parametrize(
    "answer", [b"[" * 5000, b"[]", b'{"answer": 5}', b'{"answer": ["\\u20ac", "x"]}', b"\xff"]
)
def test_a_guest_that_answers_for_the_sandbox_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """ntfs-3g may be taken over by what it reads; what it then says is no traceback here."""
    answers(tmp_path, monkeypatch, answer)
    for ask in (NtfsVolume.list, NtfsVolume.stat):
        volume = NtfsVolume(
            tmp_path / "disk", Volume(VolumeId("v"), 0, 1, 0, 4096, FileSystem.NTFS)
        )
        with pytest.raises(Failure) as refused:
            ask(volume, b"/x")
        assert "another language" in refused.value.problem.happened
        with contextlib.suppress(Failure):
            volume.close()


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (b"[Errno 5] Input/output error", "guest.volume.damaged"),
        (b"[Errno 28] No space left on device", "guest.volume.full"),
    ],
)
def test_what_ntfs_3g_stumbles_over_is_told_of_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: bytes, key: str
) -> None:
    """The same bytes would meet it again: it is not tried again by the clock."""
    answers(tmp_path, monkeypatch, b'{"error": "%s"}' % error)
    volume = NtfsVolume(tmp_path / "disk", Volume(VolumeId("v"), 0, 1, 0, 4096, FileSystem.NTFS))

    with pytest.raises(Failure) as refused:
        volume.list(b"/x")
    with contextlib.suppress(Failure):
        volume.close()

    assert refused.value.problem.key == key
