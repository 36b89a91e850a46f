"""What is read out of guests is hostile: almost right bytes end in an answer or in words, soon.

Seeded, so that a failure names its seed; a longer run is `BOOTPOINT_SEEDS=30000`.
"""

from __future__ import annotations

import os
import struct
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from engine.guests.backends.ext import ExtVolume
from engine.guests.backends.fat import FatVolume
from engine.guests.cpio import Damaged
from engine.guests.initrd_facts import read_facts
from engine.guests.modules import closure, parse
from engine.guests.volumes import find_volumes
from engine.guests.windows.drivers import inf
from engine.guests.windows.drivers.inftext import InfDamaged
from engine.guests.windows.drivers.package import driver_of
from engine.guests.windows.drivers.pe import NoProgram, is_catalogue, is_signed_data, read_program
from engine.guests.windows.replay import replay
from engine.guests.windows.version import HiveDamaged, is_dirty, read_version
from engine.model.errors import Failure
from engine.model.guest import FileSystem, Volume, VolumeId
from tests.guests.phony_drivers import files, inf_text, package
from tests.guests.phony_windows import SERVER_2019, software
from tests.mutation import mutated
from tests.unit.guests.test_initrd import DEP, LINKED, PACKERS, archive_of
from tests.unit.guests.test_windows_inf import SERVER_2019 as TARGET
from tests.unit.guests.test_windows_replay import log, written

SEEDS = int(os.environ.get("BOOTPOINT_SEEDS", "60"))
MIB = 1 << 20
MEMORY = 192 * MIB
"""Most bytes that one answer may take."""


def of_inf(seed: int) -> None:
    """Read a driver's description, and ask it all that is asked."""
    text = inf_text("viostor").encode("utf-16" if seed % 2 else "utf-8")
    read = inf.parse(mutated(text, seed))
    read.models(TARGET)
    read.service("Install", TARGET)
    read.files("Install", TARGET)
    read.catalogues(TARGET)


def of_package(seed: int) -> None:
    """Check a driver's package in which one file is not as it was."""
    content = files("viostor")
    name = sorted(content)[seed % len(content)]
    driver_of(package({**content, name: mutated(content[name], seed)}), TARGET)


def of_program(seed: int) -> None:
    """Read a program and a catalogue."""
    for name, content in files("viostor").items():
        changed = mutated(content, seed)
        if name.endswith(".sys"):
            read_program(changed)
        is_catalogue(changed)
        is_signed_data(changed)


def of_hive(seed: int) -> None:
    """Read a registry's version where its keys lie."""
    whole = _software()
    head = mutated(whole[4096:8192], seed)[:4096].ljust(4096, b"\0")
    hive = mutated(whole, seed) if seed % 2 else whole[:4096] + head + whole[8192:]
    read_version(lambda at, length: hive[at : at + length])
    is_dirty(hive[:512])


def of_logs(seed: int) -> None:
    """Replay a registry's logs, of both forms."""
    dirty, entries = _dirty()
    hive = dirty if seed % 3 else mutated(dirty, seed)
    replay(hive, [mutated(log(*entries), seed), log(entries[0])])
    old = log(b"DIRT" + b"\xff" * 64 + dirty[4096:8192], form=1)
    replay(hive, [mutated(old, seed)])


def of_initrd(seed: int) -> None:
    """List an initrd of every packing."""
    how = sorted(PACKERS)[seed % len(PACKERS)]
    read_facts(mutated(_packed(how), seed), 64 * MIB)


def of_modules(seed: int) -> None:
    """Read a kernel's list of modules."""
    found = parse(mutated(DEP, seed))
    closure(found, list(found.paths)[:40])


def of_disk(seed: int) -> None:
    """Find the volumes of a disk: its tables and the heads of its volumes are damaged."""
    disk = bytearray(_disk())
    places = ((0, 512), (512, 1024), (1024, 512), (MIB, 4096), (MIB + 1024, 1024))
    for number, (at, length) in enumerate(places):
        if seed >> number & 1:
            changed = mutated(bytes(disk[at : at + length]), seed + at)
            disk[at : at + length] = changed[:length].ljust(length, b"\0")
    find_volumes(lambda _, at, length: bytes(disk[at : at + length]), [len(disk)])


@cache
def _software() -> bytes:
    return software(SERVER_2019)


@cache
def _dirty() -> tuple[bytes, list[bytes]]:
    hive, entries, _whole = written(2)
    return hive, entries


@cache
def _packed(how: str) -> bytes:
    return PACKERS[how](archive_of(LINKED, {b"etc/x": bytes(range(256)) * 20}))


