"""The picture of a VM's console: what the host draws for a GET, or a file that it is told to make.

    GET /screen?id=ID ── PNG                                             nothing stays anywhere
    refused: CreateScreenshot_Task ── GET /folder/… ── DeleteDatastoreFile_Task

Source: both need the privilege VirtualMachine.Interact.CreateScreenshot; the task's result is the
datastore path of a PNG in the VM's own folder. Neither was seen on a real host yet.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from pyVmomi import vim

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.gate import Gate
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.paths import datastore_of
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.hypervisors.png import MAGIC
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe

log = logging.getLogger(__name__)

_LARGEST = 16 << 20
_TASK_S = 60.0
_FRESH_S = 5.0
"""A picture that cost a task and a file is shown for so long, however often it is asked for."""
_NEST = 64
_SHOT = "CreateScreenshot_Task"
_PICTURE = re.compile(r"[^/]+\.png", re.IGNORECASE)


class Screens:
    """Draws the consoles of one target's VMs. Thread-safe."""

    def __init__(self, session: Session, gate: Gate) -> None:
        """Have drawn none.

        Args:
            gate: A picture that takes a task is not drawn while somebody changes the VM.
        """
        self._session, self._gate, self._waiter = session, gate, TaskWaiter(session)
        self._drawn: dict[str, tuple[float, bytes]] = {}
        self._centres: dict[str, tuple[Any, str]] = {}

    def picture(self, there: Machine) -> bytes:
        """Return the screen of a VM that runs, as PNG.

        Raises:
            HypervisorError: The host gives none.
        """
        path = f"/screen?id={quote(ref_id(there.ref), safe='')}"
        status, body = self._session.get(path, _LARGEST)
        if status == 200 and body.startswith(MAGIC):
            return body
        why = "what came is no PNG" if status == 200 else f"HTTP {status}"
        try:
            return self._shot(there)
        except HypervisorError as failure:
            raise HypervisorError(self._none(there, why, failure)) from failure

    # --- as a file -------------------------------------------------------------------------

    def _shot(self, there: Machine) -> bytes:
        """Return a picture that the host wrote into the VM's folder, at most some seconds old."""
        vm = there.seen.vm
        with self._gate.vm(vm, _AtOnce(vm)):
            at, body = self._drawn.get(vm, (0.0, b""))
            if not body or time.monotonic() - at > _FRESH_S:
                body = self._taken(there)
                self._drawn[vm] = time.monotonic(), body
            return body

    def _taken(self, there: Machine) -> bytes:
        centre, way = self._centre(there.ref)
        told = self._waiter.result(self._begun(there.ref), _SHOT, deadline_s=_TASK_S)
        folder, _, file = told.rpartition("/") if isinstance(told, str) else ("", "", "")
        if not folder or folder != there.seen.home or not _PICTURE.fullmatch(file):
            raise HypervisorError(_elsewhere(there, str(told)))
        try:
            store = datastore_of(self._session, there.ref, told)
            path, query = told[len(store) + 3 :], urlencode({"dcPath": way, "dsName": store})
            status, body = self._session.get(f"/folder/{quote(path)}?{query}", _LARGEST)
        finally:
            self._delete(told, centre)
        if status != 200 or not body.startswith(MAGIC):
            raise HypervisorError(_unreadable(told, status))
        return body

    def _begun(self, ref: Any) -> Any:
        """Return a task that writes a picture; one whose reply was lost is found again.

        The file that it writes would stay otherwise. It is ours if it is the only new one, and says
        that our own user began it.
        """
        known = {ref_id(task) for task in self._drawing(ref)}
        try:
            return ref.CreateScreenshot_Task()
        except faults.ReplyLost:
            new = [task for task in self._drawing(ref) if ref_id(task) not in known]
            if len(new) != 1:
                raise
            log.info("the task that draws is found again after a lost reply")
            return new[0]

    def _drawing(self, ref: Any) -> Sequence[Any]:
        """Return the VM's recent tasks that draw its screen, begun by our user."""
        recent = self._session.read(ref, "recentTask").get("recentTask") or ()
        found = self._session.read_each(recent, "info.descriptionId", "info.reason")
        drawing = [
            (task, seen.get("info.reason"))
            for task, seen in found
            if "screenshot" in str(seen.get("info.descriptionId", "")).lower()
        ]
        if not drawing:
            return ()
        manager = self._session.content.sessionManager
        user = self._session.need(manager, "currentSession")["currentSession"].userName
        return [task for task, why in drawing if getattr(why, "userName", None) == user]

    def _centre(self, ref: Any) -> tuple[Any, str]:
        """Return the datacenter that a VM is in, and the way to it below the root."""
        if (known := self._centres.get(ref_id(ref))) is not None:
            return known
        at, centre, names = ref, None, list[str]()
        for _ in range(_NEST):
            seen = self._session.read(at, "name", "parent")
            centre = at if isinstance(at, vim.Datacenter) else centre
            if (above := seen.get("parent")) is None:
                break
            if centre is not None:
                names.insert(0, str(seen.get("name", "")))
            at = above
        self._centres[ref_id(ref)] = centre, "/".join(names)
        return centre, "/".join(names)

    def _delete(self, path: str, centre: Any) -> None:
        """Delete the file of a picture; where that fails it stays, and the log says so."""
        last: faults.HostFailure | None = None
        for _ in range(faults.TRIES):
            try:
                task = self._session.content.fileManager.DeleteDatastoreFile_Task(path, centre)
                self._waiter.result(task, "DeleteDatastoreFile_Task", deadline_s=_TASK_S)
            except faults.NoFile:
                return
            except faults.ReplyLost as failure:
                last = failure
                continue
            except faults.HostFailure as failure:
                last = failure
                break
            return
        log.warning("the picture %s stays on its datastore: %s", safe(path), last)

    def _none(self, there: Machine, why: str, failure: HypervisorError) -> Problem:
        return Problem(
            "vm.no-screen",
            f"Target {safe(self._session.account.target)} gives no picture of "
            f"{safe(there.seen.vm)}: {why}; nor as a file: {failure.problem.happened}",
            "The VM goes on.",
            "Give the role VirtualMachine.Interact.CreateScreenshot, or look at it with the host's "
            "own client.",
        )


class _AtOnce:
    """A `Cancel` that does not wait."""

    def __init__(self, vm: str) -> None:
        self._vm = vm

    def check(self) -> None:
        """Raise HostBusy."""
        raise faults.HostBusy(
            Problem(
                "target.busy",
                f"VM {safe(self._vm)} is being changed just now.",
                "Nothing was changed.",
                "Ask for its picture again later.",
            )
        )


def _elsewhere(there: Machine, told: str) -> Problem:
    return Problem(
        "vm.screen-elsewhere",
        f"The host says that the picture of {safe(there.seen.vm)} is {safe(told, 200)}, which is "
        "no PNG in the VM's own folder.",
        "It was neither read nor deleted.",
        "Look at the VM with the host's own client.",
    )


def _unreadable(path: str, status: int) -> Problem:
    return Problem(
        "vm.screen-unread",
        f"The picture {safe(path, 200)} cannot be fetched from its datastore (HTTP {status}).",
        "The VM goes on.",
        "Give the role Datastore.Browse on the datastore, or look at the VM with the host's own "
        "client.",
    )
