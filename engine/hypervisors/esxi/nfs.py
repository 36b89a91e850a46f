"""Disks that stay in the appliance's store and are shown to hosts by NFS.

    <store>/<standby>/<scratch layer>/disk-0.raw    the layer's file
    <store>/.run/<standby>/<operation>/
        disk0-flat.vmdk                             the same file under a second name (hard link)
        disk0.vmdk                                  the descriptor
        serial.log                                  what its serial port prints

Only `.run` is exported. What a VM writes goes into its scratch layer and nowhere else; trunk and
twigs have no name there. A run folder is never used twice, because NFS clients keep handles.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pyVmomi import vim

from engine.hypervisors.esxi import faults, needs
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.gate import make_sure, wait
from engine.hypervisors.esxi.inventory import (
    Datastore,
    Host,
    Inventory,
    datastores_of,
    mounts,
)
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.specs import SERIAL
from engine.hypervisors.esxi.vmdk import descriptor, whole_units
from engine.local.durable import durable_replace, make_folder, open_folder, remove_tree, sync_folder
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe
from engine.ports import DiskFile

log = logging.getLogger(__name__)

_LOCK = ".lck-"
_ARMED = "armed"


class RunFolders:
    """The folders that hosts mount. Thread-safe for different VMs."""

    def __init__(self, root: Path, datastore: str) -> None:
        """Make the folder that is exported.

        Args:
            root: `<store>/.run`.
            datastore: Under which name hosts have it.
        """
        self._root, self.datastore = root, datastore
        make_folder(root)

    def shown(self, vm: str) -> str:
        """Return the folder of a VM as hosts write it, such as `[bp-esx-01] web`."""
        return f"[{self.datastore}] {vm}"

    def expose(self, vm: str, operation: str, disks: Sequence[DiskFile]) -> Sequence[str]:
        """Give scratch disks a place where hosts find them; return their descriptors' paths.

        A disk is lengthened to whole MiB, which is scratch's alone.

        Raises:
            HypervisorError: A disk is no flat file.
        """
        folder = self._root / vm / operation
        make_folder(folder)
        shown = []
        with open_folder(folder) as opened:
            for number, disk in enumerate(disks):
                if disk.format != "raw":
                    raise HypervisorError(_not_flat(vm, disk))
                flat = f"disk{number}-flat.vmdk"
                with contextlib.suppress(FileExistsError):
                    os.link(disk.path, flat, dst_dir_fd=opened, follow_symlinks=False)
                size = whole_units(disk.path.stat().st_size)
                os.truncate(disk.path, size)
                identity = uuid5(NAMESPACE_URL, f"bootpoint:{vm}/{operation}/{number}")
                durable_replace(opened, f"disk{number}.vmdk", descriptor(flat, size, identity))
                shown.append(f"{self.shown(vm)}/{operation}/disk{number}.vmdk")
        sync_folder(folder)
        return shown

    def shows(self, vm: str, operation: str, disks: Sequence[DiskFile]) -> bool:
        """Tell whether a run folder holds these very disks."""
        folder = self._root / vm / operation
        try:
            return all(
                disk.path.samefile(folder / f"disk{number}-flat.vmdk")
                for number, disk in enumerate(disks)
            )
        except FileNotFoundError:
            return False

    def armed(self, vm: str, operation: str) -> None:
        """Remember that from now on whoever starts the VM does it by hand."""
        with open_folder(self._root / vm / operation) as opened:
            durable_replace(opened, _ARMED, b"")

    def is_touched(self, vm: str, operation: str) -> bool:
        """Tell whether an armed VM was started, running or off again.

        A host then made the serial port's file and wrote to the disks after they were armed.
        """
        folder = self._root / vm / operation
        try:
            if (folder / SERIAL).exists():
                return True
            mark = folder / _ARMED
            if not mark.exists():  # killed just before: the descriptor was written last
                mark = folder / "disk0.vmdk"
            since = mark.stat().st_mtime_ns
            return any(one.stat().st_mtime_ns > since for one in folder.glob("*-flat.vmdk"))
        except FileNotFoundError:
            return False

    def allocated(self, vm: str, operation: str) -> Sequence[int]:
        """Return the bytes that each disk of a run folder holds; none without the folder."""
        return [one.st_blocks * 512 for one in self._flats(vm, operation)]

    def stamp(self, vm: str, operation: str) -> str:
        """Return a text that differs once somebody wrote to the disks of a run folder."""
        return ",".join(f"{one.st_size}:{one.st_mtime_ns}" for one in self._flats(vm, operation))

    def _flats(self, vm: str, operation: str) -> Sequence[os.stat_result]:
        folder, found = self._root / vm / operation, list[os.stat_result]()
        while (flat := folder / f"disk{len(found)}-flat.vmdk").is_file():
            found.append(flat.stat(follow_symlinks=False))
        return found

    def users(self) -> Sequence[str]:
        """Return the VMs that have run folders."""
        return sorted(one.name for one in self._root.iterdir())

    def serial(self, vm: str) -> Path:
        """Return what the serial port of a VM's newest start prints into."""
        place = self._root / vm
        with contextlib.suppress(OSError):
            found = [one / SERIAL for one in place.iterdir() if (one / SERIAL).is_file()]
            if found:
                return max(found, key=lambda file: file.parent.stat().st_mtime_ns)
        return place / SERIAL

    def forget(self, vm: str, *, keep: str = "") -> None:
        """Remove a VM's run folders, but for one and those that a host has open; repeatable."""
        try:
            found = sorted((self._root / vm).iterdir())
        except FileNotFoundError:
            return
        for folder in found:
            if folder.name == keep:
                continue
            if any(entry.name.startswith(_LOCK) for entry in folder.iterdir()):
                log.warning("run folder %s is open on a host and stays", safe(str(folder)))
                continue
            remove_tree(folder)
        if not any((self._root / vm).iterdir()):
            remove_tree(self._root / vm)


