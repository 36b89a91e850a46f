"""Which store a folder can be: found out by doing, not by asking the file system's name."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from engine.local import durable
from engine.model.errors import LayerError, Problem, StoreAway, WrongUse
from engine.model.text import safe
from engine.stores.diskkind import DiskKind
from engine.stores.folderstore import FolderStore
from engine.stores.outline import Outline
from engine.stores.qcow2 import Qcow2
from engine.stores.rawdisk import clone
from engine.stores.reflink import Reflink

KINDS = ("reflink", "qcow2", "hotadd")
"""`hotadd` holds no bytes: they lie in snapshots on a host, and it is never chosen by itself."""
RECORD = "store.json"


def probe(path: Path) -> str:
    """Return `reflink` when files in this folder can share their bytes, else `qcow2`.

    It is tried with files that have no name, so that nobody sees them.

    Args:
        path: A folder that exists and may be written to.
    """
    with (
        tempfile.TemporaryFile(dir=path, prefix=".probe-") as source,
        tempfile.TemporaryFile(dir=path, prefix=".probe-") as target,
    ):
        source.write(bytes(range(256)) * 16)
        source.flush()
        try:
            clone(source.fileno(), target.fileno())
        except OSError:
            return "qcow2"
        return "reflink" if target.read() == bytes(range(256)) * 16 else "qcow2"


@dataclass(frozen=True, slots=True)
class _Record:
    """What stands in a store of itself. `ident`: drawn when it was made; empty: made before that.

    Attributes:
        kind: Empty for a folder that is no store yet.
        is_whole: False when it was damaged, and the kind is told by the disks that are there.
    """

    kind: str = ""
    ident: str = ""
    is_whole: bool = True


def open_store(path: Path, kind: str, name: str, memory: Path | None = None) -> FolderStore:
    """Open the store in a folder, made where missing, and lock it.

    A store stays what it was when it was made.

    Args:
        path: The folder.
        kind: `auto`, `reflink`, `qcow2` or `hotadd`.
        name: The store's name for operators.
        memory: A file elsewhere that remembers which store the folder held: where it does not any
            more, its file system is not mounted, or another is, and nothing is written there.
            None: there is none.

    Raises:
        LockHeld: Another process works with it.
        WrongUse: `kind` is unknown, or the store is of another kind.
        StoreAway: There was a store, and it is not there, or it is another one.
        LayerError: The file system cannot hold a store of this kind.
    """
    if kind not in ("auto", *KINDS):
        raise WrongUse(Problem("store.kind", f"{safe(kind)!r} is no kind of store.", remedy=_TRY))
    known = _remembered(memory, path) if memory is not None else None
    if memory is not None and known is not None and not (path / RECORD).exists():
        raise StoreAway(_unmounted(path, memory))
    durable.make_folder(path)
    was = _recorded(path)
    if memory is not None and known and was.is_whole and was.ident != known:
        raise StoreAway(_another(path, memory))
    if was.kind and kind not in ("auto", was.kind):
        raise WrongUse(_other(path, was.kind, kind))
    chosen = was.kind or (probe(path) if kind == "auto" else kind)
    if chosen == "reflink" and probe(path) != "reflink":
        raise LayerError(_cannot(path))
    store = FolderStore(path, name, _disks(chosen), chosen)
    ident = was.ident or known or uuid4().hex
    if was != _Record(chosen, ident):
        _write(path / RECORD, {"schema": 1, "kind": chosen, "id": ident})
    if memory is not None and known != ident:
        durable.make_folder(memory.parent)
        _write(memory, {"schema": 1, "path": str(path), "id": ident})
    return store


def hindrance(path: Path, kind: str) -> Problem | None:
    """Return why a folder can be no store of a kind, as opening it would say; None: it can.

    Nothing is made: where the folder is not there yet, the one is tried that it would be made in.

    Args:
        path: The folder.
        kind: `reflink`, `qcow2` or `hotadd`.

    Raises:
        OSError: It cannot be looked at.
    """
    if (was := _recorded(path).kind) not in ("", kind):
        return _other(path, was, kind)
    there = next(one for one in (path, *path.parents) if one.is_dir())
    return _cannot(there) if kind == "reflink" and probe(there) != kind else None


def _disks(kind: str) -> DiskKind:
    if kind == "hotadd":
        return Outline(None)
    return Reflink() if kind == "reflink" else Qcow2()


def _write(file: Path, told: Mapping[str, object]) -> None:
    with durable.open_folder(file.parent) as folder:
        durable.durable_replace(folder, file.name, json.dumps(told).encode() + b"\n")


def _remembered(memory: Path, path: Path) -> str | None:
    """Return the id of the store that was in a folder, empty when it had none; None: no store."""
    try:
        told = json.loads(durable.read_bounded(memory, 1 << 16))
        return str(told.get("id", "")) if told["path"] == str(path) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _recorded(path: Path) -> _Record:
    """Return what a store says of itself."""
    try:
        record = json.loads(durable.read_bounded(path / RECORD, 4096))
        kind, ident = record["kind"], record.get("id", "")
    except FileNotFoundError:
        return _Record()
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Record(_seen(path), is_whole=False)
    if kind not in KINDS or not isinstance(ident, str):
        return _Record(_seen(path), is_whole=False)
    return _Record(kind, ident)


def _seen(path: Path) -> str:
    """Return the kind of the disks that are there, for a store whose record is damaged."""
    names = {file.suffix for file in path.glob("*/*/disk-0.*")}
    found = {".raw": "reflink", ".qcow2": "qcow2", ".outline": "hotadd"}
    return next((kind for suffix, kind in found.items() if suffix in names), "")


_TRY = "Use auto, reflink or qcow2."


def _other(path: Path, was: str, kind: str) -> Problem:
    return Problem(
        "store.other-kind",
        f"The store {safe(os.fspath(path))} was made as {was}, not as {kind}.",
        "Nothing was changed.",
        "Name an empty folder. For VMs on this machine it may also be configured as auto or "
        f"{was}.",
    )


def _unmounted(path: Path, memory: Path) -> Problem:
    return Problem(
        "store.away",
        f"There is no store in {safe(os.fspath(path))}, and there was one: its file system is "
        "probably not mounted.",
        "Nothing was written there; its boot points are where it is.",
        "Mount it; it is looked for by itself. If its disks are lost for good, delete "
        f"{safe(os.fspath(memory), 200)}, and a new store is begun.",
        {"path": safe(os.fspath(path), 400)},
    )


def _another(path: Path, memory: Path) -> Problem:
    return Problem(
        "store.another",
        f"The store in {safe(os.fspath(path))} is another one than the one that was there: another "
        "file system is probably mounted.",
        "Nothing was written there; the boot points are where their own store is.",
        "Mount the right one; it is looked for by itself. If this shall be the target's store from "
        f"now on, delete {safe(os.fspath(memory), 200)}.",
        {"path": safe(os.fspath(path), 400)},
    )


def _cannot(path: Path) -> Problem:
    return Problem(
        "store.no-reflink",
        f"The file system of {safe(os.fspath(path))} cannot share bytes between files.",
        "Nothing was changed.",
        "Use XFS or btrfs. For VMs on this machine the store may also be auto or qcow2.",
    )
