"""What the desk is asked about retention: pins, holds, settings, and what would come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from engine.daemon.marks import write_marks
from engine.model.errors import NotFound, Problem, Refused
from engine.model.layers import Gain, LayerKind, LayerName, children
from engine.model.points import BootPoint, BootPointId, Stage, in_order
from engine.model.retention import Retention
from engine.model.standby import Standby
from engine.model.text import safe
from engine.model.work import Severity

if TYPE_CHECKING:
    from engine.daemon.engine import Engine


def pin(engine: Engine, name: str, point: BootPointId, note: str, actor: str) -> None:
    """Keep a boot point whatever retention is set to, with a note. NotFound without it."""
    text = f"{actor}: {safe(note, 300) or 'no note'}"
    _mark(engine, name, point, lambda found: replace(found, pin=text))
    _tell(engine, name, "point.pinned", f"{actor} pinned boot point {point} of {name}: {note}")


def unpin(engine: Engine, name: str, point: BootPointId, actor: str) -> None:
    """Let retention judge a boot point again. Refused where it is not pinned."""
    found = engine.state.read().boot_points.get(point)
    if found is not None and found.standby == name and not found.pin:
        raise Refused(
            Problem(
                "point.not-pinned", f"Boot point {point} is not pinned.", "Nothing was changed."
            )
        )
    _mark(engine, name, point, lambda found: replace(found, pin=""))
    _tell(engine, name, "point.unpinned", f"{actor} took the pin off boot point {point} of {name}.")


def prove(engine: Engine, name: str, point: BootPointId, at: datetime, by: str) -> None:
    """Remember that a boot of a boot point passed; retention's floor counts it from then on.

    Refused for one that is not ready. `by`: the evidence, in a few words.
    """
    found = engine.state.read().boot_points.get(point)
    if found is not None and found.stage is not Stage.READY:
        raise Refused(Problem("point.not-ready", f"Boot point {point} is {found.stage}."))
    _mark(engine, name, point, lambda found: replace(found, proven_at=at))
    _tell(engine, name, "point.proven", f"Boot point {point} of {name} is proven: {by}.")


def _mark(
    engine: Engine, name: str, point: BootPointId, change: Callable[[BootPoint], BootPoint]
) -> None:
    """Change a boot point that is not retired, in the state and beside its layers."""
    with engine.state.write() as tx:
        found = tx.state().boot_points.get(point)
        if found is None or found.standby != name or found.stage is Stage.RETIRED:
            raise NotFound(
                Problem(
                    "point.unknown",
                    f"{name} has no boot point {safe(point)}.",
                    "Nothing was changed.",
                    f"List them with: bootpoint points {name}",
                )
            )
        tx.save_boot_point(change(found))
        points = tx.state().points_of(name)
    target = engine.targets.get(engine.standbys[name].target)
    if target is not None and target.is_there():
        write_marks(target.store.path, name, points)
    engine.wake()


def hold(engine: Engine, standby: Standby, reason: str, actor: str) -> None:
    """Let nothing of a standby be retired until `release`; boot points are still made."""
    text = f"{actor}: {safe(reason, 300) or 'no reason given'}"
    _set(engine, replace(standby, retention=replace(standby.retention, hold=text)))
    said = f"{actor} put the retention of {standby.name} on hold: {safe(reason, 300)}"
    _tell(engine, standby.name, "retention.held", said)


def release(engine: Engine, standby: Standby, actor: str) -> None:
    """Undo `hold`."""
    _set(engine, replace(standby, retention=replace(standby.retention, hold="")))
    said = f"{actor} released the retention of {standby.name}: boot points are retired again."
    _tell(engine, standby.name, "retention.released", said)


def set_retention(engine: Engine, standby: Standby, keep: int, told: Retention, actor: str) -> None:
    """Write new settings into the standby's file; `told.hold` counts for nothing."""
    before, own = standby, replace(told, hold=standby.retention.hold)
    _set(engine, replace(standby, keep=keep, retention=own))
    said = f"{actor} set the retention of {standby.name} from {_words(before)} to "
    said += f"{_words(replace(standby, keep=keep, retention=own))}."
    _tell(engine, standby.name, "retention.set", said)


def _words(standby: Standby) -> str:
    told = {"keep": standby.keep, **standby.retention.told()}
    return ", ".join(f"{key} {value}" for key, value in told.items())


def _set(engine: Engine, standby: Standby) -> None:
    engine.files.write(standby)
    engine.take_standby(standby, standby.name)


def gain(engine: Engine, standby: Standby, points: Sequence[BootPointId]) -> Gain:
    """Return what would come back if these boot points were retired; seconds on a large store.

    Raises:
        LayerError: A layer is damaged.
    """
    chain = engine.target_of(standby).chain(standby.name)
    layers, known = chain.layers(), engine.state.read().boot_points
    gone: list[LayerName] = []
    for point in sorted(points, key=in_order):
        if point in known:
            trunk = known[point].replica
            twigs = (c.name for c in children(layers, trunk) if c.kind is LayerKind.CONVERSION)
            gone += [*twigs, trunk]
    return chain.gain(gone)


def _tell(engine: Engine, name: str, key: str, text: str) -> None:
    with engine.state.write() as tx:
        tx.write_journal(engine.clock.now(), Severity.INFO, name, key, safe(text, 1000))
    engine.picture.touch()
