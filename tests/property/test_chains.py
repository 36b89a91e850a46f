"""Image sets do not depend on how their files arrived."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.model.chains import assemble
from engine.model.images import Arrival, ImagePart, ImageSet, PointId, RecoveryPoint
from engine.model.ways import USABLE, Missing, newest, path_to
from tests.arrivals import Shot, chain, shot


@st.composite
def histories(draw: st.DrawFn) -> list[Shot]:
    """Return the points of one set: a tree with bases, increments, forks and folded runs."""
    shots = [shot(1, disks=2)]
    for number in range(2, draw(st.integers(1, 7)) + 1):
        kind = draw(st.sampled_from(["next", "next", "fork", "base"]))
        parent = shots[-1] if kind == "next" else draw(st.sampled_from(shots))
        shots.append(shot(number, None if kind == "base" else parent, disks=2))
    return shots


def folded(shots: Sequence[Shot]) -> Shot:
    """Return a consolidated file of the last two points of a chain."""
    first, last = shots[-2], shots[-1]
    parent = next(s for s in shots if s.id == first.manifest.parent)
    return shot(last.manifest.sequence, parent, disks=2, replaces=[first, last])


def sets_of(parts: Sequence[ImagePart]) -> Sequence[ImageSet]:
    """Return the image sets of settled parts."""
    return assemble("/replica", parts, lambda _: True).sets


@given(histories(), st.randoms(use_true_random=False), st.data())
def test_any_order_and_any_duplicates_give_the_same_sets(
    shots: list[Shot], rng: random.Random, data: st.DataObject
) -> None:
    """Arrival order and second copies under other names change nothing."""
    parts = [part for one in shots for part in one.parts]
    copies = data.draw(st.lists(st.sampled_from(parts), max_size=4))
    doubled = [*parts, *(replace(p, path=f"zz/{n}-{p.path}") for n, p in enumerate(copies))]
    rng.shuffle(doubled)

    made = assemble("/replica", doubled, lambda _: True)

    assert made.sets == sets_of(parts)
    assert len(made.odd) == len(copies)


@given(histories(), st.randoms(use_true_random=False))
def test_names_mean_nothing(shots: list[Shot], rng: random.Random) -> None:
    """Files under names that say the opposite make the same points."""
    parts = [part for one in shots for part in one.parts]
    names = [part.path for part in parts]
    rng.shuffle(names)
    renamed = [replace(part, path=name) for part, name in zip(parts, names, strict=True)]

    def told(sets: Sequence[ImageSet]) -> object:
        return [
            (p.id, p.parent, p.arrival, [d.part.root for d in p.disks])
            for one in sets
            for p in one.points
        ]

    assert told(sets_of(renamed)) == told(sets_of(parts))


@given(histories(), st.data())
def test_parents_come_before_children(shots: list[Shot], data: st.DataObject) -> None:
    """Whatever files are there, no point stands before the one it continues."""
    parts = data.draw(st.lists(st.sampled_from([p for s in shots for p in s.parts]), min_size=1))
    for one in sets_of(parts):
        place = {point.id: at for at, point in enumerate(one.points)}
        for point in one.points:
            if point.parent in place:
                assert place[point.parent] < place[point.id]


@given(histories(), st.data())
def test_a_point_is_complete_exactly_when_all_its_files_are(
    shots: list[Shot], data: st.DataObject
) -> None:
    """One file less, and the point is still arriving and says what it waits for."""
    parts = [part for one in shots for part in one.parts]
    here = data.draw(st.lists(st.sampled_from(parts), min_size=1, unique_by=lambda p: p.path))
    points = {point.id: point for one in sets_of(here) for point in one.points}
    for one in shots:
        whole = all(part in here for part in one.parts)
        if one.id in points:
            assert (points[one.id].arrival is Arrival.COMPLETE) == whole
            assert bool(points[one.id].reason) == (not whole)


@given(histories(), st.data())
def test_a_whole_point_without_its_parent_names_what_is_missing(
    shots: list[Shot], data: st.DataObject
) -> None:
    """Exactly the parents that are nowhere are named, by the first child that waits."""
    here = data.draw(st.lists(st.sampled_from(shots), min_size=1, unique_by=lambda s: s.id))
    (made,) = sets_of([part for one in here for part in one.parts])
    ids = {one.id for one in here}
    wanted = {s.manifest.parent for s in here if s.manifest.parent not in (None, *ids)}
    assert set(made.missing) == wanted
    for parent, text in made.missing.items():
        first = min(s.manifest.sequence for s in here if s.manifest.parent == parent)
        assert text.startswith(f"p{first:06d}")
        assert parent in text


@given(st.integers(3, 7), st.data())
def test_a_way_can_be_applied_step_by_step(length: int, data: st.DataObject) -> None:
    """Each step of a way may be laid on the one before; no way that exists is shorter."""
    shots = chain(length, disks=2)
    forms = [*shots, folded(shots)]
    here = data.draw(st.lists(st.sampled_from(forms), min_size=1, unique_by=id))
    applied = set(data.draw(st.lists(st.sampled_from([s.id for s in shots]))))
    goal = data.draw(st.sampled_from([s.id for s in shots]))
    points = [p for s in here for one in sets_of(s.parts) for p in one.points]

    way = path_to(goal, applied, points)

    lengths = brute(goal, applied, points)
    if isinstance(way, Missing):
        assert not lengths
        return
    at = None
    for step in way:
        below = {step.parent, *(old for old in step.replaces if old != step.id)}
        assert at in below or (at is None and (step.parent is None or below & applied))
        at = step.id
    assert at in (None, goal)
    assert (goal in applied) == (not way)
    from_base = bool(way) and way[0].parent is None
    assert (from_base, len(way)) == min(lengths)


def brute(
    goal: PointId, applied: set[PointId], points: Sequence[RecoveryPoint]
) -> list[tuple[bool, int]]:
    """Return of all ways whether they begin at a base, and their length. Slow and obvious."""
    if goal in applied:
        return [(False, 0)]
    found = []
    for form in (p for p in points if p.id == goal and p.arrival in USABLE):
        if form.parent is None:
            found.append((True, 1))
            continue
        for below in {form.parent, *(old for old in form.replaces if old != goal)}:
            found += [(base, steps + 1) for base, steps in brute(below, applied, points)]
    return found


@given(histories(), st.data())
def test_the_newest_point_has_a_whole_chain(shots: list[Shot], data: st.DataObject) -> None:
    """What is called newest can be made, and nothing newer can."""
    here = data.draw(st.lists(st.sampled_from(shots), min_size=1, unique_by=lambda s: s.id))
    (made,) = sets_of([part for one in here for part in one.parts])
    can = [p for p in made.points if not isinstance(path_to(p.id, (), made.points), Missing)]
    best = newest(made.points)
    assert (best is None) == (not can)
    if best is not None:
        assert best in can
        assert best.taken_at == max(p.taken_at for p in can)
