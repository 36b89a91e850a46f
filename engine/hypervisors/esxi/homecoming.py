"""The whole use-case: look whether a VM can come home, bring it, tidy up what it needed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from functools import partial

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.destination import check_rights, check_room, destination
from engine.hypervisors.esxi.gate import Gate
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.home import Homeward, Trip
from engine.hypervisors.esxi.homing import unmovable
from engine.hypervisors.esxi.inventory import Datastore
from engine.hypervisors.esxi.layers import State
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.nfs import RunFolders
from engine.hypervisors.esxi.paths import datastore_of
from engine.hypervisors.esxi.session import Session
from engine.model.machine import Home, Power
from engine.model.text import safe
from engine.ports import Cancel, Report

log = logging.getLogger(__name__)

_STEP_S = 1.0
_HALT_S = 120.0
"""A guest that is copied while it is off has so long to shut down by itself."""


def shut_down(machines: Machines, there: Machine, grace: float) -> Machine:
    """Ask a guest to shut down, and wait so many seconds for it."""
    # Without tools in the guest the host refuses, and its power is cut at once.
    with contextlib.suppress(faults.HostFailure):
        there.ref.ShutdownGuest()
        end, never = time.monotonic() + grace, threading.Event()
        while there.seen.power is not Power.OFF and time.monotonic() < end:
            never.wait(min(_STEP_S, grace))
            there = machines.look(there.ref)
    return there


class Homecoming:
    """Brings VMs home that were started from the share. One thread at a time per VM."""

    def __init__(
        self,
        session: Session,
        machines: Machines,
        homeward: Homeward,
        ground: Ground,
        runs: RunFolders,
        gate: Gate,
    ) -> None:
        """Work with the parts of one target."""
        self._session, self._machines, self._homeward = session, machines, homeward
        self._ground, self._runs, self._gate = ground, runs, gate

    def bring(self, there: Machine, state: State, to: str, cancel: Cancel, report: Report) -> Home:
        """Bring a VM that we started home; see `Hypervisor.bring_home`.

        Args:
            there: The VM.
            state: Of its start.
            to: Datastore; empty: where its own files are.
            cancel: Ends the way where it began.
            report: Told how far.
        """
        vm = there.seen.vm
        there, way = self._homeward.arrived(there)
        was_there = way is not None
        if way is None:
            if why := unmovable(there.seen):
                raise faults.drifted(vm, why)
            sizes = tuple(self._runs.allocated(vm, state.operation))
            place = self._place(there, to)
            check_room(self._session, place, sum(sizes), vm)
            check_rights(self._session, there, place)
            stamp = partial(self._runs.stamp, vm, state.operation)
            trip = Trip(place, sizes, stamp, self._halt, cancel, report)
            with self._gate.heavy(cancel):
                there = self._homeward.bring(there, trip)
            _, way = self._homeward.arrived(there)
        if way is None:
            raise faults.drifted(vm, "some of its disks are still on the appliance's share")
        self._runs.forget(vm)
        stays = self._ground.unmounted(self._runs.users())
        log.info("brought home vm=%s datastore=%s", safe(vm), safe(way.datastore))
        return Home(way.datastore, was_there, stays)

    def _place(self, there: Machine, to: str) -> Datastore:
        wanted = to or datastore_of(self._session, there.ref, f"{there.seen.home}/")
        share = self._runs.datastore
        return destination(self._session, there, self._ground.look(), wanted, share)

    def _halt(self, there: Machine) -> Machine:
        if there.seen.power is Power.OFF:
            return there
        return self._machines.power_off(shut_down(self._machines, there, _HALT_S))
