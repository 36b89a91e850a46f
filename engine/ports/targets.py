"""Targets: the hypervisors that run standby VMs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.model.layers import LayerName
from engine.model.machine import Asked, Capabilities, Gravity, Home, Network, Signs, VMRef, VMSpec
from engine.ports.layers import DiskChain
from engine.ports.work import Cancel, Report, unreported


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a preflight found, with its fix."""

    gravity: Gravity
    key: str
    text: str
    remedy: str = ""


class Hypervisor(Protocol):
    """A target. Thread-safe."""

    name: str
    capabilities: Capabilities

    def preflight(self) -> Sequence[Finding]:
        """Look at licence, privileges, versions, space; no finding means all is well."""

    def ping(self) -> None:
        """Ask the target something small that it must answer itself; for measuring its pace.

        Raises:
            HypervisorError: It does not answer.
        """

    def create(self, spec: VMSpec) -> VMRef:
        """Define the standby VM, powered off, or bring an existing one of ours to this shape."""

    def chain(self, vm: VMRef) -> DiskChain:
        """Return the layer tree of the VM."""

    def power_on(
        self, vm: VMRef, layer: LayerName, network: Network, report: Report = unreported
    ) -> None:
        """Start the VM on a SCRATCH layer. LayerError on any other kind; repeatable.

        Args:
            report: Told what the start waits for, such as a question that the VM asks.
        """

    def arm(self, vm: VMRef, layer: LayerName) -> None:
        """Point the VM, powered off, at a SCRATCH layer, unconnected; repeatable.

        From then on a plain power-on in the target's own client starts it, without us. Only where
        `capabilities.arms`.

        Raises:
            HypervisorError: The VM runs, somebody else changed it, or the target does not arm.
        """

    def started_by_hand(self, vm: VMRef) -> LayerName | None:
        """Return the armed layer that somebody started the VM on, running or off again.

        None: nobody did, or the target does not arm.
        """

    def power_off(self, vm: VMRef, *, grace: float) -> None:
        """Ask the guest to shut down, cut the power after `grace` seconds (0: at once).

        Repeatable.
        """

    def bring_home(self, vm: VMRef, to: str, cancel: Cancel, report: Report = unreported) -> Home:
        """Bring a started VM onto a datastore of the target; it needs no layer of ours then.

        Repeatable: one on its way is brought on, one that is home is only told to be.

        Args:
            vm: The VM.
            to: Datastore; empty: where the VM's own files are.
            cancel: It stays where it was, and runs if it ran.
            report: Told how far.

        Raises:
            WrongUse: There is no such datastore.
            HypervisorError: It stays where it was; or the target cannot bring VMs home.
        """

    def signs_of_life(self, vm: VMRef) -> Signs:
        """Return power, agent, addresses, serial tail; power is OFF for an unknown VM."""

    def answer(self, vm: VMRef, mark: str, choice: int) -> Asked:
        """Answer the question of a VM that its start waits for; return what was asked.

        Args:
            vm: The VM.
            mark: Of the question that was read.
            choice: Number of the answer, from 1.

        Raises:
            Refused: Nothing is asked, or something else by now.
            WrongUse: The question has no such choice.
            HypervisorError: The target does not take it.
        """

    def serial(self, vm: VMRef, after: int) -> tuple[bytes, int]:
        """Return raw bytes of the serial console from offset `after` on, and the offset after them.

        At most 64 KiB; an offset whose text is gone, or of an earlier run, is moved to text that
        is there.
        """

    def serial_input(self, vm: VMRef, data: bytes) -> int:
        """Type bytes into the serial console; return how many the guest took, within 5 s.

        Raises:
            HypervisorError: The VM is off, or its serial console takes no input.
        """

    def screen(self, vm: VMRef) -> bytes:
        """Return the console picture as PNG. HypervisorError when the VM is off."""

    def delete(self, vm: VMRef, *, home: bool = False) -> None:
        """Undefine the VM and forget its files except layers; repeatable.

        Args:
            vm: The VM.
            home: Also one that was brought home, with its disks there; Refused otherwise.
        """

    def close(self) -> None:
        """Let go of the connection; VMs go on."""
