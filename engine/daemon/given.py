"""What the loop is given: a watcher of folders, the standbys' files, and what engine.toml says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Protocol

from engine.jobs.power import Shape
from engine.model.blackout import Blackout
from engine.model.errors import Problem
from engine.model.readrate import ReadLimit
from engine.model.retention import Retention
from engine.model.schedule import Calendar
from engine.model.slots import Limits
from engine.model.standby import Standby


class Watcher(Protocol):
    """Scans watched folders and tells of each changed view, from its own threads."""

    def add_root(self, root: str) -> None:
        """Begin to watch a folder; repeatable."""

    def remove_root(self, root: str) -> None:
        """Stop watching it; repeatable."""

    def settled(self) -> bool:
        """Tell whether every root was scanned and no file waits to become quiet."""

    def is_alive(self) -> bool:
        """Tell whether all its threads still run."""

    def stop(self) -> None:
        """End all threads."""


class StandbyFiles(Protocol):
    """The folder `standbys.d`."""

    def load(self) -> tuple[dict[str, Standby], dict[str, Problem]]:
        """Read all files: standbys, and what is wrong with the others, by name."""

    def marks(self) -> Mapping[str, object]:
        """Return of each file, by name, what changes when it does. Failure: cannot be read."""

    def write(self, standby: Standby) -> str:
        """Write one file durably; return its path."""

    def text(self, name: str) -> str:
        """Return a file as it is. WrongUse when it cannot be read."""

    def parse(self, name: str, text: str) -> tuple[Standby | None, Sequence[Problem]]:
        """Read a text as if it were a standby's file: the standby, or everything wrong in it."""

    def write_text(self, standby: Standby, text: str) -> str:
        """Write one file durably, with the text it was parsed from; return its path."""

    def remove(self, name: str) -> None:
        """Move one file out of the way."""

    def path(self, name: str) -> str:
        """Return where a standby's file is, or would be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What engine.toml says to the loop."""

    site: str
    roots: Sequence[str]
    zone: tzinfo
    retention: Retention
    limits: Limits
    shape: Shape
    blackouts: tuple[Blackout, ...] = ()
    reads: tuple[ReadLimit, ...] = ()

    @property
    def calendar(self) -> Calendar:
        """The zone and the windows in which nothing is begun."""
        return Calendar(self.zone, self.blackouts)
