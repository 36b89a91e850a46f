"""The native format behind the `ImageFormat` protocol."""

from __future__ import annotations

import os
import re

from engine.images.bpi.layout import HEADER_START
from engine.images.bpi.manifest import Manifest, hints_of, ns_to_datetime, read_manifest
from engine.images.bpi.opening import OpenedFile, open_file
from engine.images.bpi.problems import damaged, unsupported
from engine.images.bpi.reader import BpiReader
from engine.images.bpi.values import Values
from engine.model.errors import FormatError
from engine.model.images import DiskPart, FileMark, ImagePart, PartKind, PointId
from engine.model.machine import Hints
from engine.model.text import safe

_MANIFEST = re.compile(r"p\d{6,}-\d{8}T\d{6}Z(-c\d\d)?\.json")


class BpiFormat:
    """`.bpi` files and the manifests beside them."""

    name = "bpi"
    quiet_s = 30.0

    def recognises(self, name: str, head: bytes) -> bool:
        """Tell whether a file of this name with these first 4096 bytes is of this format."""
        if name.endswith(".bpi") or head.startswith(HEADER_START):
            return True
        is_manifest = _MANIFEST.fullmatch(name) or b'"bootpoint-point"' in head
        return bool(name.endswith(".json") and is_manifest)

    def describe(self, fd: int, path: str) -> ImagePart:
        """Read header, end mark and index structure of an open file, never its payload.

        Raises:
            FormatError: Not complete or not valid; its `problem.key` is `image.truncated`,
                `image.damaged` or `image.unsupported`.
        """
        mark = mark_of(fd)
        if path.endswith(".json"):
            return _manifest_part(read_manifest(fd, path), path, mark)
        return _disk_part(open_file(fd, path), path, mark)

    def open_disk(self, fd: int, path: str) -> BpiReader:
        """Return a reader of the disk in an open file; the reader owns a duplicate of `fd`.

        Raises:
            FormatError: As `describe`; also for an encrypted file.
        """
        opened = open_file(fd, path)
        if opened.header.encrypted:
            raise encrypted(path)
        return BpiReader(fd, opened)


def encrypted(path: str) -> FormatError:
    """Return the error for a file whose frames cannot be decoded without a key."""
    return unsupported(
        path,
        "it is encrypted and no key is known here",
        "Write the images without encryption, or read them where the key is.",
    )


def mark_of(fd: int) -> FileMark:
    """Return what tells that an open file is still the same one."""
    s = os.fstat(fd)
    return FileMark(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)


def _disk_part(opened: OpenedFile, path: str, mark: FileMark) -> ImagePart:
    header, footer = opened.header, opened.footer
    machine, disk = _hinted(opened)
    return ImagePart(
        path=path,
        mark=mark,
        format=BpiFormat.name,
        kind=PartKind.DISK,
        set_id=str(header.set),
        machine_uuid=str(header.machine),
        machine_name=machine[0],
        point=PointId(str(header.point)),
        parent=None if header.is_base else PointId(str(header.parent)),
        sequence=header.sequence,
        taken_at=ns_to_datetime(header.taken_ns),
        disks=(
            DiskPart(
                number=header.number,
                uuid=str(header.disk),
                base=header.is_base,
                size=header.disk_size,
                root=footer.root.hex(),
                parent_root="" if header.is_base else header.parent_root.hex(),
                file_size=opened.size,
                data_bytes=footer.data_bytes,
                zero_bytes=footer.zero_bytes,
                boot=disk,
                logical_sector=header.logical_sector,
            ),
        ),
        hints=machine[1],
        locked=header.encrypted,
        replaces=tuple(PointId(str(point)) for point, _ in opened.replaces),
        replaced_roots=tuple(root.hex() for _, root in opened.replaces),
    )


def _hinted(opened: OpenedFile) -> tuple[tuple[str, Hints], bool]:
    """Return what the header's description says: (machine name, hints), whether it boots."""
    told = Values(opened.hints)
    try:
        machine = told.inner("machine")
        name = safe(machine.text_or("name", ""))
        return (name, hints_of(machine)), told.inner("disk").boolean("boot")
    except ValueError as error:
        raise damaged(opened.path, str(error)) from error


def _manifest_part(manifest: Manifest, path: str, mark: FileMark) -> ImagePart:
    return ImagePart(
        path=path,
        mark=mark,
        format=BpiFormat.name,
        kind=PartKind.MANIFEST,
        set_id=str(manifest.set),
        machine_uuid=str(manifest.machine),
        machine_name=manifest.machine_name,
        point=PointId(str(manifest.point)),
        parent=PointId(str(manifest.parent)) if manifest.parent else None,
        sequence=manifest.sequence,
        taken_at=ns_to_datetime(manifest.taken_ns),
        disks=tuple(
            DiskPart(
                number=line.number,
                uuid=str(line.uuid),
                base=line.is_base,
                size=line.disk_size,
                root=line.root,
                parent_root="",
                file_size=line.size,
                name=line.file,
                boot=line.boot,
                logical_sector=line.logical_sector,
            )
            for line in sorted(manifest.disks, key=lambda line: line.number)
        ),
        hints=manifest.hints,
        locked=manifest.encrypted,
        replaces=tuple(PointId(str(one.point)) for one in manifest.replaces),
    )
