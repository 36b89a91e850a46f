"""Standby VMs on an ESXi host or a vCenter, with disks on the appliance (transport `nfs`).

    FOLDER/owner      our id, in the mark of each VM that is ours
    <store>/.run/     what hosts mount; see `nfs.py`

The truth about a VM is the host's own answer; nothing is kept here in memory.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from engine.hypervisors import rules, serialfile
from engine.hypervisors.esxi import faults, layers
from engine.hypervisors.esxi.calling import CALL_S
from engine.hypervisors.esxi.console import Screens
from engine.hypervisors.esxi.gate import wait
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.home import Homeward
from engine.hypervisors.esxi.homecoming import Homecoming
from engine.hypervisors.esxi.inventory import Inventory
from engine.hypervisors.esxi.lastlife import LastLife, gate_of
from engine.hypervisors.esxi.layers import State
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.nfs import RunFolders
from engine.hypervisors.esxi.onhost import OnHost
from engine.hypervisors.esxi.preflight import Wishes, as_finding
from engine.hypervisors.esxi.session import Account, Session
from engine.hypervisors.esxi.standins import StandIns
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.hypervisors.owner import owner
from engine.local.durable import make_folder
from engine.model.layers import LayerName
from engine.model.machine import (
    Capabilities,
    CardModel,
    DiskBus,
    Home,
    Homing,
    Network,
    Power,
    VMRef,
    VMSpec,
)
from engine.model.text import safe
from engine.ports import Cancel, DiskChain, Finding, Report, unreported

log = logging.getLogger(__name__)

_TWINS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target's things are on this machine.

    Attributes:
        folder: For what is remembered of the target.
        run: `.run` in its store.
    """

    folder: Path
    run: Path


