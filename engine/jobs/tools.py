"""What every story is given: the world behind protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from engine.model.images import hints_from_json
from engine.model.layers import LayerManifest, LayerName
from engine.model.machine import Hints
from engine.model.points import BootPoint, Stage
from engine.model.standby import Standby
from engine.model.work import Severity
from engine.ports import (
    Cancel,
    Clock,
    Converter,
    DiskChain,
    Hypervisor,
    ImageSource,
    Reading,
    Report,
    StateStore,
    Unpaced,
)


@dataclass(frozen=True, slots=True)
class Tools:
    """The protocols a job works against, for one standby.

    Attributes:
        hypervisor: Asked for only by stories that start or stop VMs; raises HypervisorError while
            the target cannot be reached.
        reading: How fast images may be read.
    """

    standby: Standby
    state: StateStore
    clock: Clock
    source: ImageSource
    chain: DiskChain
    converter: Converter
    hypervisor: Callable[[], Hypervisor]
    cancel: Cancel
    report: Report
    reading: Reading = field(default_factory=Unpaced)

    def hints(self, layer: LayerName) -> Hints:
        """Return what a sealed layer's manifest says about the machine; empty if nothing."""
        found = self.chain.layers().get(layer)
        return hints_of(found.manifest) if found is not None else Hints()

    def move(self, point: BootPoint, stage: Stage, **changes: object) -> BootPoint:
        """Store the boot point's next stage, durably, and return it."""
        moved = replace(point, stage=stage, **changes)  # type: ignore[arg-type]  # fields of BootPoint
        with self.state.write() as tx:
            tx.save_boot_point(moved)
        return moved

    def tell(
        self,
        key: str,
        text: str,
        severity: Severity = Severity.INFO,
        unchanged: str = "",
        remedy: str = "",
    ) -> None:
        """Append a line to the operator's journal."""
        with self.state.write() as tx:
            tx.write_journal(
                self.clock.now(), severity, self.standby.name, key, text, unchanged, remedy
            )


def hints_of(manifest: LayerManifest | None) -> Hints:
    """Return what a manifest says about the machine; empty if nothing."""
    try:
        return hints_from_json(manifest.facts) if manifest is not None else Hints()
    except (ValueError, TypeError, KeyError):
        return Hints()
