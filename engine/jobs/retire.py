"""Retiring a boot point: recorded first, then its twig is dropped and its trunk layer folded.

in use? ─► recorded ─► twigs dropped ─► trunk layer folded into what lies on it, or dropped
   no change          └── an interruption anywhere here: the same job again finishes it ──┘
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from engine.jobs.tools import Tools
from engine.jobs.twig import twigs
from engine.model.errors import Problem, Refused
from engine.model.layers import LayerName, children, read_from
from engine.model.points import BootPoint, Stage
from engine.model.progress import Meter, Progress
from engine.model.state import State
from engine.model.work import Severity

log = logging.getLogger(__name__)


def retire(point: BootPoint, reason: str, t: Tools) -> None:
    """Take a boot point away. Run again after an interruption, it finishes.

    Raises:
        Refused: A VM runs from it or reads its files, it was pinned meanwhile, or it is being made.
        LayerError: The store cannot fold now; the boot point is recorded as retired, and the
            rest is tried again.
    """
    t.cancel.check()
    layers = t.chain.layers()
    if t.chain.folds_files and point.replica in read_from(layers):
        raise Refused(_read(point))
    if point.stage is not Stage.RETIRED:
        _record(point, reason, t)
    gone = (*twigs(list(layers.values()), point), point.replica)
    gain = t.chain.gain(gone)
    started = t.clock.monotonic()
    watch = _Watch(t, gain.copied)
    for name in gone:
        t.cancel.check()
        _take_away(name, t, watch)
    log.info(
        "retired standby=%s point=%s bytes=%d copied=%d seconds=%.1f",
        point.standby,
        point.id,
        gain.bytes,
        watch.done,
        t.clock.monotonic() - started,
    )


class _Watch:
    """Tells how far a fold is."""

    def __init__(self, t: Tools, total: int) -> None:
        self._t, self._total, self.done = t, total, 0
        self._meter, self._lock = Meter(total or None, t.clock.monotonic()), Lock()
        t.report(Progress("drop", 0, total or None))

    def copied(self, length: int) -> None:
        """Take note of a step."""
        with self._lock:
            self.done = min(self.done + length, self._total)
        self._t.report(self._meter.at("fold", self.done, self._t.clock.monotonic()))


def _take_away(name: LayerName, t: Tools, watch: _Watch) -> None:
    layers = t.chain.layers()
    if name not in layers:
        return
    if any(True for _ in children(layers, name)):
        t.chain.fold(name, t.cancel, watch.copied)
    else:
        t.chain.drop(name)


def _record(point: BootPoint, reason: str, t: Tools) -> None:
    with t.state.write() as tx:
        now = tx.state()
        for problem in _objections(point, now):
            raise Refused(problem)
        tx.save_boot_point(replace(now.boot_points.get(point.id, point), stage=Stage.RETIRED))
        tx.write_journal(
            t.clock.now(),
            Severity.INFO,
            point.standby,
            "point.retired",
            f"Boot point {point.id} was retired: {reason}",
        )


def _objections(point: BootPoint, state: State) -> Sequence[Problem]:
    """Return what has come up since the retirement was planned."""
    run, found = state.runs.get(point.standby), state.boot_points.get(point.id)
    told = []
    if run is not None and run.boot_point == point.id:
        told.append(
            Problem(
                "point.in-use",
                f"Boot point {point.id} of {point.standby} is running.",
                "Nothing was removed.",
                "It is retired after it was stopped.",
            )
        )
    if found is not None and found.pin:
        told.append(
            Problem(
                "point.pinned",
                f"Boot point {point.id} of {point.standby} is pinned.",
                "Nothing was removed.",
                "It is retired after its pin was taken away.",
            )
        )
    return told


def _read(point: BootPoint) -> Problem:
    return Problem(
        "point.in-use",
        f"A running machine, or a boot point that is being made, reads from the files of "
        f"{point.id} of {point.standby}.",
        "Nothing was removed.",
        "It is retired after that has ended.",
    )
