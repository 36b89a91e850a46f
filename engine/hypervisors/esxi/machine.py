"""Standby VMs on a host: made once, changed only when nobody else did.

Each change may lose its reply. Then the VM is looked at, and the change is made again only when
it did not happen; what is found decides, not what was sent.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine.hypervisors.esxi import faults, specs
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.gate import pauses
from engine.hypervisors.esxi.homing import HOME, Homing, read_homing
from engine.hypervisors.esxi.layers import Disk, Seen, State, identity
from engine.hypervisors.esxi.looking import TASK_S, Looking, Machine
from engine.hypervisors.esxi.questions import Asking
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter, nothing
from engine.model.errors import Problem
from engine.model.machine import Power, VMSpec
from engine.model.text import safe
from engine.ports import Report

log = logging.getLogger(__name__)

_LONG_S = 1800.0
_UNCHANGED = "Nothing was changed as far as the host tells."


class Machines(Looking):
    """The VMs of one engine on one target. One thread at a time per VM: see `Gate.vm`."""

    def __init__(
        self, session: Session, waiter: TaskWaiter, engine: str, busy: Callable[[float], None]
    ) -> None:
        """Belong to an engine by its id.

        Args:
            busy: Waits some seconds, after a host said that it cannot now.
        """
        super().__init__(session, waiter, engine)
        self._busy = busy
        self.doubted: set[str] = set()
        """Standbys whose VM a lost call may make a second time, however late."""

    # --- changing --------------------------------------------------------------------------

    def create(self, spec: VMSpec, place: Any, home: str, network: Any, turn: int = 0) -> Machine:
        """Make the VM, or return the one that is there; a lost reply makes no second one.

        Args:
            place: `Inventory`.
            home: Datastore for its own files.
            network: The isolated port group.
            turn: How many VMs it stands in for; those are not taken for it.

        Raises:
            Refused: The name belongs to a VM that is not ours.
        """
        wanted = specs.create_spec(spec, self._engine, home, network, turn)
        host = place.host(home, identity(self._engine, spec.name).int)
        waits = pauses(random.random)
        last: faults.HostFailure | None = None
        for left in reversed(range(faults.TRIES)):
            there = self._made(spec.name, place.folder, turn)
            if there is None and last is not None:
                # The host may not even have begun with what it was told.
                self._busy(next(waits))
                there = self._made(spec.name, place.folder, turn)
            try:
                if there is None:
                    task = place.folder.CreateVM_Task(wanted, place.pool, host)
                    ref = self._waiter.result(task, "CreateVM_Task", deadline_s=TASK_S)
                    there = self.look(ref)
                return there if last is None else self.alone(there)
            except (faults.ReplyLost, faults.AlreadyThere) as failure:
                # A taken name may be ours: the reply got lost while the host was still at it.
                log.warning("looking for %s: %s", spec.name, failure)
                self.doubted.add(spec.name)
                last = failure
                self.await_tasks(self._session.content.taskManager, "createvm")
            except faults.HostBusy as failure:
                if not left:
                    raise
                self.doubted.add(spec.name)
                last = failure
        if (there := self._made(spec.name, place.folder, turn)) is not None:
            return self.alone(there)
        raise self._no_effect("CreateVM_Task", last)

    def _made(self, name: str, folder: Any, turn: int) -> Machine | None:
        """Return our VM of a name, also one that is found by its name only.

        Raises:
            Refused: A VM in this folder has the name and not our marks.
        """
        if (there := self.find(name)) is not None and there.seen.turn >= turn:
            return there
        shown = specs.shown_name(name, turn)
        for ref in self.named(shown, folder):
            if self.marked(ref) is None:
                # While it is being made, it shows no marks.
                self.await_tasks(self._session.content.taskManager, "createvm")
            try:
                there = self.look(ref)
            except faults.Gone:  # believed only when it is not found any more either
                if ref_id(ref) in map(ref_id, self.named(shown, folder)):
                    raise
                continue
            self._check_own(there, name)
            return there
        return None

    def alone(self, there: Machine) -> Machine:
        """Return the VM, after its twins are gone: a host may carry out a lost call late."""
        found = self.searched(there.seen.vm)
        for ref in [*self.twins.get(there.seen.vm, ()), *([found.ref] if found else [])]:
            twin = self.marked(ref) if ref_id(ref) != ref_id(there.ref) else None
            if twin is None or twin.seen.turn != there.seen.turn:
                continue
            if twin.seen.is_of(self._engine, there.seen.vm) and twin.seen.is_new:
                log.warning("deleting a second %s, made by a lost call", safe(there.seen.vm))
                self.destroy(twin)
        return there

    def give(
        self, vm: Machine, files: Sequence[str], network: Any, state: State, *, connected: bool
    ) -> Machine:
        """Exchange a VM's disks, set its cards and write down the step: one change.

        A host's firmware tries the first disk, so the one to start is put there.

        Args:
            files: Descriptors of the new disks, as layers count them.
            network: Port group of all cards.
        """
        first = files[vm.seen.boot : vm.seen.boot + 1]
        files = [*first, *(file for file in files if file not in first)]

        def change(now: Machine) -> Any:
            spec = specs.run_spec(
                now.devices, now.seen.disks, files, network, str(state), connected=connected
            )
            return now.ref.ReconfigVM_Task(spec)

        return self.until(vm, "ReconfigVM_Task", lambda seen: seen.state == state, change)

    def power_on(self, vm: Machine, report: Report) -> Machine:
        """Start a VM; it may have started already. What it asks is answered, or reported."""
        return self.until(
            vm,
            "PowerOnVM_Task",
            lambda seen: seen.power is Power.ON,
            lambda now: now.ref.PowerOnVM_Task(None),
            Asking(self._session, vm.ref, vm.seen.vm, report).look,
        )

    def power_off(self, vm: Machine) -> Machine:
        """Cut a VM's power; it may be off already."""
        return self.until(
            vm,
            "PowerOffVM_Task",
            lambda seen: seen.power is Power.OFF,
            lambda now: now.ref.PowerOffVM_Task(),
        )

    def release(self, vm: Machine) -> Machine:
        """Take all disks out of a VM that is off; their files stay. It is nobody's start then."""
        return self.until(
            vm,
            "ReconfigVM_Task",
            lambda seen: not seen.disks and seen.state == State(),
            lambda now: now.ref.ReconfigVM_Task(
                specs.detach_spec(now.devices, now.seen.disks, str(State()))
            ),
        )

    def mark(self, vm: Machine, homing: Homing | None) -> Machine:
        """Write down how far a VM is on its way home; None: it is on none."""
        text = str(homing) if homing is not None else ""
        return self.until(
            vm,
            "ReconfigVM_Task",
            lambda seen: seen.way == text,
            lambda now: now.ref.ReconfigVM_Task(specs.note_spec({HOME: text})),
        )

    def repoint(self, vm: Machine, files: Sequence[str]) -> Machine:
        """Exchange the disks of a VM that is off, and take out its serial port, in one change."""
        return self.until(
            vm,
            "ReconfigVM_Task",
            lambda seen: [disk.path for disk in seen.disks] == list(files),
            lambda now: now.ref.ReconfigVM_Task(
                specs.repoint_spec(now.devices, now.seen.disks, files)
            ),
        )

    def quieten(self, vm: Machine, share: str, folder: str) -> Machine:
        """Let the serial port of a VM print no more into our share; see `specs.quiet_spec`."""
        return self.bring(
            vm,
            "ReconfigVM_Task",
            lambda now, _: not specs.printing_into(now.devices, share),
            lambda now: now.ref.ReconfigVM_Task(
                specs.quiet_spec(
                    specs.printing_into(now.devices, share),
                    folder,
                    is_off=now.seen.power is Power.OFF,
                )
            ),
        )

    def destroy(self, vm: Machine) -> None:
        """Delete a VM that is off, with its own files and no others.

        A host deletes every disk that is attached, whoever owns it. So each disk outside the VM's
        own folder is taken out first, and only what was read back clean is destroyed. Copies that
        its way home made are its own wherever they lie.
        """
        if _outside(vm.seen):
            vm = self.until(
                vm,
                "ReconfigVM_Task",
                lambda seen: not _outside(seen),
                lambda now: now.ref.ReconfigVM_Task(
                    specs.detach_spec(now.devices, _outside(now.seen), str(State()))
                ),
            )
        waits = pauses(random.random)
        last: faults.HostFailure | None = None
        for left in reversed(range(faults.TRIES)):
            try:
                if _outside((there := self._again(vm)).seen) or not there.seen.home:
                    raise faults.drifted(vm.seen.vm, "it got a disk while it was being deleted")
                task = vm.ref.Destroy_Task()
                self._waiter.result(task, "Destroy_Task", deadline_s=TASK_S)
                return
            except faults.Gone:
                return
            except faults.ReplyLost as failure:
                last = failure
                log.warning("looking for %s after a lost reply: %s", vm.seen.vm, failure)
            except faults.HostBusy as failure:
                last = failure
                self._bear(failure, waits, is_last=not left)
        raise self._no_effect("Destroy_Task", last)

    def until(
        self,
        vm: Machine,
        doing: str,
        is_done: Callable[[Seen], bool],
        change: Callable[[Machine], Any],
        watch: Callable[[], None] = nothing,
    ) -> Machine:
        """Make a change until what is found is what was wanted; each try looks first."""
        return self.bring(vm, doing, lambda now, _: is_done(now.seen), change, watch=watch)

    def bring(
        self,
        vm: Machine,
        doing: str,
        is_done: Callable[[Machine, int], bool],
        change: Callable[[Machine], Any],
        *,
        deadline_s: float = _LONG_S,
        unchanged: str = _UNCHANGED,
        watch: Callable[[], None] = nothing,
        holder: Any = None,
    ) -> Machine:
        """Make a change until what is found is what was wanted; each try looks first.

        The VM that is read beside the ended task is looked at first: it is returned where it is as
        wanted. Otherwise, and after each failure, it is read again.

        Args:
            is_done: Is told how many tries ended without a failure.
            unchanged: What is as it was when nothing helps.
            holder: Whose task the change is, where it is not the VM's own.
        """
        waits, tried, done = pauses(random.random), 0, 0
        last: faults.HostFailure | None = None
        while not is_done(vm, done):
            if tried == faults.TRIES:
                raise faults.no_effect(self._session.account.target, doing, last, unchanged)
            tried += 1
            beside = self.beside(vm.ref)
            try:
                task = change(vm)
                self._waiter.result(task, doing, deadline_s=deadline_s, watch=watch, read=beside)
                done += 1
                if beside.found is not None and is_done(beside.found, done):
                    return beside.found
            except faults.ReplyLost as failure:
                last = failure
                log.warning("looking at %s after a lost reply: %s", vm.seen.vm, failure)
                self.await_tasks(holder if holder is not None else vm.ref)
                if not is_done(vm := self._again(vm), done):
                    # The host may not even have begun with what it was told.
                    self._busy(next(waits))
            except (faults.Gone, faults.HostBusy, faults.WrongState) as failure:
                last = failure  # that it is gone is believed when it is not found any more either
                self._bear(failure, waits, is_last=tried == faults.TRIES)
            vm = self._again(vm)
            if isinstance(last, faults.WrongState) and not is_done(vm, done):
                raise last
        return vm

    def _again(self, vm: Machine) -> Machine:
        """Read a VM again, also where somebody registered it anew, under another id.

        Raises:
            Gone: It is not there any more.
            ReplyLost: Its id is another VM's now: its vCenter was restored.
        """
        try:
            now = self.look(vm.ref)
        except faults.Gone:
            if (found := self.find(vm.seen.vm)) is None:
                raise
            now = found
        if now.seen.engine and now.seen.engine == vm.seen.engine:
            return now
        raise faults.ReplyLost(_another(self._session.account.target, vm.seen.vm))

    def _bear(self, failure: faults.HostFailure, waits: Iterator[float], *, is_last: bool) -> None:
        """Wait for a host that cannot now; raise that after the last try."""
        if isinstance(failure, faults.HostBusy):
            if is_last:
                raise failure
            self._busy(next(waits))

    def _no_effect(self, doing: str, last: faults.HostFailure | None) -> faults.ReplyLost:
        return faults.no_effect(self._session.account.target, doing, last, _UNCHANGED)


def _outside(seen: Seen) -> Sequence[Disk]:
    """Return the disks that are not the VM's own."""
    way = read_homing(seen.way)
    return [one for one in seen.outside() if way is None or not way.is_copy(one.path)]


def _another(target: str, vm: str) -> Problem:
    return Problem(
        "target.another",
        f"Target {safe(target)} shows something else than VM {safe(vm)} under its id, or the VM "
        "without its marks.",
        "Nothing more was changed.",
        "It is looked for again by itself.",
    )
