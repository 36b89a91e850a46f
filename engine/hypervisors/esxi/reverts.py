"""A revert that was begun and is not known to have ended: kept beside the papers of a standby.

begin ── RevertToSnapshot ── the step is written down in the VM's settings ── end
└ killed here, the VM looks as if somebody else had reverted it
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.hypervisors.esxi.branches import Standing
from engine.local.durable import durable_replace, open_folder, read_bounded

_LONGEST = 4096


class Reverts:
    """The last revert of one standby, in a file. For one thread at a time."""

    def __init__(self, file: Path) -> None:
        """Keep it there; the folder exists once there is a standby."""
        self._file = file

    @contextmanager
    def of(self, there: Standing, snapshot: str) -> Iterator[None]:
        """Keep a revert of a VM to one of its snapshots until it ended well."""
        state = there.seen.state
        told = {"to": snapshot, "was": state.operation if state is not None else ""}
        with open_folder(self._file.parent) as folder:
            durable_replace(folder, self._file.name, json.dumps(told).encode())
        yield
        self.forget()

    def explains(self, there: Standing) -> bool:
        """Tell whether a VM lies where a revert of ours, of which only the mark lacks, put it."""
        state = there.seen.state
        try:
            told = json.loads(read_bounded(self._file, _LONGEST))
            to, was = told["to"], told["was"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return state is not None and (to, was) == (there.tree.current, state.operation)

    def forget(self) -> None:
        """Know of none."""
        self._file.unlink(missing_ok=True)
