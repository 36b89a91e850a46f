"""What the door promises about plans, what they do, and doing it once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.api.client import Client
from engine.api.errors import InTheWay, StateMoved
from engine.api.views import (
    Done,
    Plan,
)
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse
from engine.model.points import BootPointId, Stage
from engine.model.work import JobKind
from tests.contract.doors import ERP
from tests.scripted import NOW, ScriptedService, boot_point, recovery_point

# --- plan and run ---------------------------------------------------------------------------


def test_a_plan_changes_nothing(client: Client, service: ScriptedService) -> None:
    """A plan says steps, what is lost and which point, and asks the engine for nothing."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    assert plan.point == ERP
    assert plan.steps
    assert plan.lost_s == 720
    assert plan.confirm == ""
    assert service.calls == []


def test_run_does_what_was_planned(client: Client, service: ScriptedService) -> None:
    """The point that was planned is started, even when a newer one came meanwhile."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    image = recovery_point("erp", 5, NOW)
    service.put(image, boot_point(99, image))
    done = client.call("run", Done, plan=plan.plan, confirm="", key="k")
    assert done.job == "1"
    assert service.calls == [("start", "erp", ERP, client.hello.user)]


def test_the_same_key_does_it_once(client: Client, place: Path, service: ScriptedService) -> None:
    """An action whose answer was lost is asked again with its key and not done twice."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    first = client.call("run", Done, plan=plan.plan, key="same")
    with Client(place) as again:
        assert again.call("run", Done, plan=plan.plan, key="same") == first
    assert len(service.calls) == 1


def test_the_same_key_gives_the_same_refusal(client: Client, service: ScriptedService) -> None:
    """A failure is an answer too: the same key does not try again."""
    service.fails["start"] = Failure(Problem("target.down", "The target is down."))
    plan = client.call("plan", Plan, action="start", machine="erp")
    for _ in range(2):
        with pytest.raises(Failure, match="target is down"):
            client.call("run", Done, plan=plan.plan, key="k")
    assert len(service.calls) == 1


def test_a_moved_state_is_refused(client: Client, service: ScriptedService) -> None:
    """A plan made before somebody else started the machine is not run."""
    plan = client.call("plan", Plan, action="start", machine="erp")
    service.run("erp", ERP)
    with pytest.raises(StateMoved, match="not as it was"):
        client.call("run", Done, plan=plan.plan, key="k")
    assert service.calls == []


def test_a_retired_point_moves_the_plan(client: Client, service: ScriptedService) -> None:
    """A plan for a boot point that is not ready any more is not run."""
    plan = client.call("plan", Plan, action="start", machine="erp", point="bp000001")
    point = service.snapshot().state.boot_points[BootPointId("bp000001")]
    service.put(replace(point, stage=Stage.RETIRED))
    with pytest.raises(StateMoved):
        client.call("run", Done, plan=plan.plan, key="k")


def test_a_plan_is_run_once(client: Client, service: ScriptedService) -> None:
    """With another key the same plan is not found any more."""
    plan = client.call("plan", Plan, action="build", machine="erp")
    client.call("run", Done, plan=plan.plan, key="a")
    with pytest.raises(NotFound, match="no plan"):
        client.call("run", Done, plan=plan.plan, key="b")
    assert len(service.calls) == 1


def test_removing_a_standby_needs_its_name(client: Client, service: ScriptedService) -> None:
    """The engine itself compares the typed name; full-width letters count as plain ones."""
    with pytest.raises(Refused, match="does not match") as caught:
        client.call("standby.remove", Done, name="erp", confirm="er")
    assert caught.value.problem.facts == {"expected": "erp"}
    assert service.calls == []
    client.call("standby.remove", Done, name="erp", confirm="ｅｒｐ", key="k")
    client.call("standby.remove", Done, name="web", confirm="web", key="l")
    assert [call[1] for call in service.calls] == ["erp", "web"]


