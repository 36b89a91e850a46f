"""Every call of the door asked once, without a socket: who may, what is wrong, and what it does."""

from __future__ import annotations

import base64
from dataclasses import replace

import msgspec
import pytest

from engine.api.calls import CALLS, Calls
from engine.api.plans import Actor
from engine.api.problems import Denied
from engine.api.roles import Role
from engine.model.alarms import Alert, Condition
from engine.model.errors import Failure, NotFound, Refused, WrongUse
from engine.model.machine import Asked, Power, Signs
from engine.model.work import Severity
from tests.scripted import NOW, ScriptedService, site

NEW = {"name": "esx-01", "url": "https://esx-01/", "user": "bp", "password": "file:/p"}
PARAMS: dict[str, dict[str, object]] = {
    "standby.add": {"name": "new", "images": "/images/new"},
    "standby.put": {"name": "new", "text": 'images = "/images/new"'},
    "standby.reload": {},
    "standby.remove": {"name": "erp"},
    "retention.set": {"machine": "erp", "settings": {"keep": 5}},
    "guest.report": {"machine": "erp", "report": "e30="},
    "target.check": {"target": "local"},
    "target.contact": NEW,
    "target.add": NEW,
    "target.take": {"target": "esx-01"},
    "target.meet": {"target": "esx-01"},
    "target.trust": {"target": "esx-01", "pin": "ab" * 32},
    "target.removal": {"target": "esx-01"},
    "target.remove": {"name": "esx-01"},
    "alert.test": {},
    "alert.ack": {"alert": "rpo:erp"},
    "serial.type": {"machine": "erp", "data": "eA=="},
    "answer": {"machine": "erp", "question": "7", "choice": 1},
}
"""What each call that is not for viewers takes at least."""
LOOKS = ("guest", "ledger", "conversion.plan", "guard", "retention", "serial", "screen", "question")


@pytest.fixture
def service() -> ScriptedService:
    """Return an engine with three machines that are READY."""
    return ScriptedService(site(3, 4))


@pytest.fixture
def calls(service: ScriptedService) -> Calls:
    """Return what answers for it; time stands still."""
    return Calls(service, lambda: 0.0)


def ask(calls: Calls, method: str, role: Role = Role.ADMIN, **params: object) -> object:
    """Ask a call."""
    return calls.answer(method, msgspec.json.encode(params), Actor("ada", role))


def test_what_changes_something_is_not_for_viewers(calls: Calls, service: ScriptedService) -> None:
    """Each such call is refused for its role, and the engine is asked for nothing."""
    changing = {name for name, call in CALLS.items() if call.role is not Role.VIEWER}
    assert changing == set(PARAMS)
    for method, params in PARAMS.items():
        with pytest.raises(Denied):
            ask(calls, method, Role.VIEWER, **params)
    assert service.calls == []


@pytest.mark.parametrize("method", [*LOOKS, "retention.set", "guest.report"])
def test_a_machine_that_is_not_there_is_said_so(calls: Calls, method: str) -> None:
    """Each call about a machine says that there is none of that name."""
    with pytest.raises(NotFound) as told:
        ask(calls, method, **{**PARAMS.get(method, {}), "machine": "nobody"})
    assert "nobody" in str(told.value.problem)


@pytest.mark.parametrize("method", sorted(CALLS))
def test_params_that_are_no_object_are_refused(calls: Calls, method: str) -> None:
    """A list where names belong is wrong use, never an error inside."""
    with pytest.raises(Failure):
        calls.answer(method, b"[1]", Actor("ada", Role.ADMIN))


def test_an_alert_is_looked_after_by_whoever_says_so(
    calls: Calls, service: ScriptedService
) -> None:
    """`alert.ack` is noted with the kernel's name of the peer, and only of an alert there is."""
    alert = Alert(Condition("rpo:erp", Severity.WARNING, "erp", "late", "late"), NOW, NOW)
    state = service.snapshot().state
    service.show(state=replace(state, alerts={"rpo:erp": alert}))
    ask(calls, "alert.ack", alert="rpo:erp", note="on it")
    acked = service.snapshot().state.alerts["rpo:erp"]
    assert (acked.acked_by, acked.note) == ("ada", "on it")
    with pytest.raises(NotFound):
        ask(calls, "alert.ack", alert="rpo:nobody")


def test_bytes_typed_arrive_and_what_is_no_base64_is_refused(
    calls: Calls, service: ScriptedService
) -> None:
    """`serial.type` takes base64 and says how many bytes the guest took."""
    data = base64.b64encode(b"root\r").decode()
    assert ask(calls, "serial.type", machine="erp", data=data).taken == 5  # type: ignore[attr-defined]
    with pytest.raises(WrongUse):
        ask(calls, "serial.type", machine="erp", data="???")
    assert [one for one in service.calls if one[0] == "serial_input"] == [
        ("serial_input", "erp", "root\r", "ada")
    ]


def test_an_answer_is_given_once_and_only_to_the_question_that_was_read(
    calls: Calls, service: ScriptedService
) -> None:
    """`answer` goes with the question's id: another one is refused, and so is none."""
    assert ask(calls, "question", Role.VIEWER, machine="erp") == []
    with pytest.raises(Refused, match="Nothing is asked"):
        ask(calls, "answer", machine="erp", question="7", choice=1)
    first = Asked("7", "Moved or copied?", ("Cancel", "I moved it"), ("0", "1"))
    service.show(signs={"erp": Signs(Power.OFF, question=first)})
    (told,) = ask(calls, "question", Role.VIEWER, machine="erp")  # type: ignore[misc]  # a list
    assert (told.text, told.choices) == ("Moved or copied?", ["Cancel", "I moved it"])
    told_by_id = {"machine": "erp", "question": told.id}
    with pytest.raises(WrongUse, match="no choice 3"):
        ask(calls, "answer", **told_by_id, choice=3)
    with pytest.raises(WrongUse):
        ask(calls, "answer", **told_by_id, choice=0)
    service.show(signs={"erp": Signs(Power.OFF, question=replace(first, keys=("1", "0")))})
    with pytest.raises(Refused, match="something else by now"):
        ask(calls, "answer", **told_by_id, choice=2)
    service.show(signs={"erp": Signs(Power.OFF, question=first)})
    once = ask(calls, "answer", **told_by_id, choice=2, key="k")
    assert ask(calls, "answer", **told_by_id, choice=2, key="k") == once
    assert "I moved it" in once.text  # type: ignore[attr-defined]  # a Done
    assert service.question("erp") is None


def test_metrics_tell_time(calls: Calls, service: ScriptedService) -> None:
    """The same engine asked again a minute later tells the later values."""
    before = ask(calls, "metrics").text  # type: ignore[attr-defined]
    service.advance(minutes=1)
    assert ask(calls, "metrics").text != before  # type: ignore[attr-defined]
