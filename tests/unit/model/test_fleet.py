"""How standbys stand: codes, lag, strip, alarms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.model.fleet import NEED, Code, Standing, survey
from engine.model.images import Arrival, PointId, RecoveryPoint
from engine.model.layers import LayerKind, LayerName, layer_name
from engine.model.machine import Hints
from engine.model.outlook import NextKind
from engine.model.planner import Limits
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import Job, JobId, JobKind, JobStatus, Run

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def boot_point(number: int, stage: Stage, age_h: float = 1, behind_h: float = 0.1) -> BootPoint:
    """Return a boot point whose data is `age_h` old and was ready `behind_h` later."""
    name = boot_point_id(number)
    taken = NOW - timedelta(hours=age_h)
    return BootPoint(
        id=name,
        standby="erp",
        recovery_point=PointId(f"r{number}"),
        set_id="set",
        parent=None,
        sequence=number,
        taken_at=taken,
        stage=stage,
        replica=layer_name(name, LayerKind.REPLICA),
        boot=layer_name(name, LayerKind.CONVERSION),
        created_at=taken,
        ready_at=taken + timedelta(hours=behind_h) if stage is Stage.READY else None,
        failed_at=NOW if stage is Stage.FAILED else None,
        reason="The disk was full." if stage is Stage.FAILED else "",
        attempts=1,
    )


def standing(
    *points: BootPoint,
    held: str = "",
    rpo_s: int | None = None,
    lost: str = "",
    run: bool = False,
    job: Job | None = None,
    waiting: tuple[str, ...] = (),
    images: tuple[RecoveryPoint, ...] = (),
) -> Standing:
    """Return how the standby "erp" stands with these boot points."""
    runs = {"erp": Run("erp", points[0].id, LayerName("run"), NOW)} if run else {}
    state = State(
        recovery_points={point.id: point for point in images},
        boot_points={point.id: point for point in points},
        jobs={job.id: job} if job else {},
        runs=runs,
    )
    standby = Standby("erp", "/images/erp", held=held, rpo_s=rpo_s)
    found = survey(
        {"erp": standby},
        {"erp": "uuid"},
        state,
        NOW,
        Limits(),
        {"erp": waiting},
        {"local": lost} if lost else {},
    )
    return found["erp"]


READY = boot_point(1, Stage.READY)
FAILED = boot_point(2, Stage.FAILED)
APPLYING = boot_point(2, Stage.APPLYING)


@pytest.mark.parametrize(
    ("stood", "code"),
    [
        (standing(READY), Code.READY),
        (standing(READY, APPLYING), Code.BUILD),
        (standing(READY, APPLYING, rpo_s=60), Code.LATE),
        (standing(READY, rpo_s=3600), Code.READY),
        (standing(READY, rpo_s=3599), Code.LATE),
        (standing(READY, rpo_s=60, held="move"), Code.HELD),
        (standing(READY, FAILED, rpo_s=60, held="move"), Code.FAIL),
        (standing(READY, FAILED, lost="no route"), Code.LOST),
        (standing(APPLYING, lost="no route"), Code.NONE),
        (standing(), Code.NONE),
        (standing(READY, FAILED, run=True), Code.TEST),
    ],
)
def test_the_first_code_that_applies_is_shown(stood: Standing, code: Code) -> None:
    """TEST, NONE, LOST, FAIL, HELD, LATE, BUILD, READY: earlier ones hide later ones."""
    assert stood.code is code


def test_need_orders_every_code_once() -> None:
    """Sorting by need knows each code."""
    assert sorted(NEED) == sorted(Code)


def test_a_failure_that_was_made_good_is_no_failure() -> None:
    """A failed point older than a ready one alarms nobody."""
    stood = standing(boot_point(1, Stage.FAILED), boot_point(2, Stage.READY))
    assert (stood.code, stood.alarms) == (Code.READY, [])


def test_the_strip_shows_the_newest_twelve() -> None:
    """On time, late, failed, on its way; retired ones are not shown."""
    points = [boot_point(n, Stage.RETIRED if n == 13 else Stage.READY) for n in range(1, 14)]
    points.append(boot_point(14, Stage.READY, behind_h=3))
    points += [boot_point(15, Stage.FAILED), boot_point(16, Stage.PENDING)]
    assert standing(*points, rpo_s=7200).strip == "........." + "oX>"


def test_data_and_image_times_and_lag() -> None:
    """Data is as old as the newest ready point, the image may be newer."""
    image = RecoveryPoint(
        PointId("r9"),
        None,
        "set",
        "bpi",
        "/images/erp",
        "uuid",
        "erp",
        9,
        NOW - HOUR / 2,
        Arrival.COMPLETE,
        "",
        (),
        Hints(),
        1,
    )
    arriving = replace(image, id=PointId("r10"), arrival=Arrival.ARRIVING, taken_at=NOW)
    stood = standing(boot_point(1, Stage.READY, 5), READY, images=(image, arriving))
    assert (stood.data_as_of, stood.image_as_of) == (NOW - HOUR, NOW - HOUR / 2)
    assert (stood.lag_s, stood.can_start) == (3600, True)


def test_data_from_the_future_has_no_lag() -> None:
    """A source whose clock is ahead does not give a negative age."""
    assert standing(boot_point(1, Stage.READY, -2)).lag_s == 0


def test_alarms_say_what_is_wrong_and_when_it_is_tried_again() -> None:
    """A failure carries its reason; the next step is the next try."""
    stood = standing(READY, FAILED)
    assert "The disk was full." in stood.alarms[0]
    assert (stood.next.kind, stood.next.text) == (NextKind.RETRY, "2026-03-01 12:00:30 UTC")
    parked = standing(READY, replace(FAILED, attempts=10))
    assert parked.next.kind is NextKind.WAITING
    assert "waits until its images change" in parked.alarms[0]


def test_a_guest_that_cannot_be_converted_is_not_bootable_and_not_tried_again() -> None:
    """The word stands in the alarm; what comes next is new images, not another try."""
    stood = standing(READY, replace(FAILED, obstacle="guest.luks_root"))
    assert stood.alarms[0].startswith("Boot point bp000002 is NOT BOOTABLE: ")
    assert stood.next.kind is NextKind.WAITING
    assert "new images" in stood.next.text


def test_a_standby_without_anything_says_so() -> None:
    """What it waits for is said; without that, that it cannot be started."""
    assert standing().alarms == ["No boot point is ready yet; this machine cannot be started."]
    assert standing(waiting=("No image yet.",)).alarms == ["No image yet."]
    assert standing(waiting=("No image yet.",)).next.kind is NextKind.WAITING


@pytest.mark.parametrize(
    ("status", "kind"),
    [(JobStatus.QUEUED, NextKind.QUEUED), (JobStatus.RUNNING, NextKind.RUNNING)],
)
def test_the_live_job_is_what_happens_next(status: JobStatus, kind: NextKind) -> None:
    """A queued or running job comes before all other news."""
    job = Job(JobId(1), JobKind.SYNC, "erp", boot_point_id(2), status, NOW)
    stood = standing(READY, APPLYING, job=job)
    assert (stood.next.kind, stood.job) == (kind, job)
