"""Targets of the running engine: a store and a hypervisor, either of which may be away."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from engine.daemon.nightly import findings_from_json, findings_to_json
from engine.daemon.service import TargetStatus
from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded
from engine.model.errors import Failure, HypervisorError, Problem
from engine.model.space import Seen, remembered, shrinking
from engine.ports import Converter, DiskChain, Finding, Hypervisor, Store

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 60.0
_FILE, _ROOM, _LARGEST = "findings.json", "room.json", 1 << 20
_OPENING = Problem("store.opening", "Its store is being opened.")


class Target:
    """One configured target. The hypervisor is opened in the background, again after a failure.

    `away`: why its store cannot be used, as last looked; None while it can.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        store: Store,
        opener: Callable[[], Hypervisor],
        converter: Converter,
        folder: Path | None = None,
        definition: str = "",
        trust: Callable[[str], None] | None = None,
    ) -> None:
        """Know everything, open nothing.

        Args:
            folder: Keeps what was found last; None: it is forgotten with this object.
            definition: Tells its definition from another one.
            trust: Makes another pin count for each new connection; None: nothing is pinned.
        """
        self.definition = definition
        self.converter = converter
        self.name, self.kind, self.store = name, kind, store
        self._opener, self._trust = opener, trust
        self._lock = threading.Lock()
        self._hypervisor: Hypervisor | None = None
        self._left = False
        self._problem: Problem | None = None
        self._folder = folder
        self.findings: Sequence[Finding] = ()
        self.looked_at: datetime | None = None
        """When somebody last looked, aware; None: never."""
        self.tried = False
        """Whether the hypervisor was asked for; what failed is asked again by whoever needs it."""
        self.away: Problem | None = _OPENING
        self._seen: Sequence[Seen] = ()
        self._shrinks: float | None = None
        self._take_up()
        self._take_up_room()

    def find_store(self) -> bool:
        """Look whether the store is there, opening it again; True when that changed.

        Blocks for as long as its file system hangs.
        """
        before = self.away
        try:
            self.store.check()
            self.away = None
        except Failure as failure:
            if failure.problem != before:
                self.away = failure.problem
        if before is not _OPENING and (self.away is None) == (before is None):
            return False
        log.info("store of target %s: %s", self.name, self.away or "it is there")
        return True

    def is_there(self) -> bool:
        """Tell whether the store can be used, by a look at it now."""
        self.find_store()
        return self.away is None

    def chain(self, standby: str) -> DiskChain:
        """Return the layer tree of a standby on this target. StoreAway while that is not there."""
        return self.store.chain(standby)

    def hypervisor(self) -> Hypervisor:
        """Return the open hypervisor, opening it when it is not. HypervisorError in its words."""
        with self._lock:
            if self._hypervisor is None:
                self._open()
            if self._hypervisor is None:
                raise HypervisorError(self._problem or Problem("target.closed", "It is closed."))
            return self._hypervisor

    def _open(self) -> None:
        self.tried = True
        if self._left:
            self._problem = Problem("target.closed", "It is not used any more.")
            return
        try:
            self._hypervisor = self._opener()
            self.findings = self._hypervisor.preflight()
            self._problem = None
        except Failure as failure:
            self._problem = failure.problem
            log.warning("target %s: %s", self.name, failure)

    def trust(self, pin: str, definition: str) -> None:
        """Go by another pin from the next connection on; its definition is another one by that."""
        if self._trust is None:
            raise AssertionError
        self._trust(pin)
        self.definition = definition

    def forget(self) -> None:
        """Drop what was found and measured last: another target may have the name next."""
        if self._folder is not None:
            forget(self._folder)

    def look(self, now: datetime) -> None:
        """Run the preflight again, opening the hypervisor when it is not; keep what is found."""
        with self._lock:
            if self._hypervisor is None:
                self._open()
            else:
                try:
                    self.findings = self._hypervisor.preflight()
                    self._problem = None
                except Failure as failure:
                    self._problem = failure.problem
                    log.warning("target %s: %s", self.name, failure)
            self.looked_at = now
        self._keep()

    @property
    def problem(self) -> str:
        """Return why it cannot be used, a sentence; empty when it can."""
        problem = self.trouble
        return str(problem) if problem else ""

    @property
    def trouble(self) -> Problem | None:
        """Return why it cannot be used; None when it can."""
        return self._away() or self._problem

    def _away(self) -> Problem | None:
        return None if self.away is _OPENING else self.away

    def _keep(self) -> None:
        """Write down what was found, so that a restart knows what is new."""
        if self.looked_at is None:
            return
        told = {"at": self.looked_at.isoformat(), "findings": findings_to_json(self.findings)}
        self._write(_FILE, json.dumps(told))

    def _write(self, name: str, text: str) -> None:
        if self._folder is None:
            return
        try:
            make_folder(self._folder)
            with open_folder(self._folder) as folder:
                durable_replace(folder, name, text.encode())
        except OSError as error:
            log.warning("%s of target %s is not kept: %s", name, self.name, error)

    def _take_up(self) -> None:
        if self._folder is None:
            return
        try:
            told = json.loads(read_bounded(self._folder / _FILE, _LARGEST))
            at = datetime.fromisoformat(told["at"])
            self.findings = findings_from_json(told["findings"])
            self.looked_at = at if at.tzinfo is not None else None
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning("findings of target %s cannot be read: %s", self.name, error)

    def remember(self, now: Seen) -> float | None:
        """Remember free space; return the bytes a day by which it shrinks, None: not known yet."""
        before = self._seen
        self._seen = remembered(before, now)
        if self._seen is not before:
            self._write(
                _ROOM, json.dumps([[o.at.isoformat(), o.free, o.total] for o in self._seen])
            )
            self._shrinks = shrinking(self._seen)
        return self._shrinks

    def _take_up_room(self) -> None:
        if self._folder is None:
            return
        try:
            told = json.loads(read_bounded(self._folder / _ROOM, _LARGEST))
            seen = [Seen(datetime.fromisoformat(a), int(f), int(t)) for a, f, t in told]
            self._seen = seen if all(one.at.tzinfo for one in seen) else ()
            self._shrinks = shrinking(self._seen)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, RecursionError) as error:
            log.warning("free space of target %s cannot be read: %s", self.name, error)

    def opened(self) -> Hypervisor | None:
        """Return the hypervisor if it is open, without waiting."""
        return self._hypervisor

    def status(self) -> TargetStatus:
        """Return what is known, without waiting."""
        hypervisor, away = self._hypervisor, self._away()
        return TargetStatus(
            name=self.name,
            kind=self.kind,
            capabilities=hypervisor.capabilities if hypervisor else None,
            problem=self.problem,
            trouble=self.trouble,
            store=self.store.kind,
            store_path=str(self.store.path),
            free=self._free(),
            findings=self.findings,
            looked_at=self.looked_at,
            away=str(away) if away else "",
        )

    def _free(self) -> int | None:
        try:
            return self.store.chain("free-space").free()
        except (OSError, Failure):
            return None

    def leave(self) -> None:
        """Let go of the hypervisor for good: nobody opens it again."""
        with self._lock:
            self._left = True
        self.close()

    def close(self) -> None:
        """Let go of the hypervisor; its VMs go on. Waits for a look that is going on."""
        with self._lock:
            if self._hypervisor is not None:
                self._hypervisor.close()
                self._hypervisor = None


def forget(folder: Path) -> None:
    """Drop what was kept of a target that is looked at anew; its id and its store's stay."""
    for name in (_FILE, _ROOM):
        (folder / name).unlink(missing_ok=True)
