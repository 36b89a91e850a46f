"""Brings a VM that was started from our share home, onto a datastore of its host.

with a vCenter   mark · RelocateVM_Task, the VM goes on running · serial port off the share · done
a single host    mark · power off · copy each disk · re-point all at once · power on · done

The mark on the VM says which way it is on: a lost reply or a crash is followed up, never begun
anew. Copies are named by the way's id. Until the VM is re-pointed its old disks stay as they are,
and a way that is given up ends where it began.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from pyVmomi import vim

from engine.hypervisors.esxi import answers, faults, specs
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.gate import pauses
from engine.hypervisors.esxi.homing import Homing
from engine.hypervisors.esxi.inventory import Datastore
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.ownership import only_own
from engine.hypervisors.esxi.paths import datastore_of
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.sweeping import drop, own_folder, sweep
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.errors import Cancelled, Failure
from engine.model.machine import Power
from engine.model.progress import Progress
from engine.model.text import safe
from engine.ports import Cancel, Report, unreported

log = logging.getLogger(__name__)

_LONGEST_S = 7 * 86400.0
_UNFINISHED = frozenset({"running", "queued"})


@dataclass(frozen=True, slots=True)
class Trip:
    """One bringing home: where to, what it weighs, who watches.

    Attributes:
        sizes: Bytes that each disk holds.
        stamp: Tells what the disks are like now; another text when somebody wrote to them.
        halt: Shuts the VM down, and cuts its power when it does not.
    """

    place: Datastore
    sizes: tuple[int, ...]
    stamp: Callable[[], str]
    halt: Callable[[Machine], Machine]
    cancel: Cancel
    report: Report = unreported

    def tell(self, step: str, done: int) -> None:
        """Report so many bytes of all."""
        self.report(Progress(step, min(done, sum(self.sizes)), sum(self.sizes) or None))


class Homeward:
    """Brings VMs home. One thread at a time per VM."""

    def __init__(
        self,
        session: Session,
        waiter: TaskWaiter,
        machines: Machines,
        share: str,
        busy: Callable[[float], None],
    ) -> None:
        """Work through this session.

        Args:
            share: Name of the datastore that our share is.
            busy: Waits some seconds, after a host said that it cannot now.
        """
        self._session, self._waiter, self._machines = session, waiter, machines
        self._share, self._busy = share, busy
        self._followed: set[str] = set()

    def arrived(self, there: Machine) -> tuple[Machine, Homing | None]:
        """Return the way of a VM that is home, marked so; None for one with a disk on our share.

        One that somebody else moved off the share is home too.
        """
        if there.homing is not None and there.homing.done:
            return self._quieten(there, there.homing), there.homing
        on = self._stores(there)
        if not on or self._share in on:
            return there, None
        if there.homing is None:
            way = Homing(uuid4().hex, on[0], self._folder(there, on[0]))
            there = self._machines.mark(there, way)
        there = self._arrive(there)
        return there, there.homing

    def bring(self, there: Machine, trip: Trip) -> Machine:
        """Bring a VM home; one that is there already only gets the mark that says so.

        Raises:
            Cancelled: It is where it was, and runs if it ran.
            HypervisorError: Likewise, unless the host is away: the next try goes on then.
        """
        name = trip.place.name
        if there.homing is not None and there.homing.datastore != name:
            there = self._give_up(there)
        if there.homing is None:
            folder = self._folder(there, name)
            there = self._machines.mark(
                there, Homing(uuid4().hex, name, folder, there.seen.power is Power.ON)
            )
        way = self._move if self._session.is_vcenter else self._copy
        try:
            there = way(there, trip)
        except (Failure, Cancelled):
            with contextlib.suppress(Failure):
                self._give_up(self._machines.look(there.ref))
            raise
        return self._arrive(there)

    def _stores(self, there: Machine) -> list[str]:
        """Return the datastores of a VM's disks, by name."""
        return [datastore_of(self._session, there.ref, one.path) for one in there.seen.disks]

    def _folder(self, there: Machine, datastore: str) -> str:
        """Return where copies go: the VM's own folder, or one that carries its UUID's mark."""
        home = there.seen.home
        if datastore_of(self._session, there.ref, f"{home}/") == datastore:
            return home
        return own_folder(there.seen.vm, there.seen.engine, datastore)

    def _arrive(self, there: Machine) -> Machine:
        """Take the serial port off the share, start what ran before, write down that it is done."""
        way = _way(there)
        there = self._quieten(there, way)
        if way.ran and there.seen.power is Power.OFF and not self._session.is_vcenter:
            there = self._machines.power_on(there, unreported)
        return self._machines.mark(there, replace(way, done=True))

    def _quieten(self, there: Machine, way: Homing) -> Machine:
        """Take the serial port off the share; where that fails, whoever asks again tries again."""
        try:
            return self._machines.quieten(there, self._share, way.folder)
        except faults.HostFailure as failure:
            log.warning("the serial port of %s stays on the share: %s", there.seen.vm, failure)
            return there

    # --- with a vCenter ------------------------------------------------------------------------

    def _move(self, there: Machine, trip: Trip) -> Machine:
        """Let the vCenter move it; a task that a lost call left behind is followed, not doubled."""
        waits, left, was_lost = pauses(random.random), faults.TRIES, False
        last: faults.HostFailure | None = None
        step = f"move to {safe(trip.place.name)}"
        while set(self._stores(there)) != {trip.place.name}:
            trip.cancel.check()
            task = self._unfinished(there.ref, "relocat")
            if task is None and was_lost:
                # The host may not even have begun with what it was told.
                self._busy(next(waits))
                task, was_lost = self._unfinished(there.ref, "relocat"), False
                there = self._machines.look(there.ref)
                continue
            if not left:
                raise self._no_effect("RelocateVM_Task", last)
            left -= 1
            try:
                if task is None:
                    spec = specs.move_spec(there.seen.disks, trip.place.ref)
                    task = there.ref.RelocateVM_Task(spec, None)
                self._follow(task, "RelocateVM_Task", trip, step, 0, sum(trip.sizes))
            except faults.ReplyLost as failure:
                log.warning("looking at %s after a lost reply: %s", there.seen.vm, failure)
                last, was_lost = failure, True
            except faults.HostBusy as failure:
                if not left:
                    raise
                last = failure
                self._busy(next(waits))
            there = self._machines.look(there.ref)
        return there

    def _unfinished(self, holder: Any, kind: str) -> Any:
        """Return an unfinished task of a kind among a holder's recent ones; None without one."""
        for task, seen in self._tasks(holder, kind):
            if str(seen.get("info.state")) in _UNFINISHED:
                return task
        return None

    def _tasks(self, holder: Any, kind: str) -> list[tuple[Any, Mapping[str, Any]]]:
        """Return a holder's recent tasks of a kind, with what they are at."""
        recent = self._session.read(holder, "recentTask").get("recentTask") or ()
        found = self._session.read_each(recent, "info.state", "info.descriptionId")
        for _, seen in found:
            answers.check(seen, self._session.account.target, "info.state")
        return [
            (task, seen)
            for task, seen in found
            if kind in str(seen.get("info.descriptionId", "")).lower()
        ]

    def _follow(self, task: Any, doing: str, trip: Trip, step: str, before: int, size: int) -> None:
        """Wait for a task that moves bytes; cancelled, it is told to stop, and it decides."""

        def report(told: Progress) -> None:
            trip.tell(step, before + size * told.done // 100)

        trip.tell(step, before)
        try:
            self._waiter.result(
                task, doing, deadline_s=_LONGEST_S, cancel=trip.cancel, report=report
            )
        except Cancelled:
            with contextlib.suppress(faults.HostFailure):
                task.CancelTask()
            try:
                self._waiter.result(task, doing, deadline_s=_LONGEST_S, report=report)
            except faults.HostFailure as failure:
                log.info("%s ended: %s", doing, failure)
                raise Cancelled from None
            log.info("%s was done before it heard of the end", doing)

    # --- a single host -------------------------------------------------------------------------

    def _copy(self, there: Machine, trip: Trip) -> Machine:
        """Copy the disks of a VM that is off, then re-point it to the copies."""
        way = _way(there)
        if self._is_repointed(there, way):
            return there
        trip.tell("shut down", 0)
        there = trip.halt(there)
        if way.stamp and way.stamp != trip.stamp():
            raise faults.drifted(there.seen.vm, _WRITTEN)
        if way.copied and not way.stamp:  # it was being given up: its copies may be gone
            self._drop_copies(way)
            way = replace(way, copied=0)
        way = replace(way, stamp=trip.stamp())
        there = self._machines.mark(there, way)
        if way.folder != there.seen.home:
            self._make_folder(way.folder)
        old = [disk.path for disk in there.seen.disks]
        for number in range(way.copied, len(old)):
            trip.cancel.check()
            self._drop(way.copy(number))
            self._copy_one(old[number], way.copy(number), trip, number)
            way = replace(way, copied=number + 1)
            there = self._machines.mark(there, way)
        trip.cancel.check()
        if there.seen.power is not Power.OFF or way.stamp != trip.stamp():
            raise faults.drifted(there.seen.vm, _WRITTEN)
        return self._machines.repoint(there, [way.copy(number) for number in range(len(old))])

    def _is_repointed(self, there: Machine, way: Homing) -> bool:
        disks = there.seen.disks
        return bool(disks) and all(way.is_copy(disk.path) for disk in disks)

    def _copy_one(self, source: str, dest: str, trip: Trip, number: int) -> None:
        """Copy a disk; after a lost reply the host's own task is found and followed."""
        waits = pauses(random.random)
        last: faults.HostFailure | None = None
        before = sum(trip.sizes[:number])
        size = trip.sizes[number] if number < len(trip.sizes) else 0
        step = f"copy disk {number + 1} of {len(trip.sizes)} to {safe(trip.place.name)}"
        manager = self._session.content.virtualDiskManager
        thin = vim.VirtualDiskManager.VirtualDiskSpec(diskType="thin", adapterType="lsiLogic")
        for left in reversed(range(faults.TRIES)):
            known = {ref_id(task) for task in self._copies()}
            try:
                task = manager.CopyVirtualDisk_Task(source, None, dest, None, thin, False)
            except faults.ReplyLost as failure:
                log.warning("looking for a copy after a lost reply: %s", failure)
                last, begun = failure, self._begun(known, next(waits))
                ended = self._end_well(begun, trip)
                if any(ended) and all(ended) and self._is_there(dest):
                    return
                if not left:
                    raise
                self._drop(dest)
                continue
            except faults.HostBusy as failure:
                if not left:
                    raise
                last = failure
                self._busy(next(waits))
                continue
            self._followed.add(ref_id(task))
            try:
                self._follow(task, "CopyVirtualDisk_Task", trip, step, before, size)
            finally:
                self._followed.discard(ref_id(task))
            return
        raise self._no_effect("CopyVirtualDisk_Task", last)

    def _begun(self, known: set[str], seconds: float) -> list[Any]:
        """Return the copies that began since; the one of a lost call may be among them."""
        new = [task for task in self._copies() if ref_id(task) not in known]
        if not new:
            self._busy(seconds)
            new = [task for task in self._copies() if ref_id(task) not in known]
        return new

    def _end_well(self, begun: list[Any], trip: Trip) -> list[bool]:
        """Await copies; cancelled, the only one that is ours is told to end."""
        try:
            return [self._ends_well(task, trip) for task in begun]  # others may copy then, too
        except Cancelled:
            with contextlib.suppress(faults.HostFailure):
                if (own := only_own(self._session, begun, self._followed)) is not None:
                    own.CancelTask()
                    self._waiter.result(own, "CopyVirtualDisk_Task", deadline_s=_LONGEST_S)
            raise

    def _ends_well(self, task: Any, trip: Trip) -> bool:
        """Await a copy that may be somebody else's, and is not cancelled; tell how it ended."""
        doing = "CopyVirtualDisk_Task"
        try:
            self._waiter.result(task, doing, deadline_s=_LONGEST_S, cancel=trip.cancel)
        except faults.HostFailure as failure:
            log.warning("a copy of that moment failed: %s", failure)
            return False
        return True

    def _is_there(self, path: str) -> bool:
        """Tell whether a disk is there. HostBusy while somebody writes to it."""
        try:
            self._session.content.virtualDiskManager.QueryVirtualDiskUuid(path, None)
        except faults.NoFile:
            return False
        return True

    def _copies(self) -> list[Any]:
        """Return the host's recent tasks that copy a disk."""
        manager = self._session.content.taskManager
        return [task for task, _seen in self._tasks(manager, "copyvirtualdisk")]

    def _make_folder(self, folder: str) -> None:
        with contextlib.suppress(faults.AlreadyThere):
            self._session.content.fileManager.MakeDirectory(folder, None, True)

    def _drop(self, path: str) -> None:
        """Delete a copy of ours that is not whole; repeatable."""
        drop(self._session, self._waiter, path, self._busy)

    # --- giving up -----------------------------------------------------------------------------

    def _give_up(self, there: Machine) -> Machine:
        """End a way where it began: no copies, no mark, and power if it had power."""
        way = there.homing
        if way is None or way.done or self._is_repointed(there, way):
            return there
        if way.stamp:  # first: giving up may fail in its middle as well
            there = self._machines.mark(there, replace(way, stamp=""))
        self.sweep(there)
        if way.ran and there.seen.power is Power.OFF and not self._session.is_vcenter:
            there = self._machines.power_on(there, unreported)
        return self._machines.mark(there, None)

    def sweep(self, there: Machine) -> None:
        """Take away what a VM's way left beside it; only a single host has anything."""
        way = there.homing
        if way is None or self._session.is_vcenter:
            return
        if not way.done and not self._is_repointed(there, way):
            self._drop_copies(way)
        sweep(self._session, self._waiter, there, way)

    def _drop_copies(self, way: Homing) -> None:
        """Delete what was copied so far, as far as the host lets that be."""
        for number in range(way.copied + 1):
            try:
                self._drop(way.copy(number))
            except faults.HostFailure as failure:
                log.warning("%s stays: %s", safe(way.copy(number)), failure)

    def _no_effect(self, doing: str, last: faults.HostFailure | None) -> faults.ReplyLost:
        target, remedy = (
            self._session.account.target,
            "See the host's own task list, then bring it home again.",
        )
        return faults.no_effect(target, doing, last, "The VM is where it was.", remedy)


def _way(there: Machine) -> Homing:
    """Return the way of a VM that was marked. Refused when somebody took the mark away."""
    if there.homing is None:
        raise faults.drifted(there.seen.vm, "its mark was changed")
    return there.homing


_WRITTEN = "somebody started it while its disks were copied"
