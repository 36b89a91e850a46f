"""A door with a scripted engine behind it, and the program run against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api.server import Door
from engine.model.points import BootPointId
from tests.records import dry_run, entries, record
from tests.scripted import ScriptedService, site
from tests.unit.cli.program import Program


@pytest.fixture
def service() -> ScriptedService:
    """Return an engine with three machines that are READY, two boot points of erp converted."""
    made = ScriptedService(site(3, 4))
    older, newest = BootPointId("bp000003"), BootPointId("bp000004")
    made.records = {older: record(*entries()[:2]), newest: record()}
    made.dry_runs = {newest: dry_run()}
    return made


@pytest.fixture
def door(service: ScriptedService, tmp_path: Path) -> Iterator[Path]:
    """Return the socket of an open door."""
    place = tmp_path / "run" / "engine.sock"
    opened = Door(service, place, view=tmp_path / "run" / "view")
    opened.start()
    yield place
    opened.stop()


@pytest.fixture
def bootpoint(door: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    """Return the program, with an engine that answers."""
    return Program(door, capsys)


@pytest.fixture
def alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    """Return the program, without any engine."""
    return Program(tmp_path / "none" / "engine.sock", capsys)
