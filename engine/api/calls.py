"""The calls of the door, each in one short function; `wire.py` lists them.

Those that ask the engine run in a pool of threads: it may block.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from engine.api import asks, conversions, defining, keeping, problems, reports, targeting
from engine.api.alert_views import MetricsView, TriedView
from engine.api.contact_views import AddedView, CheckedView, ContactView, RemovalView
from engine.api.conversion_views import ConversionView, DriverSourceView, GuestView, LedgerView
from engine.api.definition_views import CheckView, DefinitionView, ReloadView
from engine.api.fleet import outlooks
from engine.api.guarding import GuardView, guard_view
from engine.api.guest_views import PictureView, QuestionView, ScreenView, SerialView, TypedView
from engine.api.keeping_views import RetentionView
from engine.api.machines import question_view
from engine.api.metrics import CONTENT_TYPE, Meter
from engine.api.picture import picture_view
from engine.api.plans import Actor, Plans, check_name, require
from engine.api.present import job_view, journal_view, standby_view
from engine.api.requested import read_standby
from engine.api.roles import Role
from engine.api.serial import read_serial
from engine.api.target_views import checked_view
from engine.api.views import Done, JobView, JournalView, Plan, StandbyView
from engine.api.wishes import Wish, standby_of
from engine.daemon.service import Service
from engine.model.errors import NotFound, Problem, WrongUse
from engine.model.pause import pause_end
from engine.model.text import safe
from engine.model.work import JobId, no_job

log = logging.getLogger(__name__)

A = TypeVar("A", bound=asks.Ask)


def read_ask(params: bytes, kind: type[A]) -> A:
    """Return params as a struct. WrongUse names the field and what is expected."""
    try:
        return msgspec.json.decode(params, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WrongUse(
            Problem(
                "wire.params",
                f"The call's parameters are wrong: {safe(str(error), 300)}.",
                "Nothing was changed.",
                "Correct what is named there, and ask again.",
            )
        ) from error


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One call: its params, the lowest role, and what answers it."""

    ask: type[A]
    role: Role
    answer: Callable[[Calls, A, Actor], Any]

    def run(self, calls: Calls, params: bytes, actor: Actor, method: str) -> Any:  # noqa: ANN401 - any view
        """Check params and role, then answer."""
        ask = read_ask(params, self.ask)
        require(actor, self.role, method)
        return self.answer(calls, ask, actor)


