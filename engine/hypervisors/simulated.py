"""A target that runs nothing: for demonstrations, and for tests that break things at will.

VMs live in memory, or in one JSON file, so that they "go on" while the engine restarts. What a
guest prints is made from its disk and from what its layers say about themselves.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.hypervisors import rules
from engine.hypervisors.athome import AtHome
from engine.hypervisors.png import encode
from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded
from engine.model.layers import LayerName, lineage
from engine.model.machine import Asked, Capabilities, Network, Power, Signs, VMRef, VMSpec
from engine.model.text import safe
from engine.ports import DiskChain, Finding, Report, unreported

TAIL = 64 << 10
_FILE = "simulated.json"
_LARGEST = 16 << 20
_HEAD = 1 << 20
_WIDTH, _HEIGHT = 320, 200


@dataclass(frozen=True, slots=True)
class _Machine:
    """A VM: its shape in words, and what it runs on (empty: off)."""

    memory: int
    cpus: int
    layer: str = ""
    network: str = ""
    printed: str = ""


class SimulatedHypervisor(AtHome):
    """A target whose VMs print a login prompt and do nothing else. Thread-safe."""

    def __init__(
        self, name: str, chains: Callable[[str], DiskChain], folder: Path | None = None
    ) -> None:
        """Take up the VMs of an earlier life.

        Args:
            chains: Gives the layer tree of a VM by its name.
            folder: Keeps the VMs; None: they are forgotten with this object.
        """
        self.name = name
        self.capabilities = Capabilities(None, "none", screen=True, serial=True)
        self._chains, self._folder = chains, folder
        self._lock = threading.RLock()
        self.asked: dict[str, Asked] = {}
        self._machines = self._kept()

    def preflight(self) -> Sequence[Finding]:
        """Find nothing: what does not exist lacks nothing."""
        return ()

    def ping(self) -> None:
        """Answer at once."""

    def create(self, spec: VMSpec) -> VMRef:
        """Remember the VM; one that runs keeps its shape until it is off."""
        rules.check_name(spec.name)
        with self._lock:
            old = self._machines.get(spec.name)
            if old is None or not old.layer:
                self._keep(spec.name, _Machine(spec.memory, spec.cpus))
        return VMRef(spec.name)

    def chain(self, vm: VMRef) -> DiskChain:
        """Return the layer tree of the VM."""
        return self._chains(vm)

    def power_on(
        self,
        vm: VMRef,
        layer: LayerName,
        network: Network,
        report: Report = unreported,  # noqa: ARG002 - the protocol's
    ) -> None:
        """Let the VM print what a guest on this layer would."""
        with self._lock:
            machine = self._machines.get(vm)
            if machine is None:
                raise rules.unknown(vm)
            rules.check_scratch(self._chains(vm), layer)
            if network is Network.PRODUCTION:
                raise rules.no_network(self.name, network)
            if machine.layer:
                if (machine.layer, machine.network) != (layer, network):
                    raise rules.runs_already(vm, machine.layer)
                return
            printed = _printed(vm, machine, self._chains(vm), layer, network)
            self._keep(vm, replace(machine, layer=layer, network=network, printed=printed))

    def power_off(self, vm: VMRef, *, grace: float) -> None:  # noqa: ARG002 - the protocol's
        """Switch the VM off; a guest that does not exist needs no grace."""
        with self._lock:
            machine = self._machines.get(vm)
            if machine is not None and machine.layer:
                self._keep(vm, replace(machine, layer="", network=""))

    def signs_of_life(self, vm: VMRef) -> Signs:
        """Return power and what was printed."""
        with self._lock:
            machine = self._machines.get(vm)
        if machine is None:
            return Signs(Power.OFF)
        power = Power.ON if machine.layer else Power.OFF
        printed = machine.printed.encode()[-TAIL:]
        return Signs(power, serial_tail=printed, question=self.asked.get(vm))

    def answer(self, vm: VMRef, mark: str, choice: int) -> Asked:
        """Take away a question that was put into `asked`; by itself no VM asks anything."""
        with self._lock:
            told = rules.chosen(vm, self.asked.get(vm), mark, choice)
            del self.asked[vm]
        return told

    def serial(self, vm: VMRef, after: int) -> tuple[bytes, int]:
        """Return what was printed from offset `after` on, and the offset after that."""
        with self._lock:
            machine = self._machines.get(vm)
        printed = machine.printed.encode() if machine else b""
        start = after if 0 <= after <= len(printed) else 0
        data = printed[start : start + TAIL]
        return data, start + len(data)

    def serial_input(self, vm: VMRef, data: bytes) -> int:
        """Echo what is typed, as a guest does; RETURN brings the prompt again."""
        with self._lock:
            machine = self._machines.get(vm)
            if machine is None or not machine.layer:
                raise rules.is_off(vm)
            typed = data.decode("utf-8", "replace").replace("\r", "\r\nlogin: ")
            self._keep(vm, replace(machine, printed=(machine.printed + typed)[-TAIL:]))
        return len(data)

    def screen(self, vm: VMRef) -> bytes:
        """Return a picture with one bar for each line that was printed."""
        with self._lock:
            machine = self._machines.get(vm)
        if machine is None or not machine.layer:
            raise rules.is_off(vm)
        return encode(_WIDTH, _HEIGHT, _bars(machine.printed.splitlines()))

    def delete(self, vm: VMRef, *, home: bool = False) -> None:  # noqa: ARG002 - the protocol's
        """Forget the VM; repeatable."""
        with self._lock:
            self._keep(vm, None)

    def close(self) -> None:
        """Do nothing."""

    def _keep(self, vm: str, machine: _Machine | None) -> None:
        if machine is None:
            self._machines.pop(vm, None)
        else:
            self._machines[vm] = machine
        if self._folder is not None:
            told = {name: asdict(one) for name, one in self._machines.items()}
            with open_folder(self._folder) as folder:
                durable_replace(folder, _FILE, json.dumps(told).encode())

    def _kept(self) -> dict[str, _Machine]:
        if self._folder is None:
            return {}
        make_folder(self._folder)
        try:
            told = json.loads(read_bounded(self._folder / _FILE, _LARGEST))
        except FileNotFoundError:
            return {}
        return {name: _Machine(**one) for name, one in told.items()}


def _printed(
    vm: str, machine: _Machine, chain: DiskChain, layer: LayerName, network: Network
) -> str:
    """Return what a guest would print, and write one sector as a booting guest would."""
    lines = [
        f"simulated machine {safe(vm)}: {machine.cpus} processors, {machine.memory >> 20} MiB",
        f"network: {network}",
    ]
    layers = chain.layers()
    for one in lineage(layers, layer):
        if one.manifest is not None:
            taken = f"{one.manifest.taken_at:%Y-%m-%d %H:%M:%S}"
            lines.append(f"data as of {taken} UTC, counter {one.manifest.sequence}")
            break
    for disk, size in enumerate(layers[layer].disk_sizes):
        lines.append(f"disk {disk}: {size} bytes, beginning {_beginning(chain, layer, disk)}")
    lines.append(f"{safe(vm)} login: ")
    _boot_mark(chain, layer)
    return "\r\n".join(lines)


def _beginning(chain: DiskChain, layer: LayerName, disk: int) -> str:
    """Return a short hash of a disk's first MiB."""
    with chain.open(layer, disk) as device:
        head = bytearray(min(device.size, _HEAD))
        device.read(0, memoryview(head))
    return hashlib.sha256(head).hexdigest()[:16]


def _boot_mark(chain: DiskChain, layer: LayerName) -> None:
    """Write to the end of disk 0: a real guest changes its scratch layer, so this one does."""
    mark = b"a simulated guest ran here".ljust(512, b"\0")
    with chain.open(layer, 0) as device:
        mark = mark[: device.size]
        device.write(device.size - len(mark), memoryview(mark))
        device.flush()


def _bars(lines: Sequence[str]) -> bytes:
    picture = bytearray(3 * _WIDTH * _HEIGHT)
    for number, line in enumerate(lines[: _HEIGHT // 10]):
        bar = b"\xc0\xc0\xc0" * min(_WIDTH, 4 * len(line))
        for row in range(number * 10 + 2, number * 10 + 8):
            picture[row * 3 * _WIDTH : row * 3 * _WIDTH + len(bar)] = bar
    return bytes(picture)
