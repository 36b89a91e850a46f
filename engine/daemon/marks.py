"""Pins and proofs beside the layers, so that a state that is made anew knows them again.

    <store>/.marks/NAME.json     {"points": {"bp000042": {"recovery_point": …, "pin": …, …}}}

The state has the say; this is a copy, written after each change. A mark counts only for a boot
point of the same recovery point: ids begin anew with a state that was lost.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded
from engine.model.points import BootPoint

log = logging.getLogger(__name__)

FOLDER = ".marks"
LIMIT = 4 << 20


def write_marks(store: Path, standby: str, points: Sequence[BootPoint]) -> None:
    """Write the marks of a standby's boot points; a store without a folder has none.

    A failure is logged and changes nothing: the state holds the marks already.
    """
    if not store.is_dir():
        return
    told = {
        point.id: {
            "recovery_point": point.recovery_point,
            "pin": point.pin,
            "proven_at": None if point.proven_at is None else point.proven_at.isoformat(),
        }
        for point in points
        if point.pin or point.proven_at is not None
    }
    data = json.dumps({"schema": 1, "points": told}, indent=1, sort_keys=True).encode() + b"\n"
    try:
        make_folder(store / FOLDER)
        with open_folder((store / FOLDER).resolve()) as folder:
            durable_replace(folder, f"{standby}.json", data)
    except OSError as error:
        log.warning("marks of %s were not written: %s", standby, error)


def with_marks(store: Path, standby: str, points: Sequence[BootPoint]) -> list[BootPoint]:
    """Return boot points with the marks that were written of them; damaged ones count for none."""
    try:
        data = read_bounded(store / FOLDER / f"{standby}.json", LIMIT)
        told = json.loads(data)["points"]
        return [_marked(point, told.get(point.id)) for point in points]
    except FileNotFoundError:
        return list(points)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        log.warning("marks of %s cannot be used: %s", standby, error)
        return list(points)


def _marked(point: BootPoint, told: object) -> BootPoint:
    if not isinstance(told, dict) or told.get("recovery_point") != point.recovery_point:
        return point
    proven = told.get("proven_at")
    at = None if proven is None else datetime.fromisoformat(str(proven))
    if at is not None and at.tzinfo is None:
        raise ValueError("a time without its zone")
    return replace(point, pin=str(told.get("pin") or "")[:400], proven_at=at)
