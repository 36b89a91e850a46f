"""The manifest of a recovery point: one JSON file, written last, that makes the point atomic.

Source: FORMATS.md 2.7. Unknown keys are ignored; integers, strings, booleans and null only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from engine.images.bpi import layout
from engine.images.bpi.problems import NEWER, damaged, truncated, unsupported
from engine.images.bpi.strictjson import LONGEST, canonical, parse
from engine.images.bpi.values import Values
from engine.model.machine import Firmware, Hints, Nic
from engine.model.text import safe

NAME = "bootpoint-point"
VERSION = 1
HASHES = {layout.SHA256: "sha256", layout.BLAKE3: "blake3"}
KINDS = {
    layout.FileKind.FULL: "full",
    layout.FileKind.INCREMENT: "increment",
    layout.FileKind.SYNTHETIC: "synthetic",
    layout.FileKind.CONSOLIDATED: "consolidated",
}
CONSISTENCIES = {one.value: one.name.lower() for one in layout.Consistency}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = 10**9


@dataclass(frozen=True, slots=True)
class DiskLine:
    """What the manifest says about one disk's file.

    Attributes:
        size: Bytes of the file; `disk_size` of the disk.
        sha256: Hex, of the whole file; None when it was not computed.
    """

    number: int
    uuid: UUID
    file: str
    kind: str
    size: int
    disk_size: int
    logical_sector: int
    root: str
    sha256: str | None = None
    boot: bool = False
    bus: str | None = None

    @property
    def is_base(self) -> bool:
        """True when the file covers its whole disk."""
        return self.kind in ("full", "synthetic")


@dataclass(frozen=True, slots=True)
class Replaced:
    """A point folded into this one: its roots by disk UUID, in hex."""

    point: UUID
    sequence: int
    roots: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One recovery point. Times in nanoseconds since 1970."""

    set: UUID
    point: UUID
    parent: UUID | None
    sequence: int
    taken_ns: int
    written_ns: int
    machine: UUID
    machine_name: str
    hints: Hints
    disks: Sequence[DiskLine]
    consistency: str = "unknown"
    hash_alg: str = "blake3"
    encrypted: bool = False
    producer: str = "bootpoint-image"
    producer_version: str = ""
    replaces: Sequence[Replaced] = field(default=())


def read_manifest(fd: int, path: str) -> Manifest:
    """Read and judge an open manifest.

    Raises:
        FormatError: It is incomplete, damaged, or of a later version.
        OSError: The medium failed.
    """
    size = os.fstat(fd).st_size
    if size > LONGEST:
        raise damaged(path, "it is longer than the 1 MiB a manifest may have")
    data = os.pread(fd, LONGEST + 1, 0)
    if not data.rstrip(b"\0 \r\n\t").endswith(b"}"):
        raise truncated(path, "its end is missing")
    try:
        told = parse(data)
        _judge_envelope(told, path)
        return _manifest(Values(told))
    except ValueError as error:
        raise damaged(path, str(error)) from error


def _judge_envelope(told: dict[str, object], path: str) -> None:
    if told.get("format") != NAME:
        raise ValueError("it is no manifest of a recovery point")
    if told.get("version") != VERSION:
        version = safe(str(told.get("version")), 16)
        raise unsupported(path, f"it is a manifest of version {version}", NEWER)
    if told.get("digest") != digest_of(told):
        raise ValueError("its own checksum is wrong")


def digest_of(told: Mapping[str, object]) -> str:
    """Return the digest of a manifest: SHA-256 of everything but `digest`, spelled canonically."""
    rest = {key: value for key, value in told.items() if key != "digest"}
    return hashlib.sha256(canonical(rest)).hexdigest()


def _manifest(told: Values) -> Manifest:
    machine = told.inner("machine")
    disks = tuple(_disk(line) for line in told.inners("disks", 64))
    if not disks or len({line.number for line in disks}) < len(disks):
        raise ValueError("it lists no disks, or one twice")
    if len({line.uuid for line in disks}) < len(disks):
        raise ValueError("it lists a disk twice")
    point, parent = told.uuid("point"), told.uuid_or_none("parent")
    if parent == point:
        raise ValueError("its point is its own parent")
    producer = told.inner("producer")
    return Manifest(
        set=told.uuid("set"),
        point=point,
        parent=parent,
        sequence=told.integer("sequence", 1, (1 << 32) - 1),
        taken_ns=time_to_ns(told.text("taken_at")),
        written_ns=time_to_ns(told.text("written_at")),
        machine=machine.uuid("uuid"),
        machine_name=safe(machine.text("name")),
        hints=hints_of(machine),
        disks=disks,
        consistency=safe(told.text("consistency"), 16),
        hash_alg=told.one_of("hash_alg", tuple(HASHES.values())),
        encrypted=told.boolean("encrypted"),
        producer=safe(producer.text("name"), 64),
        producer_version=safe(producer.text("version"), 32),
        replaces=_replaces(told, point),
    )


