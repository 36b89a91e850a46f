"""libvirt and QEMU where the contract does not reach: crashes, neighbours, other drivers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt
import pytest

from engine.hypervisors.libvirt import LibvirtHypervisor
from engine.model.errors import HypervisorError, Refused
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import CardModel, DiskBus, Firmware, Network, Power, VMRef, VMSpec
from engine.stores.folderstore import FolderStore
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, grow
from tests.contract.targets import await_serial, boot_sector, emulators, libvirt_folder, spec

__all__ = ["libvirt_folder"]

VM = VMRef("web01")
ENGINE = """
import sys
from pathlib import Path
from engine.hypervisors.libvirt import LibvirtHypervisor
from engine.model.layers import LayerName
from engine.model.machine import Network, VMRef
from engine.stores.probe import open_store
from tests.contract.targets import await_serial, spec
folder, store = Path(sys.argv[1]), open_store(Path(sys.argv[2]), "qcow2", "local")
target = LibvirtHypervisor("local", "", folder, store.chain)
vm = VMRef("web01")
if sys.argv[3] == "start":
    target.create(spec())
    target.power_on(vm, LayerName("run"), Network.ISOLATED)
    await_serial(target, vm, b"login: ")
print(target.signs_of_life(vm).power, flush=True)
if sys.argv[3] == "stop":
    target.power_off(vm, grace=0)
    print(target.signs_of_life(vm).power, flush=True)
    target.delete(vm)
else:
    sys.stdin.read()
"""


@dataclass
class Place:
    """A libvirt target and its store."""

    target: LibvirtHypervisor
    store: FolderStore
    folder: Path

    def scratch(self, text: str = "guest") -> LayerName:
        """Make a guest and a scratch layer on it."""
        chain = self.store.chain("web01")
        grow(chain, "base", None, {0: [(0, boot_sector(text))]}, sizes=(MIB,))
        return grow(chain, "run", "base", kind=LayerKind.SCRATCH)


@pytest.fixture
def place(tmp_path: Path, libvirt_folder: Path) -> Iterator[Place]:
    """Yield libvirt's embedded driver with an empty store."""
    store = open_store(tmp_path / "store", "qcow2", "local")
    target = LibvirtHypervisor("local", "", libvirt_folder, store.chain)
    yield Place(target, store, libvirt_folder)
    target.delete(VM)
    store.close()
    assert emulators(tmp_path) == []


@pytest.fixture(autouse=True)
def _no_links(tmp_path: Path) -> Iterator[None]:
    """Take away the links that stand for this test's deep folders."""
    yield
    for link in Path("/run").glob("bootpoint-*"):
        if link.is_symlink() and link.readlink().is_relative_to(tmp_path):
            link.unlink()


def engine(folder: Path, store: Path, what: str) -> subprocess.Popen[str]:
    """Run a small engine as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(folder), str(store), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize(
    ("bus", "card"),
    [
        (DiskBus.PVSCSI, CardModel.VMXNET3),
        (DiskBus.SCSI, CardModel.VIRTIO),
        (DiskBus.SATA, CardModel.E1000E),
    ],
)
def test_a_guest_starts_from_the_hardware_it_has_drivers_for(
    place: Place, bus: DiskBus, card: CardModel
) -> None:
    """The firmware finds the disk behind each controller, VMware's too, beside each card."""
    place.scratch()
    shape = replace(spec(), bus=bus, card=card)
    place.target.create(shape)
    place.target.power_on(VM, LayerName("run"), Network.ISOLATED)
    await_serial(place.target, VM, b"login: ")
    place.target.power_off(VM, grace=0)


