"""Takes away copies of a VM's disks, and the folder that they were put into once it is empty."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.gate import pauses
from engine.hypervisors.esxi.homing import Homing
from engine.hypervisors.esxi.inventory import datastores_of
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.text import safe

log = logging.getLogger(__name__)

_TASK_S, _DISK_S = 60.0, 300.0


def own_folder(vm: str, engine: str, datastore: str) -> str:
    """Return where copies go that are not put into the VM's own folder: nobody else's name."""
    return f"[{datastore}] bootpoint-{vm}-{engine[:8]}"


def drop(session: Session, waiter: TaskWaiter, path: str, busy: Callable[[float], None]) -> None:
    """Delete a copy of a disk; repeatable.

    Args:
        busy: Waits some seconds, after a host said that it cannot now.
    """
    manager, waits = session.content.virtualDiskManager, pauses(random.random)
    for left in reversed(range(faults.TRIES)):
        try:
            task = manager.DeleteVirtualDisk_Task(path, None)
            waiter.result(task, "DeleteVirtualDisk_Task", deadline_s=_DISK_S)
        except faults.NoFile:
            return
        except (faults.ReplyLost, faults.HostBusy) as failure:
            if not left:
                raise
            if isinstance(failure, faults.HostBusy):
                busy(next(waits))
        else:
            return


def sweep(session: Session, waiter: TaskWaiter, there: Machine, way: Homing) -> None:
    """Delete the folder that was made for a VM's copies, if nothing is in it; else it stays.

    A host deletes a folder with all that is in it, so it is looked into first.
    """
    seen = there.seen
    if way.folder != own_folder(seen.vm, seen.engine, way.datastore) or there.host is None:
        return
    try:
        told = datastores_of(session, there.host)
        store = next((one.ref for one in told if one.name == way.datastore), None)
        if store is not None and _is_empty(session, waiter, store, way.folder):
            task = session.content.fileManager.DeleteDatastoreFile_Task(way.folder, None)
            waiter.result(task, "DeleteDatastoreFile_Task", deadline_s=_TASK_S)
    except faults.NoFile:
        return
    except faults.HostFailure as failure:
        log.warning("folder %s stays: %s", safe(way.folder, 200), failure)


def _is_empty(session: Session, waiter: TaskWaiter, store: Any, folder: str) -> bool:
    """Tell whether a folder is there with nothing in it, hidden or not."""
    browser = session.need(store, "browser")["browser"]
    every = vim.host.DatastoreBrowser.SearchSpec(matchPattern=["*", ".*"])
    task = browser.SearchDatastore_Task(folder, every)
    told = waiter.result(task, "SearchDatastore_Task", deadline_s=_TASK_S)
    return isinstance(told, vim.host.DatastoreBrowser.SearchResults) and not told.file
