"""Reports of self-check scripts, kept for their boot points.

    STATE/reports/STANDBY/POINT.json     {who, when, report as it was given}

One file a boot point, the newest report wins. The report is kept as it came, and judged each time
it is shown: later versions may see more in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.local.durable import durable_replace, make_folder, open_folder
from engine.model.errors import Problem
from engine.model.points import BootPointId
from engine.model.text import safe

_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """A report as it was imported. `data`: its bytes."""

    actor: str
    at: datetime
    data: bytes


class Reports:
    """The folder of all reports. Thread-safe."""

    def __init__(
        self, folder: Path, now: Callable[[], datetime], tell: Callable[[str, Problem], None]
    ) -> None:
        """Remember everything; the folder is made with the first report.

        Args:
            folder: Of the engine's own.
            now: Tells the time.
            tell: Writes a line about a standby into the journal.
        """
        self._folder, self._now, self._tell = folder, now, tell

    def keep(self, standby: str, point: BootPointId, data: bytes, actor: str, said: str) -> Report:
        """Keep a report durably, instead of an earlier one; `said` goes into the journal.

        Raises:
            OSError: It cannot be written; an earlier one stays.
        """
        report = Report(actor, self._now(), data)
        told = {
            "actor": report.actor,
            "at": report.at.isoformat(),
            "report": report.data.decode("latin-1"),
        }
        make_folder(self._folder / standby)
        with open_folder(self._folder / standby) as folder:
            durable_replace(folder, f"{point}.json", json.dumps(told).encode())
        words = f"{actor} imported the report of a self-check for boot point {point}: {said}"
        self._tell(standby, Problem("guest.report", words))
        return report

    def of(self, standby: str, point: BootPointId) -> Report | None:
        """Return a boot point's report; None when there is none that can be read."""
        try:
            with (self._folder / standby / f"{point}.json").open("rb") as file:
                told = json.loads(file.read(_LONGEST))
            at = datetime.fromisoformat(told["at"])
            return Report(safe(told["actor"], 80), at, told["report"].encode("latin-1"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
