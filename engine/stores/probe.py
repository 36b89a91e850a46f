"""Which store a folder can be: found out by doing, not by asking the file system's name."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from engine.local import durable
from engine.model.errors import LayerError, Problem, StoreAway, WrongUse
from engine.model.text import safe
from engine.stores.diskkind import DiskKind
from engine.stores.folderstore import FolderStore
from engine.stores.qcow2 import Qcow2
from engine.stores.rawdisk import clone
from engine.stores.reflink import Reflink

KINDS = ("reflink", "qcow2")
RECORD = "store.json"


def probe(path: Path) -> str:
    """Return `reflink` when files in this folder can share their bytes, else `qcow2`.

    Args:
        path: A folder that exists and may be written to.
    """
    with (
        tempfile.NamedTemporaryFile(dir=path, prefix=".probe-") as source,
        tempfile.NamedTemporaryFile(dir=path, prefix=".probe-") as target,
    ):
        source.write(bytes(range(256)) * 16)
        source.flush()
        try:
            clone(source.fileno(), target.fileno())
        except OSError:
            return "qcow2"
        return "reflink" if target.read() == bytes(range(256)) * 16 else "qcow2"


def open_store(path: Path, kind: str, name: str, memory: Path | None = None) -> FolderStore:
    """Open the store in a folder, made where missing, and lock it.

    A store stays what it was when it was made.

    Args:
        path: The folder.
        kind: `auto`, `reflink` or `qcow2`.
        name: The store's name for operators.
        memory: A file elsewhere that remembers that the folder held a store: where it does not
            any more, its file system is not mounted, and no new one is made. None: there is none.

    Raises:
        LockHeld: Another process works with it.
        WrongUse: `kind` is unknown, or the store is of another kind.
        StoreAway: There was a store, and it is not there.
        LayerError: The file system cannot hold a store of this kind.
    """
    if kind not in ("auto", *KINDS):
        raise WrongUse(Problem("store.kind", f"{safe(kind)!r} is no kind of store.", remedy=_TRY))
    if memory is not None and not (path / RECORD).exists() and _remembered(memory) == str(path):
        raise StoreAway(_unmounted(path, memory))
    durable.make_folder(path)
    was = _recorded(path)
    if was and kind not in ("auto", was):
        raise WrongUse(_other(path, was, kind))
    chosen = was or (probe(path) if kind == "auto" else kind)
    if chosen == "reflink" and probe(path) != "reflink":
        raise LayerError(_cannot(path))
    disks: DiskKind = Reflink() if chosen == "reflink" else Qcow2()
    store = FolderStore(path, name, disks, chosen)
    if not was:
        with durable.open_folder(path) as folder:
            text = json.dumps({"schema": 1, "kind": chosen}).encode() + b"\n"
            durable.durable_replace(folder, RECORD, text)
    if memory is not None and _remembered(memory) != str(path):
        durable.make_folder(memory.parent)
        with durable.open_folder(memory.parent) as folder:
            text = json.dumps({"schema": 1, "path": str(path)}).encode() + b"\n"
            durable.durable_replace(folder, memory.name, text)
    return store


def _remembered(memory: Path) -> str:
    """Return the folder in which a store was; empty when none is remembered."""
    try:
        told = json.loads(durable.read_bounded(memory, 1 << 16))
        return str(told["path"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def _recorded(path: Path) -> str:
    """Return the kind a store was made as; empty for a new one."""
    try:
        record = json.loads(durable.read_bounded(path / RECORD, 4096))
        kind = record["kind"]
    except FileNotFoundError:
        return ""
    except (ValueError, KeyError, TypeError):
        return _seen(path)
    return kind if kind in KINDS else _seen(path)


def _seen(path: Path) -> str:
    """Return the kind of the disks that are there, for a store whose record is damaged."""
    names = {file.suffix for file in path.glob("*/*/disk-0.*")}
    return "reflink" if ".raw" in names else "qcow2" if ".qcow2" in names else ""


_TRY = "Use auto, reflink or qcow2."


def _other(path: Path, was: str, kind: str) -> Problem:
    return Problem(
        "store.other-kind",
        f"The store {safe(os.fspath(path))} was made as {was}, not as {kind}.",
        "Nothing was changed.",
        f"Configure it as {was} or auto, or name an empty folder.",
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


def _cannot(path: Path) -> Problem:
    return Problem(
        "store.no-reflink",
        f"The file system of {safe(os.fspath(path))} cannot share bytes between files.",
        "Nothing was changed.",
        "Use XFS or btrfs, or configure the store as auto or qcow2.",
    )
