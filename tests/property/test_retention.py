"""Retention's rules, on arbitrary sets of boot points."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.model.images import PointId
from engine.model.layers import LayerKind, layer_name
from engine.model.points import BootPoint, BootPointId, Stage, boot_point_id
from engine.model.retention import retain

START = datetime(2026, 3, 1, tzinfo=UTC)


def boot_point(number: int, stage: Stage = Stage.READY, hours: int | None = None) -> BootPoint:
    """Return a boot point that holds data of `hours` (its number's) after the start."""
    name = boot_point_id(number)
    return BootPoint(
        id=name,
        standby="erp",
        recovery_point=PointId(f"r{number}"),
        set_id="set",
        parent=None if number == 1 else boot_point_id(number - 1),
        sequence=number,
        taken_at=START + timedelta(hours=number if hours is None else hours),
        stage=stage,
        replica=layer_name(name, LayerKind.REPLICA),
        boot=layer_name(name, LayerKind.CONVERSION),
        created_at=START,
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[BootPoint], int, BootPointId | None]:
    """Up to twelve boot points, mostly ready, some pinned; a limit; perhaps one that runs."""
    stages = st.sampled_from([*(Stage.READY,) * 5, *Stage])
    pins = st.sampled_from(["", "", "", "audit"])
    count = draw(st.integers(0, 12))
    points = [
        replace(boot_point(n, draw(stages), draw(st.integers(0, 12))), pin=draw(pins))
        for n in range(1, count + 1)
    ]
    running = draw(st.sampled_from([None, *(p.id for p in points if p.stage is Stage.READY)]))
    return draw(st.permutations(points)), draw(st.integers(1, 6)), running


@given(histories())
def test_what_must_stay_stays(
    history: tuple[list[BootPoint], int, BootPointId | None],
) -> None:
    """Pinned, running, needed, unfinished and the newest points stay, whatever the count."""
    points, keep, running = history
    verdicts = retain(points, keep, running)
    ready = sorted((p for p in points if p.stage is Stage.READY), key=lambda p: (p.taken_at, p.id))
    unfinished = (Stage.PENDING, Stage.APPLYING, Stage.CONVERTING, Stage.FAILED)
    needed = {p.parent for p in points if p.stage in unfinished}
    must = {p.id for p in points if p.pin and p.stage is not Stage.RETIRED}
    must |= {p.id for p in ready[-keep:]} | ({running} if running else set())
    must |= {p.id for p in points if p.stage in (Stage.PENDING, Stage.APPLYING, Stage.CONVERTING)}
    must |= {p.id for p in points if p.id in needed and p.stage is not Stage.RETIRED}

    assert must <= {point for point, verdict in verdicts.items() if verdict.keep}
    assert all(verdict.reason for verdict in verdicts.values())


@given(histories())
def test_what_nothing_holds_goes(
    history: tuple[list[BootPoint], int, BootPointId | None],
) -> None:
    """A ready point beyond the count goes when it is not pinned, running, needed or the tip."""
    points, keep, running = history
    verdicts = retain(points, keep, running)
    alive = [p for p in points if p.stage is not Stage.RETIRED]
    ready = sorted((p for p in alive if p.stage is Stage.READY), key=lambda p: (p.taken_at, p.id))
    tip = max((p.id for p in ready), default=None)
    needed = {p.parent for p in alive if p.stage is not Stage.READY}
    for point in ready[:-keep]:
        held = point.pin or point.id in (running, tip) or point.id in needed
        assert verdicts[point.id].keep == bool(held)


@given(histories())
def test_retiring_until_nothing_goes_leaves_the_newest(
    history: tuple[list[BootPoint], int, BootPointId | None],
) -> None:
    """One at a time, oldest first, retention ends, and never below one ready point."""
    points, keep, running = history
    had = any(point.stage is Stage.READY for point in points)
    for _ in range(len(points) + 1):
        gone = [
            point for point, verdict in retain(points, keep, running).items() if not verdict.keep
        ]
        if not gone:
            break
        points = [replace(p, stage=Stage.RETIRED) if p.id == gone[0] else p for p in points]
    else:
        raise AssertionError("never ends")

    assert any(point.stage is Stage.READY for point in points) == had


@given(histories(), st.integers(-10_000, 10_000))
def test_the_clock_has_no_say(
    history: tuple[list[BootPoint], int, BootPointId | None], shift: int
) -> None:
    """Moving all times together changes no verdict: a clock set wrong retires nothing."""
    points, keep, running = history
    moved = [replace(p, taken_at=p.taken_at + timedelta(hours=shift)) for p in points]

    assert retain(moved, keep, running) == retain(points, keep, running)


def test_verdicts_come_oldest_first_with_reasons() -> None:
    """The first that goes is the oldest; each kept one says why."""
    points = [boot_point(n) for n in range(1, 7)]
    points[0] = replace(points[0], pin="before the upgrade")

    verdicts = retain(points, 2, boot_point_id(3))

    assert [(point, v.keep, v.reason) for point, v in verdicts.items()] == [
        ("bp000001", True, "pinned: before the upgrade"),
        ("bp000002", False, "4 newer ones are ready"),
        ("bp000003", True, "a VM runs from it"),
        ("bp000004", False, "2 newer ones are ready"),
        ("bp000005", True, "one of the newest 2"),
        ("bp000006", True, "newest ready boot point"),
    ]