def test_a_vm_outlives_a_killed_engine_and_the_next_one_stops_it(tmp_path: Path) -> None:
    """SIGKILL takes the engine, not its VM; a new engine sees it run, stops it, leaves nothing."""
    folder, room = tmp_path / "libvirt", tmp_path / "store"
    store = open_store(room, "qcow2", "local")
    Place(None, store, folder).scratch()  # type: ignore[arg-type]  # only the store is used
    store.close()
    first = engine(folder, room, "start")
    assert first.stdout is not None
    assert first.stdout.readline() == "on\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert len(emulators(room)) == 1
    second = engine(folder, room, "stop")
    assert second.communicate("")[0] == "on\noff\n"
    assert second.returncode == 0
    assert emulators(room) == []
    assert not (folder / "vms/web01").exists()
    assert not list((folder / "libvirt/etc/qemu").glob("*.xml"))
    assert not list((folder / "libvirt/log/qemu").glob("*"))


def test_two_engines_never_share_a_folder(tmp_path: Path) -> None:
    """The second process on the same folder is told who is in its way, again and again."""
    folder, room = tmp_path / "libvirt", tmp_path / "store"
    open_store(room, "qcow2", "local").close()
    first = engine(folder, room, "look")
    assert first.stdout is not None
    assert first.stdout.readline() == "off\n"
    for _ in range(2):
        code = (
            "import sys; from pathlib import Path\n"
            "from engine.hypervisors.libvirt import LibvirtHypervisor\n"
            "from engine.model.errors import HypervisorError\n"
            "for _ in range(15):\n"
            "    try: LibvirtHypervisor('x', '', Path(sys.argv[1]), lambda name: None)\n"
            "    except HypervisorError as e: print(e.problem.key)\n"
        )
        told = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        assert told == "target.in-use\n" * 15
    first.communicate("")


def test_a_process_has_one_embedded_folder(place: Place, tmp_path: Path) -> None:
    """A second folder in the same process is refused in words, and the first goes on."""
    with pytest.raises(HypervisorError, match="one a process"):
        LibvirtHypervisor("other", "", tmp_path / "other", place.store.chain)
    assert place.target.create(spec()) == VM


def test_a_vm_that_is_not_ours_is_never_touched(place: Place) -> None:
    """A VM of the same name without our mark stays defined and running whatever is asked."""
    connection = place.target._connection.get()
    foreign = connection.defineXML(
        "<domain type='qemu'><name>web01</name><memory unit='MiB'>32</memory><os>"
        "<type arch='x86_64' machine='pc'>hvm</type></os></domain>"
    )
    layer = place.scratch()
    foreign.create()
    try:
        for touch in (
            lambda: place.target.create(spec()),
            lambda: place.target.power_on(VM, layer, Network.NONE),
            lambda: place.target.power_off(VM, grace=0),
            lambda: place.target.delete(VM),
            lambda: place.target.screen(VM),
        ):
            with pytest.raises(Refused, match="did not create"):
                touch()
        assert foreign.isActive()
        assert place.target.signs_of_life(VM).power is Power.OFF
    finally:
        foreign.destroy()
        foreign.undefine()


def test_another_engines_vm_is_not_ours(place: Place, tmp_path: Path) -> None:
    """The mark names the engine that made the VM; two on one host leave each other's alone."""
    place.target.create(spec())
    mine = place.folder / "owner"
    kept = mine.read_text()
    mine.write_text("00000000-0000-4000-8000-000000000000\n")
    try:
        uri = place.target._connection.uri
        other = LibvirtHypervisor("local", uri, place.folder, place.store.chain)
        with pytest.raises(Refused):
            other.delete(VM)
    finally:
        mine.write_text(kept)
    assert place.target.create(spec()) == VM


def test_a_start_that_fails_leaves_nothing(place: Place) -> None:
    """A VM that QEMU refuses is off, has no files, and starts once the reason is gone."""
    layer = place.scratch("after all")
    place.target.create(spec(memory=1 << 60))
    with pytest.raises(HypervisorError) as failed:
        place.target.power_on(VM, layer, Network.ISOLATED)
    assert failed.value.problem.remedy
    assert place.target.signs_of_life(VM).power is Power.OFF
    assert emulators(place.store.path) == []
    assert not (place.folder / "vms/web01").exists()
    place.target.create(spec())
    place.target.power_on(VM, layer, Network.ISOLATED)
    assert b"after all" in await_serial(place.target, VM, b"login: ")


