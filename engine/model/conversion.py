"""What one conversion found and did: kept with the boot point, shown, compared, exported.

conversion ─► Record ─┬─ GuestFacts  what inspection found, as text that may be shown
                      └─ Ledger      every change, before and after
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.model.guest import Family, Guest, Ledger
from engine.model.machine import Firmware
from engine.model.text import safe


class ConversionMode(StrEnum):
    """Whether a standby's boot points are converted: `conversion` in its definition."""

    AUTO = "auto"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class VolumeFacts:
    """A volume as it is shown. `mounted`: guest paths; start, size: bytes on its disk."""

    id: str
    disk: int
    number: int
    start: int
    size: int
    kind: str
    label: str = ""
    mounted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What inspection found, as text that may be shown; empty where it is not known.

    Attributes:
        drivers: Of a converted Windows: the drivers of controllers and cards that it can have.
        others: Volumes with further systems on the same disks, which conversion leaves as they are.
        boot_disk: Number of the disk that its firmware starts it from.
    """

    family: Family
    name: str
    version: str
    firmware: Firmware
    boot_loader: str
    kernels: tuple[str, ...]
    networks: tuple[str, ...]
    volumes: tuple[VolumeFacts, ...]
    drivers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    boot_disk: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """One conversion. A dry run's ledger has the check `skipped(dry run)` and no seconds."""

    guest: GuestFacts
    ledger: Ledger


def facts_of(guest: Guest, drivers: Sequence[str] = ()) -> GuestFacts:
    """Return what of a guest may be shown and kept."""
    volumes = [
        VolumeFacts(
            id=safe(volume.id, 80),
            disk=volume.disk,
            number=volume.number,
            start=volume.start,
            size=volume.size,
            kind=str(volume.kind),
            label=safe(volume.label, 80),
            mounted=tuple(safe(m.path, 200) for m in guest.mounts if m.volume == volume.id),
        )
        for volume in guest.volumes
    ]
    return GuestFacts(
        family=guest.family,
        name=safe(guest.name, 80),
        version=safe(guest.version, 80),
        firmware=guest.firmware,
        boot_loader=guest.boot_loader,
        kernels=tuple(safe(kernel.version, 80) for kernel in guest.kernels),
        networks=tuple(guest.networks),
        volumes=tuple(volumes),
        drivers=tuple(safe(driver, 40) for driver in drivers),
        others=tuple(safe(other, 80) for other in guest.others),
        boot_disk=guest.boot_disk,
    )
