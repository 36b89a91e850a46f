"""Alerts and measured values on the command line."""

from __future__ import annotations

from engine.daemon.service import Tried
from engine.model.alarms import Alert, Condition, Told, What
from engine.model.work import Severity
from tests.scripted import NOW, ScriptedService
from tests.unit.cli.program import Program


def raise_two(service: ScriptedService) -> None:
    """Put two alerts into the picture."""
    late = Condition("rpo:erp", Severity.WARNING, "erp", "erp: late", "It is 5 h old.", "Look.")
    gone = Condition("folder:x", Severity.ERROR, "", "Folder gone", "It is gone.")
    told = {"mail": Told(What.RAISED, Severity.ERROR, NOW)}
    service.store(
        alerts={"rpo:erp": Alert(late, NOW, NOW), "folder:x": Alert(gone, NOW, NOW, told=told)}
    )


def test_alerts_are_listed_the_gravest_first(bootpoint: Program, service: ScriptedService) -> None:
    """Words, what to do, and who was told; programs get whole objects."""
    assert "Nothing is wrong" in bootpoint("alerts").out
    raise_two(service)
    told = bootpoint("alerts").out.splitlines()
    assert told[0] == "ALERTS RAISED: 2"
    assert told[1].startswith("X folder:x")
    assert "    told: mail: raised" in told
    items = bootpoint("alerts", "--json").told["items"]
    assert [one["id"] for one in items] == ["folder:x", "rpo:erp"]


def test_somebody_looks_after_an_alert(bootpoint: Program, service: ScriptedService) -> None:
    """The note is kept and shown; one that is not raised is wrong use; a viewer may not."""
    raise_two(service)
    assert bootpoint("alert", "ack", "rpo:erp", "--note", "on it").code == 0
    assert "looks after it: on it" in bootpoint("alerts").out
    assert bootpoint("alert", "ack", "none").code == 2
    assert bootpoint("--read-only", "alert", "ack", "rpo:erp").code != 0


def test_a_test_fails_when_one_way_does(bootpoint: Program, service: ScriptedService) -> None:
    """Both spellings work; the exit code is 1 if one way does not."""
    service.tried = [Tried("mail", "ops@x", ""), Tried("webhook.chat", "chat", "It hangs.")]
    told = bootpoint("alert", "--test")
    assert told.code == 1
    assert "+ mail (ops@x) took the test" in told.out
    assert "X webhook.chat (chat) did not work: It hangs." in told.out
    assert bootpoint("alert", "--test", "mail").code == 0
    found = bootpoint("alert", "test", "--json")
    assert (found.code, found.told["failed"]) == (1, 1)


def test_measured_values_are_printed(bootpoint: Program) -> None:
    """As Prometheus reads them."""
    assert 'bootpoint_rpo_lag_seconds{machine="erp"} 720' in bootpoint("metrics").out.splitlines()