@cache
def _disk() -> bytes:
    disk = bytearray(4 * MIB)
    rows = ((0x83, 2048, 1024), (5, 4096, 4000), (0x8E, 3500, 500), (0xEE, 1, 8000))
    table = b"".join(struct.pack("<IB3xII", 0, *row) for row in rows)
    disk[446:512] = table + b"\x55\xaa"
    disk[512:520] = b"EFI PART"
    disk[MIB + 1024 + 56 : MIB + 1024 + 58] = b"\x53\xef"
    disk[MIB + 512 : MIB + 520] = b"LABELONE"
    return bytes(disk)


@contextmanager
def in_bounds() -> Iterator[None]:
    """Fail where more memory is taken than any answer needs."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("ask", "share"),
    [(of_inf, 1), (of_package, 1), (of_program, 1), (of_hive, 1), (of_logs, 20), (of_initrd, 1),
     (of_modules, 1), (of_disk, 1)],
)  # fmt: skip
@pytest.mark.timeout(60 + SEEDS // 10)
def test_almost_right_bytes_end_in_an_answer_or_in_words(
    ask: Callable[[int], None], share: int
) -> None:
    """Nothing but the errors that are promised comes out, and little memory is taken."""
    _dirty(), _software(), _disk()
    with in_bounds():
        for seed in range(-(-SEEDS // share)):
            said = "."
            try:
                ask(seed)
            except Failure as failure:
                said = failure.problem.happened
            except (InfDamaged, NoProgram, HiveDamaged, Damaged):
                pass
            assert said.endswith("."), seed


def volumes(folder: Path) -> dict[str, tuple[bytes, Callable[[Path], FatVolume | ExtVolume]]]:
    """Return a small disk of each kind, and how it is opened; its volume starts at 1 MiB."""
    (folder / "tree/boot/grub").mkdir(parents=True)
    (folder / "tree/boot/grub/grub.cfg").write_bytes(b"menu" * 9000)
    (folder / "tree/link").symlink_to("boot")
    disks = {name: folder / f"{name}.raw" for name in ("fat", "ext")}
    for disk in disks.values():
        disk.write_bytes(bytes(3 * MIB))
    fat, ext = map(str, disks.values())
    _run("mkfs.vfat", "-F12", "-s1", "--offset=2048", fat, "2048")
    _run("mmd", "-i", f"{fat}@@1M", "::EFI", "::EFI/debian")
    grub = folder / "tree/boot/grub/grub.cfg"
    _run("mcopy", "-i", f"{fat}@@1M", str(grub), "::EFI/debian/a long name.efi")
    options = ("-q", "-F", "-t", "ext4", "-b", "1024", "-E", f"offset={MIB}", "-d")
    _run("mke2fs", *options, str(folder / "tree"), ext, "2048k")

    def volume(kind: FileSystem) -> Volume:
        return Volume(VolumeId("v"), 0, 1, MIB, 2 * MIB, kind)

    return {
        "fat": (disks["fat"].read_bytes(), lambda at: FatVolume(at, volume(FileSystem.FAT))),
        "ext": (disks["ext"].read_bytes(), lambda at: ExtVolume(at, volume(FileSystem.EXT))),
    }


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.mark.timeout(120 + SEEDS)
def test_damaged_file_systems_end_in_files_or_in_words(tmp_path: Path) -> None:
    """Walked to the end, whatever folders and chains say; the disk stays as it was."""
    for name, (whole, open_at) in volumes(tmp_path).items():
        for seed in range(SEEDS // (2 if name == "fat" else 6)):
            head = mutated(whole[MIB : MIB + 65536], seed)[:65536].ljust(65536, b"\0")
            disk = tmp_path / "disk.raw"
            disk.write_bytes(content := whole[:MIB] + head + whole[MIB + 65536 :])
            opened, said = open_at(disk), "."
            try:
                _walk(opened, b"/", 4)
            except Failure as failure:
                said = failure.problem.happened
            finally:
                if isinstance(opened, ExtVolume):
                    opened.close()
            assert said.endswith("."), (name, seed)
            assert disk.read_bytes() == content, (name, seed)


def _walk(opened: FatVolume | ExtVolume, path: bytes, depth: int) -> None:
    """Ask for everything below a folder."""
    for name in opened.list(path)[:50]:
        here = path.rstrip(b"/") + b"/" + name
        found = opened.stat(here)
        if found is None:
            continue
        if found.type.value == "folder" and depth:
            _walk(opened, here, depth - 1)
        elif found.type.value == "file":
            opened.read(here, MIB)
        elif found.type.value == "link":
            opened.link(here)
