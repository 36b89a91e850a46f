"""`bootpoint answer`: what a VM asks is read and answered from the shell."""

from __future__ import annotations

import pytest

from engine.model.machine import Asked, Power, Signs
from tests.scripted import ScriptedService
from tests.unit.cli.program import Program

ASKED = Asked("7", "Moved or copied?", ("Cancel", "I moved it", "I copied it"), ("0", "1", "2"))


@pytest.fixture
def asking(service: ScriptedService) -> ScriptedService:
    """Let the VM of erp ask something."""
    service.run("erp", service.snapshot().state.ready("erp")[-1].id)
    service.show(signs={"erp": Signs(Power.OFF, question=ASKED)})
    return service


def test_a_question_is_shown_with_its_choices_numbered(
    bootpoint: Program, asking: ScriptedService
) -> None:
    """Without a choice nothing is answered; `show` names the command as well."""
    told = bootpoint("answer", "erp")
    assert told.code == 0
    assert "asks: Moved or copied?" in told.out
    assert "  2  I moved it" in told.out
    question = bootpoint("answer", "erp", "--json").told["question"]
    assert question["choices"] == list(ASKED.choices)
    assert question["id"] == ASKED.mark
    assert "bootpoint answer erp" in bootpoint("show", "erp").out
    assert "Cancel" in bootpoint("show", "erp").out
    assert bootpoint.real("complete", "line", "answer", "erp", "").stdout.split() == list("123")
    assert asking.calls == []


@pytest.mark.parametrize("choice", ["2", "i moved it"])
def test_it_is_answered_by_number_or_words(
    bootpoint: Program, asking: ScriptedService, choice: str
) -> None:
    """The choice goes to the engine with the question that was read."""
    told = bootpoint("answer", "erp", choice)
    assert (told.code, "I moved it" in told.out) == (0, True)
    assert asking.calls[0][:3] == ("answer", "erp", "2")
    assert bootpoint("answer", "erp").out == "The VM of erp asks nothing.\n"
    assert bootpoint("answer", "erp", "--json").told["question"] is None


def test_a_wrong_choice_is_said_with_the_right_ones(
    bootpoint: Program, asking: ScriptedService
) -> None:
    """Nothing reaches the engine, and the error lists what can be chosen."""
    for choice in ("0", "4", "moved"):
        told = bootpoint("answer", "erp", choice)
        assert told.code == 2
        assert "1 Cancel, 2 I moved it, 3 I copied it" in told.err
    assert asking.calls == []


def test_where_nothing_is_asked_an_answer_is_refused(bootpoint: Program) -> None:
    """A late answer changes nothing and says so."""
    told = bootpoint("answer", "erp", "1")
    assert told.code == 4
    assert "Nothing is asked" in told.err
    assert bootpoint("--read-only", "answer", "erp", "1").code != 0
    assert bootpoint("answer", "nobody").code != 0