class Calls:
    """Answers calls that need only the engine. Thread-safe."""

    def __init__(self, service: Service, monotonic: Callable[[], float]) -> None:
        """Answer for one engine."""
        self.service = service
        self.plans = Plans(service, monotonic)
        self._meter = Meter(service)

    def answer(self, method: str, params: bytes, actor: Actor) -> Any:  # noqa: ANN401 - any view
        """Answer a call. Failure with the reason when it cannot be."""
        call = CALLS.get(method)
        if call is None:
            raise problems.no_method(safe(method))
        return call.run(self, params, actor, method)

    # --- looking

    def job(self, ask: asks.JobAsk, _actor: Actor) -> JobView:
        """Return a job, ended ones included."""
        number = job_number(ask.job)
        job = self.service.job(number)
        snapshot = self.service.snapshot()
        standby = snapshot.standbys.get(job.standby)
        return job_view(job, snapshot.progress.get(number), standby.target if standby else "")

    def journal(self, ask: asks.JournalAsk, _actor: Actor) -> list[JournalView]:
        """Return journal lines, oldest first."""
        lines = self.service.journal(
            after=ask.after, before=ask.before, limit=ask.limit, standby=ask.machine
        )
        return [journal_view(line) for line in lines]

    def standbys(self, _ask: asks.Ask, _actor: Actor) -> list[StandbyView]:
        """Return all definitions, by name."""
        snapshot = self.service.snapshot()
        found, coming = snapshot.standbys, outlooks(snapshot)
        return [
            standby_view(snapshot, found[name], self.service.standby_file(name), coming[name])
            for name in sorted(found)
        ]

    def serial(self, ask: asks.SerialAsk, _actor: Actor) -> SerialView:
        """Return serial text from an offset on."""
        data, end = self.service.serial(ask.machine, ask.after)
        if ask.raw:
            return SerialView(next=end, data=base64.b64encode(data).decode())
        told = read_serial(data)
        at = end - len(data) + told.used
        return SerialView(lines=told.lines, tail=told.tail, next=at)

    def type(self, ask: asks.TypeAsk, actor: Actor) -> TypedView:
        """Type into the guest's serial console."""
        try:
            data = base64.b64decode(ask.data, validate=True)
        except ValueError as error:
            raise WrongUse(
                Problem("wire.base64", "What is to be typed is no base64.", "Nothing was typed.")
            ) from error
        return TypedView(taken=self.service.serial_input(ask.machine, data, actor.name))

    def question(self, ask: asks.MachineAsk, _actor: Actor) -> list[QuestionView]:
        """Return what a VM asks; nothing, or one question."""
        asked = question_view(self.service.question(ask.machine))
        return [] if asked is None else [asked]

    def answer_vm(self, ask: asks.AnswerAsk, actor: Actor) -> Done:
        """Answer what a VM asks."""

        def do() -> Done:
            told = self.service.answer(ask.machine, ask.question, ask.choice, actor.name)
            return Done(text=safe(told, 600))

        return self.plans.answers.once(actor.name, ask.key, do)

    def picture(self, ask: asks.PictureAsk, _actor: Actor) -> PictureView:
        """Return the guest's screen as cells."""
        return picture_view(self.service.screen(ask.machine), ask.columns, ask.rows, ask.known)

    def screen(self, ask: asks.MachineAsk, _actor: Actor) -> ScreenView:
        """Return the guest's screen."""
        return ScreenView(png=base64.b64encode(self.service.screen(ask.machine)).decode())

    def guest(self, ask: asks.PointAsk, _actor: Actor) -> GuestView:
        """Return what inspection found in a boot point."""
        return conversions.guest(self.service, ask)

    def ledger(self, ask: asks.LedgerAsk, _actor: Actor) -> LedgerView:
        """Return a page of what a conversion changed, or did otherwise than another."""
        return conversions.ledger(self.service, ask)

    def guard(self, ask: asks.MachineAsk, _actor: Actor) -> GuardView:
        """Return what the ransomware guard thinks of a machine."""
        return guard_view(self.service, ask)

    def retention(self, ask: keeping.RetentionAsk, _actor: Actor) -> RetentionView:
        """Return what stays, what goes, and why."""
        return keeping.retention(self.service, ask)

    def report(self, ask: reports.ReportAsk, actor: Actor) -> GuestView:
        """Keep the report of a self-check."""
        return conversions.take_report(self.service, ask, actor.name)

    def drivers(self, _ask: asks.Ask, _actor: Actor) -> list[DriverSourceView]:
        """Return the registered drivers for Windows."""
        return conversions.drivers(self.service)

    def plan_conversion(self, ask: asks.PointAsk, _actor: Actor) -> ConversionView:
        """Return what a conversion would change."""
        return conversions.dry_run(self.service, ask)

    # --- changing

    def add(self, ask: asks.StandbyAsk, actor: Actor) -> Done:
        """Define a standby."""
        standby = read_standby(ask)

        def do() -> Done:
            file = self.service.add_standby(standby, actor.name)
            return Done(text=f"Standby {standby.name} was added, in {safe(file, 400)}.")

        return self.plans.answers.once(actor.name, ask.key, do)

    def text(self, ask: asks.StandbyTextAsk, _actor: Actor) -> DefinitionView:
        """Return a standby's file as it is."""
        return defining.text(self.service, ask)

    def check(self, ask: asks.StandbyCheckAsk, _actor: Actor) -> CheckView:
        """Return what a definition would mean, or what is wrong in it."""
        return defining.review(self.service, ask)

    def put(self, ask: asks.StandbyPutAsk, actor: Actor) -> Done:
        """Add or change a standby by its whole text."""
        return self.plans.answers.once(
            actor.name, ask.key, lambda: defining.put(self.service, ask, actor)
        )

    def reload(self, _ask: asks.Ask, actor: Actor) -> ReloadView:
        """Take up what was changed in `standbys.d` by hand."""
        return defining.reload(self.service, actor)

    def remove(self, ask: asks.RemoveAsk, actor: Actor) -> Done:
        """Remove a standby."""
        check_name(ask.confirm, ask.name)

        def do() -> Done:
            standby_of(self.service.snapshot(), ask.name)
            self.service.remove_standby(ask.name, actor.name)
            return Done(
                text=f"Standby {ask.name} was removed; its layers lie in the store's quarantine."
            )

        return self.plans.answers.once(actor.name, ask.key, do)

    def set_retention(self, ask: keeping.RetentionSetAsk, actor: Actor) -> Done:
        """Write retention's settings."""
        return self.plans.answers.once(
            actor.name, ask.key, lambda: keeping.set_retention(self.service, ask, actor)
        )

    def check_target(self, ask: asks.TargetAsk, _actor: Actor) -> CheckedView:
        """Look at a target now."""
        self.service.check_target(ask.target, ask.definition)
        return checked_view(ask.target, self.service.snapshot())

    def contact_target(self, ask: asks.NewTargetAsk, _actor: Actor) -> ContactView:
        """Show the certificate of a host that is no target yet."""
        return targeting.contact(self.service, ask)

    def add_target(self, ask: asks.TargetAddAsk, actor: Actor) -> AddedView:
        """Log in to a host, look, and write its definition."""
        return self.plans.answers.once(
            actor.name, ask.key, lambda: targeting.add(self.service, ask, actor)
        )

    def take_target(self, ask: asks.TargetAsk, actor: Actor) -> Done:
        """Let the engine know a target that was configured since its start."""
        return targeting.take(self.service, ask, actor)

    def meet_target(self, ask: asks.TargetAsk, _actor: Actor) -> ContactView:
        """Show which certificate a known host shows, and which is pinned."""
        return targeting.meet(self.service, ask)

    def trust_target(self, ask: asks.TrustAsk, actor: Actor) -> AddedView:
        """Pin the new certificate of a known host."""
        return self.plans.answers.once(
            actor.name, ask.key, lambda: targeting.trust(self.service, ask, actor)
        )

    def removal(self, ask: asks.TargetAsk, _actor: Actor) -> RemovalView:
        """Return what removing a target means."""
        return targeting.removal(self.service, ask)

    def remove_target(self, ask: asks.RemoveAsk, actor: Actor) -> RemovalView:
        """Remove a target from the configuration."""
        return self.plans.answers.once(
            actor.name, ask.key, lambda: targeting.remove(self.service, ask, actor)
        )

    def try_alerts(self, ask: asks.AlertTestAsk, _actor: Actor) -> list[TriedView]:
        """Send a test by one way out, or all."""
        return [
            TriedView(name=one.name, where=safe(one.where, 400), problem=safe(one.problem, 600))
            for one in self.service.try_alerts(ask.way)
        ]

    def metrics(self, _ask: asks.Ask, _actor: Actor) -> MetricsView:
        """Return measured values as text."""
        return MetricsView(text=self._meter.told(), type=CONTENT_TYPE)

    def ack_alert(self, ask: asks.AlertAckAsk, actor: Actor) -> Done:
        """Note that somebody looks after an alert."""
        self.service.ack_alert(ask.alert, ask.note, actor.name)
        return Done(text=f"{ask.alert} is looked after by {actor.name}; nobody is reminded of it.")

    def plan(self, ask: asks.PlanAsk, actor: Actor) -> Plan:
        """Say what an action would do."""
        job = None if ask.job is None else job_number(ask.job)
        until = self._until(ask.until)
        wish = Wish(ask.action, ask.machine, ask.point, job, ask.reason, until, ask.to)
        return self.plans.plan(wish, actor)

    def _until(self, text: str) -> datetime | None:
        snapshot = self.service.snapshot()
        try:
            return pause_end(text, snapshot.now, snapshot.calendar.zone)
        except ValueError as error:
            problem = Problem(
                "plan.until",
                f"{safe(text)} cannot be the end of a pause: {error}.",
                "Nothing was changed.",
            )
            raise WrongUse(problem) from None

    def run(self, ask: asks.RunAsk, actor: Actor) -> Done:
        """Do what a plan says."""
        return self.plans.answers.once(
            actor.name, ask.key, lambda: self.plans.run(ask.plan, ask.confirm, actor)
        )


