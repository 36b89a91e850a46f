"""Finds the block device of a disk that was attached to this machine, and reads and writes it.

A letter says nothing: the next disk may be `sdb` or `sdq`, and writing to the wrong one destroys
another machine. So three facts must agree before the first byte: where the disk hangs (PCI slot of
the controller, unit), the world wide name that it tells by itself (VPD page 0x83), and its size.

    /sys/bus/pci/slots/192/address          0000:0b:00       the controller, as the host numbers it
    /sys/block/sdb -> …/0000:0b:00.0/host2/target2:0:1/2:0:1:0/block/sdb
                     /device/vpd_pg83       naa 6000c29…     = the host's `backing.uuid`
                     /size, /dev            sectors, major:minor
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.local.durable import FULL, no_space
from engine.local.whole import ZEROS, punch, read_all, write_all
from engine.model.errors import LayerError, Problem
from engine.model.text import safe

SECTOR = 512
_PCI = re.compile(r"([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2})\.[0-7]")
_SCSI = re.compile(r"(\d+):(\d+):(\d+):(\d+)")
_BLKGETSIZE64 = 0x80081272
_PAGE_83, _NAA, _OF_THE_LUN = 0x83, 3, 0
_LONGEST_PAGE = 4096
_ASK_AGAIN = 8
"""After so many looks in vain the kernel is asked to look at that address itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a host says of a disk that it attached.

    Attributes:
        slot: PCI slot number of the controller; None where the host does not tell.
        unit: Unit number on the controller, the disk's SCSI target.
        uuid: `backing.uuid`, in hex digits with or without dashes.
        size: Bytes.
    """

    slot: int | None
    unit: int
    uuid: str
    size: int

    @property
    def name(self) -> str:
        """Return the world wide name that the disk must tell, in small hex digits."""
        return "".join(one for one in self.uuid.lower() if one in "0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Device:
    """A block device of this machine, as `/sys` describes it.

    Attributes:
        name: Such as `sdb`.
        slot: Of its controller, empty when that has none.
        address: Host, channel, target and LUN.
        names: World wide names that it tells, in small hex digits.
        size: Bytes.
        number: Major and minor.
    """

    name: str
    slot: str
    address: tuple[int, int, int, int]
    names: frozenset[str]
    size: int
    number: tuple[int, int]


class Devices:
    """The SCSI disks of this machine. Knows nothing by itself; each look reads `/sys` anew."""

    def __init__(
        self,
        pause: Callable[[float], object],
        *,
        sys: Path = Path("/sys"),
        dev: Path = Path("/dev"),
    ) -> None:
        """Read from there.

        Args:
            pause: Waits so many seconds.
        """
        self._pause, self._sys, self._dev = pause, sys, dev

    # --- finding -----------------------------------------------------------------------------

    def find(self, wanted: Wanted, *, looks: int = 40, step_s: float = 0.25) -> Device:
        """Return the device of a disk that was just attached, waiting until the kernel shows it.

        Raises:
            LayerError: None came, or what came is in doubt; it says which of the three differs.
        """
        why = "no disk has come up"
        for look in range(looks):
            found, why = self.look(wanted)
            if found is not None:
                return found
            if look % _ASK_AGAIN == _ASK_AGAIN - 1:
                self._ask(wanted)
            self._pause(step_s)
        raise LayerError(_doubt(wanted, why))

    def look(self, wanted: Wanted) -> tuple[Device | None, str]:
        """Return the one device on which all three facts agree, or None and what does not."""
        if len(wanted.name) < len("6000c29000000001"):
            return None, "the host does not say by what name to know it"
        seen = list(self.seen())
        named = [one for one in seen if wanted.name in one.names]
        there = [one for one in seen if self._is_at(one, wanted)]
        if len(named) > 1:
            shown = ", ".join(one.name for one in named)
            return None, f"{len(named)} disks have its name: {shown}"
        if not named:
            other = f", and {there[0].name} in its place has another" if there else ""
            return None, f"no disk has its name{other}"
        if named[0] not in there:
            return None, f"{named[0].name} has its name and hangs elsewhere"
        if len(there) > 1:
            return None, "several disks hang where it should: the host does not tell its slot"
        if named[0].size != wanted.size:
            return None, f"{named[0].name} has {named[0].size} bytes"
        return named[0], ""

    def seen(self) -> Iterator[Device]:
        """Yield the SCSI disks that the kernel shows now; what is half gone is left out."""
        try:
            names = sorted(one.name for one in (self._sys / "block").iterdir())
        except FileNotFoundError:
            return
        slots = self._slots()
        for name in names:
            with contextlib.suppress(OSError, ValueError, struct.error):
                if (one := self._read(name, slots)) is not None:
                    yield one

    def _read(self, name: str, slots: dict[str, str]) -> Device | None:
        place = (self._sys / "block" / name).resolve(strict=True)
        scsi = _SCSI.fullmatch((place / "device").resolve(strict=True).name)
        if scsi is None:
            return None
        bridges = [found[1] for part in place.parts if (found := _PCI.fullmatch(part))]
        major, minor = (place / "dev").read_text().strip().split(":")
        host, channel, target, lun = (int(part) for part in scsi.groups())
        return Device(
            name,
            slots.get(bridges[-1], "") if bridges else "",
            (host, channel, target, lun),
            names_in((place / "device/vpd_pg83").read_bytes()[:_LONGEST_PAGE]),
            int((place / "size").read_text()) * SECTOR,
            (int(major), int(minor)),
        )

    def _slots(self) -> dict[str, str]:
        """Return PCI address -> slot number."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for slot in (self._sys / "bus/pci/slots").iterdir():
                with contextlib.suppress(OSError):
                    found[(slot / "address").read_text().strip()] = slot.name
        return found

    def _is_at(self, one: Device, wanted: Wanted) -> bool:
        _, channel, target, lun = one.address
        at_slot = wanted.slot is None or one.slot == str(wanted.slot)
        return at_slot and (channel, target, lun) == (0, wanted.unit, 0)

    def _ask(self, wanted: Wanted) -> None:
        """Let the kernel look at one address of each controller; nothing else is touched."""
        with contextlib.suppress(OSError):
            for host in (self._sys / "class/scsi_host").iterdir():
                with contextlib.suppress(OSError):
                    (host / "scan").write_text(f"0 {wanted.unit} 0")

    def forget(self, device: Device) -> None:
        """Let the kernel drop a device before the host takes the disk away; repeatable."""
        with contextlib.suppress(FileNotFoundError):
            (self._sys / "block" / device.name / "device/delete").write_text("1")

    # --- opening -----------------------------------------------------------------------------

    def path(self, device: Device) -> Path:
        """Return where programs open it."""
        return self._dev / device.name

    def open(self, device: Device, *, writable: bool) -> int:
        """Open a found device, after a look whether it is still the same; nobody else may hold it.

        Returns:
            A file descriptor, the caller's to close.

        Raises:
            LayerError: It is another one by now, or something on this machine uses it.
        """
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(self.path(device), flags)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise LayerError(_held(device)) from error
            raise
        try:
            about = os.fstat(fd)
            number = os.major(about.st_rdev), os.minor(about.st_rdev)
            if not stat.S_ISBLK(about.st_mode) or number != device.number:
                raise LayerError(_another(device))
            told = bytearray(8)
            fcntl.ioctl(fd, _BLKGETSIZE64, told)
            if int.from_bytes(told, "little") != device.size:
                raise LayerError(_another(device))
        except BaseException:
            os.close(fd)
            raise
        return fd


