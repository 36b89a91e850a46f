"""A real guest through the whole conversion: raw and qcow2 twigs, backends, leftovers, refusals."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from engine.guests.backends.export import clear
from engine.guests.convert import DRY_RUN, GuestConverter
from engine.guests.record import export_record, import_record
from engine.model.cards import CardChange
from engine.model.errors import Cancelled, NotBootable, WrongUse
from engine.model.guest import Family
from engine.ports import CancelFlag, DiskFile, NeverCancelled
from engine.sample.guest import build_guest, check_guest

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
CARDS = [CardChange("00:50:56:00:00:01")]
MIB = 1 << 20


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sample guest's disk as it stood in its rack."""
    disk = tmp_path_factory.mktemp("source") / "disk.raw"
    build_guest(disk, CACHE, print)
    return disk


@pytest.fixture(params=["raw", "qcow2"])
def twig(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> DiskFile:
    """Return a disk that reads like the source: a copy, or an overlay on it."""
    kind: str = request.param
    disk = tmp_path / f"twig.{kind}"
    if kind == "raw":
        shutil.copyfile(source, disk)
    else:
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", source, "-F", "raw", disk]
        subprocess.run(command, check=True)
    return DiskFile(disk, kind)


@pytest.fixture
def converter(tmp_path: Path) -> GuestConverter:
    """Return a converter with a folder of its own."""
    return GuestConverter(tmp_path / "conversion")


def digest(disk: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(disk.read_bytes()).hexdigest()


def flat(twig: DiskFile, work: Path) -> Path:
    """Return a raw copy of a disk."""
    out = work / "flat.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", twig.path, out], check=True)
    return out


def left_over(folder: Path) -> list[str]:
    """Return mounts and processes that belong to a folder."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines()
              if str(folder) in line]  # fmt: skip
    commands = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            commands.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return mounts + [command for command in commands if str(folder) in command]


def test_a_guest_is_converted_and_its_file_system_is_clean(
    twig: DiskFile, source: Path, converter: GuestConverter, tmp_path: Path
) -> None:
    """The record says what was done; what lies below the twig did not change; nothing is left."""
    before = digest(source)
    made = converter.convert([twig], CARDS, NeverCancelled(), lambda _progress: None)
    assert made.record.guest.family is Family.DEBIAN
    assert made.record.ledger.check == "full"
    changed = {Path(entry.path).name for entry in made.record.ledger.entries}
    assert {"grub.cfg", "fstab"} <= changed
    assert any(name.startswith("bootpoint-") for name in changed)
    assert import_record(made.text) == made.record
    assert digest(source) == before
    check_guest(flat(twig, tmp_path))
    assert left_over(tmp_path) == []


def test_converting_again_changes_nothing_more(twig: DiskFile, converter: GuestConverter) -> None:
    """The second plan is empty."""
    converter.convert([twig], CARDS, NeverCancelled(), lambda _progress: None)
    again = converter.convert([twig], CARDS, NeverCancelled(), lambda _progress: None)
    assert again.record.ledger.entries == ()


def test_a_dry_run_says_what_a_conversion_does_and_writes_nothing(
    twig: DiskFile, converter: GuestConverter
) -> None:
    """Same entries, and not a byte of the disk is different."""
    before = digest(twig.path)
    dry = converter.plan([twig], CARDS)
    assert digest(twig.path) == before
    assert dry.ledger.check == DRY_RUN
    made = converter.convert([twig], CARDS, NeverCancelled(), lambda _progress: None)
    assert made.record.ledger.entries == dry.ledger.entries
    assert export_record(dry) != made.text


def test_a_disk_without_a_system_is_not_bootable_and_says_why(
    converter: GuestConverter, tmp_path: Path
) -> None:
    """Zeros, noise, or half a partition table: an obstacle with a remedy, no exception of ours."""
    for name, content in {"zeros": b"", "noise": os.urandom(MIB), "mbr": b"\x55\xaa" * 256}.items():
        disk = tmp_path / name
        disk.write_bytes(content.ljust(4 * MIB, b"\0"))
        with pytest.raises(NotBootable) as caught:
            converter.convert(
                [DiskFile(disk, "raw")], CARDS, NeverCancelled(), lambda _progress: None
            )
        assert caught.value.problem.key.startswith("guest.")
        assert caught.value.problem.remedy


def test_a_cancelled_conversion_ends_before_it_writes(
    twig: DiskFile, source: Path, converter: GuestConverter, tmp_path: Path
) -> None:
    """The caller drops the twig; neither mount nor process is left."""
    flag = CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        converter.convert([twig], CARDS, flag, lambda _progress: None)
    assert digest(flat(twig, tmp_path)) == digest(source)
    assert left_over(tmp_path) == []


def test_an_unknown_backend_is_named(twig: DiskFile, tmp_path: Path) -> None:
    """The error says which there are."""
    with pytest.raises(WrongUse, match="userland"):
        GuestConverter(tmp_path / "c", "magic").plan([twig], CARDS)


def test_what_a_killed_engine_left_mounted_is_cleared(source: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of an export: the daemon dies too, and the next start unmounts."""
    disk = tmp_path / "twig.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", source, "-F", "raw", disk]
    subprocess.run(command, check=True)
    work = tmp_path / "work"
    code = textwrap.dedent(f"""
        from pathlib import Path
        from engine.guests.backends.export import flat
        from engine.ports import DiskFile
        with flat([DiskFile(Path({str(disk)!r}), "qcow2")], Path({str(work)!r}), is_writing=True):
            print("ready", flush=True)
            input()
    """)
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGKILL)
    clear(work)
    assert list(work.iterdir()) == []
    assert [line for line in left_over(work) if "fuse" in line] == []
    with DiskFile(disk, "qcow2").path.open("rb") as opened:
        assert opened.read(4) == b"QFI\xfb"