class EsxiHypervisor(OnHost):
    """A host or a vCenter as a target. Thread-safe."""

    def __init__(
        self,
        account: Account,
        wishes: Wishes,
        place: Place,
        chains: Callable[[str], DiskChain],
        now: Callable[[], datetime],
        *,
        timeout_s: float = CALL_S,
        pause: Callable[[float], object] = wait,
        life: LastLife | None = None,
    ) -> None:
        """Log in.

        Args:
            chains: Gives the layer tree of a VM by its name.
            now: This machine's clock.
            timeout_s: Seconds without a byte after which a call is given up.
            pause: Waits so many seconds.
            life: Begun by whoever is the only one to change VMs of this target.

        Raises:
            HypervisorError: The host cannot be reached, is not the trusted one, or refuses us.
        """
        self.name = account.target
        self.capabilities = Capabilities(
            None,
            "esxi",
            screen=True,
            serial=True,
            buses=(DiskBus.PVSCSI, DiskBus.SATA),
            cards=(CardModel.VMXNET3, CardModel.E1000E),
            arms=True,
        )
        self._wishes, self._chains, self._now, self._pause = wishes, chains, now, pause
        make_folder(place.folder)
        self._engine = owner(place.folder)
        self._runs = RunFolders(place.run, f"bp-{account.target}")
        self._life = life
        self._gate = gate_of(life)
        self._session = Session(account, timeout_s=timeout_s)
        self._screens = Screens(self._session, self._gate)
        self._ground = Ground(self._session, wishes, self._runs.datastore, self._wait_for_host)
        waiter = TaskWaiter(self._session)
        self._machines = Machines(self._session, waiter, self._engine, self._wait_for_host)
        self._homeward = Homeward(
            self._session, waiter, self._machines, self._runs.datastore, self._wait_for_host
        )
        self._homecoming = Homecoming(
            self._session, self._machines, self._homeward, self._ground, self._runs, self._gate
        )
        self._standins = StandIns(self._session, self._machines, self._ground, self._runs)
        homing = Homing.LIVE if self._session.is_vcenter else Homing.OFF
        self.capabilities = replace(self.capabilities, homing=homing)

    # --- the target ------------------------------------------------------------------------

    def chain(self, vm: VMRef) -> DiskChain:
        """Return the layer tree of the VM."""
        return self._chains(vm)

    def _findings(self, there: Inventory | None) -> Iterator[Finding]:
        """Yield what is to be said of the share."""
        problem = self._ground.taken(there) if there is not None and self._wishes.server else None
        if problem is not None:
            yield as_finding(problem)

    # --- VMs -------------------------------------------------------------------------------

    def create(self, spec: VMSpec) -> VMRef:
        """Make the VM, powered off and without disks.

        One that runs keeps its shape until it is off. A VM holds no data of its own, so another
        shape is another VM.

        Raises:
            Refused: A VM of this name is not ours, or somebody else changed it.
            HypervisorError: The host does not take it.
        """
        rules.check_name(spec.name)
        with self._gate.vm(spec.name), faults.leaving(_not_started(spec.name)):
            there = self._machines.settled(spec.name)
            if there is not None and there.seen.power is not Power.OFF:
                return VMRef(spec.name)
            turn = there.seen.turn if there is not None else 0
            is_out = there is not None and self._standins.wanted(there)
            if there is not None and is_out and not there.seen.connected:
                self._standins.fence(there)
                there, turn = None, turn + 1
            elif there is not None and (is_out or there.seen.shape != layers.shape(spec)):
                self._check_unchanged(there)
                self._machines.destroy(there)
                self._runs.forget(spec.name)
                there = None
            self._standins.sweep(there if there is not None else self._make(spec, turn))
        return VMRef(spec.name)

    def power_on(
        self, vm: VMRef, layer: LayerName, network: Network, report: Report = unreported
    ) -> None:
        """Start the VM on a SCRATCH layer; nothing happens when it runs on it already.

        Raises:
            Refused: It runs on another layer, somebody else changed or started it, or there is no
                such network.
        """
        with self._gate.vm(vm), faults.leaving(_not_started(vm)):
            there = self._machines.settled(vm)
            if there is None:
                raise rules.unknown(vm)
            rules.check_scratch(self._chains(vm), layer)
            if network is Network.PRODUCTION and not self._wishes.production:
                raise rules.no_network(self.name, network)
            if there.seen.power is not Power.OFF:
                self._check_runs(there, layer, network)
                return
            self._standins.check(there)
            self._check_unchanged(there)
            self._start(there, layer, network, report)

    def arm(self, vm: VMRef, layer: LayerName) -> None:
        """Point the VM, off, at a SCRATCH layer, for a power-on by hand; repeatable.

        Its cards stay unconnected on the isolated port group: whoever starts it decides.

        Raises:
            Refused: It runs, or somebody else changed or started it.
        """
        unarmed = f"{safe(vm)} is armed as before, or not at all; its boot points are as before."
        with self._gate.vm(vm), faults.leaving(unarmed):
            there = self._machines.settled(vm)
            if there is None:
                raise rules.unknown(vm)
            rules.check_scratch(self._chains(vm), layer)
            if there.seen.power is not Power.OFF:
                raise rules.runs_already(vm, self._check_started_by_us(there).layer)
            state = there.seen.state
            self._check_unchanged(there)
            files = self._chains(vm).disk_files(layer)
            is_done = state is not None and state.armed and bool(there.seen.disks)
            if state is None or not is_done or not self._runs.shows(vm, state.operation, files):
                self._give(there, layer, Network.NONE, armed=True)

    def started_by_hand(self, vm: VMRef) -> LayerName | None:
        """Return the armed layer that somebody started the VM on, running or off again."""
        there = self._machines.find(vm)
        state = there.seen.state if there is not None else None
        if there is None or state is None or not state.armed:
            return None
        is_used = there.seen.power is not Power.OFF or self._is_touched(vm, state)
        return LayerName(state.layer) if is_used else None

    def _is_touched(self, vm: VMRef, state: State) -> bool:
        return state.armed and self._runs.is_touched(vm, state.operation)

    def _start(self, there: Machine, layer: LayerName, network: Network, report: Report) -> None:
        there = self._give(there, layer, network, armed=False)
        self._machines.power_on(there, report)
        log.info("started vm=%s layer=%s network=%s", safe(there.seen.vm), safe(layer), network)

    def _give(self, there: Machine, layer: LayerName, network: Network, *, armed: bool) -> Machine:
        """Point a VM that is off at a scratch layer, in a run folder of its own."""
        vm = there.seen.vm
        state = State(uuid4().hex, layer, network, armed)
        connected = network is not Network.NONE
        with self._ground.starting():
            inventory = self._ground.mounted()
            self._check_place(there, inventory)
            _, port = self._ground.port(inventory, network)
            files = self._runs.expose(vm, state.operation, self._chains(vm).disk_files(layer))
            there = self._machines.give(there, files, port, state, connected=connected)
        if armed:
            self._runs.armed(vm, state.operation)
        self._runs.forget(vm, keep=state.operation)
        return there

    def power_off(self, vm: VMRef, *, grace: float) -> None:
        """Stop the VM; see `OnHost`. HypervisorError says what to do when its host is away."""
        try:
            with faults.leaving(f"{safe(vm)} was not stopped; what it wrote is kept."):
                super().power_off(vm, grace=grace)
        except faults.HostBusy:
            if (there := self._machines.find(vm)) is not None:
                self._standins.check(there)
            raise

    def _release(self, there: Machine) -> None:
        """Take the disks out; what hinders that hinders the next start, not this stop."""
        vm = there.seen.vm
        if there.homing is not None and there.homing.done:
            return
        if why := layers.drift(there.seen, self._runs.shown(vm)):
            log.warning("the disks of %s stay attached: %s", safe(vm), why)
            return
        try:
            self._machines.release(there)
        except faults.HostFailure as failure:
            log.warning("the disks of %s stay attached: %s", safe(vm), failure)
        else:
            self._runs.forget(vm)

    def bring_home(self, vm: VMRef, to: str, cancel: Cancel, report: Report = unreported) -> Home:
        """Bring a started VM onto a datastore of its host; see `homecoming.py`."""
        kept = f"What {safe(vm)} wrote is whole, on the appliance's share or where it was brought."
        with self._gate.vm(vm), faults.leaving(kept):
            there = self._machines.find(vm)
            if there is None:
                raise rules.unknown(vm)
            state = self._check_started_by_us(there)
            return self._homecoming.bring(there, state, to, cancel, report)

    def delete(self, vm: VMRef, *, home: bool = False) -> None:
        """Cut the power, delete the VM and its run folders, no layer; repeatable.

        Args:
            vm: The VM.
            home: Also one that was brought home, with its disks there.

        Raises:
            Refused: A VM of its id is not ours, or somebody else started it or made a snapshot.
        """
        rules.check_name(vm)
        kept = f"The VM of {safe(vm)} is not deleted; its boot points are as before."
        with self._gate.vm(vm), faults.leaving(kept):
            if (there := self._machines.settled(vm)) is None:
                self._machines.check_not_lost(vm)
            for _ in range(_TWINS):  # a call that was lost may have been carried out late
                if there is None or self._standins.is_left(there):
                    break
                if there.homing is not None and not home:
                    raise rules.is_home(vm, there.homing.datastore)
                self._destroy(there)
                there = self._machines.settled(vm)
            self._runs.forget(vm)

    def _destroy(self, there: Machine) -> None:
        if there.seen.snapshots:
            raise faults.drifted(there.seen.vm, "it has a snapshot that is not ours")
        if there.seen.template:
            raise faults.drifted(there.seen.vm, layers.TEMPLATE)
        if there.seen.power is not Power.OFF:
            self._check_started_by_us(there)
            there = self._machines.power_off(there)
        self._machines.destroy(there)
        self._homeward.sweep(there)

    # --- what it says ----------------------------------------------------------------------

    def _printed(self, vm: VMRef) -> bytes:
        # Whatever a host made of that file, it is no reason to know nothing of the VM.
        with contextlib.suppress(OSError):
            return serialfile.read_tail(self._runs.serial(vm))
        return b""

    def serial(self, vm: VMRef, after: int) -> tuple[bytes, int]:
        """Return what the serial port printed: it prints into a file on our own share."""
        rules.check_name(vm)
        with contextlib.suppress(OSError):
            return serialfile.read_from(self._runs.serial(vm), after)
        return b"", 0

    # --- inside ----------------------------------------------------------------------------

    def _check_unchanged(self, there: Machine) -> None:
        vm, state = VMRef(there.seen.vm), there.seen.state
        if there.homing is not None:
            raise rules.is_home(vm, there.homing.datastore)
        why = layers.drift(there.seen, self._runs.shown(vm))
        if not why and state is not None and self._is_touched(vm, state):
            why = "it was started by somebody else"
        if why:
            raise faults.drifted(vm, why)


def _not_started(vm: str) -> str:
    return f"{safe(vm)} was not started; its boot points are as before."
