"""Image sets do not depend on how their files arrived."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.model.chains import assemble
from engine.model.images import Arrival, ImagePart, ImageSet
from tests.arrivals import Shot, shot


@st.composite
def histories(draw: st.DrawFn) -> list[Shot]:
    """Return the points of one set: a tree with bases, increments, forks and folded runs."""
    shots = [shot(1, disks=2)]
    for number in range(2, draw(st.integers(1, 7)) + 1):
        kind = draw(st.sampled_from(["next", "next", "fork", "base"]))
        parent = shots[-1] if kind == "next" else draw(st.sampled_from(shots))
        shots.append(shot(number, None if kind == "base" else parent, disks=2))
    return shots


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
