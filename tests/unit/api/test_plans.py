"""Plans and answers."""

from __future__ import annotations

import threading

import pytest

from engine.api.plans import EXPIRES_S, Actor, Answers, Plans
from engine.api.problems import Denied, Moved
from engine.api.roles import Role
from engine.api.views import Done
from engine.api.wishes import Wish
from engine.model.errors import Failure, Problem
from engine.model.work import JobKind, JobStatus
from tests.scripted import ScriptedService

OPERATOR = Actor("ops1", Role.OPERATOR)


class Time:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


def test_a_plan_expires_after_ten_minutes() -> None:
    """What was planned and then forgotten is not done an hour later."""
    service, time = ScriptedService(), Time()
    plans = Plans(service, time)
    plan = plans.plan(Wish("start", "erp"), OPERATOR)
    assert (plan.expires - service.snapshot().now).total_seconds() == EXPIRES_S
    time.now = EXPIRES_S + 1
    with pytest.raises(Moved, match="10 minutes"):
        plans.run(plan.plan, "", OPERATOR)
    assert service.calls == []


def test_a_plan_does_not_lend_its_role() -> None:
    """A viewer cannot run a plan that an operator made."""
    service = ScriptedService()
    plans = Plans(service, Time())
    plan = plans.plan(Wish("start", "erp"), OPERATOR)
    with pytest.raises(Denied):
        plans.run(plan.plan, "", Actor("eve", Role.VIEWER))
    assert service.calls == []


def test_the_expected_time_is_what_such_jobs_took() -> None:
    """The median of earlier starts of the machine is what the plan expects."""
    service = ScriptedService(settles=False)
    for seconds in (10, 170, 30):
        job = service.begin_job(JobKind.START, "erp", status=JobStatus.RUNNING)
        service.advance(seconds=seconds)
        service.end_job(job.id)
        service.end_run("erp")
    plan = Plans(service, Time()).plan(Wish("start", "erp"), OPERATOR)
    assert plan.expected_s == 30


def test_two_askers_with_one_key_do_it_once() -> None:
    """While the first is at work the second waits, and both get the one answer."""
    answers, began, may_end = Answers(), threading.Event(), threading.Event()
    done: list[int] = []
    told: list[Done] = []

    def do() -> Done:
        began.set()
        may_end.wait(5)
        done.append(1)
        return Done(text="done")

    threads = [
        threading.Thread(target=lambda: told.append(answers.once("u", "k", do))) for _ in range(2)
    ]
    threads[0].start()
    began.wait(5)
    threads[1].start()
    may_end.set()
    for thread in threads:
        thread.join(5)
    assert done == [1]
    assert told == [Done(text="done")] * 2


def test_keys_are_each_users_own() -> None:
    """Another user's same key is another wish; an empty key remembers nothing."""
    answers = Answers()
    count = iter(range(9))

    def do() -> Done:
        return Done(text=str(next(count)))

    assert [answers.once(u, "k", do).text for u in ("a", "b", "a")] == ["0", "1", "0"]
    assert [answers.once("a", "", do).text for _ in range(2)] == ["2", "3"]


def test_a_failure_is_an_answer() -> None:
    """The same key gives the same failure, and nothing is tried again."""
    answers, tries = Answers(), [0]

    def do() -> Done:
        tries[0] += 1
        raise Failure(Problem("x", "It broke."))

    for _ in range(2):
        with pytest.raises(Failure, match="It broke"):
            answers.once("u", "k", do)
    assert tries == [1]
