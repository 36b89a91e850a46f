"""Standby VMs on a host, looked at: found by id, read in one call, never by their name alone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import faults, layers, questions
from engine.hypervisors.esxi.homing import HOME, Homing, read_homing
from engine.hypervisors.esxi.inventory import ref_id
from engine.hypervisors.esxi.layers import Disk, Seen
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.errors import HypervisorError, Problem, Refused
from engine.model.machine import Power
from engine.model.text import safe

TASK_S = 300.0
"""Seconds that a short task of a host is waited for."""
_PATHS = (
    "name",
    "config.extraConfig",
    "config.hardware.device",
    "config.files.vmPathName",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.question",
    "runtime.consolidationNeeded",
    "snapshot",
    "layoutEx",
    "recentTask",
)
_UNFINISHED = frozenset({"running", "queued"})
_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.PAUSED}


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM and what was read of it at once.

    Attributes:
        snapshot: `vim.vm.SnapshotInfo`, None without any.
        layout: `vim.vm.FileLayoutEx`, None where it was not told.
    """

    ref: Any
    seen: Seen
    devices: Sequence[Any]
    snapshot: Any = None
    layout: Any = None

    @property
    def homing(self) -> Homing | None:
        """Return its way home, if it is on one or there."""
        return read_homing(self.seen.way)


class Looking:
    """Looks at the VMs of one engine on one target; changes nothing."""

    def __init__(self, session: Session, waiter: TaskWaiter, engine: str) -> None:
        """Belong to an engine by its id."""
        self._session, self._waiter, self._engine = session, waiter, engine

    def find(self, vm: str) -> Machine | None:
        """Return the VM that this engine made for a standby; None without one.

        Raises:
            Refused: What is there with its id has not our marks.
        """
        wanted = str(layers.identity(self._engine, vm))
        search, found = self._session.content.searchIndex.FindByUuid, None
        for left in reversed(range(faults.TRIES)):
            if (ref := search(None, wanted, True, False)) is None:
                return None
            try:
                found = self.look(ref)
                break
            except faults.Gone:  # believed only when it is not found any more either
                if not left:
                    raise
        if found is not None and not found.seen.is_of(self._engine, vm):
            raise Refused(foreign(self._session.account.target, vm))
        return found

    def look(self, ref: Any) -> Machine:
        """Read one VM. Gone when it is not there any more."""
        seen = self._session.read(ref, *_PATHS)
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
                state=layers.read_state(extra.get(layers.STATE, "")),
                power=_POWER.get(str(seen.get("runtime.powerState")), Power.OFF),
                connected=str(seen.get("runtime.connectionState")) == "connected",
                home=str(seen.get("config.files.vmPathName") or "").rpartition("/")[0],
                disks=tuple(_disks(devices)),
                snapshots=seen.get("snapshot") is not None,
                consolidate=bool(seen.get("runtime.consolidationNeeded")),
                busy=self._is_busy(seen.get("recentTask") or ()),
                question=questions.read(question) if question is not None else None,
                way=extra.get(HOME, ""),
            ),
            devices,
            seen.get("snapshot"),
            seen.get("layoutEx"),
        )

    def _is_busy(self, tasks: Sequence[Any]) -> bool:
        """Tell whether one of a VM's tasks goes on; one that the host forgot has ended."""
        told = self._session.read_each(tasks, "info.state")
        return any(str(one.get("info.state")) in _UNFINISHED for _, one in told)

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
            at = seen.get("parent")
            if seen.get("name") == name and (at is None or ref_id(at) == ref_id(folder)):
                found.append(ref)
        return found

    def await_tasks(self, holder: Any, kind: str = "") -> bool:
        """Wait for the host's unfinished tasks; tell whether there were any.

        Args:
            holder: Of `recentTask`: a VM, or the task manager.
            kind: What their names must end with, in small letters.
        """
        waited = False
        recent = self._session.read(holder, "recentTask").get("recentTask") or ()
        for task, seen in self._session.read_each(recent, "info.state", "info.descriptionId"):
            named = str(seen.get("info.descriptionId", "")).lower()
            if str(seen.get("info.state")) in _UNFINISHED and named.endswith(kind):
                with contextlib.suppress(HypervisorError):
                    waited = True
                    self._waiter.result(task, named, deadline_s=TASK_S)
        return waited


def _disks(devices: Sequence[Any]) -> Sequence[Disk]:
    return [
        Disk(one.key, str(getattr(one.backing, "fileName", "") or ""))
        for one in devices
        if isinstance(one, vim.vm.device.VirtualDisk)
    ]


def foreign(target: str, vm: str) -> Problem:
    """Return the problem of a VM that has the name of ours and not its marks."""
    return Problem(
        "vm.foreign",
        f"Target {safe(target)} has a VM named {safe(vm)} that this engine did not create.",
        "It was left alone.",
        "Rename that VM, or give the standby another name.",
        {"vm": safe(vm)},
    )
