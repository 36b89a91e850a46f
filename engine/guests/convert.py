"""The whole way of one conversion, over whatever backend fits the guest.

disks ─► backend, journals ─► inspect ─► plan (pure) ─► replay ─► check ─► Record
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from engine.guests.backend import GuestDisk, Reading, Type
from engine.guests.backends import appliance, export
from engine.guests.backends.choose import Opened, open_guest
from engine.guests.initrd import overlay
from engine.guests.initrd_cache import OverlayCache
from engine.guests.inspect import inspect, tree_of
from engine.guests.ledger import Before, make_ledger
from engine.guests.menu import asks_network
from engine.guests.plan import ConversionOptions, plan
from engine.guests.record import export_record
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.model.cards import CardChange
from engine.model.conversion import Record, facts_of
from engine.model.errors import Failure, NotBootable, Problem
from engine.model.guest import ConversionPlan, Kernel, Obstacle, VolumeId
from engine.model.progress import Progress
from engine.model.text import safe
from engine.ports import Cancel, Converted, Report

_OF_THE_GUEST = frozenset({"guest.volume.damaged", "guest.volume.full"})
"""Keys of failures that lie in the guest: the same bytes would fail again."""
DRY_RUN = "skipped(dry run)"
_LONGEST = 512 << 20
"""Longest file in bytes that is read for the ledger."""


@dataclass(frozen=True, slots=True)
class GuestConverter:
    """The `Converter` of real guests.

    Attributes:
        folder: Of the engine's own: finished overlays, and a place to work in.
        wanted: Backend to use; empty: the first that can.
        shelf: Drivers of the user for Windows; None: there are none.
    """

    folder: Path
    wanted: str = ""
    shelf: DriverShelf | None = None

    def clear(self) -> None:
        """Take away what a killed engine left behind."""
        export.clear(self._work)
        for place in ("appliance", "uml"):
            appliance.clear(self._work / place)

    def convert(
        self,
        disks: Sequence[GuestDisk],
        cards: Sequence[CardChange],
        cancel: Cancel,
        report: Report,
    ) -> Converted:
        """Convert the guest in these disks; see `engine.ports.Converter`."""
        try:
            return self._convert(disks, cards, cancel, report)
        except NotBootable:
            raise
        except Failure as failure:
            if failure.problem.key not in _OF_THE_GUEST:
                raise
            raise NotBootable(_final(failure.problem)) from failure

    def _convert(
        self,
        disks: Sequence[GuestDisk],
        cards: Sequence[CardChange],
        cancel: Cancel,
        report: Report,
    ) -> Converted:
        started = time.monotonic()
        with self._open(disks, is_writing=True) as opened:
            backend = opened.backend
            cancel.check()
            made = self._plan(opened, cards)
            cancel.check()
            report(Progress("convert", 0, None))
            drafted = make_ledger(
                made, _before(backend), backend=backend.name, seconds=0, bytes_written=0, check=""
            )
            written = backend.replay(made.edits)
            cancel.check()
            report(Progress("check", 0, None))
            doubts = self._look_again(opened, cards) if made.edits else ()
            check = backend.check(sorted({edit.volume for edit in made.edits}))
        seconds = round(time.monotonic() - started, 3)
        ledger = replace(
            drafted,
            seconds=seconds,
            bytes_written=written,
            check=check,
            warnings=(*drafted.warnings, *doubts),
        )
        record = Record(facts_of(opened.guest, made.drivers), ledger)
        return Converted(record, export_record(record))

    def plan(self, disks: Sequence[GuestDisk], cards: Sequence[CardChange]) -> Record:
        """Say what `convert` would do; nothing is written."""
        with self._open(disks, is_writing=False) as opened:
            made, name = self._plan(opened, cards), opened.backend.name
            before = _before(opened.backend)
            ledger = make_ledger(
                made, before, backend=name, seconds=0, bytes_written=0, check=DRY_RUN
            )
        return Record(facts_of(opened.guest, made.drivers), ledger)

    def _look_again(self, opened: Opened, cards: Sequence[CardChange]) -> Sequence[str]:
        """Inspect and plan anew: kernels, initrds and menu must be there and name one another.

        Returns:
            A sentence where something is left to change: a doubt, which stops no start.

        Raises:
            NotBootable: The guest as it is now has an obstacle.
        """
        now = replace(opened, guest=inspect(opened.backend))
        left = self._plan(now, cards).edits
        names = ", ".join(safe(edit.path, 80) for edit in left[:3])
        return [f"Converting once more would change {names}."] if left else ()

    def _open(
        self, disks: Sequence[GuestDisk], *, is_writing: bool
    ) -> AbstractContextManager[Opened]:
        return open_guest(disks, self._work, is_writing=is_writing, wanted=self.wanted)

    @property
    def _work(self) -> Path:
        return self.folder / "work"

    def _plan(self, opened: Opened, cards: Sequence[CardChange]) -> ConversionPlan:
        """Return the plan, with what the backend warns of. NotBootable names the obstacle."""
        cache = OverlayCache(self.folder / "overlays")
        notes: list[str] = []

        asks = functools.cache(lambda: asks_network(tree_of(opened.backend, opened.guest)))

        def archive(kernel: Kernel) -> bytes:
            made = overlay(tree_of(opened.backend, opened.guest), kernel, cache, asks)
            notes.extend(made.notes)
            return made.archive

        choose = self.shelf.choose if self.shelf is not None else None
        made = plan(opened.backend, opened.guest, archive, ConversionOptions(cards, choose))
        if made.obstacles:
            raise NotBootable(_not_bootable(made.obstacles))
        warnings = dict.fromkeys((*opened.warnings, *made.warnings, *notes))
        return replace(made, warnings=tuple(warnings))


def _before(backend: Reading) -> Before:
    """Return a reader of what is at a place, as the ledger keeps it."""

    def read(volume: VolumeId, path: bytes) -> bytes | None:
        found = backend.stat(volume, path)
        if found is None:
            return None
        if found.type is Type.LINK:
            return backend.link(volume, path)
        return backend.read(volume, path, _LONGEST) if found.type is Type.FILE else b""

    return read


def _final(problem: Problem) -> Problem:
    """Return the words for what the next try would meet again."""
    return replace(
        problem,
        unchanged="The trunk layer and all other boot points stay as they are.",
        remedy=problem.remedy
        or "Check that file system on the source machine (fsck), then let "
        "the next increment arrive.",
    )


def _not_bootable(obstacles: Sequence[Obstacle]) -> Problem:
    """Return the words of the first obstacle; the others are named beside it."""
    first, *others = obstacles
    more = " ".join(other.text for other in others[:3])
    return Problem(
        first.key,
        f"{first.text} {more}".rstrip(),
        "The trunk layer and all other boot points stay as they are.",
        first.remedy,
    )
