"""Pure: what a VM on a host says about itself, and whether somebody else changed it.

bootpoint.engine   whose it is        never touched without these two
bootpoint.vm       which standby's
bootpoint.shape    what it was created as
bootpoint.state    the last step that finished: its id, the layer, the network
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID, uuid5

from engine.model.machine import Asked, Power, VMSpec
from engine.model.text import safe

ENGINE, VM = "bootpoint.engine", "bootpoint.vm"
SHAPE, STATE = "bootpoint.shape", "bootpoint.state"
BOOT = "bootpoint.boot"
"""Number of the disk that the firmware tries first; absent: the first one."""
TURN = "bootpoint.turn"
"""How often a VM was made before on a host that is out; absent: never."""
TEMPLATE = "somebody made it a template"
BUSY = "a task works on it, which must end first, whoever began it"
_SPACE = UUID("6f1a1e0a-5d0c-4c6f-9a53-5bb6c0e7a0c1")


@dataclass(frozen=True, slots=True)
class State:
    """The last finished step. Empty texts: no disk was ever given to the VM.

    Attributes:
        operation: Unique to the step, and the name of its run folder.
        layer, network: What the VM's disks and cards are set to.
        armed: It was left off, for somebody to power on by hand.
    """

    operation: str = ""
    layer: str = ""
    network: str = ""
    armed: bool = False

    def __str__(self) -> str:
        """Return it as the VM keeps it."""
        return json.dumps(asdict(self), sort_keys=True)


def read_state(text: str) -> State | None:
    """Return a state as a VM keeps it; None when it is not one of ours."""
    if not text:
        return State()
    try:
        told = json.loads(text)
        operation, layer, network = (str(told[key]) for key in ("operation", "layer", "network"))
        return State(operation, layer, network, bool(told.get("armed")))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def identity(engine: str, vm: str) -> UUID:
    """Return the BIOS UUID of a VM: made from ids, so that a retry finds what it left."""
    return uuid5(_SPACE, f"{engine}/{vm}")


def shape(spec: VMSpec) -> str:
    """Return a text that differs when two shapes do."""
    told = asdict(spec)
    if not spec.boot_disk:
        del told["boot_disk"]  # as VMs were marked before there was a choice
    return str(uuid5(_SPACE, json.dumps(told, sort_keys=True, default=str)))


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a VM: `path` as the host writes it, such as `[store] web/x/disk0.vmdk`."""

    key: int
    path: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A VM as one reading found it.

    Attributes:
        engine, vm, shape: Its marks, empty without.
        state: None when it is not one of ours.
        home: Folder of its own files, such as `[datastore1] web`.
        snapshots: It has any.
        busy: Somebody's task works on it.
        question: What it waits for an answer to, in the host's words.
        way: Its mark of a way home; see `homing.py`.
        boot: Number of the disk, as layers count, that its firmware tries first.
        uuid: Of its BIOS, empty where it was not told. A copy has our marks and another one.
        template: Somebody made it a template, which no host starts or changes.
        turn: How many VMs it stands in for; see `standins.py`.
    """

    name: str
    engine: str
    vm: str
    shape: str
    state: State | None
    power: Power
    connected: bool
    home: str
    disks: Sequence[Disk] = ()
    snapshots: bool = False
    consolidate: bool = False
    busy: bool = False
    question: Asked | None = None
    way: str = ""
    boot: int = 0
    uuid: str = ""
    template: bool = False
    turn: int = 0

    @property
    def asks(self) -> str:
        """Say that it waits for an answer, and how to give one; empty: it does not."""
        if self.question is None:
            return ""
        return f"it waits for an answer, see bootpoint answer {safe(self.vm)}: {self.question}"

    @property
    def settles(self) -> bool:
        """Tell that it is off, and a task of its host may still change that, or something else."""
        return self.busy and self.power is Power.OFF and self.question is None

    def is_of(self, engine: str, vm: str) -> bool:
        """Tell whether this engine made it for this standby, and nobody copied it since."""
        is_copy = self.uuid and self.uuid.lower() != str(identity(engine, vm))
        return (self.engine, self.vm) == (engine, vm) and not is_copy

    @property
    def is_lost(self) -> bool:
        """Tell whether the host has lost it and tells no configuration: nobody sees whose it is."""
        return not (self.connected or self.uuid or self.engine)

    @property
    def is_new(self) -> bool:
        """Tell that it is off, as it was made: it was never given a disk, or gave them back."""
        is_as_made = self.power is Power.OFF and self.state == State()
        return is_as_made and not (self.disks or self.snapshots or self.way)

    def outside(self) -> Sequence[Disk]:
        """Return the disks that do not lie in the VM's own folder."""
        return [disk for disk in self.disks if not disk.path.startswith(f"{self.home}/")]


def drift(seen: Seen, folder: str) -> str:
    """Return in what a VM that is off differs from how the last step left it; empty: in nothing.

    Args:
        folder: Where its disks must lie: the datastore and the run folder's parent, such as
            `[bp-esx] web`.
    """
    state = seen.state
    wrong = (
        (not seen.connected, "the host has lost it (disconnected, orphaned or inaccessible)"),
        (seen.template, TEMPLATE),
        (bool(seen.asks), seen.asks),
        (seen.consolidate, "its disks need consolidation"),
        (seen.busy, BUSY),
        (seen.snapshots, "it has a snapshot that is not ours"),
        (state is None, "its mark was changed"),
    )
    for is_so, why in wrong:
        if is_so:
            return why
    here = f"{folder}/{state.operation}/" if state and state.operation else ""
    for disk in seen.disks:
        if not here or not disk.path.startswith(here):
            return f"it has the disk {disk.path}, which it was not given"
    return ""
