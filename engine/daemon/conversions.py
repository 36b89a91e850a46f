"""What the desk is asked about conversions: records, dry runs, and doing one again."""

from __future__ import annotations

from collections.abc import Sequence

from engine.daemon.engine import Engine
from engine.guests.record import import_record
from engine.model import planner
from engine.model.cards import card_changes
from engine.model.conversion import ConversionMode, Record
from engine.model.errors import NotFound, Problem, Refused
from engine.model.images import hints_from_json
from engine.model.machine import Hints
from engine.model.points import BootPoint, BootPointId, Stage, in_order
from engine.model.standby import Standby
from engine.model.text import safe


def record(engine: Engine, standby: Standby, point: BootPointId | None) -> Record:
    """Return the record that lies beside a boot point's twig (None: the newest that has one).

    Raises:
        NotFound: There is none.
        LayerError, FormatError: It is damaged.
    """
    chain = engine.target_of(standby).chain(standby.name)
    layers = chain.layers()
    chosen = [
        one for one in engine.state.read().ready(standby.name) if point is None or one.id == point
    ]
    for one in reversed(chosen):
        if one.boot in layers and (text := chain.manifest(one.boot).conversion):
            return import_record(text)
    raise NotFound(_no_record(standby.name, point))


def dry_run(engine: Engine, standby: Standby, point: BootPointId | None) -> Record:
    """Return what converting a boot point's trunk layer would do; nothing is written.

    Raises:
        NotBootable: The guest cannot be converted.
        Failure: A tool is missing or failed.
    """
    target = engine.target_of(standby)
    chain = target.chain(standby.name)
    trunk = _with_trunk(engine, standby, point).replica
    made = chain.layers()[trunk].manifest
    hints = Hints() if made is None else hints_from_json(made.facts)
    return target.converter.plan(chain.disk_files(trunk), card_changes(standby.name, hints))


def convertible(engine: Engine, standby: Standby, point: BootPointId | None) -> BootPoint:
    """Return the boot point to convert again (None: the newest).

    Raises:
        Refused: Conversion is switched off.
        NotFound: There is no such boot point with a sealed trunk layer.
    """
    if standby.conversion is ConversionMode.NONE:
        raise Refused(_switched_off(standby.name))
    return _with_trunk(engine, standby, point)


def try_again(engine: Engine, point: BootPoint) -> None:
    """Make a FAILED boot point due at once."""
    with engine.lock, engine.state.write() as tx:
        now = tx.state().boot_points.get(point.id)
        if now is not None and now.stage is Stage.FAILED:
            tx.save_boot_point(planner.try_again(now))
    engine.wake()


def _with_trunk(engine: Engine, standby: Standby, wanted: BootPointId | None) -> BootPoint:
    points: Sequence[BootPoint] = engine.state.read().points_of(standby.name)
    found = [
        point
        for point in sorted(points, key=lambda one: in_order(one.id))
        if point.stage is Stage.READY or (point.stage is Stage.FAILED and point.has_trunk)
    ]
    chosen = [point for point in found if wanted is None or point.id == wanted]
    if chosen:
        return chosen[-1]
    what = "has no boot point" if wanted is None else f"has no boot point {safe(wanted)}"
    raise NotFound(
        Problem(
            "point.unknown",
            f"{standby.name} {what} whose trunk layer is sealed.",
            "Nothing was changed.",
            "Choose one of: " + (", ".join(p.id for p in found[-6:]) or "none yet") + ".",
        )
    )


def _no_record(name: str, point: BootPointId | None) -> Problem:
    which = f"No ready boot point of {name}"
    if point is not None:
        which = f"There is no ready boot point {safe(point)} of {name} that"
    return Problem(
        "conversion.none",
        f"{which} has a record of its conversion.",
        "Nothing was changed.",
        f"Is the conversion of {name} switched off? Else convert a boot point again.",
    )


def _switched_off(name: str) -> Problem:
    return Problem(
        "conversion.off",
        f'The boot points of {name} are not converted: its definition says conversion = "none".',
        "Nothing was changed.",
        'Set conversion = "auto" in its file, then convert again.',
    )
