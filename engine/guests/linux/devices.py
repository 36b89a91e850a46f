"""Which volume a device name meant on the machine that is gone.

Names such as `/dev/sdb1` follow the order in which the old hardware was found. They are decided
by that order and by what is on the volumes; where both leave a choice, the answer says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.model.guest import FileSystem, Volume
from engine.model.text import safe

_LETTERS = re.compile(rb"/dev/((?:s|h|v|xv)d([a-z]{1,3}))(\d{0,3})")
_NUMBERS = re.compile(
    rb"/dev/((?:nvme|mmcblk|cciss/c|ida/c|rd/c)(\d{1,4})(?:n\d{1,3}|d\d{1,3})?)(?:p(\d{1,3}))?"
)
_MULTIPATH = re.compile(rb"/dev/mapper/(mpath[a-z]{1,3})(?:(?:-part|p)?(\d{1,3}))?")
"""Of several paths to one disk: a VM's disk has one, and no such name."""
_BY = re.compile(rb"/dev/disk/by-(?:path|id)/([^/]{1,255}?)(?:-part(\d{1,3}))?")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
"""How udev writes what no name of a link can hold, such as a space."""
USES = 1000
"""Names that are weighed when disks are matched."""
_STABLE = (b"dm-name-", b"dm-uuid-", b"lvm-pv-uuid-", b"md-name-", b"md-uuid-")
_OUTER = frozenset((FileSystem.LVM, FileSystem.RAID, FileSystem.LUKS, FileSystem.BCACHE,
                    FileSystem.ZFS, FileSystem.UNKNOWN))  # fmt: skip
_MOUNTED = frozenset((FileSystem.EXT, FileSystem.XFS, FileSystem.BTRFS, FileSystem.FAT,
                      FileSystem.NTFS))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Use:
    """A device name with what is said of it: mount path, kind of file system (None: any)."""

    spec: bytes
    path: bytes
    kind: FileSystem | None


@dataclass(frozen=True, slots=True)
class Raw:
    """A name taken apart: `sdb1` is disk `sdb`, counted 1, partition 1; order None: unknown."""

    disk: bytes
    order: int | None
    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The volume, None when it is in no disk; `doubt`: a sentence, empty when sure."""

    volume: Volume | None
    doubt: str = ""


Fits = Callable[[Volume, bytes], bool]
"""Whether a volume's content fits a mount path, such as kernels for `/boot`."""


def take_apart(spec: bytes) -> Raw | None:
    """Return the parts of a name that depends on the hardware; None for every other name."""
    if match := _LETTERS.fullmatch(spec):
        order = 0
        for letter in match[2]:
            order = order * 26 + letter - ord("a") + 1
        return Raw(match[1], order - 1, int(match[3] or 0))
    if match := _NUMBERS.fullmatch(spec):
        return Raw(match[1], int(match[2]), int(match[3] or 0))
    if match := _MULTIPATH.fullmatch(spec):
        return Raw(match[1], None, int(match[2] or 0))
    match = _BY.fullmatch(spec)
    if match and not match[1].startswith(_STABLE):
        return Raw(match[1], None, int(match[2] or 0))
    return None


def is_raw(spec: bytes) -> bool:
    """Return whether a device name depends on the hardware."""
    return take_apart(spec) is not None


