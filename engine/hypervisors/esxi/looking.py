"""Standby VMs on a host, looked at: found by id, read in one call, never by their name alone.

One call reads a VM, its tasks, the task that is waited for, and this machine's own devices. What is
kept between two looks is only where a VM was found; what is there then says whose it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from engine.hypervisors import rules
from engine.hypervisors.esxi import answers, faults, layers, questions
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.filters import asking
from engine.hypervisors.esxi.homing import HOME, Homing, read_homing
from engine.hypervisors.esxi.layers import Disk, Seen
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import PATHS, TaskWaiter
from engine.model.errors import HypervisorError, Problem
from engine.model.machine import Power
from engine.model.text import safe

TASK_S = 300.0
"""Seconds that a short task of a host is waited for."""
SETTLING_S = 60.0
"""Seconds that what a VM's host was told before is waited for, such as by a killed engine."""
_PATHS = (
    "name",
    "config.extraConfig",
    "config.hardware.device",
    "config.files.vmPathName",
    "config.uuid",
    "config.template",
    "runtime.host",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.question",
    "runtime.consolidationNeeded",
    "snapshot",
    "layoutEx",
)
_ALWAYS = ("name", "runtime.powerState", "runtime.connectionState")
_OWN = ("config.hardware.device", "config.uuid")
_LOST = frozenset({"inaccessible", "invalid", "orphaned"})
_UNFINISHED = frozenset({"running", "queued"})
_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.PAUSED}


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM and what was read of it at once.

    Attributes:
        snapshot: `vim.vm.SnapshotInfo`, None without any.
        layout: `vim.vm.FileLayoutEx`, None where it was not told.
        own: Devices of the VM that this machine is; None where that is not known to be one.
        host: What it is registered on, None where it was not told.
    """

    ref: Any
    seen: Seen
    devices: Sequence[Any]
    snapshot: Any = None
    layout: Any = None
    own: Sequence[Any] | None = None
    host: Any = None

    @property
    def homing(self) -> Homing | None:
        """Return its way home, if it is on one or there."""
        return read_homing(self.seen.way)


class Looking:
    """Looks at the VMs of one engine on one target; changes nothing."""

    def __init__(self, session: Session, waiter: TaskWaiter, engine: str) -> None:
        """Belong to an engine by its id."""
        self._session, self._waiter, self._engine = session, waiter, engine
        self._refs: dict[str, Any] = {}
        self.twins: dict[str, list[Any]] = {}
        """By standby: other VMs that had its VM's id when it was looked for last."""
        self.own: Any = None
        """The VM that this machine is, once that is known; it is read with each other one."""
        self.own_uuid = ""
        """Its UUID: a vCenter that was restored may give its id to another VM."""

    def find(self, vm: str) -> Machine | None:
        """Return the VM that this engine made for a standby; None without one.

        Raises:
            Refused: What is there with its id has not our marks.
            HostFailure: It is there, and the host has lost it.
        """
        there = self._where_it_was(vm)
        if there is None or there.seen.is_lost or not there.seen.connected:
            there = self.searched(vm) or there
        if there is None:
            return None
        self._check_own(there, vm)
        self._refs[vm] = there.ref
        return there

    def settled(self, vm: str) -> Machine | None:
        """Return a VM as `find` does, after its host is done with what it was told before.

        An engine that was killed may have told it. A VM that runs, or asks, is not waited for.
        """
        there = self.find(vm)
        if there is not None and there.seen.settles:
            self.await_tasks(there.ref, deadline_s=SETTLING_S)
            return self.find(vm)
        return there

    def _where_it_was(self, vm: str) -> Machine | None:
        """Return the VM if it still is where it was found last, and does not say it is another."""
        if (ref := self._refs.get(vm)) is not None:
            with contextlib.suppress(faults.Gone):
                there = self.look(ref)
                if there.seen.is_of(self._engine, vm) or there.seen.is_lost:
                    return there
            self._refs.pop(vm, None)
        return None

    def searched(self, vm: str) -> Machine | None:
        """Return the VM that has its id; of several the one that stands in for the others."""
        wanted = str(layers.identity(self._engine, vm))
        for left in reversed(range(faults.TRIES)):
            refs = self._identified(wanted)
            if not refs:
                return None
            try:
                found = max(map(self.look, refs), key=lambda one: self._rank(one, vm))
                self.twins[vm] = [ref for ref in refs if ref_id(ref) != ref_id(found.ref)]
                return found
            except faults.Gone:  # believed only when it is not found any more either
                if not left:
                    raise
        return None

    def _identified(self, wanted: str) -> Sequence[Any]:
        """Return all VMs that have a UUID of the BIOS."""
        try:
            index = self._session.content.searchIndex
            return list(index.FindAllByUuid(None, wanted, True, False) or ())
        except faults.NoMethod:  # vcsim finds one of them only
            every = self._session.read_all(vim.VirtualMachine, "config.uuid")
            return [ref for ref, seen in every if str(seen.get("config.uuid")).lower() == wanted]

    def _rank(self, there: Machine, vm: str) -> tuple[bool, int, bool, bool]:
        """Compare VMs of one id; a host may have made one late, which was never given a disk."""
        seen = there.seen
        return seen.is_of(self._engine, vm), seen.turn, not seen.is_new, seen.connected

    def check_not_lost(self, vm: str) -> None:
        """Raise where a VM that is not found by its id may be one that the host has lost.

        A host may call such a VM by the path of its file, and know its id no more (unverified).
        """
        for _, seen in self._session.read_all(
            vim.VirtualMachine, "name", "runtime.connectionState"
        ):
            name = str(seen.get("name", ""))
            is_named = name == vm or name.endswith(f"/{vm}.vmx")
            if is_named and str(seen.get("runtime.connectionState")) in _LOST:
                raise faults.HostFailure(_lost(self._session.account.target, vm))

    def _check_own(self, there: Machine, vm: str) -> None:
        """Raise unless this engine made what is there for a standby."""
        if there.seen.is_of(self._engine, vm):
            return
        if there.seen.is_lost:
            raise faults.HostFailure(_lost(self._session.account.target, vm))
        raise rules.foreign(self._session.account.target, vm)

    def look(self, ref: Any) -> Machine:
        """Read one VM. Gone when it is not there any more."""
        found, _ = self._read(ref)
        if found is None:
            self._session.read(ref, "name")
            raise faults.ReplyLost(_left_out(self._session.account.target))
        return found

    def beside(self, ref: Any) -> Beside:
        """Return what reads a task and, in the same call, a VM."""
        return Beside(self._read, ref)

    def _read(self, ref: Any, task: Any = None) -> tuple[Machine | None, Mapping[str, Any]]:
        """Return a VM and what a task says of itself, from one call.

        The task is asked for first, so that a VM beside a finished one has its effect as a rule;
        whoever relies on it looks again where it has not.
        """
        collector = vmodl.query.PropertyCollector
        tasks = collector.TraversalSpec(type=vim.VirtualMachine, path="recentTask", skip=False)
        wanted = [
            *([collector.ObjectSpec(obj=task, skip=False)] if task is not None else []),
            collector.ObjectSpec(obj=ref, skip=False, selectSet=[tasks]),
        ]
        paths = {vim.VirtualMachine: _PATHS, vim.Task: PATHS if task is not None else PATHS[:1]}
        asked = [asking(wanted, paths, gone_is_missing=True)]
        if self.own is not None and ref_id(self.own) != ref_id(ref):
            own = collector.ObjectSpec(obj=self.own, skip=False)
            asked.append(asking([own], {vim.VirtualMachine: _OWN}, gone_is_missing=True))
        found: dict[Any, Mapping[str, Any]] = {
            (type(one), ref_id(one)): seen for one, seen in self._session.collect(*asked)
        }
        waited = found.pop((vim.Task, ref_id(task)), {}) if task is not None else {}
        busy = any(
            str(seen.get("info.state")) in _UNFINISHED
            for (kind, _), seen in found.items()
            if kind is vim.Task
        )
        if task is not None and not waited:
            waited = self._session.read(task, *PATHS)  # Gone says what became of it
        if (seen := found.get((vim.VirtualMachine, ref_id(ref)))) is None:
            return None, waited
        if not _is_whole(seen):
            raise faults.ReplyLost(_left_out(self._session.account.target))
        return _machine(ref, seen, self._own_devices(found), busy=busy), waited

    def _own_devices(self, found: Mapping[Any, Mapping[str, Any]]) -> Sequence[Any] | None:
        """Return the devices of this machine's VM; None when it is not where it was known to be."""
        if self.own is None:
            return None
        seen = found.get((vim.VirtualMachine, ref_id(self.own)), {})
        if str(seen.get("config.uuid", "")).lower() != self.own_uuid:
            self.own = None  # it is looked for again
            return None
        return list(seen.get("config.hardware.device") or ())

    def marked(self, ref: Any) -> Machine | None:
        """Return a VM that says whose it is; None when it does not."""
        try:
            there = self.look(ref)
        except faults.Gone:
            return None
        return there if there.seen.engine else None

    def named(self, name: str, folder: Any) -> Sequence[Any]:
        """Return the VMs in a folder that have a name; some hosts take it twice."""
        found = []
        for ref, seen in self._session.read_all(vim.VirtualMachine, "name", "parent"):
            answers.check(seen, self._session.account.target, "name")  # it may be ours
            at = seen.get("parent")
            if seen.get("name") == name and (at is None or ref_id(at) == ref_id(folder)):
                found.append(ref)
        return found

    def await_tasks(self, holder: Any, kind: str = "", deadline_s: float = TASK_S) -> bool:
        """Wait for the host's unfinished tasks; tell whether there were any.

        Args:
            holder: Of `recentTask`: a VM, or the task manager.
            kind: What their names must end with, in small letters.
            deadline_s: So long for each.
        """
        waited = False
        recent = self._session.read(holder, "recentTask").get("recentTask") or ()
        for task, seen in self._session.read_each(recent, "info.state", "info.descriptionId"):
            named = str(seen.get("info.descriptionId", "")).lower()
            if str(seen.get("info.state")) in _UNFINISHED and named.endswith(kind):
                with contextlib.suppress(HypervisorError):
                    waited = True
                    self._waiter.result(task, named, deadline_s=deadline_s)
        return waited


