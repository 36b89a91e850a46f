"""What every standby VM on a host has in common, however its disks get there.

The truth about a VM is the host's own answer; nothing is kept here in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from engine.hypervisors import rules
from engine.hypervisors.esxi import faults, homestore, preflight, questions
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.console import Screens
from engine.hypervisors.esxi.gate import Gate
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.homecoming import shut_down
from engine.hypervisors.esxi.inventory import Inventory
from engine.hypervisors.esxi.lastlife import LastLife
from engine.hypervisors.esxi.layers import State
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.session import Session, clock_skew
from engine.hypervisors.esxi.signs import guest
from engine.model.errors import Refused
from engine.model.layers import LayerName
from engine.model.machine import Asked, Network, Power, Signs, VMRef, VMSpec
from engine.model.text import safe
from engine.ports import Finding

log = logging.getLogger(__name__)


class OnHost:
    """The part of an ESXi target that does not ask where disks are. Thread-safe."""

    name: str
    _session: Session
    _machines: Machines
    _ground: Ground
    _gate: Gate
    _life: LastLife | None
    _screens: Screens
    _wishes: Wishes
    _now: Callable[[], datetime]
    _pause: Callable[[float], object]

    def preflight(self) -> Sequence[Finding]:
        """Look at licence, privileges, versions, space, networks; change nothing."""
        _, took = clock_skew(self._session, self._now)
        self._gate.latency(took)
        return preflight.findings(self._session, self._wishes, self._now, self._findings)

    def _findings(self, there: Inventory | None) -> Iterator[Finding]:  # noqa: ARG002 - see `Own`
        """Yield what this transport alone has to say of the target."""
        return iter(())

    def ping(self) -> None:
        """Ask the host for its time; one that needs long gets fewer heavy operations at once."""
        _, took = clock_skew(self._session, self._now)
        self._gate.latency(took)

    def close(self) -> None:
        """Log out; VMs go on. Whoever comes next is told when a change may be under way."""
        if self._life is not None and self._gate.is_idle:
            self._life.end()
        self._session.close()

    def _make(self, spec: VMSpec, turn: int = 0) -> Machine:
        """Make a VM, off and without disks; see `homestore.fit` for what it refuses.

        Args:
            turn: How many VMs it stands in for.
        """
        inventory = self._ground.look()
        home = homestore.fit(inventory, self._wishes.datastore, self.name).name
        inventory, network = self._ground.isolated(inventory)
        return self._machines.create(spec, inventory, home, network, turn)

    def power_off(self, vm: VMRef, *, grace: float) -> None:
        """Ask the guest to shut down; after `grace` seconds cut the power; take its disks out.

        So a start by hand is told from ours later, and nobody starts stale scratch.

        Raises:
            Refused: Somebody else started it: that is his failover.
        """
        with self._gate.vm(vm):
            there = self._machines.settled(vm)
            if there is None:
                self._machines.check_not_lost(vm)
                return
            if there.seen.power is Power.OFF:
                return
            self._check_started_by_us(there)
            if grace > 0:
                there = shut_down(self._machines, there, grace)
            self._release(self._machines.power_off(there))

    def _release(self, there: Machine) -> None:
        """Do what is due after a VM was stopped."""
        raise NotImplementedError

    def signs_of_life(self, vm: VMRef) -> Signs:
        """Return power, and what VMware Tools in the guest say; OFF for a VM that is not ours."""
        try:
            there = self._machines.find(vm)
        except Refused:
            return Signs(Power.OFF)
        if there is None:
            self._machines.check_not_lost(vm)
            return Signs(Power.OFF)
        agent, addresses = guest(self._session, there.ref)
        way, at = there.homing, there.homing.datastore if there.homing else ""
        is_done = way is not None and way.done
        return Signs(
            there.seen.power,
            agent,
            addresses,
            self._printed(vm),
            there.seen.question,
            home=at if is_done else "",
            leaving="" if is_done else at,
            settles=there.seen.settles,
        )

    def answer(self, vm: VMRef, mark: str, choice: int) -> Asked:
        """Answer what the VM asks; not behind its gate, for the start that asks holds that."""
        there = self._machines.find(vm)
        if there is None:
            raise rules.asks_nothing(vm)
        asked = there.seen.question
        try:
            return questions.give(vm, there.ref, asked, mark, choice)
        except faults.ReplyLost:
            now = self._machines.look(there.ref).seen.question
            if asked is None or (now is not None and now.mark == mark):
                raise
            return asked  # it had its effect

    def _printed(self, vm: VMRef) -> bytes:  # noqa: ARG002 - for those who know
        """Return the last bytes that the VM's serial port printed; empty where it has none."""
        return b""

    def serial_input(self, vm: VMRef, data: bytes) -> int:  # noqa: ARG002 - the protocol's
        """Refuse: a serial port that prints into a file takes no input."""
        rules.check_name(vm)
        raise rules.no_input(vm)

    def screen(self, vm: VMRef) -> bytes:
        """Return the console's picture, as the host draws it."""
        there = self._machines.find(vm)
        if there is None or there.seen.power is Power.OFF:
            raise rules.is_off(vm)
        return self._screens.picture(there)

    # --- inside ----------------------------------------------------------------------------

    def _wait_for_host(self, seconds: float) -> None:
        """Ask less of a host that is busy, then wait."""
        self._gate.trouble()
        log.info("target %s is busy, waiting %.0f s", self.name, seconds)
        self._pause(seconds)

    def _check_runs(self, there: Machine, layer: LayerName, network: Network) -> None:
        """Raise unless the VM runs on this layer and network."""
        state = self._check_started_by_us(there)
        if (state.layer, state.network) != (layer, network):
            raise rules.runs_already(there.seen.vm, state.layer)

    def _check_place(self, there: Machine, inventory: Inventory) -> None:
        """Raise Refused when the VM was moved to a host that its target's place has not.

        Whether a port group is isolated was looked at on the hosts of the place alone.
        """
        if there.host is None or ref_id(there.host) in inventory.members:
            return
        name = safe(str(self._session.read(there.host, "name").get("name", "")))
        why = f"it was moved to host {name}, which is not of the target's place"
        raise faults.drifted(there.seen.vm, why)

    def _check_started_by_us(self, there: Machine) -> State:
        """Return the state of a VM that runs. Refused when it was not this engine's start."""
        state = there.seen.state
        if state is None or not state.operation:
            raise faults.drifted(there.seen.vm, "it was started by somebody else")
        return state
