"""The store of one target, which need not be there: opened as soon as it can be, and again."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from engine.model.errors import Failure, Problem, StoreAway
from engine.model.text import safe
from engine.ports import DiskChain, Store

log = logging.getLogger(__name__)


_LET_GO = Problem("store.closed", "The store is not used any more.")


class Opened(Store, Protocol):
    """A store that is held by this process."""

    def close(self) -> None:
        """Let another process have it."""


class TargetStore:
    """A store whose folder may be missing, unmounted or unfit now, and well later (a `Store`).

    `check` opens it, and may block for as long as its file system hangs; everything else uses
    what is open, or raises `StoreAway`. Thread-safe.
    """

    def __init__(self, name: str, path: Path, opener: Callable[[], Opened]) -> None:
        """Know where it is, open nothing."""
        self.name, self.path = name, path
        self._opener = opener
        self._opening = threading.Lock()
        self._store: Opened | None = None
        self.is_left = False
        """Set once it is let go of for good: no look opens it again."""
        self._problem = Problem("store.opening", f"The store {safe(str(path))} is being opened.")

    @property
    def kind(self) -> str:
        """Return what a layer is here; empty until it was opened."""
        store = self._store
        return store.kind if store is not None else ""

    def check(self) -> None:
        """Look whether it is still there; open it where it is not open, or was replaced.

        Raises:
            StoreAway: It cannot be used now, in the words of whatever is in the way.
        """
        with self._opening:
            if self.is_left:
                raise StoreAway(_LET_GO)
            try:
                if self._store is not None:
                    self._store.check()
                    return
            except StoreAway as failure:
                self._let_go(failure.problem)
            try:
                self._store = self._opener()
            except Failure as failure:
                self._problem = failure.problem
            except OSError as error:
                self._problem = _unusable(self.path, error)
        if self._store is None:
            raise StoreAway(self._problem)

    def close(self) -> None:
        """Let another process have it; waits for a look at it that hangs."""
        with self._opening:
            self._let_go(_LET_GO)

    def _let_go(self, why: Problem) -> None:
        log.info("store %s: %s", self.name, why)
        store, self._store, self._problem = self._store, None, why
        if store is not None:
            store.close()

    def touch(self) -> None:
        """Write a few bytes durably."""
        self._there().touch()

    def room(self) -> tuple[int, int] | None:
        """Return free and all bytes of where the layers are; None: as its folder's file system."""
        told = getattr(self._there(), "room", None)
        return told() if told is not None else None

    def chain(self, standby: str) -> DiskChain:
        """Return the chain of one standby."""
        return self._there().chain(standby)

    def standbys(self) -> Sequence[str]:
        """Return the names of standbys that have layers here."""
        return self._there().standbys()

    def set_aside(self, standby: str, stamp: str) -> None:
        """Move a standby's layers to the quarantine folder."""
        self._there().set_aside(standby, stamp)

    def _there(self) -> Opened:
        store = self._store
        if store is None:
            raise StoreAway(self._problem)
        return store


def _unusable(path: Path, error: OSError) -> Problem:
    shown = safe(os.fspath(path), 200)
    return Problem(
        "store.unusable",
        f"The store {shown} cannot be opened: {safe(error.strerror or str(error))}.",
        "Nothing was changed; other targets go on.",
        "Check the folder, its file system and its permissions; it is tried again by itself.",
        {"path": shown, "errno": error.errno or 0},
    )