def mount(
    session: Session,
    there: Inventory,
    name: str,
    server: str,
    share: str,
    busy: Callable[[float], object] = wait,
) -> None:
    """Mount the share on every host under one name; repeatable, also after a lost reply.

    A host that is away from its vCenter gets it at the first start after it is back.

    Args:
        busy: Waits some seconds, after a host said that it cannot now.

    Raises:
        HypervisorError: A host refuses, or has another share under that name.
    """
    spec = vim.host.NasVolume.Specification(
        remoteHost=server, remotePath=share, localPath=name, accessMode="readWrite", type="NFS"
    )
    source = f"{server}:{share}"
    for host in there.reached:
        mine = [one for one in there.datastores if ref_id(one.ref) in host.datastores]
        if _has(session, mine, name, source):
            continue

        def is_mounted(host: Host = host) -> bool:
            return _has(session, datastores_of(session, host.ref), name, source)

        storing = needs.system(host.storing, host, session.account.target)
        make_sure(is_mounted, partial(storing.CreateNasDatastore, spec), busy)


def unmount(
    session: Session,
    there: Inventory,
    name: str,
    source: str,
    busy: Callable[[float], object] = wait,
) -> str:
    """Take the share off every host that no VM uses it on; return why it stays, if it does.

    A host that keeps it does not hinder the others.

    Args:
        source: `server:share`; another share under that name is left alone.
        busy: Waits some seconds, after a host said that it cannot now.
    """
    stays = ""
    for host in there.hosts:
        found = [one for one in there.datastores if one.name == name]
        mine = [one for one in found if ref_id(one.ref) in host.datastores]
        for one in mine:
            if one.mounted != source:
                return f"{safe(name)} on host {safe(host.name)} is {safe(one.mounted)}, not ours"
            with contextlib.suppress(faults.Gone):  # another host was the last that had it
                if users := _vms_on(session, one.ref):
                    return f"it is used by {', '.join(users)}"

            def is_off(host: Host = host, ref: Any = one.ref) -> bool:
                return ref_id(ref) not in {ref_id(at) for at in mounts(session, host.ref)}

            try:
                storing = needs.system(host.storing, host, session.account.target)
                make_sure(is_off, partial(storing.RemoveDatastore, one.ref), busy)
            except faults.Gone:
                continue
            except faults.HostFailure as failure:
                stays = stays or f"host {safe(host.name)} keeps it: {failure.problem.happened}"
    return stays


def _vms_on(session: Session, datastore: Any) -> Sequence[str]:
    """Return the names of the VMs with files on a datastore, at most eight."""
    names = []
    for one in list(session.read(datastore, "vm").get("vm") or ())[:8]:
        with contextlib.suppress(faults.Gone):
            names.append(safe(str(session.read(one, "name").get("name", "a VM"))))
    return names


def _has(session: Session, mine: Sequence[Datastore], name: str, source: str) -> bool:
    """Tell whether a host has the datastore. HypervisorError when it is another share's."""
    if problem := taken(session, mine, name, source):
        raise HypervisorError(problem)
    return any(one.name == name for one in mine)


def taken(session: Session, there: Sequence[Datastore], name: str, source: str) -> Problem | None:
    """Return what to say when a datastore of the share's name is another share; None: none is."""
    for one in there:
        if one.name == name and one.mounted and one.mounted != source:
            return _other_share(session, name, one.mounted, source)
    return None


def _other_share(session: Session, name: str, mounted: str, source: str) -> Problem:
    return Problem(
        "target.other-share",
        f"Datastore {safe(name)} on target {safe(session.account.target)} is {safe(mounted)}, "
        f"not {safe(source)}.",
        "Nothing was changed.",
        "Unmount that datastore, or correct esxi.server and esxi.share. Where it is another "
        "appliance's, give this target another name: the share has it.",
    )


def _not_flat(vm: str, disk: DiskFile) -> Problem:
    return Problem(
        "target.not-flat",
        f"A disk of {safe(vm)} is a {safe(disk.format)} file, and hosts read flat files only.",
        "No VM was started.",
        "Put this target's store into an empty folder on XFS or btrfs.",
    )
