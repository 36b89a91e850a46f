"""What a VM asks is answered through the engine, and the journal keeps by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.hypervisors.simulated import SimulatedHypervisor
from engine.model.conditions import Scene, asking
from engine.model.errors import Refused
from engine.model.machine import Asked, Firmware, Power, Signs, VMSpec
from engine.model.planner import Limits
from engine.model.standby import Standby
from engine.model.work import Severity
from engine.stores.memory import MemoryStore
from tests.running import Running

ASKED = Asked("7", "Moved or copied?", ("Cancel", "I moved it"), ("0", "1"))


def test_an_answer_is_in_the_journal_and_the_question_is_gone(tmp_path: Path) -> None:
    """The second one comes too late: nothing is asked any more, and nothing more is noted."""
    erp = Standby("erp", "")
    one = Running({"local": MemoryStore()}, {"erp": erp}, Limits(), tmp_path)
    one.engine.standbys["erp"] = erp
    target = one.targets["local"].hypervisor()
    assert isinstance(target, SimulatedHypervisor)
    target.asked["erp"] = ASKED
    target.create(VMSpec("erp", Firmware.BIOS, 1, 64 << 20, ()))
    assert one.desk.question("erp") == ASKED
    one.engine.picture.sign("erp", Signs(Power.OFF, question=ASKED))
    (alert,) = asking(Scene(one.engine.clock.now(), signs=one.engine.picture.signs()))
    assert (alert.key, alert.severity) == ("asks:erp", Severity.ERROR)
    assert "Moved or copied? (choices: Cancel, I moved it)" in alert.text
    with pytest.raises(Refused, match="something else"):
        one.desk.answer("erp", "7", 2, "ada")
    one.desk.answer("erp", ASKED.mark, 2, "ada")
    with pytest.raises(Refused, match="Nothing is asked"):
        one.desk.answer("erp", ASKED.mark, 2, "ada")
    assert one.desk.question("erp") is None
    assert one.engine.picture.signs()["erp"].question is None
    assert not list(asking(Scene(one.engine.clock.now(), signs=one.engine.picture.signs())))
    (line,) = [said for said in one.desk.journal() if said.key == "vm.answered"]
    assert line.standby == "erp"
    assert line.text == "ada answered what the VM of erp asked with I moved it: Moved or copied?"