def _disk(line: Values) -> DiskLine:
    return DiskLine(
        number=line.integer("number", 0, 63),
        uuid=line.uuid("uuid"),
        file=line.file_name("file"),
        kind=line.one_of("kind", tuple(KINDS.values())),
        size=line.integer("size", layout.SMALLEST, 1 << 62),
        disk_size=line.integer("disk_size", 1, layout.LARGEST_DISK),
        logical_sector=line.integer("logical_sector", 512, 4096),
        root=line.hex("root", 64),
        sha256=line.hex("sha256", 64) if line.has("sha256") else None,
        boot=line.boolean("boot"),
        bus=safe(line.text("bus"), 16) if line.has("bus") else None,
    )


def _replaces(told: Values, point: UUID) -> tuple[Replaced, ...]:
    found = tuple(
        Replaced(
            one.uuid("point"),
            one.integer("sequence", 1, (1 << 32) - 1),
            one.hexes("roots", 64),
        )
        for one in told.inners("replaces", most=layout.REPLACES_MOST)
    )
    if found and found[-1].point != point:
        raise ValueError("its list of replaced points does not end with its own point")
    return found


def hints_of(machine: Values) -> Hints:
    """Return the hints in a `machine` object of a manifest or of a header.

    Raises:
        ValueError: A value has the wrong type.
    """
    firmware = machine.text_or("firmware", "")
    return Hints(
        os=safe(machine.text_or("os", ""), 32),
        firmware=Firmware(firmware) if firmware in list(Firmware) else None,
        secure_boot=machine.boolean("secure_boot"),
        cpus=machine.integer("cpus", 1, 4096) if machine.has("cpus") else None,
        memory=machine.integer("memory", 1, 1 << 48) if machine.has("memory") else None,
        nics=tuple(
            Nic(
                safe(nic.text_or("name", ""), 32),
                safe(nic.text_or("mac", ""), 32),
                tuple(safe(address, 64) for address in nic.texts("addresses", most=64)),
            )
            for nic in machine.inners("nics", most=64)
        ),
    )


def machine_object(uuid: UUID, name: str, hints: Hints) -> dict[str, object]:
    """Return the `machine` object for a manifest or a header's hints."""
    return {
        "uuid": str(uuid),
        "name": name,
        "os": hints.os or None,
        "firmware": hints.firmware.value if hints.firmware else None,
        "secure_boot": hints.secure_boot,
        "cpus": hints.cpus,
        "memory": hints.memory,
        "nics": [
            {"name": nic.name, "mac": nic.mac, "addresses": list(nic.addresses)}
            for nic in hints.nics
        ],
    }


def write_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of a manifest, its digest included.

    Raises:
        ValueError: It would be longer than 1 MiB.
    """
    body: dict[str, object] = {
        "set": str(manifest.set),
        "point": str(manifest.point),
        "parent": str(manifest.parent) if manifest.parent else None,
        "sequence": manifest.sequence,
        "taken_at": ns_to_time(manifest.taken_ns),
        "written_at": ns_to_time(manifest.written_ns),
        "consistency": manifest.consistency,
        "hash_alg": manifest.hash_alg,
        "encrypted": manifest.encrypted,
        "producer": {"name": manifest.producer, "version": manifest.producer_version},
        "machine": machine_object(manifest.machine, manifest.machine_name, manifest.hints),
        "disks": [_disk_object(line) for line in manifest.disks],
        "replaces": [
            {"point": str(one.point), "sequence": one.sequence, "roots": dict(one.roots)}
            for one in manifest.replaces
        ],
    }
    envelope: dict[str, object] = {"format": NAME, "version": VERSION}
    digest = digest_of({**envelope, **body})
    data = json.dumps({**envelope, "digest": digest, **body}, indent=1).encode() + b"\n"
    if len(data) > LONGEST:
        raise ValueError("a manifest is limited to 1 MiB")
    return data


def _disk_object(line: DiskLine) -> dict[str, object]:
    return {
        "number": line.number,
        "uuid": str(line.uuid),
        "file": line.file,
        "kind": line.kind,
        "size": line.size,
        "disk_size": line.disk_size,
        "logical_sector": line.logical_sector,
        "root": line.root,
        "sha256": line.sha256,
        "boot": line.boot,
        "bus": line.bus,
    }


def ns_to_datetime(ns: int) -> datetime:
    """Return nanoseconds since 1970 as a time, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def datetime_to_ns(moment: datetime) -> int:
    """Return a time as nanoseconds since 1970, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def ns_to_time(ns: int) -> str:
    """Return nanoseconds since 1970 as `2026-01-01T03:00:00.000000000Z`."""
    seconds, rest = divmod(ns, _NS)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def time_to_ns(text: str) -> int:
    """Read what `ns_to_time` wrote. ValueError on anything else."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("a time in it is not written as one")
    moment = datetime.fromisoformat(found[1] + "+00:00")
    ns = int((moment - _EPOCH).total_seconds()) * _NS + int(found[2])
    if not -(1 << 63) <= ns < 1 << 63:
        raise ValueError("a time in it lies outside the years 1678 to 2262")
    return ns
