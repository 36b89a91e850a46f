"""When consolidation comes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.model.foresight import foresee, tight
from engine.model.points import BootPoint, Stage
from engine.model.retention import Rule, Rules, retain
from engine.model.upkeep import Upkeep
from tests.unit.model.test_upkeep import START, made

NOW = START + timedelta(hours=9)


def care(rules: Rules, points: int = 0) -> Upkeep:
    """Return an upkeep whose chain has so many trunk layers."""
    return Upkeep(rules, depths={made(n).replica: n for n in range(1, points + 1)})


def slowly(points: list[BootPoint], rules: Rules) -> tuple[str, int]:
    """Return what goes first and after how many more, by making one after another."""
    names, after = {point.id for point in points}, 0
    while True:
        verdicts = retain(points, rules, None)
        gone = [name for name, one in verdicts.items() if not one.keep and name in names]
        if gone:
            return gone[0], after
        after += 1
        points = [
            *points,
            replace(made(len(points) + 1), created_at=START + timedelta(hours=after)),
        ]


@pytest.mark.parametrize(
    "rules",
    [
        Rules(keep=6, floor=1),
        Rules(keep=2, floor=1, slots={Rule.HOURLY: 9}),
        Rules(keep=1, floor=3, slots={Rule.DAILY: 2}),
        Rules(keep=24, floor=1, max_age_days=1),
    ],
)
def test_it_is_what_retention_will_say(rules: Rules) -> None:
    """Compared with making boot points one by one, an hour apart, until one goes."""
    points = [made(number) for number in range(1, 5)]
    seen = foresee(points, None, care(rules), NOW)
    assert (seen.point, seen.after) == slowly(points, rules)
    assert seen.at == (NOW + timedelta(hours=seen.after) if seen.after else None)


def test_the_chain_has_an_end_before_the_count() -> None:
    """Where the target holds fewer than are kept, room is made before one more is added."""
    points = [made(number) for number in range(1, 5)]
    seen = foresee(points, None, care(Rules(keep=24, floor=1, most=5), 4), NOW)
    assert (seen.point, seen.after, seen.depth) == ("bp000001", 1, 4)
    assert seen.reason == "the target can hold 5 boot points"


def test_a_full_chain_is_foreseen_where_none_may_go() -> None:
    """A word in time, with what to do; none while it is far, or where one may go."""
    points = [replace(made(number), pin="audit") for number in range(1, 5)]
    rules = Rules(keep=24, floor=1, most=6)
    seen = foresee(points, None, care(rules, 4), NOW)
    assert (seen.point, seen.after, seen.at) == (None, 2, NOW + timedelta(hours=2))
    told = tight(points, None, care(rules, 4), NOW)
    assert told.startswith("After 2 more boot points (about 2026-03-01 11:00 UTC) the chain")
    assert tight(points, None, care(replace(rules, most=60), 4), NOW) == ""
    loose = [made(number) for number in range(1, 5)]
    assert tight(loose, None, care(rules, 4), NOW) == ""


def test_without_boot_points_or_an_end_nothing_is_foreseen() -> None:
    """Nothing was made yet; or everything is on hold and the store has no limit."""
    assert foresee([made(1, Stage.RETIRED)], None, care(Rules()), NOW).after is None
    seen = foresee([made(1), made(2)], None, care(Rules(hold="me")), NOW)
    assert (seen.point, seen.after, seen.at) == (None, None, None)
