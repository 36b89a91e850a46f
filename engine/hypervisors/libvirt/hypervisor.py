"""Standby VMs on QEMU through libvirt.

    FOLDER/owner                 our id, in the description of each VM that is ours
    FOLDER/accelerator.json      what the probe found
    FOLDER/vms/NAME/serial.log   what the guest prints
    FOLDER/vms/NAME/nvram.fd     its UEFI variables
    FOLDER/typing-HASH           socket that takes what is typed for it

The truth about a VM is libvirt's own description of it; nothing is kept here in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import libvirt

from engine.hypervisors import rules, serialfile
from engine.hypervisors.athome import AtHome
from engine.hypervisors.libvirt.connection import (
    Connection,
    embedded_root,
    embedded_uri,
    in_our_words,
    is_local,
    short_path,
)
from engine.hypervisors.libvirt.domain import Host, Running, Tag, domain_xml, read_tag
from engine.hypervisors.libvirt.keyboard import typed
from engine.hypervisors.libvirt.screen import screenshot
from engine.hypervisors.owner import owner
from engine.local.accelerator import DEVICE, KVM, accelerator
from engine.local.durable import make_folder, remove_tree
from engine.model.errors import HypervisorError, Problem, Refused
from engine.model.layers import LayerName
from engine.model.machine import (
    Capabilities,
    Firmware,
    Gravity,
    Network,
    Power,
    Signs,
    VMRef,
    VMSpec,
)
from engine.model.text import safe
from engine.ports import DiskChain, Finding, Report, unreported

FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)
_STEP_S = 0.2
_UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID})
_POWER = {
    libvirt.VIR_DOMAIN_RUNNING: Power.ON,
    libvirt.VIR_DOMAIN_BLOCKED: Power.ON,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.ON,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.PAUSED,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
}


class LibvirtHypervisor(AtHome):
    """A libvirt connection as a target. Thread-safe."""

    def __init__(
        self, name: str, uri: str, folder: Path, chains: Callable[[str], DiskChain]
    ) -> None:
        """Connect, and find out once how fast guests run here.

        Args:
            uri: Of libvirt; empty: the embedded driver with its files in `folder`.
            folder: For what guests print and the like.
            chains: Gives the layer tree of a VM by its name.

        Raises:
            HypervisorError: libvirt cannot be reached, or another process uses the same folder.
        """
        self.name = name
        self._folder, self._chains = folder, chains
        self._locks: dict[str, threading.RLock] = {}
        self._locking = threading.Lock()
        make_folder(folder)
        self._owner = owner(folder)
        self._connection = Connection(uri or embedded_uri(folder / "libvirt"))
        kind = self._kind()
        loader, variables = _firmware()
        self._host = Host(kind, loader, variables)
        real = kind != "test"
        accel = {"qemu": "tcg"}.get(kind, kind if real else "none")
        self.capabilities = Capabilities(None, accel, screen=True, serial=real)

    def _kind(self) -> str:
        """Return libvirt's domain type for our VMs."""
        connection = self._connection.get()
        with in_our_words(self.name, "ask about"):
            if connection.getType().lower() == "test":
                return "test"
            if is_local(self._connection.uri):
                return "kvm" if accelerator(self._folder) == KVM else "qemu"
            return "kvm" if "<domain type='kvm'" in connection.getCapabilities() else "qemu"

    # --- the target ------------------------------------------------------------------------

    def preflight(self) -> Sequence[Finding]:
        """Look at acceleration and firmware."""
        return list(self._findings())

    def _findings(self) -> Iterator[Finding]:
        self._connection.get()
        if self._host.kind == "qemu":
            reason = "no guest makes progress under it" if DEVICE.exists() else "there is no KVM"
            yield Finding(
                Gravity.NOTE,
                "target.emulation",
                f"VMs run in emulation (TCG) here, ten times slower: {reason}.",
                "Use a host whose processor virtualization is switched on.",
            )
        if not self._host.loader and self._host.kind != "test":
            yield Finding(
                Gravity.WARNING,
                "target.no-uefi",
                "UEFI firmware is not installed, so machines that boot by UEFI cannot start.",
                "Install the package ovmf.",
            )

    def ping(self) -> None:
        """Ask how many VMs run: the driver itself must answer, at the far end of the connection."""
        with in_our_words(self.name, "ask about"):
            self._connection.get().numOfDomains()

    def chain(self, vm: VMRef) -> DiskChain:
        """Return the layer tree of the VM."""
        return self._chains(vm)

    def close(self) -> None:
        """Let go of the connection; VMs go on."""
        self._connection.close()

    # --- VMs -------------------------------------------------------------------------------

    def create(self, spec: VMSpec) -> VMRef:
        """Define the VM, powered off; one that runs keeps its shape until it is off.

        Raises:
            Refused: A VM of this name exists and is not ours.
            HypervisorError: libvirt does not take the description.
        """
        rules.check_name(spec.name)
        if spec.firmware is Firmware.UEFI and not self._host.loader:
            raise HypervisorError(_no_uefi(spec.name))
        with self._changing(spec.name, "define"):
            domain = self._ours(spec.name)
            if domain is None or not domain.isActive():
                xml = domain_xml(spec, self._owner, self._host)
                self._connection.get().defineXML(xml)
        return VMRef(spec.name)

    def power_on(
        self,
        vm: VMRef,
        layer: LayerName,
        network: Network,
        report: Report = unreported,  # noqa: ARG002 - the protocol's
    ) -> None:
        """Start the VM on a SCRATCH layer; nothing happens when it runs on it already."""
        with self._changing(vm, "start"):
            domain = self._ours(vm)
            tag = read_tag(domain.XMLDesc()) if domain is not None else None
            if domain is None or tag is None:
                raise rules.unknown(vm)
            rules.check_scratch(self._chains(vm), layer)
            if network is Network.PRODUCTION:
                raise rules.no_network(self.name, network)
            if domain.isActive():
                if (tag.layer, tag.network) != (layer, network):
                    raise rules.runs_already(vm, tag.layer)
                return
            self._start(tag, layer, network)

    def _start(self, tag: Tag, layer: LayerName, network: Network) -> None:
        place = self._place(tag.spec.name)
        make_folder(place)
        disks = self._chains(tag.spec.name).disk_files(layer)
        typing = self._typing(tag.spec.name)
        running = Running(layer, network, disks, place / "serial.log", typing, place / "nvram.fd")
        serialfile.begin(running.serial)
        typing.unlink(missing_ok=True)
        connection = self._connection.get()
        xml = domain_xml(tag.spec, self._owner, self._host, running)
        domain = connection.defineXML(xml)
        try:
            domain.create()
        except libvirt.libvirtError:
            connection.defineXML(domain_xml(tag.spec, self._owner, self._host))
            remove_tree(place)
            raise

    def power_off(self, vm: VMRef, *, grace: float) -> None:
        """Ask the guest to shut down; after `grace` seconds cut the power."""
        with self._changing(vm, "stop"):
            domain = self._ours(vm)
            if domain is None or not domain.isActive():
                return
            if grace > 0:
                with contextlib.suppress(libvirt.libvirtError):
                    domain.shutdown()
                if _is_off_within(domain, grace):
                    return
            with _already():
                domain.destroy()

    def delete(self, vm: VMRef, *, home: bool = False) -> None:  # noqa: ARG002 - the protocol's
        """Cut the power, undefine the VM and forget its files except layers; repeatable."""
        rules.check_name(vm)
        with self._changing(vm, "delete"):
            domain = self._ours(vm)
            if domain is not None:
                with _already():
                    if domain.isActive():
                        domain.destroy()
                with _already():
                    domain.undefineFlags(_UNDEFINE if self._host.kind != "test" else 0)
            remove_tree(self._place(vm))
            self._typing(vm).unlink(missing_ok=True)
            if root := embedded_root(self._connection.uri):
                remove_tree(root / "log/qemu" / f"{vm}.log")

    # --- what it says ----------------------------------------------------------------------

    def signs_of_life(self, vm: VMRef) -> Signs:
        """Return power and the serial tail; OFF for a VM that is unknown or not ours."""
        with in_our_words(vm, "ask about"):
            try:
                domain = self._ours(vm)
            except Refused:
                domain = None
            if domain is None:
                return Signs(Power.OFF)
            power = Power.OFF
            with _already():
                power = _POWER.get(domain.state()[0], Power.OFF)
        return Signs(power, serial_tail=serialfile.read_tail(self._place(vm) / "serial.log"))

    def serial(self, vm: VMRef, after: int) -> tuple[bytes, int]:
        """Return what the guest printed from offset `after` on, and the offset after that."""
        rules.check_name(vm)
        return serialfile.read_from(self._place(vm) / "serial.log", after)

    def serial_input(self, vm: VMRef, data: bytes) -> int:
        """Type bytes into the serial console; return how many the guest took, within 5 s."""
        with in_our_words(vm, "type into"):
            domain = self._ours(vm)
            if domain is None or not domain.isActive():
                raise rules.is_off(vm)
        try:
            return typed(self._typing(vm), data)
        except OSError as error:
            raise rules.no_input(vm) from error

    def screen(self, vm: VMRef) -> bytes:
        """Return the console picture as PNG."""
        with in_our_words(vm, "picture"):
            domain = self._ours(vm)
            if domain is None or not domain.isActive():
                raise rules.is_off(vm)
            return screenshot(self._connection.get(), domain)

    # --- inside ----------------------------------------------------------------------------

    def _typing(self, vm: str) -> Path:
        """Return the socket of a VM's serial console; sockets need short paths."""
        name = hashlib.sha256(vm.encode()).hexdigest()[:12]
        return short_path(self._folder) / f"typing-{name}"

    def _place(self, vm: str) -> Path:
        return self._folder / "vms" / vm

    @contextlib.contextmanager
    def _changing(self, vm: str, doing: str) -> Iterator[None]:
        """Let one thread at a time change a VM, with libvirt's errors in our words."""
        with self._locking:
            lock = self._locks.setdefault(vm, threading.RLock())
        with lock, in_our_words(vm, doing):
            yield

    def _ours(self, vm: str) -> libvirt.virDomain | None:
        """Return the VM; None when it does not exist.

        Raises:
            Refused: It exists and does not carry our mark.
        """
        try:
            domain = self._connection.get().lookupByName(vm)
            tag = read_tag(domain.XMLDesc())
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        if tag is None or tag.owner != self._owner:
            raise rules.foreign(self.name, vm)
        return domain


def _firmware() -> tuple[str, str]:
    for loader, variables in FIRMWARE:
        if Path(loader).exists() and Path(variables).exists():
            return loader, variables
    return "", ""


@contextlib.contextmanager
def _already() -> Iterator[None]:
    """Take it as done when the VM went off, or away, by itself in between."""
    try:
        yield
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _GONE:
            raise


def _is_off_within(domain: libvirt.virDomain, seconds: float) -> bool:
    end = time.monotonic() + seconds
    never = threading.Event()
    while domain.isActive():
        if time.monotonic() >= end:
            return False
        never.wait(_STEP_S)
    return True


def _no_uefi(vm: str) -> Problem:
    return Problem(
        "target.no-uefi",
        f"{safe(vm)} boots by UEFI, and this host has no UEFI firmware for VMs.",
        "Nothing was created.",
        "Install the package ovmf.",
    )
