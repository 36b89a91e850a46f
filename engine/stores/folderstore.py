"""A folder that holds the chains of many standby VMs, held by one process at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from engine.local import durable
from engine.model.errors import Problem, StoreAway
from engine.model.text import safe
from engine.stores import tree
from engine.stores.diskkind import DiskKind
from engine.stores.folders import FolderChain

QUARANTINE = ".quarantine"
LOCK, TOUCHED = ".lock", ".touched"


class FolderStore:
    """Layers in folders; `close` lets another process have them."""

    def __init__(self, path: Path, name: str, disks: DiskKind, kind: str) -> None:
        """Lock the folder, make it where missing, and clear what an interruption left.

        Args:
            kind: `reflink` or `qcow2`.

        Raises:
            LockHeld: Another process works with this store.
        """
        self.name, self.path, self.kind, self._disks = name, path.absolute(), kind, disks
        self._chains: dict[str, FolderChain] = {}
        self._lock = threading.Lock()
        durable.make_folder(self.path)
        self._held = contextlib.ExitStack()
        self._lock_file: int | None = self._held.enter_context(durable.file_lock(self.path / LOCK))
        for standby in self.standbys():
            self.chain(standby).sweep()

    def check(self) -> None:
        """Compare the lock in the folder with the one that is held.

        A file system that was unmounted leaves an empty folder, or that of another one.
        """
        held = self._lock_file
        try:
            if held is not None and os.path.samestat(os.lstat(self.path / LOCK), os.fstat(held)):
                return
            why = "its folder is not the one that was opened"
        except OSError as error:
            why = error.strerror or str(error)
        raise StoreAway(_away(self.path, why))

    def touch(self) -> None:
        """Replace a small file, durably."""
        self.check()
        with durable.open_folder(self.path.resolve()) as folder:
            durable.durable_replace(folder, TOUCHED, bytes(4096))

    def chain(self, standby: str) -> FolderChain:
        """Return the chain of one standby; nothing is made before its first layer."""
        tree.check_name(standby)
        with self._lock:
            if standby not in self._chains:
                self._chains[standby] = FolderChain(self.path / standby, self._disks, self.check)
            return self._chains[standby]

    def standbys(self) -> Sequence[str]:
        """Return the names of standbys that have layers here."""
        self.check()
        return sorted(
            entry.name
            for entry in self.path.iterdir()
            if tree.NAME.fullmatch(entry.name) and entry.is_dir() and any(entry.iterdir())
        )

    def set_aside(self, standby: str, stamp: str) -> None:
        """Move a standby's layers to the quarantine folder; repeatable."""
        tree.check_name(standby)
        tree.check_name(stamp, tree.STAMP)
        self.check()
        place = self.path / QUARANTINE / f"{standby}-{stamp}"
        if not (self.path / standby).is_dir():
            return
        if place.exists():
            raise tree.refused("quarantine", f"{safe(str(place))} exists already.")
        durable.make_folder(place.parent)
        durable.move_folder(self.path / standby, place)

    def close(self) -> None:
        """Give up the lock; repeatable."""
        self._lock_file = None
        self._held.close()


def _away(path: Path, why: str) -> Problem:
    return Problem(
        "store.away",
        f"The store {safe(os.fspath(path), 200)} is not there any more: {safe(why)}.",
        "Nothing was written in its place; its boot points are where it is.",
        "Mount its file system again; it is looked for by itself.",
        {"path": safe(os.fspath(path), 400)},
    )