# The role that plan and run need is the action's.
CALLS: Mapping[str, Call[Any]] = {
    "job": Call(asks.JobAsk, Role.VIEWER, Calls.job),
    "journal.read": Call(asks.JournalAsk, Role.VIEWER, Calls.journal),
    "standby.list": Call(asks.Ask, Role.VIEWER, Calls.standbys),
    "standby.add": Call(asks.StandbyAsk, Role.OPERATOR, Calls.add),
    "standby.text": Call(asks.StandbyTextAsk, Role.VIEWER, Calls.text),
    "standby.check": Call(asks.StandbyCheckAsk, Role.VIEWER, Calls.check),
    "standby.put": Call(asks.StandbyPutAsk, Role.OPERATOR, Calls.put),
    "standby.reload": Call(asks.Ask, Role.OPERATOR, Calls.reload),
    "standby.remove": Call(asks.RemoveAsk, Role.ADMIN, Calls.remove),
    "plan": Call(asks.PlanAsk, Role.VIEWER, Calls.plan),
    "run": Call(asks.RunAsk, Role.VIEWER, Calls.run),
    "guest": Call(asks.PointAsk, Role.VIEWER, Calls.guest),
    "ledger": Call(asks.LedgerAsk, Role.VIEWER, Calls.ledger),
    "conversion.plan": Call(asks.PointAsk, Role.VIEWER, Calls.plan_conversion),
    "guard": Call(asks.MachineAsk, Role.VIEWER, Calls.guard),
    "retention": Call(keeping.RetentionAsk, Role.VIEWER, Calls.retention),
    "retention.set": Call(keeping.RetentionSetAsk, Role.ADMIN, Calls.set_retention),
    "guest.report": Call(reports.ReportAsk, Role.OPERATOR, Calls.report),
    "target.check": Call(asks.TargetAsk, Role.OPERATOR, Calls.check_target),
    "target.contact": Call(asks.NewTargetAsk, Role.ADMIN, Calls.contact_target),
    "target.add": Call(asks.TargetAddAsk, Role.ADMIN, Calls.add_target),
    "target.take": Call(asks.TargetAsk, Role.ADMIN, Calls.take_target),
    "target.meet": Call(asks.TargetAsk, Role.ADMIN, Calls.meet_target),
    "target.trust": Call(asks.TrustAsk, Role.ADMIN, Calls.trust_target),
    "target.removal": Call(asks.TargetAsk, Role.ADMIN, Calls.removal),
    "target.remove": Call(asks.RemoveAsk, Role.ADMIN, Calls.remove_target),
    "drivers": Call(asks.Ask, Role.VIEWER, Calls.drivers),
    "alert.test": Call(asks.AlertTestAsk, Role.OPERATOR, Calls.try_alerts),
    "metrics": Call(asks.Ask, Role.VIEWER, Calls.metrics),
    "alert.ack": Call(asks.AlertAckAsk, Role.OPERATOR, Calls.ack_alert),
    "serial": Call(asks.SerialAsk, Role.VIEWER, Calls.serial),
    "serial.type": Call(asks.TypeAsk, Role.OPERATOR, Calls.type),
    "question": Call(asks.MachineAsk, Role.VIEWER, Calls.question),
    "answer": Call(asks.AnswerAsk, Role.OPERATOR, Calls.answer_vm),
    "picture": Call(asks.PictureAsk, Role.VIEWER, Calls.picture),
    "screen": Call(asks.MachineAsk, Role.VIEWER, Calls.screen),
}


def job_number(told: int | str) -> JobId:
    """Return a job's number. NotFound for what is none."""
    try:
        return JobId(int(told))
    except ValueError:
        raise NotFound(no_job(safe(str(told)))) from None