def test_a_second_removal_with_the_same_key_gets_the_same_answer(
    client: Client, service: ScriptedService
) -> None:
    """A removal whose answer was lost is not an unknown standby when it is asked again."""
    first = client.call("standby.remove", Done, name="erp", confirm="erp", key="k")
    assert client.call("standby.remove", Done, name="erp", confirm="erp", key="k") == first
    assert len(service.calls) == 1


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        ({"action": "explode", "machine": "erp"}, WrongUse),
        ({"action": "start", "machine": "nope"}, NotFound),
        ({"action": "start", "machine": "erp", "point": "bp9"}, NotFound),
        ({"action": "start", "machine": "erp", "point": "bp000008"}, Refused),
        ({"action": "stop", "machine": "erp"}, Refused),
        ({"action": "resume", "machine": "erp"}, Refused),
        ({"action": "cancel", "job": 7}, NotFound),
    ],
)
def test_what_cannot_be_done_is_not_planned(
    client: Client, params: dict[str, object], kind: type[Failure]
) -> None:
    """A wish that cannot come true is refused at the plan, by kind."""
    with pytest.raises(kind):
        client.call("plan", Plan, **params)


def test_every_action_reaches_the_engine(client: Client, service: ScriptedService) -> None:
    """Build, hold, resume, start, stop and cancel each make one call, with the user's name."""
    user = client.hello.user
    job = service.begin_job(JobKind.SYNC, "web")
    wishes: list[dict[str, object]] = [
        {"action": "build", "machine": "erp"},
        {"action": "hold", "machine": "erp", "reason": "moving"},
        {"action": "resume", "machine": "erp"},
        {"action": "start", "machine": "erp"},
        {"action": "stop", "machine": "erp"},
        {"action": "cancel", "job": int(job.id)},
    ]
    for number, wish in enumerate(wishes):
        plan = client.call("plan", Plan, **wish)
        client.call("run", Done, plan=plan.plan, key=str(number))
    assert service.calls == [
        ("build", "erp", user),
        ("hold", "erp", "moving", user),
        ("resume", "erp", user),
        ("start", "erp", ERP, user),
        ("stop", "erp", user),
        ("cancel", "1", user),
    ]


def test_busy_is_told_apart(client: Client, service: ScriptedService) -> None:
    """Another action on the machine is BUSY, not just refused."""
    service.fails["build"] = Refused(Problem("vm.busy", "Job 3 (start) of erp has not ended."))
    plan = client.call("plan", Plan, action="build", machine="erp")
    with pytest.raises(InTheWay):
        client.call("run", Done, plan=plan.plan, key="k")


def test_a_new_standby_is_checked_and_added(client: Client, service: ScriptedService) -> None:
    """Trigger and firmware are checked at the door; the rest is the engine's business."""
    with pytest.raises(WrongUse, match="daily@HH:MM"):
        client.call("standby.add", Done, name="new", images="/r/new", trigger="weekly")
    with pytest.raises(WrongUse, match="bios or uefi"):
        client.call("standby.add", Done, name="new", images="/r/new", firmware="coreboot")
    client.call("standby.add", Done, name="new", images="/r/new", trigger="every:4", rpo_s=3600)
    added = service.snapshot().standbys["new"]
    assert (added.images, str(added.trigger), added.rpo_s) == ("/r/new", "every:4", 3600)
    with pytest.raises(Refused, match="already"):
        client.call("standby.add", Done, name="new", images="/r/new")


def test_a_bug_is_told_without_its_insides(client: Client, service: ScriptedService) -> None:
    """An exception nobody foresaw ends the call with a sentence, not the door."""
    service.fails["build"] = RuntimeError("secret /path")  # type: ignore[assignment]  # a bug
    plan = client.call("plan", Plan, action="build", machine="erp")
    with pytest.raises(Failure, match="RuntimeError") as caught:
        client.call("run", Done, plan=plan.plan, key="k")
    assert "secret" not in str(caught.value)
    assert client.call("ping", dict[str, str]) == {}