class Devices:
    """Answers for all names of one guest.

    Disks are matched with the old names once, over all uses, so that one sure line (the root)
    settles its neighbours on the same disk.
    """

    def __init__(self, volumes: Sequence[Volume], uses: Sequence[Use], fits: Fits) -> None:
        """Match disks and names.

        Args:
            volumes: Of all disks.
            uses: Every name that fstab and the boot loader use.
            fits: Looks into a volume where the kind does not decide.
        """
        self._volumes = volumes
        self._places = {(v.disk, v.number): v for v in reversed(volumes)}
        self._fits = fits
        self._count = 1 + max((volume.disk for volume in volumes), default=-1)
        self._disks, self._doubts = self._match(uses)

    def find(self, use: Use) -> Answer:
        """Return the volume that a name means."""
        raw = take_apart(use.spec)
        if raw is None:
            return Answer(self._by_tag(use.spec))
        disk = self._disks.get(raw.disk)
        if disk is None:
            return Answer(None, self._doubts.get(raw.disk, ""))
        volume = self._at(disk, raw.number)
        if volume is None or not self._suits(volume, use):
            return Answer(None)
        return Answer(volume, self._doubts.get(raw.disk, ""))

    def anywhere(self, spec: bytes) -> Volume | None:
        """Return the volume that a name means whatever it holds, such as one that is encrypted."""
        raw = take_apart(spec)
        if raw is None:
            return self._by_tag(spec)
        disk = self._disks.get(raw.disk)
        if disk is None and raw.order is not None and raw.order < self._count:
            disk = raw.order
        return None if disk is None else self._at(disk, raw.number)

    def name(self, volume: Volume) -> bytes | None:
        """Return a name that holds on any hardware; None when the volume has none."""
        same = [other for other in self._volumes if other.id == volume.id]
        if not volume.id.startswith("disk") and len(same) == 1:
            return b"UUID=" + volume.id.encode()
        return b"PARTUUID=" + volume.entry.encode() if volume.entry else None

    @property
    def sees_all(self) -> bool:
        """Whether no volume can be hidden inside another one, such as in LVM."""
        return not any(volume.kind in _OUTER for volume in self._volumes)

    def swaps(self) -> Sequence[Volume]:
        """Return the volumes with a swap signature."""
        return tuple(v for v in self._volumes if v.kind is FileSystem.SWAP)

    def _by_tag(self, spec: bytes) -> Volume | None:
        key, _, value = spec.partition(b"=")
        if spec.startswith(b"/dev/disk/by-"):
            key, _, value = spec[len(b"/dev/disk/by-") :].partition(b"/")
            value = _ESCAPED.sub(lambda match: bytes((int(match[1], 16),)), value)
        text = value.decode("utf-8", "surrogateescape")
        tests: dict[bytes, Callable[[Volume], bool]] = {
            b"uuid": lambda v: v.id.lower() == text.lower(),
            b"label": lambda v: v.label == text,
            b"partuuid": lambda v: v.entry.lower() == text.lower(),
            b"partlabel": lambda v: v.entry_name == text,
        }
        test = tests.get(key.lower())
        if test is None or not text:
            name = spec.decode("utf-8", "surrogateescape")
            return next((volume for volume in self._volumes if name in volume.names), None)
        return next((volume for volume in self._volumes if test(volume)), None)

    def _at(self, disk: int, number: int) -> Volume | None:
        return self._places.get((disk, number))

    def _suits(self, volume: Volume, use: Use) -> bool:
        if use.kind is not None:
            return volume.kind is use.kind and self._fits(volume, use.path)
        return volume.kind in _MOUNTED and self._fits(volume, use.path)

    def _match(self, uses: Sequence[Use]) -> tuple[dict[bytes, int], dict[bytes, str]]:
        """Return the number of each named disk, and what is doubtful about it."""
        asked: dict[bytes, list[tuple[Raw, Use]]] = {}
        for use in uses[:USES]:
            raw = take_apart(use.spec)
            if raw is not None:
                asked.setdefault(raw.disk, []).append((raw, use))
        numbers = sorted({volume.disk for volume in self._volumes})
        choices = {name: self._choices(wanted, numbers) for name, wanted in asked.items()}
        taken: dict[bytes, int] = {}
        doubts: dict[bytes, str] = {}
        # The surest first: a disk that only one name fits is no choice for the others.
        for name in sorted(choices, key=lambda name: (len(choices[name]), name)):
            order = asked[name][0][0].order
            # One disk has one letter, and besides it names by path and by identity.
            gone = [taken[other] for other in taken if asked[other][0][0].order is not None]
            free = [disk for disk in choices[name] if order is None or disk not in gone]
            if not free:
                continue
            taken[name] = order if order in free and order is not None else free[0]
            if len(free) > 1:
                doubts[name] = (
                    f"which disk {safe(name)} was is decided by the order of the disks alone "
                    f"(disk {taken[name] + 1} of {len(numbers)})."
                )
        return taken, doubts

    def _choices(self, wanted: Sequence[tuple[Raw, Use]], numbers: Sequence[int]) -> list[int]:
        """Return the disks that fit most of what is said of one named disk, best ones only."""
        scores = {disk: sum(self._meets(disk, *one) for one in wanted) for disk in numbers}
        best = max(scores.values(), default=0)
        return [disk for disk, score in scores.items() if score == best > 0]

    def _meets(self, disk: int, raw: Raw, use: Use) -> bool:
        volume = self._at(disk, raw.number)
        return volume is not None and self._suits(volume, use)
