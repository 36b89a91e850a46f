"""The commands of the sample site, as far as they go without building a guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.api.server import Door
from engine.cli.commands.sampling import power_off
from engine.cli.context import Context
from engine.model.points import BootPointId
from tests.scripted import ScriptedService
from tests.unit.cli.program import Program


@pytest.mark.parametrize("words", ["grow", "live", "stop"])
def test_a_folder_without_a_site_is_not_found(alone: Program, tmp_path: Path, words: str) -> None:
    """Where no site was built, the command says how to build one."""
    told = alone("sample", words, "--site", str(tmp_path / "none"))
    assert told.code == 2
    assert "bootpoint sample build" in told.err


def test_stopping_a_resting_site_ends_nothing(alone: Program, tmp_path: Path) -> None:
    """A second stop is no error."""
    (tmp_path / "engine.toml").write_text('state_dir = "state"\n')
    told = alone("sample", "stop", "--site", str(tmp_path), "--json").told
    assert told["ended"] == []


def test_the_vms_of_a_site_are_powered_off_first(tmp_path: Path) -> None:
    """Before the engine ends, each VM that runs is stopped through it."""
    config = tmp_path / "engine.toml"
    config.write_text('state_dir = "state"\n')
    service = ScriptedService()
    service.run("erp", BootPointId("bp000004"))
    door = Door(service, tmp_path / "state" / "engine.sock")
    door.start()
    assert power_off(Context(config=config)) == ["erp"]
    door.stop()
    assert not service.snapshot().state.runs
