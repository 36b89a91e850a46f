"""Two phases of an action: what would be done, then doing just that.

    plan ─► Plan (steps, checks, what is lost, expiry)      nothing is changed
    run  ─► role? expired? moved? name typed? ─► Service ─► Done

The same key gives the same answer, so an action whose answer was lost is never done twice.
"""

from __future__ import annotations

import itertools
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from engine.api.actions import ACTIONS, fingerprint
from engine.api.problems import Denied, Moved
from engine.api.roles import Role
from engine.api.views import Done, Plan
from engine.api.wishes import Wish
from engine.daemon.service import Service
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse
from engine.model.text import safe

EXPIRES_S = 600.0
PLANS_KEPT = 1000
ANSWERS_KEPT = 1000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. `name` is kernel-verified."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class _Pending:
    plan: Plan
    wish: Wish
    print: tuple[object, ...]
    until: float


class Plans:
    """The plans that were handed out, and the answers that were given. Thread-safe."""

    def __init__(self, service: Service, monotonic: Callable[[], float]) -> None:
        """Begin with none."""
        self._service, self._monotonic = service, monotonic
        self._numbers = itertools.count(1)
        self._plans: OrderedDict[str, _Pending] = OrderedDict()
        self._lock = threading.Lock()
        self.answers = Answers()

    def plan(self, wish: Wish, actor: Actor) -> Plan:
        """Return what would be done.

        Raises:
            WrongUse: No such action.
            NotFound: No such machine, boot point or job.
            Refused: It cannot be done now.
        """
        action = ACTIONS.get(wish.action)
        if action is None:
            raise WrongUse(
                Problem(
                    "plan.action",
                    f"There is no action {safe(wish.action)}.",
                    "",
                    f"Known: {', '.join(ACTIONS)}.",
                )
            )
        require(actor, action.role, wish.action)
        snapshot = self._service.snapshot()
        wish = action.settle(snapshot, wish)
        made = action.describe(snapshot, wish)
        plan = Plan(
            plan=f"p{next(self._numbers)}",
            action=wish.action,
            machine=wish.machine,
            point=wish.point,
            steps=made.steps,
            checks=made.checks,
            lost_s=made.lost_s,
            expected_s=made.expected_s,
            expires=snapshot.now + timedelta(seconds=EXPIRES_S),
            review=made.review,
            confirm=made.confirm,
        )
        pending = _Pending(plan, wish, fingerprint(snapshot, wish), self._monotonic() + EXPIRES_S)
        with self._lock:
            self._plans[plan.plan] = pending
            while len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        return plan

    def run(self, number: str, confirm: str, actor: Actor) -> Done:
        """Do what a plan says.

        Raises:
            Moved: The plan expired, or what it was made of is not so any more.
            Refused: The name does not match, or the engine refuses.
        """
        pending = self._pending(number)
        action = ACTIONS[pending.wish.action]
        require(actor, action.role, pending.wish.action)
        if pending.plan.confirm:
            check_name(confirm, pending.plan.confirm)
        if fingerprint(self._service.snapshot(), pending.wish) != pending.print:
            raise Moved(
                Problem(
                    "plan.moved",
                    f"{pending.wish.machine or 'The job'} is not as it was when the plan was made.",
                    "Nothing was changed.",
                    "Look again, then ask again.",
                )
            )
        done = action.run(self._service, pending.wish, actor.name)
        with self._lock:
            self._plans.pop(number, None)
        return done

    def _pending(self, number: str) -> _Pending:
        with self._lock:
            pending = self._plans.get(number)
        if pending is None:
            raise NotFound(
                Problem(
                    "plan.unknown",
                    f"There is no plan {safe(number)} (any more).",
                    "Nothing was changed.",
                    "Ask for a new plan.",
                )
            )
        if self._monotonic() > pending.until:
            raise Moved(
                Problem(
                    "plan.expired",
                    "The plan is older than 10 minutes.",
                    "Nothing was changed.",
                    "Ask for a new plan.",
                )
            )
        return pending


class Answers:
    """Answers by the key of the wish. Thread-safe."""

    def __init__(self) -> None:
        """Begin with none."""
        self._given: OrderedDict[tuple[str, str], Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def once(self, user: str, key: str, do: Callable[[], T]) -> T:
        """Return the answer given to this user's key, doing it the first time.

        A second asker waits for the first one's answer. Failures are answers too. An empty key
        remembers nothing.
        """
        if not key:
            return do()
        with self._lock:
            future = self._given.get((user, key))
            mine = future is None
            if future is None:
                future = self._given[user, key] = Future()
                while len(self._given) > ANSWERS_KEPT:
                    self._given.popitem(last=False)
        if mine:
            _fill(future, do)
        answer: T = future.result()
        return answer


def _fill(future: Future[Any], do: Callable[[], object]) -> None:
    try:
        future.set_result(do())
    except Failure as failure:
        future.set_exception(failure)
    except BaseException as error:
        future.set_exception(error)
        raise


def require(actor: Actor, role: Role, what: str) -> None:
    """Raise `Denied` when the actor's role is too low."""
    if actor.role < role:
        raise Denied(
            Problem(
                "role.low",
                f"{what} needs the role {role.word}; {actor.name} is {actor.role.word} here.",
                "Nothing was changed.",
                f"Ask somebody in the group bootpoint-{role.word}s.",
                {"needs": role.word, "role": actor.role.word},
            )
        )


def check_name(typed: str, expected: str) -> None:
    """Raise `Refused` unless the typed name is the expected one; full-width letters count."""
    if unicodedata.normalize("NFKC", typed).strip() != expected:
        raise Refused(
            Problem(
                "confirm.mismatch",
                "The typed name does not match.",
                "Nothing was changed.",
                f"Type {expected} to confirm.",
                {"expected": expected},
            )
        )
