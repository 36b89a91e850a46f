"""Targets of every kind for tests: simulated, and real QEMU under libvirt's embedded driver."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.hypervisors.libvirt import LibvirtHypervisor
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import Firmware, Nic, Power, VMRef, VMSpec
from engine.ports import DiskChain, Hypervisor, Store
from engine.stores.memory import MemoryStore
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, grow
from tests.vcsim import kept, standby
from tests.vcsim import simulator as vcsim

# 16-bit code at 0x7c00: prints the text behind it to the screen (INT 10h) and to COM1, then HLT.
_CODE = bytes.fromhex(
    "fa31c08ed88ed0bc007cfcbe2f7cac84c07419b40ebb0700cd10bafd0388c4eca82074fbbaf80388e0eeebe2f4ebfd"
)
# Instead of the HLT at its end: waits for a byte on COM1 (status 3FDh) and sends it back, for ever.
_ECHO = bytes.fromhex("bafd03eca80174fbbaf803ec88c4bafd03eca82074fbbaf80388e0eeebe2")
_HALT = 0x2C
NAME = "web01"
KINDS = ["simulated", "qcow2", "reflink"]
BOOTLESS = ["simulated", "qcow2", "esxi", "hotadd"]
"""With the simulated ESXi host, by either transport, for what can be seen without a guest."""


def boot_sector(text: str, *, echoes: bool = False) -> bytes:
    """Return a disk's first sector whose guest prints a text, and then halts or echoes."""
    code = bytearray(_CODE)
    said = text.encode() + b"\r\nlogin: \0"
    if echoes:
        # The text moves behind the echo, so its address changes.
        code = code[:_HALT] + _ECHO
        at = code.index(bytes.fromhex("be2f7c"))
        code[at + 1 : at + 3] = (0x7C00 + len(code)).to_bytes(2, "little")
    return (bytes(code) + said).ljust(510, b"\0") + b"\x55\xaa"


@dataclass
class Site:
    """One target under test.

    Attributes:
        kind: `simulated`, `qcow2`, `reflink`, `esxi` or `hotadd`.
        again: Opens the target anew, as a restarted engine would.
    """

    kind: str
    target: Hypervisor
    store: Store
    again: Callable[[], Hypervisor]

    @property
    def chain(self) -> DiskChain:
        """Return the chain of the VM that most tests use."""
        return self.store.chain(NAME)

    def boot_point(self, text: str, name: str = "bp000001", *, echoes: bool = False) -> LayerName:
        """Make a replica, a twig and scratch of a guest that prints a text; return the scratch."""
        grow(
            self.chain,
            f"{name}-replica",
            None,
            {0: [(0, boot_sector(text, echoes=echoes))]},
            sizes=(MIB,),
        )
        grow(self.chain, f"{name}-conversion", f"{name}-replica", kind=LayerKind.CONVERSION)
        return grow(self.chain, f"{name}-scratch", f"{name}-conversion", kind=LayerKind.SCRATCH)

    def create(self, **changes: object) -> VMRef:
        """Create the VM that most tests use."""
        return self.target.create(spec(**changes))


def spec(name: str = NAME, memory: int = 32 * MIB, cpus: int = 1, **more: object) -> VMSpec:
    """Return the shape of a small VM with one network card."""
    nics = (Nic("eth0", "52:54:00:11:22:33"),)
    return VMSpec(name, Firmware.BIOS, cpus, memory, nics, **more)  # type: ignore[arg-type]  # bus


def await_serial(target: Hypervisor, vm: VMRef, text: bytes, seconds: float = 60) -> bytes:
    """Wait until the guest printed a text; return everything it printed."""
    end = time.monotonic() + seconds
    while text not in (said := target.signs_of_life(vm).serial_tail):
        assert time.monotonic() < end, f"{text!r} not within {seconds} s in {said!r}"
        threading.Event().wait(0.1)
    return said


def emulators(folder: Path) -> list[int]:
    """Return the process ids of all QEMUs that have anything to do with a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes()
            if b"qemu-system" in words.split(b"\0")[0] and str(folder).encode() in words:
                found.append(int(place.name))
    return found


@pytest.fixture(scope="session")
def libvirt_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the one embedded driver that a process can have."""
    return tmp_path_factory.getbasetemp() / "libvirt"


@pytest.fixture(params=KINDS[:2])
def site(
    request: pytest.FixtureRequest, tmp_path: Path, xfs: Path, libvirt_folder: Path
) -> Iterator[Site]:
    """Yield an empty target of each kind, and see that it leaves nothing behind.

    Where a disk's format matters, a test asks for all `KINDS`.
    """
    if request.param == "simulated":
        memory = MemoryStore()

        def simulated() -> Hypervisor:
            return SimulatedHypervisor("demo", memory.chain, tmp_path / "demo")

        yield Site("simulated", simulated(), memory, simulated)
        return
    if request.param in ("esxi", "hotadd"):
        with _on_esxi(tmp_path, xfs) if request.param == "esxi" else _on_hotadd(tmp_path) as made:
            yield made
        return
    place = (xfs if request.param == "reflink" else tmp_path) / f"store-{time.monotonic_ns()}"
    store = open_store(place, request.param, "local")

    def real() -> Hypervisor:
        return LibvirtHypervisor("local", "", libvirt_folder, store.chain)

    made = Site(request.param, real(), store, real)
    yield made
    made.target.delete(VMRef(NAME))
    made.target.close()
    store.close()  # type: ignore[attr-defined]  # stores of this kind have it
    assert emulators(place) == []
    assert not (libvirt_folder / "vms" / NAME).exists()


@contextlib.contextmanager
def _on_esxi(folder: Path, xfs: Path) -> Iterator[Site]:
    """Yield a simulated ESXi host whose VMs' disks are in a store on XFS."""
    store = open_store(xfs / f"store-{time.monotonic_ns()}", "reflink", "esx-01")
    host = folder / "host"
    host.mkdir()
    with vcsim.running(host, vcsim.certificate(folder, "host"), "-esx") as sim:

        def opened() -> Hypervisor:
            return standby.hypervisor(sim, store, folder / "target")

        made = Site("esxi", opened(), store, opened)
        yield made
        made.target.delete(VMRef(NAME))
        assert sorted((store.path / ".run").iterdir()) == []
    store.close()


@contextlib.contextmanager
def _on_hotadd(folder: Path) -> Iterator[Site]:
    """Yield a simulated ESXi host whose VMs' snapshots are the layers, with bytes."""
    host = folder / "host"
    host.mkdir()
    with vcsim.running(host, vcsim.certificate(folder, "host"), "-esx") as sim:
        link, store = kept.hotadd(sim, folder, production="")

        def opened() -> Hypervisor:
            return HotaddHypervisor(link, store.chain)

        made = Site("hotadd", opened(), store, opened)
        yield made
        made.target.delete(VMRef(NAME))
    store.close()


def is_off(target: Hypervisor, vm: VMRef) -> bool:
    """Tell whether a VM is off."""
    return target.signs_of_life(vm).power is Power.OFF
