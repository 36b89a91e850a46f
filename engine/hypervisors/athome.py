"""What is the same on all targets that run VMs from their own store, started by us alone."""

from __future__ import annotations

from engine.hypervisors import rules
from engine.model.layers import LayerName
from engine.model.machine import Asked, Home, VMRef
from engine.ports import Cancel, Report, unreported


class AtHome:
    """Base of such targets: nothing is armed there, and nothing has to be brought home."""

    name: str

    def arm(self, vm: VMRef, layer: LayerName) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: VMs of this target are started by us only."""
        raise rules.no_arming(self.name)

    def started_by_hand(self, vm: VMRef) -> LayerName | None:  # noqa: ARG002 - the protocol's
        """Return None: nothing is armed here."""
        return None

    def answer(self, vm: VMRef, mark: str, choice: int) -> Asked:  # noqa: ARG002 - the protocol's
        """Refuse: VMs of this target ask nothing."""
        raise rules.asks_nothing(vm)

    def bring_home(
        self,
        vm: VMRef,  # noqa: ARG002 - the protocol's
        to: str,  # noqa: ARG002 - the protocol's
        cancel: Cancel,  # noqa: ARG002 - the protocol's
        report: Report = unreported,  # noqa: ARG002 - the protocol's
    ) -> Home:
        """Refuse: VMs of this target are at home."""
        raise rules.no_homing(self.name)
