"""crypttab: encrypted volumes beside the root, by names that hold on other hardware.

A swap with a random key is made anew at each start, on whatever has its name: by a raw name that
may be a volume with data on the new hardware. So raw names become UUIDs or PARTUUIDs, a line whose
device is in no disk is taken out, and what is not there is not waited for.

Source: crypttab(5) of systemd and of Debian: name, device, key file, options; `#` comments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.guests.linux.devices import Devices, is_raw
from engine.model.guest import FileSystem, Volume
from engine.model.text import safe

LINES = 1000
"""Lines that are looked at."""
_FIELD = re.compile(rb"[^ \t\r\n]+")
_GONE = b"# bootpoint: its device is in none of the disks: "
_TAGS = (b"UUID=", b"PARTUUID=", b"LABEL=", b"PARTLABEL=")


@dataclass(frozen=True, slots=True)
class Mapped:
    """New content of crypttab, what the operator should know, and names that may not be there."""

    content: bytes
    warnings: Sequence[str]
    unsure: frozenset[bytes]


def convert(content: bytes, devices: Devices) -> Mapped:
    """Replace names that depend on the hardware; make optional what is in none of the disks."""
    texts = content.split(b"\n")
    warnings: list[str] = []
    unsure: set[bytes] = set()
    for number, text in enumerate(texts[:LINES]):
        spans = [match.span() for match in _FIELD.finditer(text)]
        if text.startswith(_GONE):
            unsure.update(_FIELD.findall(text[len(_GONE) :])[:1])
        if len(spans) < 2 or text.lstrip().startswith(b"#"):
            continue
        name, spec = (text[start:end] for start, end in spans[:2])
        volume = devices.anywhere(spec.replace(b'"', b""))
        if volume is None and (is_raw(spec) or spec.startswith(_TAGS)):
            unsure.add(name)
        if not is_raw(spec):
            texts[number] = _optional(text, spans) if name in unsure else text
            continue
        new = _name(devices, volume) if volume is not None and _fits(volume, text) else None
        if new is None:
            unsure.add(name)
            warnings.append(
                f"crypttab, line {number + 1}: {safe(spec)} for {safe(name)} is in none of the "
                "image's disks; the line is commented out."
            )
            texts[number] = _GONE + text
            continue
        start, end = spans[1]
        texts[number] = text[:start] + new + text[end:]
    return Mapped(b"\n".join(texts), tuple(warnings), frozenset(unsure))


def _fits(volume: Volume, text: bytes) -> bool:
    """Return whether a volume may be what a line means: nothing that holds files."""
    is_made_anew = re.search(rb"/dev/u?random|[\s,](?:plain|swap|tmp)\b", text) is not None
    wanted = (FileSystem.UNKNOWN, FileSystem.SWAP if is_made_anew else FileSystem.LUKS)
    return volume.kind in wanted


def _name(devices: Devices, volume: Volume) -> bytes | None:
    """Return a name of the device below: only LUKS has a UUID of its own that stays."""
    if volume.kind is FileSystem.LUKS:
        return devices.name(volume)
    return b"PARTUUID=" + volume.entry.encode() if volume.entry else None


def _optional(text: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    """Return a line that nobody waits for."""
    options = text[slice(*spans[3])].split(b",") if len(spans) > 3 else []
    if {b"nofail", b"noauto"} & set(options):
        return text
    end = spans[min(3, len(spans) - 1)][1]
    missing = b" none" * (len(spans) < 3)
    return text[:end] + missing + (b",nofail" if len(spans) > 3 else b" nofail") + text[end:]
