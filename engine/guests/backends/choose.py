"""Opens a guest with the first backend that can read and write all that its conversion needs.

userland ─► can it?  no ─► uml ─► can it?  no ─► guestfs ─► no: a Failure that names the packages
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.guests.backend import Backend, GuestDisk
from engine.guests.backends.export import ExportFailed, flat
from engine.guests.backends.guestfs import open_guestfs
from engine.guests.backends.guestfs_probe import probe_guestfs
from engine.guests.backends.probe import Ability, probe_userland
from engine.guests.backends.uml.backend import open_uml
from engine.guests.backends.uml.probe import find_shim, probe_uml
from engine.guests.backends.userland import open_userland
from engine.guests.inspect import inspect
from engine.local.accelerator import accelerator
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.guest import FileSystem, Guest, Volume

_NO_FILES = frozenset(
    {FileSystem.SWAP, FileSystem.HIBERNATED, FileSystem.UNKNOWN, FileSystem.LUKS,
     FileSystem.BITLOCKER, FileSystem.ZFS, FileSystem.BCACHE,
     FileSystem.BCACHEFS}
)  # fmt: skip
"""Volumes that no backend could look into."""


class OpenBackend(Backend, Protocol):
    """A backend over disks that were opened."""

    def recover(self) -> None:
        """Replay journals; only where the disks may be written."""

    def unable(self, volumes: Sequence[Volume]) -> Sequence[str]:
        """Return why some of its volumes need another backend, a sentence for each."""

    def close(self) -> None:
        """End what was started; repeatable."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A guest and the backend that can convert it; `warnings` are for the ledger."""

    backend: OpenBackend
    guest: Guest
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of backend: how its disks are opened, and what it can."""

    name: str
    open: Callable[
        [Sequence[GuestDisk], Path, bool], contextlib.AbstractContextManager[OpenBackend]
    ]
    probe: Callable[[Sequence[Volume], Path], Ability]


@contextlib.contextmanager
def _userland(disks: Sequence[GuestDisk], work: Path, is_writing: bool) -> Iterator[OpenBackend]:
    with flat(disks, work, is_writing=is_writing) as paths, open_userland(paths) as backend:
        yield backend


@contextlib.contextmanager
def _guestfs(disks: Sequence[GuestDisk], work: Path, is_writing: bool) -> Iterator[OpenBackend]:
    found = accelerator(work)
    with open_guestfs(
        disks, cache=work / "appliance", is_writing=is_writing, accelerator=found
    ) as backend:
        yield backend


@contextlib.contextmanager
def _uml(disks: Sequence[GuestDisk], work: Path, is_writing: bool) -> Iterator[OpenBackend]:
    shim = find_shim(work)
    with open_uml(disks, work=work, is_writing=is_writing, shim=shim) as backend:
        yield backend


_KINDS = (
    _Kind("userland", _userland, lambda volumes, _work: probe_userland(volumes)),
    _Kind("uml", _uml, probe_uml),
    _Kind("guestfs", _guestfs, lambda volumes, _work: probe_guestfs(volumes)),
)
NAMES = tuple(kind.name for kind in _KINDS)


@contextlib.contextmanager
def open_guest(
    disks: Sequence[GuestDisk], work: Path, *, is_writing: bool, wanted: str = ""
) -> Iterator[Opened]:
    """Yield the guest in these disks, its journals replayed where they may be written.

    Args:
        disks: In the guest's order.
        work: Folder of the engine's own for sockets and exports.
        is_writing: Whether the disks may be written.
        wanted: Name of the only backend to try; empty: all, the quickest first.

    Raises:
        WrongUse: There is no such backend.
        Failure: No backend can convert this guest here; or a disk cannot be opened.
    """
    kinds = [kind for kind in _KINDS if wanted in ("", kind.name)]
    if not kinds:
        raise WrongUse(_unknown(wanted))
    missing: list[str] = []
    for kind in kinds:
        first = kind.probe((), work)
        if not first.is_able:
            missing += first.missing
            continue
        with contextlib.ExitStack() as stack:
            try:
                backend = stack.enter_context(kind.open(disks, work, is_writing))
            except ExportFailed as failed:
                missing.append(str(failed.problem))
                continue
            if is_writing:
                backend.recover()
            guest = inspect(backend)
            needed = _needed(guest)
            ability, odd = kind.probe(needed, work), backend.unable(needed)
            if ability.is_able and not odd:
                yield Opened(backend, guest, ability.warnings)
                return
            missing += [*ability.missing, *odd]
    raise Failure(_unable(missing))


def _needed(guest: Guest) -> Sequence[Volume]:
    """Return the volumes that matter: those in the guest's tree, or all where no tree was found."""
    mounted = {mount.volume for mount in guest.mounts}
    if mounted and not guest.obstacles:
        loaders = {v.id for v in guest.volumes if v.is_esp and v.kind is FileSystem.FAT}
        return [v for v in guest.volumes if v.id in mounted | loaders]
    return [volume for volume in guest.volumes if volume.kind not in _NO_FILES]


def _unknown(wanted: str) -> Problem:
    expected = ", ".join(NAMES)
    return Problem("guest.backend", f"There is no backend {wanted}; expected one of: {expected}.")


def _unable(missing: Sequence[str]) -> Problem:
    return Problem(
        "guest.backend",
        "No backend can convert this guest here. " + " ".join(dict.fromkeys(missing)),
        "The trunk layer and all other boot points stay as they are.",
        "Do one of what is named; the conversion is tried again by itself.",
    )
