"""Whole guests, built and converted once in a run, and what is asked of them once they boot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.guests.convert import GuestConverter
from engine.local.durable import remove_tree
from engine.model.cards import CardChange
from engine.model.conversion import Record
from engine.ports import DiskFile, NeverCancelled
from tests.guests.boot import DRIVERS, MAC, NICS, Boot, Hardware, boot
from tests.guests.shapes import Built
from tests.guests.texts import ADDRESS, ANSWER, OLD_MAC
from tests.guests.whole import Whole

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
MEMORY = 1024
PATIENCE_S = 900
"""Under emulation, systemd takes one to three minutes to the login."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest as it stood in its rack, its converted copy, and a place beside both."""

    whole: Whole
    built: Built
    copy: Built
    record: Record
    folder: Path

    def at_home(self) -> Boot:
        """Boot it, unconverted, on its own hardware."""
        card = f"e1000e,{self.whole.slot}".rstrip(",")
        return _boot(self.built, self.whole.own, card, OLD_MAC)

    def as_it_was(self, hardware: Hardware) -> Boot:
        """Boot it, unconverted, in a new machine."""
        # UEFI with a driver for the card would look for a loader in the network.
        nic = "e1000e" if self.whole.is_efi else NICS[hardware][0]
        return _boot(self.built.elsewhere(self.folder), hardware, nic, MAC)

    def converted(self, hardware: Hardware) -> Boot:
        """Boot its converted copy in a new machine."""
        return _boot(self.copy, hardware, NICS[hardware][0], MAC)


class Rack:
    """Guests, built and converted once in a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guests: dict[Whole, Guest] = {}

    def guest(self, whole: Whole) -> Guest:
        """Return a guest with its converted copy."""
        if whole not in self._guests:
            place = self._folder / whole.name
            remove_tree(place)  # The test before may have failed in the middle of it.
            (place / "copy").mkdir(parents=True)
            built = whole.build(place, CACHE)
            copy = built.copy(place / "copy")
            disks = [DiskFile(disk, "raw") for disk in copy.disks]
            converter = GuestConverter(place / "conversion")
            cards = [CardChange(MAC, OLD_MAC)]
            made = converter.convert(disks, cards, NeverCancelled(), lambda _step: None)
            self._guests[whole] = Guest(whole, built, copy, made.record, place / "copy")
        return self._guests[whole]


def report(told: Boot) -> list[str]:
    """Return what the guest tells of itself."""
    said = told.said.replace("\r", "").splitlines()
    begin = f"{ANSWER} "
    return [line.removeprefix(begin).strip() for line in said if line.startswith(begin)]


def assert_runs_at_home(told: Boot, whole: Whole) -> None:
    """Assert that it runs with its own disk and card."""
    _assert_runs_on(told, whole, whole.own, f"nic {whole.card} e1000e {OLD_MAC} {ADDRESS}")


def assert_runs_elsewhere(told: Boot, whole: Whole, hardware: Hardware) -> None:
    """Assert that it runs with the new disk and card, which has the old name and address."""
    card = f"nic {whole.card} {NICS[hardware][1]} {MAC} {ADDRESS}"
    _assert_runs_on(told, whole, hardware, card)


def _assert_runs_on(told: Boot, whole: Whole, hardware: Hardware, nic: str) -> None:
    """Assert a login, the root on the right driver, the address up, every mount there."""
    assert told.succeeded, told.said
    lines = report(told)
    (root,) = [line for line in lines if line.startswith("root ")]
    assert set(root.partition(" on ")[2].split()) == DRIVERS[hardware], root
    assert nic in lines, lines
    mounts = [line.split()[1] for line in lines if line.startswith("mounted ")]
    assert mounts == list(whole.mounts)
    assert "units" in lines, lines


def _boot(built: Built, hardware: Hardware, nic: str, mac: str) -> Boot:
    return boot(
        built.disks, hardware, nvram=built.nvram, nic=nic, mac=mac, memory=MEMORY,
        timeout_s=PATIENCE_S,
    )  # fmt: skip
