"""Targets of the running engine: a store that is there at once, a hypervisor that opens later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from engine.daemon.service import TargetStatus
from engine.model.errors import Failure, HypervisorError, Problem
from engine.ports import Converter, DiskChain, Finding, Hypervisor, Store

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 60.0


class Target:
    """One configured target. The hypervisor is opened in the background, again after a failure."""

    def __init__(
        self,
        name: str,
        kind: str,
        store: Store,
        store_kind: str,
        opener: Callable[[], Hypervisor],
        converter: Converter,
    ) -> None:
        """Know everything, open nothing."""
        self.converter = converter
        self.name, self.kind, self.store, self._store_kind = name, kind, store, store_kind
        self._opener = opener
        self._lock = threading.Lock()
        self._hypervisor: Hypervisor | None = None
        self._problem: Problem | None = None
        self._findings: Sequence[Finding] = ()

    def chain(self, standby: str) -> DiskChain:
        """Return the layer tree of a standby on this target."""
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
        try:
            self._hypervisor = self._opener()
            self._findings = self._hypervisor.preflight()
            self._problem = None
        except Failure as failure:
            self._problem = failure.problem
            log.warning("target %s: %s", self.name, failure)

    def opened(self) -> Hypervisor | None:
        """Return the hypervisor if it is open, without waiting."""
        return self._hypervisor

    def status(self) -> TargetStatus:
        """Return what is known, without waiting."""
        hypervisor = self._hypervisor
        return TargetStatus(
            name=self.name,
            kind=self.kind,
            capabilities=hypervisor.capabilities if hypervisor else None,
            problem=str(self._problem) if self._problem else "",
            store=self._store_kind,
            store_path=str(self.store.path),
            free=self._free(),
            findings=self._findings,
        )

    def _free(self) -> int | None:
        try:
            return self.store.chain("free-space").free()
        except (OSError, Failure):
            return None

    def close(self) -> None:
        """Let go of the hypervisor; its VMs go on."""
        with self._lock:
            if self._hypervisor is not None:
                self._hypervisor.close()
                self._hypervisor = None