def test_a_qemu_that_dies_is_seen_and_started_again(place: Place) -> None:
    """When QEMU is killed the VM is off, and the same layer starts again."""
    layer = place.scratch()
    place.target.create(spec())
    place.target.power_on(VM, layer, Network.ISOLATED)
    await_serial(place.target, VM, b"login: ")
    [process] = emulators(place.store.path)
    os.kill(process, signal.SIGKILL)
    end = time.monotonic() + 20
    while place.target.signs_of_life(VM).power is not Power.OFF:
        assert time.monotonic() < end
        threading.Event().wait(0.1)
    place.target.power_on(VM, layer, Network.ISOLATED)
    await_serial(place.target, VM, b"login: ")


def test_an_isolated_vm_has_no_way_out(place: Place) -> None:
    """QEMU of an isolated VM is sandboxed and has neither network socket, tap nor user network."""
    layer = place.scratch()
    place.target.create(spec())
    place.target.power_on(VM, layer, Network.ISOLATED)
    [process] = emulators(place.store.path)
    words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    assert "-netdev" not in words
    assert "-nic" not in words
    [card] = [word for word in words if word.startswith("virtio-net-pci,")]
    assert "netdev=" not in card
    assert "-nodefaults" in words
    assert "-no-user-config" in words
    assert words[words.index("-sandbox") + 1].startswith("on,")
    held = {str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()}
    assert not [name for name in held if "tun" in name or "vhost" in name]
    inodes = {name[8:-1] for name in held if name.startswith("socket:")}
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "packet"):
        rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        assert not [row for row in rows if inodes & set(row.split())]


def test_a_uefi_vm_runs_its_firmware_and_takes_its_variables_along(place: Place) -> None:
    """A UEFI VM shows its firmware's words, keeps variables in one file, and leaves none behind."""
    layer = place.scratch()
    place.target.create(VMSpec("web01", Firmware.UEFI, 1, 256 * MIB, ()))
    place.target.power_on(VM, layer, Network.NONE)
    await_serial(place.target, VM, b"BdsDxe", 120)
    assert (place.folder / "vms/web01/nvram.fd").exists()
    place.target.delete(VM)
    assert not (place.folder / "vms/web01").exists()


def test_any_other_libvirt_works_through_the_same_code(tmp_path: Path) -> None:
    """Libvirt's own test driver takes our VMs: defined, started, looked at, stopped, gone."""
    store = open_store(tmp_path / "store", "qcow2", "local")
    target = LibvirtHypervisor("other", "test:///default", tmp_path / "other", store.chain)
    chain = store.chain("web01")
    grow(chain, "base")
    layer = grow(chain, "run", "base", kind=LayerKind.SCRATCH)
    target.create(spec())
    target.power_on(VM, layer, Network.ISOLATED)
    assert target.signs_of_life(VM).power is Power.ON
    target.power_off(VM, grace=0)
    assert target.signs_of_life(VM).power is Power.OFF
    target.delete(VM)
    with pytest.raises(Refused):
        target.delete(VMRef("test"))
    target.close()
    store.close()


@pytest.mark.parametrize("uri", ["qemu+unix:///system?socket=/nowhere", "junk://", "qemu:///embed"])
def test_a_libvirt_that_is_not_there_is_told_in_words(tmp_path: Path, uri: str) -> None:
    """An unreachable or senseless URI is an error with a remedy, not a traceback of libvirt's."""
    with pytest.raises(HypervisorError) as failed:
        LibvirtHypervisor("x", uri, tmp_path, open_store)  # type: ignore[arg-type]  # never called
    assert failed.value.problem.remedy
    assert not isinstance(failed.value, libvirt.libvirtError)


def test_emulation_is_told_before_anybody_waits_for_it(place: Place) -> None:
    """Where no guest makes progress under KVM, VMs are emulated, and the preflight says so."""
    findings = [one.key for one in place.target.preflight()]
    assert ("target.emulation" in findings) == (place.target.capabilities.accelerator == "tcg")
