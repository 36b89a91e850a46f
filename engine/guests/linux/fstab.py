r"""fstab as lines that are changed in place: whatever is not changed stays byte for byte.

Source: fstab(5), getmntent(3): six fields between blanks, `\040` style escapes, `#` comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from engine.guests.linux.devices import Devices, Use, is_raw
from engine.model.guest import FileSystem, Volume
from engine.model.text import safe

_FIELD = re.compile(rb"[^ \t\r\n]+")
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")
_NOT_LOCAL = (b"nfs", b"cifs", b"smb", b"9p", b"ceph", b"gluster", b"fuse", b"sshfs", b"afs")
_NO_DEVICE = frozenset(
    (b"proc", b"sysfs", b"tmpfs", b"devpts", b"devtmpfs", b"debugfs", b"none", b"overlay",
     b"cgroup", b"cgroup2", b"securityfs", b"hugetlbfs", b"mqueue", b"configfs", b"bpf")
)  # fmt: skip
_KINDS: Mapping[bytes, FileSystem] = {
    b"ext2": FileSystem.EXT,
    b"ext3": FileSystem.EXT,
    b"ext4": FileSystem.EXT,
    b"xfs": FileSystem.XFS,
    b"btrfs": FileSystem.BTRFS,
    b"vfat": FileSystem.FAT,
    b"msdos": FileSystem.FAT,
    b"ntfs": FileSystem.NTFS,
    b"ntfs3": FileSystem.NTFS,
    b"ntfs-3g": FileSystem.NTFS,
    b"swap": FileSystem.SWAP,
}
_SYSTEM = (b"/boot", b"/efi", b"/usr", b"/var", b"/home", b"/opt", b"/tmp", b"/root", b"/etc")
"""Where a missing volume must be noticed: everything else is data."""
MARK = b"# bootpoint: the next line's device is in none of the disks of the backup"
"""Keeps a line from being decided anew when its neighbours have become UUIDs."""
LINES = 100_000
"""Lines of fstab that are looked at."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that names a device.

    Attributes:
        number: Counted from 0.
        spec, path, type, options: Fields without escapes; `path` is `none` for swap.
        spans: Start and end of each field in the line.
        is_marked: An earlier conversion found no volume for it.
    """

    number: int
    spec: bytes
    path: bytes
    type: bytes
    options: Sequence[bytes]
    spans: Sequence[tuple[int, int]]
    is_marked: bool = False

    @property
    def is_swap(self) -> bool:
        """Whether the line is for swapping."""
        return self.type == b"swap"

    @property
    def is_local(self) -> bool:
        """Whether the line is for a device of this machine."""
        if self.is_marked or self.type in _NO_DEVICE or self.type.startswith(_NOT_LOCAL):
            return False
        if {b"bind", b"rbind", b"loop", b"_netdev"} & set(self.options):
            return False
        return self.spec.startswith((b"/dev/", b"UUID=", b"LABEL=", b"PARTUUID=", b"PARTLABEL="))

    @property
    def is_data(self) -> bool:
        """Whether the system comes up without it."""
        system = any(self.path == top or self.path.startswith(top + b"/") for top in _SYSTEM)
        return not (system or self.path == b"/" or self.is_swap)

    @property
    def subvolume(self) -> bytes:
        """Subvolume of btrfs; empty when none is named."""
        named = [o[7:] for o in self.options if o.startswith(b"subvol=")]
        return named[-1].strip(b"/") if named and self.type == b"btrfs" else b""

    @property
    def use(self) -> Use:
        """What the device must be to fit this line."""
        return Use(unquote(self.spec), self.path, _KINDS.get(self.type))


def unquote(spec: bytes) -> bytes:
    """Return a device name without the quotes that fstab allows in `UUID="…"`."""
    key, equals, value = spec.partition(b"=")
    return key + equals + value.strip(b"\"'") if equals else spec


def parse(content: bytes) -> Iterator[Line]:
    """Yield the lines that name a device or a file system, with at least four fields or three."""
    last = b""
    for number, text in enumerate(content.split(b"\n")[:LINES]):
        is_marked, last = last == MARK, text
        if text.lstrip()[:1] in (b"#", b""):
            continue
        spans = [match.span() for match in _FIELD.finditer(text)]
        if len(spans) < 3:
            continue
        fields = [_plain(text[start:end]) for start, end in spans[:4]]
        options = tuple(fields[3].split(b",")) if len(fields) > 3 else ()
        yield Line(number, fields[0], fields[1], fields[2], options, spans, is_marked)


def _plain(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes((int(match[1], 8),)), field)


@dataclass(frozen=True, slots=True)
class Converted:
    """New content of fstab and what the operator should know."""

    content: bytes
    warnings: Sequence[str]


def convert(
    content: bytes, devices: Devices, root: Volume, unsure: AbstractSet[bytes] = frozenset()
) -> Converted:
    """Replace names that depend on the hardware by UUIDs; make data volumes optional.

    Args:
        content: fstab as it is.
        devices: Decides which volume a name was.
        root: What is at `/`, whatever fstab calls it.
        unsure: Names of mapped devices that may not be there.
    """
    texts = content.split(b"\n")
    warnings: list[str] = []
    for line in parse(content):
        if line.is_local:
            text = _convert_line(texts[line.number], line, devices, root, warnings)
            if line.spec.removeprefix(b"/dev/mapper/") in unsure and not line.is_data:
                text = _rewrite(text, line, None, optional=not _vital(line.path))
            texts[line.number] = text
    return Converted(b"\n".join(texts), tuple(warnings))


def _convert_line(
    text: bytes, line: Line, devices: Devices, root: Volume, warnings: list[str]
) -> bytes:
    answer = devices.find(line.use)
    volume = root if line.path == b"/" else answer.volume
    if answer.doubt and line.path != b"/":
        warnings.append(f"fstab, line {line.number + 1}: {answer.doubt}")
    spec = None
    if is_raw(line.use.spec):
        spec = devices.name(volume) if volume is not None else None
        if spec is None and line.is_swap:
            warnings.append(
                f"fstab, line {line.number + 1}: no swap was found on {safe(line.spec)}; "
                "the line is commented out."
            )
            return b"# bootpoint: no swap found here: " + text
        if spec is None:
            warnings.append(
                f"fstab, line {line.number + 1}: {safe(line.spec)} for {safe(line.path)} "
                "is in none of the image's disks; it keeps its name."
            )
            text = _rewrite(text, line, None, optional=not _vital(line.path))
            return MARK + b"\n" + text
    by_tag = not line.spec.startswith(b"/dev/") and devices.sees_all
    missing = volume is None and (by_tag or is_raw(line.use.spec))
    optional = line.is_data or (missing and (line.is_swap or not _vital(line.path)))
    return _rewrite(text, line, spec, optional=optional)


def _vital(path: bytes) -> bool:
    return path in (b"/", b"/usr", b"/var", b"/boot")


def _rewrite(text: bytes, line: Line, spec: bytes | None, *, optional: bool) -> bytes:
    """Return the line with another device and, if it is optional, with `nofail`."""
    if optional and not {b"nofail", b"noauto"} & set(line.options):
        if len(line.spans) < 4:
            end = line.spans[2][1]
            text = text[:end] + b" nofail" + text[end:]
        else:
            start, end = line.spans[3]
            text = text[:end] + b",nofail" + text[end:]
    if spec is not None:
        start, end = line.spans[0]
        text = text[:start] + spec + text[end:]
    return text
