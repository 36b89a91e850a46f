"""What an operator is told before a start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from engine.model.fleet import Standing, survey
from engine.model.guard import GuardVerdict, Increment, Judged
from engine.model.images import Arrival, RecoveryPoint
from engine.model.points import BootPoint, Stage
from engine.model.review import Fate, Review, review
from engine.model.slots import Limits
from engine.model.standby import Standby
from engine.model.state import State
from tests.scripted import NOW, boot_point, recovery_point

HOUR = 3600.0
IMAGES = [recovery_point("erp", n, NOW - timedelta(hours=10 - n)) for n in range(1, 9)]
CALM = GuardVerdict(())


def made(*numbers: int, stage: Stage = Stage.READY) -> list[BootPoint]:
    """Return boot points of some of the images."""
    return [boot_point(n, IMAGES[n - 1], stage=stage) for n in numbers]


def judged(*odd: int) -> GuardVerdict:
    """Return the guard's verdict when some increments look like encryption."""
    found = [
        Judged(
            Increment(image.id, image.sequence, image.taken_at, NOW, 9 << 30, 9 << 30, 40 << 30),
            volume=2 * (image.sequence in odd),
            dense=2 * (image.sequence in odd),
        )
        for image in IMAGES
    ]
    return GuardVerdict(found, "It may be encrypting its data." if odd else "")


def told(
    points: list[BootPoint],
    images: list[RecoveryPoint] | None = None,
    verdict: GuardVerdict = CALM,
    rpo_s: float | None = HOUR,
) -> Review:
    """Return the review of a machine whose images are all there."""
    return review(points, images or IMAGES, verdict, rpo_s=rpo_s, is_frozen=False)


def test_what_has_arrived_and_is_not_ready_is_lost_and_says_why() -> None:
    """Data newer than the newest choice is listed, newest first, each with its fate."""
    images = [
        *IMAGES[:4],
        IMAGES[4],
        replace(IMAGES[5], arrival=Arrival.DAMAGED, reason="Its hash is wrong."),
        IMAGES[6],
        replace(IMAGES[7], arrival=Arrival.ARRIVING),
    ]
    points = [*made(2, 3, 4), *made(5, stage=Stage.CONVERTING)]
    found = told(points, images)
    assert [(one.point.sequence, one.fate) for one in found.missing] == [
        (8, Fate.ARRIVING),
        (7, Fate.WAITS),
        (6, Fate.DAMAGED),
        (5, Fate.MADE),
    ]
    assert [one.point.sequence for one in found.choices] == [4, 3, 2]
    assert [one.newer for one in found.choices] == [4, 5, 6]
    failed = told([*made(7), *made(8, stage=Stage.FAILED)])
    assert [one.fate for one in failed.missing] == [Fate.FAILED]


def test_the_newest_is_proposed_while_none_is_proven() -> None:
    """And the sentence says that none is."""
    found = told(made(2, 3, 4))
    assert found.proposed is not None
    assert found.proposed.sequence == 4
    assert "no boot point of this machine is proven" in found.why
    assert told([]).proposed is None


def test_a_proven_one_is_proposed_unless_it_costs_more_than_the_goal() -> None:
    """Proven beats new within the goal; beyond it the newest is proposed, and both are there."""
    points = made(2, 3, 4)
    near = [points[0], replace(points[1], proven_at=NOW), points[2]]
    found = told(near, rpo_s=2 * HOUR)
    assert found.proposed is not None
    assert found.proposed.sequence == 3
    assert "newest proven" in found.why
    far = [replace(points[0], proven_at=NOW), *points[1:]]
    found = told(far, rpo_s=HOUR)
    assert found.proposed is not None
    assert found.proposed.sequence == 4
    assert "loses more than the goal" in found.why


def test_what_looks_encrypted_is_not_proposed_and_still_a_choice() -> None:
    """From the first odd increment on all are suspect; the newest from before it is proposed."""
    found = told(made(5, 6, 7, 8), verdict=judged(7, 8))
    assert [(one.point.sequence, one.is_suspect) for one in found.choices] == [
        (8, True),
        (7, True),
        (6, False),
        (5, False),
    ]
    assert found.proposed is not None
    assert found.proposed.sequence == 6
    assert found.odd_since == IMAGES[6].taken_at
    assert found.choices[0].odd is not None
    assert found.choices[2].odd is None


def test_when_all_are_suspect_the_newest_is_proposed_with_a_word() -> None:
    """A doubt stops no start."""
    found = told(made(7, 8), verdict=judged(7))
    assert found.proposed is not None
    assert found.proposed.sequence == 8
    assert "looks encrypted" in found.why


def test_one_odd_increment_without_an_alarm_is_told_and_suspects_nothing() -> None:
    """The guard raised no alarm: the increment is marked, the proposal stays the newest."""
    calm = replace(judged(8), reason="")
    found = told(made(7, 8), verdict=calm)
    assert found.odd_since is None
    assert [one.is_suspect for one in found.choices] == [False, False]
    assert found.choices[0].odd is not None
    frozen = review(made(7, 8), IMAGES, calm, rpo_s=None, is_frozen=True)
    assert frozen.odd_since == IMAGES[7].taken_at


def test_a_clock_that_was_ahead_for_a_while_makes_no_older_point_the_newest() -> None:
    """The order of the line counts: what was made of the increment after it holds newer data."""
    ahead = replace(IMAGES[1], taken_at=NOW + timedelta(days=10))
    images = [IMAGES[0], ahead, IMAGES[2]]
    points = [boot_point(n, image) for n, image in enumerate(images, 1)]
    found = told(points, images)
    assert [one.point.sequence for one in found.choices] == [3, 2, 1]
    assert found.proposed == points[2]
    assert found.missing == [], "the one of the wrong clock is ready, not lost"
    state = State(boot_points={point.id: point for point in points})
    assert state.ready("erp")[-1] == points[2]
    assert fleet_of(points)["erp"].data_as_of == IMAGES[2].taken_at


def fleet_of(points: list[BootPoint]) -> Mapping[str, Standing]:
    """Return how the standby stands."""
    state = State(boot_points={point.id: point for point in points})
    return survey({"erp": Standby("erp", "/images")}, {}, state, NOW, Limits(), {})
