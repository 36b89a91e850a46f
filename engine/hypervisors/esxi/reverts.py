"""Reverts that were begun and are not known to have ended: kept beside the papers of a standby.

begin ── RevertToSnapshot ── the step is written down in the VM's settings ── end
└ killed here, the VM looks as if somebody else had reverted it; by the next one, killed as well,
  it need not have moved again. A host may even do it minutes later.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.hypervisors.esxi.branches import Standing
from engine.local.durable import durable_replace, open_folder, read_bounded

LATE_S = 600.0
"""So long after its beginning an engine takes such a revert for the last one's."""
_LONGEST = 4096


class Reverts:
    """The reverts of one standby since its last step, in a file. For one thread at a time."""

    def __init__(self, file: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Keep it there; the folder exists once there is a standby."""
        self._file, self._monotonic = file, monotonic
        self._before, self._until = self._told()[1], monotonic() + LATE_S

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
        """Tell whether a VM lies where a revert of ours, of which only the mark lacks, put it.

        Also one that the engine before this one began, and that its host was slow with.
        """
        if there.tree.current in self._begun(there):
            return True
        return there.tree.current in self._before and self._monotonic() < self._until

    def _begun(self, there: Standing) -> Sequence[str]:
        """Return the snapshots that a VM was told to revert to since the step in its mark."""
        (was, to), state = self._told(), there.seen.state
        return to if state is not None and state.operation == was else []

    def _told(self) -> tuple[str, Sequence[str]]:
        """Return the step that the reverts came after, and where to; empty when none is kept."""
        try:
            told = json.loads(read_bounded(self._file, _LONGEST))
            to = [told["to"]] if isinstance(told["to"], str) else list(told["to"])
            return str(told["was"]), [str(one) for one in to]
        except (OSError, ValueError, KeyError, TypeError):
            return "", []

    def forget(self) -> None:
        """Know of none."""
        self._file.unlink(missing_ok=True)
