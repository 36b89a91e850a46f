r"""Finds out which Windows is in the disks, and what stands against its conversion.

    volumes ─► Windows\System32\config ─► version (SOFTWARE) ─► boot manager ─► obstacles

Names are bytes in the form of NTFS on this side, found in any case; links are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.guests import obstacles as words
from engine.guests.backend import Parts, Reading, Troubles, Type
from engine.guests.bootdisk import boot_disk
from engine.guests.efi import machine_of, only_32_bit
from engine.guests.windows.version import HiveDamaged, WindowsVersion, is_dirty, read_version
from engine.model.errors import Failure
from engine.model.guest import Family, FileSystem, Guest, Mount, Obstacle, Volume
from engine.model.machine import Firmware

CONFIG = b"/Windows/System32/config"
SYSTEM, SOFTWARE = CONFIG + b"/SYSTEM", CONFIG + b"/SOFTWARE"
HIVE = 256 << 20
"""Longest hive in bytes that is read whole, where a backend cannot read parts."""
BOOT_MANAGER = "bootmgr"
LOGS = (SYSTEM + b".LOG1", SYSTEM + b".LOG2")
_EFI = b"/EFI/Microsoft/Boot"
_KERNEL = b"/Windows/System32/ntoskrnl.exe"
_HEAD = 4096
_FOREIGN = {0x1C4: "ARM, 32 bit", 0xAA64: "ARM, 64 bit (aarch64)", 0x200: "Itanium"}
"""Processors by their numbers in a program's head."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A volume with Windows on it; `version` None: the registry does not tell."""

    volume: Volume
    version: WindowsVersion | None


def find_installations(
    reading: Reading, volumes: Sequence[Volume], damage: list[Obstacle]
) -> Sequence[Installation]:
    """Return every Windows, by disk and start.

    Args:
        damage: Takes what could not be read, since a Windows may be there.
    """
    found = []
    for volume in volumes:
        if volume.kind is not FileSystem.NTFS:
            continue
        try:
            if _is_file(reading, volume, SYSTEM):
                found.append(Installation(volume, _version(reading, volume)))
        except Failure as failure:
            trouble = _trouble(reading, volume)
            damage.append(trouble or words.unreadable(volume, failure))
    return found


def inspect_windows(
    reading: Reading, volumes: Sequence[Volume], found: Sequence[Installation]
) -> Guest:
    """Return the guest whose disks hold these installations, at least one.

    Raises:
        Failure: A volume cannot be read any more.
    """
    first = found[0]
    version = first.version
    boot, firmware = boot_volume(reading, volumes), firmware_of(reading, volumes)
    return Guest(
        family=Family.WINDOWS,
        name=version.name if version else "Windows",
        version=version.number if version else "",
        firmware=firmware,
        volumes=volumes,
        mounts=(Mount(b"/", first.volume.id),),
        kernels=(),
        boot_loader=BOOT_MANAGER if boot else "",
        networks=(),
        obstacles=tuple(_obstacles(reading, volumes, found, boot)),
        boot_disk=boot_disk(volumes, firmware, boot),
    )


def spelled(reading: Reading, volume: Volume, path: bytes) -> bytes | None:
    """Return a path as it is spelled on the volume; None when nothing is there.

    Some backends find names of NTFS in their own case only.
    """
    if reading.stat(volume.id, path) is not None:
        return path
    here = b""
    for part in path.split(b"/")[1:]:
        wanted = part.lower()
        names = reading.list(volume.id, here or b"/")
        name = next((name for name in names if name.lower() == wanted), None)
        if name is None:
            return None
        here += b"/" + name
    return here


def processor(reading: Reading, volume: Volume) -> int:
    """Return the number of the processor that the kernel is for; 0 when it does not tell."""
    try:
        return machine_of(_part(reading, volume, _KERNEL, 0, _HEAD))
    except Failure:
        return 0


def boot_volume(reading: Reading, volumes: Sequence[Volume]) -> Volume | None:
    """Return where the boot manager and its BCD are: the ESP, or an NTFS or FAT volume."""
    efi = [volume for volume in volumes if _has_efi(reading, volume)]
    bios = [volume for volume in volumes if _has_bios(reading, volume)]
    return next(iter((*efi, *bios)), None)


def firmware_of(reading: Reading, volumes: Sequence[Volume]) -> Firmware:
    """Return UEFI where an EFI boot manager is, or where an ESP is and nothing for BIOS."""
    if any(_has_efi(reading, volume) for volume in volumes):
        return Firmware.UEFI
    has_bios = any(_has_bios(reading, volume) for volume in volumes)
    has_esp = any(volume.is_esp for volume in volumes)
    return Firmware.UEFI if has_esp and not has_bios else Firmware.BIOS


