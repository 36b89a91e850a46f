"""Where layers of many standbys lie with transport `hotadd`: on the host, papers beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from engine.hypervisors.esxi.hotadd import HotaddChain
from engine.hypervisors.esxi.reverts import Reverts
from engine.ports import DiskChain, Store


class HotaddStore:
    """A store whose layers are snapshots on a host, and its papers a folder of this machine."""

    def __init__(
        self,
        papers: Store,
        chains: Callable[[str, DiskChain, Reverts], HotaddChain],
        room: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        """Take the papers.

        Args:
            chains: Makes the chain of a standby from its papers.
            room: Tells free and all bytes of the datastore.
        """
        self._papers, self._make, self.room = papers, chains, room
        self.name, self.path = papers.name, papers.path
        self._chains: dict[str, HotaddChain] = {}
        self._lock = threading.Lock()

    @property
    def kind(self) -> str:
        """Return what a layer is here."""
        return self._papers.kind

    def check(self) -> None:
        """Make sure that the papers are there."""
        self._papers.check()

    def touch(self) -> None:
        """Write a few bytes beside the papers."""
        self._papers.touch()

    def chain(self, standby: str) -> HotaddChain:
        """Return the chain of one standby."""
        papers = self._papers.chain(standby)
        with self._lock:
            if standby not in self._chains:
                self._chains[standby] = self._make(
                    standby, papers, Reverts(self.path / f".{standby}.revert")
                )
            return self._chains[standby]

    def standbys(self) -> Sequence[str]:
        """Return the names of standbys that have papers here."""
        return self._papers.standbys()

    def set_aside(self, standby: str, stamp: str) -> None:
        """Move the papers to quarantine, and rename the VM."""
        self._papers.set_aside(standby, stamp)
        self.chain(standby).set_aside(stamp)

    def close(self) -> None:
        """Let another process have the papers."""
        close = getattr(self._papers, "close", None)
        if close is not None:
            close()
