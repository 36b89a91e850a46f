"""The program under test: run in this process, or as the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.cli.main import main


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run of the program came to."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """The one JSON object of the output."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        told: dict[str, Any] = json.loads(lines[0])
        assert next(iter(told)) == "schema"
        assert told["schema"] == 1
        return told


class Program:
    """Runs `bootpoint`, in this process or as the real program."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Run against the socket at `place`."""
        self.place = place
        self._capsys = capsys

    def __call__(self, *words: str) -> Ran:
        """Run it in this process."""
        self._capsys.readouterr()
        try:
            code = main([*words, "--socket", str(self.place)])
        except SystemExit as left:
            code = int(left.code or 0)
        told = self._capsys.readouterr()
        return Ran(code, told.out, told.err)

    def real(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the installed program."""
        return subprocess.run(
            [program(), *words],
            env={**os.environ, "BOOTPOINT_SOCKET": str(self.place)},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
            **options,
        )


def program() -> str:
    """Return the path of the installed program."""
    return str(Path(sys.executable).with_name("bootpoint"))
