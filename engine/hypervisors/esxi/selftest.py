"""What only a real host can show, tried on a user's own with a VM that is thrown away.

The simulator of the tests keeps no bytes, enforces no privilege and asks nothing. So this runs
the list of docs/ESXI.md on a real host: one empty VM of our mark, on the isolated network, off or
at its firmware's screen, deleted at the end. Its disk is an empty file of our own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyVmomi import vim

from engine.hypervisors.esxi import faults, homestore, layers, preflight, specs
from engine.hypervisors.esxi.console import Screens
from engine.hypervisors.esxi.gate import Gate, wait
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.inventory import Inventory
from engine.hypervisors.esxi.layers import State
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.nfs import RunFolders
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.hypervisors.esxi.trying import NotTried, Unlike, tried
from engine.hypervisors.esxi.unverified import by_hand, numbered
from engine.local.durable import make_folder, remove_tree
from engine.model.errors import Failure
from engine.model.machine import Firmware, Gravity, Nic, Power, VMSpec
from engine.model.selftests import Check
from engine.ports import DiskFile, unreported

log = logging.getLogger(__name__)

NAME = "bootpoint-selftest"
_MIB = 1 << 20
_DISK = 64 * _MIB
_PATIENCE_S = 30.0
_STEP_S = 0.5
_SPEC = VMSpec(NAME, Firmware.UEFI, 1, 256 * _MIB, (Nic("nic0", ""),))


class SelfTest:
    """One run on one target."""

    def __init__(
        self,
        session: Session,
        wishes: Wishes,
        engine: str,
        run: Path,
        now: Callable[[], datetime],
        *,
        patience_s: float | None = None,
    ) -> None:
        """Prepare.

        Args:
            engine: The target's id, in the mark of its VMs.
            run: What hosts mount.
            now: This machine's clock.
            patience_s: So long something is waited for that a host does after its task has ended.
        """
        self._session, self._wishes = session, wishes
        self._patience_s = _PATIENCE_S if patience_s is None else patience_s
        self._runs = RunFolders(run, f"bp-{session.account.target}")
        self._run, self._own = run, run.parent / f".{NAME}"
        self._ground = Ground(session, wishes, self._runs.datastore)
        self._waiter = TaskWaiter(session)
        self._machines = Machines(session, self._waiter, engine, wait)
        self._engine, self._now = engine, now
        self._vm: Machine | None = None
        self._there: Inventory | None = None
        self._state = State(uuid4().hex, "bp000000-scratch", "none", armed=True)

    def run(self) -> Iterator[Check]:
        """Yield each check as it ends; at the end nothing of it is left on the host."""
        self._clear()
        try:
            for key, claim, check in self._list():
                yield self._tried(key, claim, check)
        finally:
            with contextlib.suppress(Failure, OSError):
                self._clear()
        yield from by_hand("nfs")

    def _list(self) -> list[tuple[str, str, Callable[[], str]]]:
        return [
            ("version", "The host speaks a version that this program knows.", self._version),
            ("preflight", "Nothing stands in the way.", self._preflight),
            ("isolated", "A port group without uplink is there, or can be made.", self._isolated),
            ("mount", "Every host mounts the share by NFSv3.", self._mount),
            ("create", "A VM of our shape is made, and found by its UUID at once.", self._create),
            ("hardware", "It has the hardware and the mark it was told to have.", self._hardware),
            ("replace", "A setting that is told again is replaced.", self._replace),
            ("attach", "A hard link as flat file and our descriptor are taken.", self._attach),
            ("untouched", "Attaching a disk to a VM that is off writes nothing.", self._untouched),
            ("atomic", "A change with one wrong disk changes nothing.", self._atomic),
            ("power-on", "The VM starts from that disk, without a question.", self._power_on),
            ("lock", "A host's lock file shows that the run folder is in use.", self._lock_file),
            ("serial", "The serial port prints into a file on the share.", self._serial),
            ("screen", "The host draws the screen for an API session.", self._screen),
            ("power-off", "The VM's power can be cut.", self._power_off),
            ("destroy", "Deleting the VM spares disks that were taken out.", self._destroy),
        ]

    def _tried(self, key: str, claim: str, check: Callable[[], str]) -> Check:
        return tried(key, claim, check, self._secrets, numbered("nfs", key))

    def _secrets(self) -> Mapping[str, str]:
        """Return the names of the site, which a report is better without."""
        account, wishes, there = self._session.account, self._wishes, self._there
        told = {
            account.host: "HOST",
            account.user: "USER",
            account.target: "TARGET",
            wishes.server: "SERVER",
            wishes.share: "SHARE",
            str(self._run): "SHARE",
            str(self._own): "OWN-FOLDER",
            wishes.place: "PLACE",
            wishes.datastore: "DATASTORE",
            wishes.production: "PRODUCTION",
            wishes.isolated: "ISOLATED",
        }
        if there is not None:
            told |= {one.name: "HOST" for one in there.hosts}
            told |= {one.name: "DATASTORE" for one in there.datastores if one.name != NAME}
            told |= {one.name: "NETWORK" for one in there.networks if one.name != wishes.isolated}
        return {text: word for text, word in told.items() if text}

    # --- the checks ------------------------------------------------------------------------

    def _version(self) -> str:
        about = self._session.content.about
        licences: list[Any] = []
        if not self._session.is_vcenter:
            manager = self._session.content.licenseManager
            licences = list(self._session.read(manager, "licenses").get("licenses", ()))
        keys = ", ".join(str(one.editionKey) for one in licences)
        return f"{about.fullName}; API {about.apiVersion}; edition keys: {keys or 'not asked'}"

    def _preflight(self) -> str:
        found = preflight.findings(self._session, self._wishes, self._now)
        bad = [one for one in found if one.gravity is Gravity.ERROR]
        if bad:
            # Keys only: their sentences name whatever the site has.
            raise Unlike(f"{', '.join(one.key for one in bad)}; see: bootpoint target check")
        told = [one.key for one in found if one.gravity is Gravity.WARNING]
        return f"warnings: {', '.join(told) or 'none'}"

    def _isolated(self) -> str:
        self._there = self._ground.look()
        was = self._there.network(self._wishes.isolated) is not None
        self._there, _ = self._ground.isolated(self._there)
        return "it was there" if was else "it was made"

    def _mount(self) -> str:
        self._there = self._ground.mounted()
        found = self._ground.look().datastore(self._runs.datastore)
        if found is None:
            raise Unlike("it is in no host's list of datastores")
        return f"as a datastore of type {found.type}"

    def _create(self) -> str:
        there = self._needs(self._there, "isolated")
        home = homestore.fit(there, self._wishes.datastore, self._session.account.target).name
        there, network = self._ground.isolated(there)
        made = self._machines.create(_SPEC, there, home, network)
        self._vm = made
        wanted = str(layers.identity(self._engine, NAME))
        seen = self._session.read(made.ref, "config.uuid").get("config.uuid")
        if seen != wanted:
            raise Unlike("the host gave it another UUID")
        if self._machines.find(NAME) is None:
            raise Unlike("it is not found by its UUID right after it was made")
        return "UUID kept"

    def _hardware(self) -> str:
        vm = self._machine()
        told = self._session.read(vm.ref, "config.firmware", "config.guestId", "config.version")
        kinds = sorted(type(one).__name__.rpartition(".")[2] for one in vm.devices)
        for kind in ("ParaVirtualSCSIController", "VirtualVmxnet3"):
            if not any(one.endswith(kind) for one in kinds):
                raise Unlike(f"it has no {kind}: {', '.join(kinds)}")
        if told.get("config.firmware") != "efi" or not vm.seen.is_of(self._engine, NAME):
            raise Unlike(f"firmware {told.get('config.firmware')}, mark {vm.seen.vm!r}")
        return f"guest {told.get('config.guestId')}, hardware {told.get('config.version')}"

    def _replace(self) -> str:
        vm, key = self._machine(), "bootpoint.selftest"
        for value in ("one", "two"):
            spec = vim.vm.ConfigSpec(extraConfig=specs.options({key: value}))
            self._waiter.result(vm.ref.ReconfigVM_Task(spec), "ReconfigVM_Task", deadline_s=60)
        extra = self._session.read(vm.ref, "config.extraConfig")["config.extraConfig"]
        seen = [str(one.value) for one in extra if one.key == key]
        if seen != ["two"]:
            raise Unlike(f"it has {len(seen)} of that key: {', '.join(seen)}")
        return "one of that key, with the second value"

    def _attach(self) -> str:
        vm, there = self._machine(), self._needs(self._there, "mount")
        make_folder(self._own)
        disk = self._own / "disk-0.raw"
        with disk.open("wb") as file:
            file.truncate(_DISK)
            os.fsync(file.fileno())
        files = self._runs.expose(NAME, self._state.operation, [DiskFile(disk, "raw")])
        _, network = self._ground.isolated(there)
        self._vm = self._machines.give(vm, files, network, self._state, connected=False)
        self._runs.armed(NAME, self._state.operation)
        if [one.path for one in self._vm.seen.disks] != list(files):
            raise Unlike("its disks are not those it was given")
        return "the disk is attached"

    def _untouched(self) -> str:
        self._attached()
        if self._runs.is_touched(NAME, self._state.operation):
            raise Unlike("the flat file is newer than its arming")
        return "the flat file is as it was"

    def _atomic(self) -> str:
        vm = self._attached()
        before = [one.path for one in vm.seen.disks]
        _, network = self._ground.isolated(self._needs(self._there, "mount"))
        missing = f"{self._runs.shown(NAME)}/{self._state.operation}/missing.vmdk"
        spec = specs.run_spec(
            vm.devices, vm.seen.disks, [*before, missing], network, "x", connected=False
        )
        try:
            self._waiter.result(vm.ref.ReconfigVM_Task(spec), "ReconfigVM_Task", deadline_s=120)
        except faults.HostFailure as failure:
            told = str(failure.problem.facts.get("fault", ""))
        else:
            raise Unlike("the host took a disk whose file is not there")
        self._vm = now = self._machines.look(vm.ref)
        if [one.path for one in now.seen.disks] != before or now.seen.state != self._state:
            raise Unlike(f"after {told} it has {len(now.seen.disks)} disks, or another mark")
        return f"refused with {told}, nothing changed"

    def _power_on(self) -> str:
        self._vm = self._machines.power_on(self._attached(), unreported)
        return "it runs"

    def _lock_file(self) -> str:
        self._running()
        folder = self._run / NAME / self._state.operation
        locks = self._seen_within(lambda: [f for f in folder.iterdir() if f.name[:5] == ".lck-"])
        return f"{len(locks)} lock files"

    def _serial(self) -> str:
        self._running()
        file = self._run / NAME / self._state.operation / specs.SERIAL
        self._seen_within(lambda: [file] if file.exists() else [])
        return f"{file.stat().st_size} bytes, mode {file.stat().st_mode & 0o777:o}"

    def _screen(self) -> str:
        return f"{len(Screens(self._session, Gate()).picture(self._running()))} bytes of PNG"

    def _power_off(self) -> str:
        self._vm = self._machines.power_off(self._running())
        return "it is off"

    def _destroy(self) -> str:
        self._machines.destroy(self._machine())
        self._vm = None
        flat = self._run / NAME / self._state.operation / "disk0-flat.vmdk"
        if flat.parent.exists() and not flat.exists():
            raise Unlike("the host deleted the flat file")
        if self._machines.find(NAME) is not None:
            raise Unlike("the VM is still there")
        return "the VM is gone, the flat file is there"

    # --- inside ----------------------------------------------------------------------------

    def _machine(self) -> Machine:
        vm = self._needs(self._vm, "create")
        self._vm = self._machines.look(vm.ref)
        return self._vm

    def _attached(self) -> Machine:
        vm = self._machine()
        if not vm.seen.disks:
            raise NotTried("it needs: attach")
        return vm

    def _running(self) -> Machine:
        vm = self._machine()
        if vm.seen.power is not Power.ON:
            raise NotTried("it needs: power-on")
        return vm

    def _needs(self, what: Any, check: str) -> Any:
        if what is None:
            raise NotTried(f"it needs: {check}")
        return what

    def _seen_within(self, look: Callable[[], list[Path]]) -> list[Path]:
        end = time.monotonic() + self._patience_s
        while not (found := look()):
            if time.monotonic() > end:
                raise Unlike(f"nothing was seen in {self._patience_s:.0f} s")
            wait(_STEP_S)
        return found

    def _clear(self) -> None:
        """Delete what this or an earlier run left; only what has our marks."""
        left = self._machines.find(NAME)
        if left is not None:
            if left.seen.power is not Power.OFF:
                left = self._machines.power_off(left)
            self._machines.destroy(left)
        self._runs.forget(NAME)
        remove_tree(self._own)