class Beside:
    """Reads a task, and a VM beside it."""

    def __init__(
        self,
        read: Callable[[Any, Any], tuple[Machine | None, Mapping[str, Any]]],
        ref: Any,
    ) -> None:
        """Have read nothing."""
        self._read, self._ref = read, ref
        self.found: Machine | None = None

    def __call__(self, task: Any) -> Mapping[str, Any]:
        """Return what the task says of itself."""
        self.found = None
        self.found, seen = self._read(self._ref, task)
        return seen


def _machine(
    ref: Any, seen: Mapping[str, Any], own: Sequence[Any] | None, *, busy: bool
) -> Machine:
    """Return a VM as it was read.

    Args:
        own: Devices of this machine's own VM.
        busy: A task works on it.
    """
    extra = {one.key: str(one.value) for one in seen.get("config.extraConfig") or ()}
    devices = list(seen.get("config.hardware.device") or ())
    question = seen.get("runtime.question")
    return Machine(
        ref,
        Seen(
            name=str(seen.get("name", "")),
            engine=extra.get(layers.ENGINE, ""),
            vm=extra.get(layers.VM, ""),
            shape=extra.get(layers.SHAPE, ""),
            boot=_number(extra.get(layers.BOOT, "")),
            turn=_number(extra.get(layers.TURN, "")),
            uuid=str(seen.get("config.uuid") or ""),
            template=bool(seen.get("config.template")),
            state=layers.read_state(extra.get(layers.STATE, "")),
            power=_POWER[str(seen["runtime.powerState"])],
            connected=str(seen.get("runtime.connectionState")) == "connected",
            home=str(seen.get("config.files.vmPathName") or "").rpartition("/")[0],
            disks=tuple(_disks(devices)),
            snapshots=seen.get("snapshot") is not None,
            consolidate=bool(seen.get("runtime.consolidationNeeded")),
            busy=busy,
            question=questions.read(question) if question is not None else None,
            way=extra.get(HOME, ""),
        ),
        devices,
        seen.get("snapshot"),
        seen.get("layoutEx"),
        own,
        seen.get("runtime.host"),
    )


