"""The ransomware guard on the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.model.guard import GUARD
from engine.model.retention import Retention
from tests.scripted import ScriptedService, site
from tests.unit.cli.program import Program


@pytest.fixture
def service() -> ScriptedService:
    """A site whose machine erp is held by the guard."""
    told = ScriptedService(site())
    erp = told.snapshot().standbys["erp"]
    hold = Retention(hold=f"{GUARD}: Increment 9 changed 30.0 % of the disks.")
    told.put_standby(replace(erp, retention=hold))
    return told


def test_the_guard_says_what_it_found_and_how_to_release_it(bootpoint: Program) -> None:
    """The hold with its figures, and the command; the same as JSON."""
    told = bootpoint("guard", "erp")
    assert told.code == 0
    assert told.out.startswith("GUARD of erp: RETENTION IS ON HOLD")
    assert "Increment 9 changed 30.0 % of the disks." in told.out
    assert "bootpoint guard release erp" in told.out
    assert json.loads(bootpoint("guard", "erp", "--json").out)["guard"]["frozen"] is True


def test_release_is_by_hand_with_a_note_and_once(
    bootpoint: Program, service: ScriptedService
) -> None:
    """A second release is refused for safety: there is nothing to release."""
    assert bootpoint("guard", "release", "erp", "--note", "an archive").code == 0
    assert [call[:3] for call in service.calls] == [("release_guard", "erp", "an archive")]
    assert bootpoint("guard", "release", "erp").code == 4
    assert "all is usual" in bootpoint("guard", "erp").out


def test_wrong_words_are_refused(bootpoint: Program) -> None:
    """Unknown machines and too many words say what is expected."""
    assert bootpoint("guard", "nobody").code != 0
    told = bootpoint("guard", "free", "erp")
    assert told.code == 2
    assert "bootpoint guard release MACHINE" in told.err
