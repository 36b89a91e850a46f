"""EFI system partitions: which there are, and what their programs can start.

Source: UEFI specification 2.10, 3.5.1.1 "Removable Media Boot Behavior" (names by processor);
Microsoft, "PE Format", "Machine Types".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine.guests.backend import Reading
from engine.guests.tree import Tree
from engine.model.errors import Failure
from engine.model.guest import FileSystem, Mount, Volume

_MICROSOFT = b"microsoft"
_OF_WINDOWS = frozenset((_MICROSOFT, b"boot"))
"""Folders of loaders that Windows makes."""
_FOLDERS = 64
"""Folders of loaders that are looked into."""
_PROGRAMS = 16
"""Programs whose heads are read."""
X86, X86_64 = 0x14C, 0x8664
_HEAD = 4096


def has_any(reading: Reading, volume: Volume, test: Callable[[bytes], bool]) -> bool:
    """Return whether some name in a volume's top folder fits; none does where it is damaged."""
    try:
        return any(test(name) for name in reading.list(volume.id, b"/"))
    except Failure:
        return False


def efi_volumes(reading: Reading, volumes: Sequence[Volume]) -> Sequence[Volume]:
    """Return the EFI system partitions; without a table that says so, FAT volumes that fit."""
    fat = [volume for volume in volumes if volume.kind is FileSystem.FAT]
    fit = [v for v in fat if has_any(reading, v, lambda name: name.upper() == b"EFI")]
    return [volume for volume in fat if volume.is_esp] or fit


def loaded_esp(reading: Reading, volumes: Sequence[Volume]) -> Volume | None:
    """Return the EFI system partition with a program that may start Linux: then it is UEFI.

    Installers make that partition on machines with a BIOS as well, and leave it empty; one that
    only Windows used starts no Linux.
    """
    for volume in efi_volumes(reading, volumes):
        found = list(_programs(reading, volume))
        folders = {folder for folder, path in found if path or folder == _MICROSOFT}
        if folders - (_OF_WINDOWS if _MICROSOFT in folders else frozenset()):
            return volume
    return None


def only_32_bit(reading: Reading, volumes: Sequence[Volume]) -> bool:
    """Return whether all that firmware could start is for UEFI of 32 bits, as on old tablets.

    Names tell in most cases; heads are read only where no name is one for x86-64.
    """
    found = [
        (volume, path)
        for volume in efi_volumes(reading, volumes)
        for _, path in _programs(reading, volume)
        if path
    ]
    if any(path.lower().endswith(b"x64.efi") for _, path in found):
        return False
    machines = {_machine(reading, volume, path) for volume, path in found[:_PROGRAMS]}
    return X86 in machines and X86_64 not in machines


def machine_of(head: bytes) -> int:
    """Return for which processor a program of EFI or Windows is; 0 when it does not tell."""
    start = int.from_bytes(head[60:64], "little")
    is_program = head[:2] == b"MZ" and head[start : start + 4] == b"PE\0\0"
    return int.from_bytes(head[start + 4 : start + 6], "little") if is_program else 0


def _machine(reading: Reading, volume: Volume, path: bytes) -> int:
    try:
        return machine_of(Tree(reading, (Mount(b"/", volume.id),)).part(path, 0, _HEAD))
    except Failure:
        return 0


def _programs(reading: Reading, esp: Volume) -> Iterator[tuple[bytes, bytes]]:
    """Yield folders of loaders, in lower case, with the path of each program; empty for none."""
    try:
        tops = [b"/" + name for name in reading.list(esp.id, b"/") if name.upper() == b"EFI"]
        paths = [top + b"/" + name for top in tops for name in reading.list(esp.id, top)]
        for path in paths[:_FOLDERS]:
            folder = path.rpartition(b"/")[2].lower()
            inside = [path + b"/" + name for name in reading.list(esp.id, path)]
            if folder == _MICROSOFT:
                yield folder, b""
                inside += [p + b"/" + n for p in inside for n in reading.list(esp.id, p)
                           if p.lower().endswith(b"/boot")]  # fmt: skip
            for program in inside:
                if program.lower().endswith(b".efi"):
                    yield folder, program
    except Failure:
        return