def names_in(page: bytes) -> frozenset[str]:
    """Return the NAA names of the disk itself in a VPD page 0x83, in small hex digits.

    Source: SPC-4, "Device Identification VPD page": code set in byte 0, association and type in
    byte 1, length in byte 3 of each designator. ValueError when it is no such page.
    """
    if len(page) < 4 or page[1] != _PAGE_83:
        raise ValueError("no VPD page 0x83")
    end = min(len(page), 4 + int.from_bytes(page[2:4], "big"))
    found, at = set(), 4
    while at + 4 <= end:
        kind, association, length = page[at + 1] & 15, page[at + 1] >> 4 & 3, page[at + 3]
        if at + 4 + length > end:
            raise ValueError("a designator is longer than its page")
        if (kind, association) == (_NAA, _OF_THE_LUN):
            found.add(page[at + 4 : at + 4 + length].hex())
        at += 4 + length
    return frozenset(found)


class AttachedDisk:
    """A found device as a block device of a layer; of the size that the layer says."""

    block_size = 4096

    def __init__(self, devices: Devices, device: Device, size: int, *, writable: bool) -> None:
        """Open it.

        Args:
            size: Bytes of the layer's disk; the device may be longer by less than a MiB.
        """
        self._fd = devices.open(device, writable=writable)
        self._path, self._writable, self.size = devices.path(device), writable, size

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `offset`."""
        read_all(self._fd, into, offset)

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""
        with self._full():
            write_all(self._fd, data, offset)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros: whole sectors by the device itself, the rest written."""
        end = offset + length
        first, last = -(-offset // SECTOR) * SECTOR, end // SECTOR * SECTOR
        with self._full():
            if first >= last:
                write_all(self._fd, ZEROS[:length], offset)
                return
            write_all(self._fd, ZEROS[: first - offset], offset)
            punch(self._fd, first, last - first)
            write_all(self._fd, ZEROS[: end - last], last)

    def flush(self) -> None:
        """Make all writes durable."""
        with self._full():
            os.fsync(self._fd)

    def evict(self) -> None:
        """Forget cached pages."""
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Write out what was not flushed, and close; the disk may be taken away next."""
        try:
            if self._writable:
                self.flush()
        finally:
            os.close(self._fd)

    @contextlib.contextmanager
    def _full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise no_space(error, self._path) from error
            raise


def _doubt(wanted: Wanted, why: str) -> Problem:
    return Problem(
        "hotadd.no-device",
        f"The disk {safe(wanted.name)} of {wanted.size} bytes, attached to this machine as unit "
        f"{wanted.unit}, is not found for certain: {why}.",
        "Nothing was written to any disk.",
        "See that the appliance VM has disk.EnableUUID=TRUE, and a PVSCSI controller for itself.",
        {"wwn": safe(wanted.name), "size": wanted.size, "unit": wanted.unit},
    )


def _another(device: Device) -> Problem:
    return Problem(
        "hotadd.another-device",
        f"{device.name} is another disk than a moment ago.",
        "Nothing was written to it.",
        "It is tried again by itself.",
    )


def _held(device: Device) -> Problem:
    return Problem(
        "hotadd.device-held",
        f"Something on this machine uses {device.name}: a mount, LVM, a mirror.",
        "Nothing was written to it.",
        "Keep this machine from starting what is on disks of other machines: see docs/ESXI.md.",
    )
