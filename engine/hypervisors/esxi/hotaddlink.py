"""One connection for a target with transport `hotadd`: its store and its hypervisor share it.

The store is opened before the host is asked for, and must not wait for a host that is away. So the
first step that needs the host connects, and one that failed is not tried again for a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from engine.hypervisors.esxi.appliance import Appliance, own_uuids
from engine.hypervisors.esxi.attached import Plugs, Steps, Turns
from engine.hypervisors.esxi.blockdevice import Devices
from engine.hypervisors.esxi.branches import Branches
from engine.hypervisors.esxi.calling import CALL_S
from engine.hypervisors.esxi.gate import Patience
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.hotadd import HotaddChain
from engine.hypervisors.esxi.hotaddstore import HotaddStore
from engine.hypervisors.esxi.lastlife import LastLife, gate_of
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.reverts import Reverts
from engine.hypervisors.esxi.session import Account, Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.hypervisors.owner import owner
from engine.local.durable import make_folder
from engine.model.errors import Failure
from engine.ports import NEVER, DiskChain, Store

_AGAIN_S = 60.0


def wait(seconds: float) -> None:
    """Wait."""
    threading.Event().wait(seconds)


def appliance(session: Session, engine: str) -> Appliance:
    """Return this machine as a VM of a host, to be looked at."""
    machines = Machines(session, TaskWaiter(session), engine, wait)
    return Appliance(session, machines, Devices(wait))


@dataclass(frozen=True, slots=True)
class Connected:
    """What there is once the host let us in."""

    session: Session
    ground: Ground
    machines: Machines
    branches: Branches
    appliance: Appliance


class HotaddLink:
    """The host, when somebody needs it. Thread-safe."""

    def __init__(
        self,
        account: Account,
        wishes: Wishes,
        folder: Path,
        now: Callable[[], datetime],
        *,
        timeout_s: float = CALL_S,
        pause: Callable[[float], object] = wait,
        uuids: Callable[[], Sequence[UUID]] = own_uuids,
        devices: Devices | None = None,
        life: LastLife | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            folder: For what is remembered of the target: its id.
            now: This machine's clock.
            timeout_s: Seconds without a byte after which a call is given up.
            pause: Waits so many seconds.
            uuids: What this machine's firmware says it is.
            devices: Finds attached disks.
            life: Begun by whoever is the only one to change VMs of this target.
        """
        self.account, self.wishes, self.now, self.pause = account, wishes, now, pause
        make_folder(folder)
        self.engine = owner(folder)
        self.life, self.gate = life, gate_of(life)
        self._timeout_s, self._uuids = timeout_s, uuids
        self._devices = devices or Devices(pause)
        self._lock = threading.Lock()
        self._made: Connected | None = None
        self._failed: tuple[float, Failure] | None = None
        self._room: tuple[float, tuple[int, int]] | None = None

    def connect(self, *, at_once: bool = False) -> Connected:
        """Return the connection, made where there is none.

        Args:
            at_once: Also when it failed just before.

        Raises:
            HypervisorError: The host cannot be reached, is not the trusted one, or refuses us.
        """
        with self._lock:
            if self._made is not None:
                return self._made
            failed = self._failed
            if failed and not at_once and time.monotonic() - failed[0] < _AGAIN_S:
                raise failed[1]
            try:
                self._made = self._connect()
            except Failure as failure:
                self._failed = time.monotonic(), failure
                raise
            return self._made

    def _connect(self) -> Connected:
        session = Session(self.account, timeout_s=self._timeout_s)
        ground = Ground(session, self.wishes, f"bp-{self.account.target}", self.busy)
        machines = Machines(session, TaskWaiter(session), self.engine, self.busy)
        wishes = self.wishes
        branches = Branches(session, machines, ground, wishes, self.engine)
        appliance = Appliance(session, machines, self._devices, self._uuids)
        return Connected(session, ground, machines, branches, appliance)

    def busy(self, seconds: float) -> None:
        """Ask less of a host that is busy, then wait."""
        self.gate.trouble()
        self.pause(seconds)

    @property
    def steps(self) -> Steps:
        """Return what is done to standby VMs."""
        late: Any = _Late(lambda: self.connect().branches, {"free": self.room})
        return late  # type: ignore[no-any-return]  # it has what they have, once connected

    @property
    def plugs(self) -> Plugs:
        """Return what attaches disks to this machine."""
        late: Any = _Late(lambda: self.connect().appliance, {})
        return late  # type: ignore[no-any-return]  # it has what they have, once connected

    def room(self) -> tuple[int, int]:
        """Return free and all bytes of the datastore, asked for at most once a minute."""
        known, now = self._room, time.monotonic()
        if known is None or now - known[0] > _AGAIN_S:
            self._room = known = now, self.connect().branches.free()
        return known[1]

    def store(self, papers: Store) -> HotaddStore:
        """Return the store of the target's layers, from its papers."""
        return HotaddStore(papers, self._chain, self.room)

    def _chain(self, vm: str, papers: DiskChain, reverts: Reverts) -> HotaddChain:
        turns = Turns(
            lambda cancel=NEVER: self.gate.vm(vm, cancel),
            lambda cancel: self.gate.heavy(Patience(self.account.target, cancel)),
            lambda cancel: self.gate.consolidation(self.wishes.datastore, cancel),
        )
        return HotaddChain(
            vm, papers, reverts, self.steps, self.plugs, self._devices, self.engine, self.now, turns
        )


class _Late:
    """Something that is there once the host is connected."""

    def __init__(self, made: Callable[[], Any], instead: dict[str, Any]) -> None:
        self._made, self._instead = made, instead

    def __getattr__(self, name: str) -> Any:
        return self._instead[name] if name in self._instead else getattr(self._made(), name)
