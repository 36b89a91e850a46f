"""A door with a scripted engine behind it, and the program run against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api.server import Door
from tests.scripted import ScriptedService, site
from tests.unit.cli.program import Program


@pytest.fixture
def service() -> ScriptedService:
    """Return an engine with three machines that are READY."""
    return ScriptedService(site(3, 4))


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
