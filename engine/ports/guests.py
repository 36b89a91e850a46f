"""Guests: what makes them boot on new hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.model.cards import CardChange
from engine.model.conversion import Record
from engine.ports.layers import DiskFile
from engine.ports.targets import Finding
from engine.ports.work import Cancel, Report


@dataclass(frozen=True, slots=True)
class Converted:
    """A conversion's record, and the same as JSON text to keep beside the twig."""

    record: Record
    text: str


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """A driver package that was found in a registered source.

    Attributes:
        device: What it drives, in words; `name`: its usual name, such as `viostor`.
        folder: Where its `.inf` is in the source.
        systems: Windows that take it: `2019 amd64`, …; none where another package is better.
        refused: Why it is not used; empty when it is.
    """

    device: str
    name: str
    version: str
    folder: str
    systems: tuple[str, ...]
    refused: str


@dataclass(frozen=True, slots=True)
class DriverSource:
    """An ISO or folder with drivers of the user, as it was last read."""

    path: str
    drivers: tuple[DriverFacts, ...]
    findings: tuple[Finding, ...]


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
