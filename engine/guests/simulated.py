"""A converter that looks at nothing: for simulated targets, and to try what surrounds one."""

from __future__ import annotations

from collections.abc import Sequence

from engine.guests.record import export_record
from engine.model.cards import CardChange
from engine.model.conversion import GuestFacts, Record
from engine.model.errors import Failure
from engine.model.guest import Family, Ledger
from engine.model.machine import Firmware
from engine.ports import Cancel, Converted, DiskFile, Report

_GUEST = GuestFacts(
    family=Family.LINUX,
    name="Simulated Linux",
    version="1",
    firmware=Firmware.BIOS,
    boot_loader="grub",
    kernels=(),
    networks=(),
    volumes=(),
)
_CHECK = "skipped(simulated)"


class SimulatedConverter:
    """A `Converter` that finds the same guest everywhere and changes nothing.

    Attributes:
        fails: Raised instead of converting, while it is set.
        converted: How many conversions were asked for.
    """

    def __init__(self) -> None:
        """Succeed until told otherwise."""
        self.fails: Failure | None = None
        self.converted = 0

    def convert(
        self,
        disks: Sequence[DiskFile],
        cards: Sequence[CardChange],
        cancel: Cancel,
        report: Report,  # noqa: ARG002 - part of the protocol
    ) -> Converted:
        """Count, and say what every simulated guest is."""
        cancel.check()
        self.converted += 1
        record = self.plan(disks, cards)
        return Converted(record, export_record(record))

    def plan(self, disks: Sequence[DiskFile], cards: Sequence[CardChange]) -> Record:
        """Say that nothing would change."""
        if self.fails is not None:
            raise self.fails
        warnings = [f"{len(disks)} disks and {len(cards)} cards were not looked at."]
        return Record(_GUEST, Ledger((), "simulated", 0.0, 0, tuple(warnings), _CHECK))
