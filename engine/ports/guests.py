"""Guests: what makes them boot on new hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.model.cards import CardChange
from engine.model.conversion import Record
from engine.ports.layers import DiskFile
from engine.ports.work import Cancel, Report


@dataclass(frozen=True, slots=True)
class Converted:
    """A conversion's record, and the same as JSON text to keep beside the twig."""

    record: Record
    text: str


class Converter(Protocol):
    """Makes guests boot on hardware they have never seen. Thread-safe for different disks."""

    def convert(
        self, disks: Sequence[DiskFile], cards: Sequence[CardChange], cancel: Cancel, report: Report
    ) -> Converted:
        """Convert the guest in these disks, of an unsealed twig that nobody else has open.

        Raises:
            NotBootable: It cannot be made bootable; the disks may have been written.
            Failure: A tool is missing or failed, or a file system is damaged; likewise.
        """

    def plan(self, disks: Sequence[DiskFile], cards: Sequence[CardChange]) -> Record:
        """Say what `convert` would do to sealed disks; nothing is written. Raises the same."""