def is_locked(reading: Reading, volumes: Sequence[Volume]) -> bool:
    """Return whether the boot manager of a Windows is there, and its system behind BitLocker."""
    is_there = any(volume.kind is FileSystem.BITLOCKER for volume in volumes)
    return is_there and boot_volume(reading, volumes) is not None


def _obstacles(
    reading: Reading,
    volumes: Sequence[Volume],
    found: Sequence[Installation],
    boot: Volume | None,
) -> Iterator[Obstacle]:
    if len(found) > 1:
        names = [each.version.name if each.version else "Windows" for each in found]
        yield words.two_windows(names)
    system = found[0].volume
    trouble = _trouble(reading, system)
    if trouble is not None:
        yield trouble
    if found[0].version is None:
        yield words.damaged_hive("SOFTWARE")
    if not _is_file(reading, system, _KERNEL):
        yield words.NO_WINDOWS_KERNEL
    yield from _of_processor(reading, volumes, system)
    try:
        if is_dirty(_part(reading, system, SYSTEM, 0, 512)) and not _has_log(reading, system):
            yield words.DIRTY_HIVE
    except HiveDamaged:
        yield words.damaged_hive("SYSTEM")
    used = {system.id, *([boot.id] if boot is not None else [])}
    yield from words.of_sectors(volumes, used)
    if boot is None:
        hidden = any(volume.kind is FileSystem.BITLOCKER for volume in volumes)
        yield next(words.without_root(volumes)) if hidden else words.NO_BOOT_MANAGER


def _of_processor(
    reading: Reading, volumes: Sequence[Volume], system: Volume
) -> Iterator[Obstacle]:
    """Yield why no virtual machine has the processor or the firmware for this system."""
    name = _FOREIGN.get(processor(reading, system))
    if name is not None:
        yield words.foreign_processor(name)
    elif firmware_of(reading, volumes) is Firmware.UEFI and only_32_bit(reading, volumes):
        yield words.FIRMWARE_32


def _has_log(reading: Reading, volume: Volume) -> bool:
    """Return whether there is a log that the unfinished write may be replayed from."""
    for path in LOGS:
        place = spelled(reading, volume, path)
        stat = reading.stat(volume.id, place) if place else None
        if stat is None or stat.type is not Type.FILE or stat.size <= 512:
            continue
        if _part(reading, volume, path, 0, 4) == b"regf":
            return True
    return False


def _version(reading: Reading, volume: Volume) -> WindowsVersion | None:
    path = spelled(reading, volume, SOFTWARE)
    whole: list[bytes] = []

    def read(offset: int, length: int) -> bytes:
        if isinstance(reading, Parts):
            return reading.part(volume.id, path or b"", offset, length)
        if not whole:
            whole.append(reading.read(volume.id, path or b"", HIVE))
        return whole[0][offset : offset + length]

    try:
        return read_version(read) if path else None
    except HiveDamaged:
        return None


def _part(reading: Reading, volume: Volume, path: bytes, offset: int, length: int) -> bytes:
    path = spelled(reading, volume, path) or path
    if isinstance(reading, Parts):
        return reading.part(volume.id, path, offset, length)
    return reading.read(volume.id, path, HIVE)[offset : offset + length]


def _trouble(reading: Reading, volume: Volume) -> Obstacle | None:
    try:
        return reading.trouble(volume.id) if isinstance(reading, Troubles) else None
    except Failure:
        return None


def _is_file(reading: Reading, volume: Volume, path: bytes) -> bool:
    place = spelled(reading, volume, path)
    stat = reading.stat(volume.id, place) if place else None
    return stat is not None and stat.type is Type.FILE


def _has_efi(reading: Reading, volume: Volume) -> bool:
    if volume.kind is not FileSystem.FAT:
        return False
    return any(_is_there(reading, volume, _EFI + name) for name in (b"/bootmgfw.efi", b"/BCD"))


def _has_bios(reading: Reading, volume: Volume) -> bool:
    if volume.kind not in (FileSystem.NTFS, FileSystem.FAT):
        return False
    return all(_is_there(reading, volume, path) for path in (b"/bootmgr", b"/Boot/BCD"))


def _is_there(reading: Reading, volume: Volume, path: bytes) -> bool:
    try:
        return _is_file(reading, volume, path)
    except Failure:
        return False