def _number(text: str) -> int:
    """Return a mark that counts; 0 where it was changed into something else."""
    return int(text) if text.isdecimal() and len(text) < 4 else 0


def _is_whole(seen: Mapping[str, Any]) -> bool:
    """Tell whether what each VM has was told: no power is not off, and no devices are not no disk.

    A host leaves out what it fails to read. A VM that it has lost, or just makes, has no
    configuration yet. A power state that nobody knows is not off either.
    """
    return (
        all(path in seen for path in _ALWAYS)
        and str(seen["runtime.powerState"]) in _POWER
        and ("config.extraConfig" not in seen or "config.hardware.device" in seen)
    )


def _disks(devices: Sequence[Any]) -> Sequence[Disk]:
    return [
        Disk(one.key, str(getattr(one.backing, "fileName", "") or ""))
        for one in devices
        if isinstance(one, vim.vm.device.VirtualDisk)
    ]


def _lost(target: str, vm: str) -> Problem:
    return Problem(
        "vm.lost",
        f"Target {safe(target)} has lost VM {safe(vm)}: it is disconnected, orphaned or "
        "inaccessible, and does not tell its configuration. Nobody knows what it does.",
        "Nothing was changed.",
        "See in the host's own client why, and that the host reaches the datastore of the VM's own "
        "files; then try again.",
        {"vm": safe(vm), "target": target},
    )


def _left_out(target: str) -> Problem:
    return Problem(
        "target.left-out",
        f"Target {safe(target)} left a VM, or part of it, out of its answer.",
        "Nothing was changed.",
        "It is asked again.",
    )
