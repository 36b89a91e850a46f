"""Retiring a boot point: recorded first, then its twig is dropped and its trunk layer folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine.jobs.tools import Tools
from engine.jobs.twig import twigs
from engine.model.errors import Problem, Refused
from engine.model.layers import Layer, LayerName, children
from engine.model.points import BootPoint, Stage, in_order
from engine.model.progress import Progress
from engine.model.state import State
from engine.model.work import Severity


def retire(point: BootPoint, reason: str, t: Tools) -> None:
    """Take a boot point away. Run again after an interruption, it finishes.

    Raises:
        Refused: A VM runs from it, or it is being made.
        LayerError: The store cannot fold now; the boot point is recorded as retired, and the
            rest is tried again.
    """
    if point.stage is not Stage.RETIRED:
        _record(point, reason, t)
    t.report(Progress("drop", 0, None))
    layers = t.chain.layers()
    for name in (*twigs(list(layers.values()), point), point.replica):
        t.cancel.check()
        if name not in layers:
            continue
        if any(True for _ in children(layers, name)) and name == point.replica:
            t.report(Progress("fold", 0, None))
            t.chain.fold(name, t.cancel)
        else:
            t.chain.drop(name)
        layers = t.chain.layers()


def _record(point: BootPoint, reason: str, t: Tools) -> None:
    with t.state.write() as tx:
        state = tx.state()
        run = state.runs.get(point.standby)
        if run is not None and run.boot_point == point.id:
            raise Refused(
                Problem(
                    "point.in-use",
                    f"Boot point {point.id} of {point.standby} is running.",
                    "Nothing was removed.",
                    "It is retired after it was stopped.",
                )
            )
        tx.save_boot_point(replace(point, stage=Stage.RETIRED))
        tx.write_journal(
            t.clock.now(),
            Severity.INFO,
            point.standby,
            "point.retired",
            f"Boot point {point.id} was retired: {reason}",
        )


def unfinished(
    state: State, layers: Mapping[LayerName, Layer], standby: str
) -> Iterator[BootPoint]:
    """Yield retired boot points whose layers are still on the target, oldest first."""
    for point in sorted(state.boot_points.values(), key=lambda p: in_order(p.id)):
        mine = point.standby == standby and point.stage is Stage.RETIRED
        if mine and (point.boot in layers or point.replica in layers):
            yield point
