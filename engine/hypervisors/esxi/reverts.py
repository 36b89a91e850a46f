"""Reverts that were begun and are not known to have ended: kept beside the papers of a standby.

begin ── RevertToSnapshot ── the step is written down in the VM's settings ── end
└ killed here, the VM looks as if somebody else had reverted it; by the next one, killed as well,
  it need not have moved again
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.hypervisors.esxi.branches import Standing
from engine.local.durable import durable_replace, open_folder, read_bounded

_LONGEST = 4096


class Reverts:
    """The reverts of one standby since its last step, in a file. For one thread at a time."""

    def __init__(self, file: Path) -> None:
        """Keep it there; the folder exists once there is a standby."""
        self._file = file

    @contextmanager
    def of(self, there: Standing, snapshot: str) -> Iterator[None]:
        """Keep a revert of a VM to one of its snapshots until it ended well."""
        state = there.seen.state
        to = dict.fromkeys((*self._begun(there), snapshot))
        told = {"to": list(to), "was": state.operation if state is not None else ""}
        with open_folder(self._file.parent) as folder:
            durable_replace(folder, self._file.name, json.dumps(told).encode())
        yield
        self.forget()

    def explains(self, there: Standing) -> bool:
        """Tell whether a VM lies where a revert of ours, of which only the mark lacks, put it."""
        return there.tree.current in self._begun(there)

    def _begun(self, there: Standing) -> Sequence[str]:
        """Return the snapshots that a VM was told to revert to since the step in its mark."""
        try:
            told = json.loads(read_bounded(self._file, _LONGEST))
            was, to = told["was"], [told["to"]] if isinstance(told["to"], str) else list(told["to"])
        except (OSError, ValueError, KeyError, TypeError):
            return []
        state = there.seen.state
        return to if state is not None and state.operation == was else []

    def forget(self) -> None:
        """Know of none."""
        self._file.unlink(missing_ok=True)
