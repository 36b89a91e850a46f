"""A layer is a folder: what the local stores have in common.

    <store>/.lock, store.json
    <store>/<standby>/<layer>/place.json, disk-0.<format>, disk-0.hashes, layer.json
                     /.making-<layer>     while it is being added
                     /.dropped-<layer>    while it is being deleted
    <store>/.quarantine/<standby>-<stamp>/

A layer appears and disappears by one rename, so it is there in full or not at all. What reads a
layer reads the folders, so nothing is remembered that a restart could lose.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from engine.local import durable
from engine.model.errors import LayerError, Problem
from engine.model.extents import Extent
from engine.model.layers import Gain, Layer, LayerKind, LayerManifest, LayerName, total
from engine.model.text import safe
from engine.ports import NEVER, BlockDevice, Cancel, Copied, DiskFile, unseen
from engine.stores import tree
from engine.stores.diskkind import DiskKind, DiskTree, FoldedDisk
from engine.stores.layerfolders import CONVERSION, NOTE, PLACE, SEAL, LayerFolders, Stack, there
from engine.stores.manifests import Place, attach, encode, signed, strip
from engine.stores.rawdisk import open_in_hypervisor

log = logging.getLogger(__name__)

NOTE_LIMIT = 64 << 10
_MAKING, _DROPPED = ".making-", ".dropped-"
_SEALED_MODE = 0o440


class FolderChain:
    """The layers of one standby in one folder."""

    def __init__(self, path: Path, kind: DiskKind, check: Callable[[], None]) -> None:
        """Know the folder; it is made with the first layer.

        Args:
            path: The standby's folder in the store.
            kind: What a disk is.
            check: Raises `StoreAway` while the store is not there.
        """
        self._path, self._kind, self._check = path, kind, check
        self._folders = LayerFolders(path, kind.format)
        self._lock = threading.RLock()
        self._writing: set[tuple[LayerName, int]] = set()
        self._spoilt: set[LayerName] = set()
        self.folds_files, self.deepest = kind.folds_files, kind.deepest

    # --- looking ---------------------------------------------------------------------------

    def layers(self) -> Mapping[LayerName, Layer]:
        """Return all layers that are there now, with the bytes that each occupies."""
        layers = self._there()
        return {name: self._measured(layers, one) for name, one in layers.items()}

    def _there(self) -> Mapping[LayerName, Layer]:
        """Return all layers, unmeasured where not sealed. All that changes any looks here first."""
        self._check()
        found: dict[LayerName, Layer] = {}
        for _ in range(3):  # a fold may take one away between listing and reading
            found = {layer.name: layer for layer in self._folders.found()}
            if all(one.parent is None or one.parent in found for one in found.values()):
                break
        return found

    def _measured(self, layers: Mapping[LayerName, Layer], layer: Layer) -> Layer:
        if layer.sealed:
            return layer
        try:
            return replace(layer, used=self._measure(layers, layer))
        except OSError:
            return layer

    def _measure(self, layers: Mapping[LayerName, Layer], layer: Layer) -> int:
        return sum(
            self._kind.used(self._folders.stack(layers, layer.name, number), size)
            for number, size in enumerate(layer.disk_sizes)
        )

    # --- the disks -------------------------------------------------------------------------

    @contextlib.contextmanager
    def open(
        self,
        layer: LayerName,
        disk: int,
        cancel: Cancel = NEVER,  # noqa: ARG002 - nobody takes turns here
    ) -> Iterator[BlockDevice]:
        """Open one disk; writable only while the layer is not sealed."""
        layers = self._there()
        found = tree.known(layers, layer)
        tree.check_disk(found, disk)
        stack = self._whole_stack(layers, found, disk)
        writable = not found.sealed
        with (
            self._one_writer(found, disk) if writable else contextlib.nullcontext(),
            self._kind.open(stack, found.disk_sizes[disk], writable=writable) as device,
        ):
            try:
                yield device
            finally:
                if device.broken:
                    self._spoilt.add(layer)

    def _whole_stack(self, layers: Mapping[LayerName, Layer], found: Layer, disk: int) -> Stack:
        """Return a stack whose files were checked to belong together."""
        stack = self._folders.stack(layers, found.name, disk)
        place = self._folders.place(found.name)
        if not stack or (place is not None and place.folding):
            raise tree.refused("damaged", f"The disks of {found.name} are not whole.", "Drop it.")
        below = list(tree.ancestry(layers, found.name))[1:]
        self._kind.check(stack, loose=any(not one.sealed for one in below))
        return stack

    @contextlib.contextmanager
    def _one_writer(self, layer: Layer, disk: int) -> Iterator[None]:
        key = layer.name, disk
        with self._lock:
            if key in self._writing or open_in_hypervisor(self._folders.file(*key)):
                raise tree.refused("in-use", f"Disk {disk} of {layer.name} is being written.")
            self._writing.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._writing.discard(key)

    def changed(self, layer: LayerName, disk: int) -> Iterator[Extent]:
        """Yield what the layer holds itself."""
        layers = self._there()
        found = tree.known(layers, layer)
        tree.check_disk(found, disk)
        return self._kind.changed(self._whole_stack(layers, found, disk), found.disk_sizes[disk])

    def disk_files(self, layer: LayerName) -> Sequence[DiskFile]:
        """Return the files a hypervisor opens, after a look at what they refer to."""
        layers = self._there()
        found = tree.known(layers, layer)
        stacks = [self._whole_stack(layers, found, n) for n in range(len(found.disk_sizes))]
        return [DiskFile(stack[0].absolute(), self._kind.format) for stack in stacks]

    def free(self) -> int:
        """Return the bytes an unprivileged writer can still use."""
        self._check()
        where = self._path if self._path.is_dir() else self._path.parent
        found = os.statvfs(where)
        return found.f_bavail * found.f_frsize

    # --- growing ---------------------------------------------------------------------------

    def add(
        self, name: LayerName, parent: LayerName | None, kind: LayerKind, sizes: Sequence[int]
    ) -> Layer:
        """Make an unsealed layer that reads like its parent."""
        with self._lock:
            layers = self._there()
            tree.check_name(name)
            tree.check_sizes(sizes)
            if name in layers:
                tree.check_same(layers[name], parent, kind, sizes)
                return layers[name]
            tree.check_add(layers, name, parent, kind)
            making = self._path / (_MAKING + name)
            try:
                durable.remove_tree(making)
                durable.make_folder(self._path)
                making.mkdir(0o700)  # durable with its final name
                self._fill(making, Place(name, parent, kind, list(sizes)), layers)
                durable.move_folder(making, self._path / name)
            except BaseException as error:
                durable.remove_tree(making)
                if isinstance(error, OSError) and error.errno in durable.FULL:
                    raise durable.no_space(error, self._path / name) from error
                raise
            return self._folders.read(name)

    def _fill(self, folder: Path, place: Place, layers: Mapping[LayerName, Layer]) -> None:
        for number, size in enumerate(place.sizes):
            below: Stack = ()
            if place.parent is not None:
                below = self._folders.stack(layers, place.parent, number)
                if below:
                    self._kind.check(below, loose=False)
            self._kind.make(folder / f"disk-{number}.{self._kind.format}", size, below)
        with durable.open_folder(folder) as handle:
            durable.write_new(handle, PLACE, encode(place))
            durable.settle(handle)

    def note(self, layer: LayerName, text: str) -> None:
        """Keep a text beside an unsealed layer."""
        tree.check_unsealed(tree.known(self._there(), layer))
        data = text.encode()
        if len(data) > NOTE_LIMIT:
            raise tree.refused("note", f"A note of {len(data)} bytes is too long.")
        self._folders.put(layer, NOTE, data)

    def noted(self, layer: LayerName) -> str:
        """Return the text kept by `note`."""
        tree.check_name(layer)
        try:
            return durable.read_bounded(self._path / layer / NOTE, NOTE_LIMIT).decode()
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    # --- sealing ---------------------------------------------------------------------------

    def seal(self, layer: LayerName, manifest: LayerManifest) -> None:
        """Make the layer durable and read-only: disks, hashes, then the manifest."""
        with self._lock:
            layers = self._there()
            found = tree.known(layers, layer)
            if found.sealed:
                return
            tree.check_seal(found, manifest)
            self._check_quiet(found)
            for number in range(len(found.disk_sizes)):
                self._whole_stack(layers, found, number)
                self._harden(layer, number)  # what is counted below has its place then
            beside = {
                f"disk-{number}.hashes": disk.hashes
                for number, disk in enumerate(manifest.disks)
                if disk.hashes
            }
            if manifest.conversion:
                beside[CONVERSION] = signed(manifest.conversion)
            used = self._measure(layers, found)
            beside[PLACE] = encode(Place(layer, found.parent, found.kind, found.disk_sizes, used))
            beside[SEAL] = encode(strip(manifest))
            with self._folders.putting(layer, beside, last=SEAL):
                for number in range(len(found.disk_sizes)):
                    self._harden(layer, number, _SEALED_MODE)
            # One that a power cut brings back is of no meaning beside a seal.
            (self._path / layer / NOTE).unlink(missing_ok=True)

    def _check_quiet(self, layer: Layer) -> None:
        """Refuse to seal or delete what is being written, or to seal what is spoilt."""
        for number in range(len(layer.disk_sizes)):
            key = layer.name, number
            file = self._folders.file(*key)
            if key in self._writing or (there(file) and open_in_hypervisor(file)):
                happened = f"Disk {number} of {layer.name} is open."
                raise tree.refused("in-use", happened, f"End what has it open: fuser -v {file}.")

    def _harden(self, layer: LayerName, disk: int, mode: int | None = None) -> None:
        if layer in self._spoilt:
            raise tree.refused("broken", f"An earlier write to {layer} failed.", "Drop it.")
        fd = os.open(self._folders.file(layer, disk), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if mode is not None:
                os.fchmod(fd, mode)
            os.fsync(fd)
        except OSError as error:
            self._spoilt.add(layer)
            if error.errno in durable.FULL:
                raise durable.no_space(error, self._path / layer) from error
            raise
        finally:
            os.close(fd)

    def manifest(self, layer: LayerName) -> LayerManifest:
        """Return a sealed layer's manifest with hashes."""
        found = tree.known(self._there(), layer)
        if found.manifest is None:
            raise LayerError(_no_manifest(layer, "it is missing or damaged"))
        try:
            disks = [
                attach(disk, self._folders.hashes(layer, number) if disk.digest else b"")
                for number, disk in enumerate(found.manifest.disks)
            ]
            conversion = self._folders.conversion(layer)
        except (OSError, ValueError) as error:
            raise LayerError(_no_manifest(layer, str(error))) from error
        return replace(found.manifest, disks=disks, conversion=conversion)

    # --- taking away -----------------------------------------------------------------------

    def fold(self, layer: LayerName, cancel: Cancel, copied: Copied = unseen) -> None:
        """Take a trunk layer away; its children go on reading the same bytes."""
        with self._lock:
            tree.check_name(layer)
            layers = self._there()
            if layer not in layers:
                self._sweep(layer)
                return
            self._check_sound(layers, layer)
            place = self._folders.place(layer)
            above = tree.check_fold(layers, layer, resumed=place is not None and place.folding)
            if self.folds_files:
                tree.check_still(layers, layer)
            if place is not None:
                self._folders.put(layer, PLACE, encode(replace(place, folding=True)))
            for number in range(len(layers[layer].disk_sizes)):
                cancel.check()
                folded = self._folded(layers, layers[layer], number, above)
                self._kind.fold(folded, cancel, copied)
            for child in above:
                self._repoint(child, layers[layer].parent)
            self._discard(layer)

    def gain(self, gone: Sequence[LayerName]) -> Gain:
        """Return what comes back when layers go, in this order; nothing is changed."""
        layers = self._there()
        going = [name for name in gone if name in layers]
        disks = max((len(layer.disk_sizes) for layer in layers.values()), default=0)
        return total(self._kind.gain(self._tree(layers, disk), going) for disk in range(disks))

    def _tree(self, layers: Mapping[LayerName, Layer], disk: int) -> DiskTree:
        files = {name: self._folders.file(name, disk) for name in layers}
        return DiskTree(
            {name: file for name, file in files.items() if there(file)},
            {name: layer.parent for name, layer in layers.items()},
        )

    def _folded(
        self, layers: Mapping[LayerName, Layer], layer: Layer, disk: int, above: Sequence[Layer]
    ) -> FoldedDisk:
        below = self._folders.stack(layers, layer.parent, disk) if layer.parent else ()
        files = [self._folders.file(child.name, disk) for child in above]
        return FoldedDisk(
            self._folders.file(layer.name, disk), below, [file for file in files if there(file)]
        )

    def _repoint(self, child: Layer, parent: LayerName | None) -> None:
        place = Place(child.name, parent, child.kind, child.disk_sizes, child.used)
        self._folders.put(child.name, PLACE, encode(place))
        layers = self._there()
        used = self._measure(layers, layers[child.name])
        self._folders.put(child.name, PLACE, encode(replace(place, used=used)))

    def drop(self, layer: LayerName) -> None:
        """Delete a layer without children."""
        with self._lock:
            tree.check_name(layer)
            layers = self._there()
            if layer not in layers:
                self._sweep(layer)
                return
            tree.check_drop(layers, layer)
            self._check_sound(layers, layer)
            self._check_quiet(layers[layer])
            self._discard(layer)

    def _check_sound(self, layers: Mapping[LayerName, Layer], layer: LayerName) -> None:
        """Refuse to delete while another layer cannot say what it lies on."""
        for name in layers:
            if (
                name != layer
                and self._folders.place(name) is None
                and not self._folders.seal_of(name)
            ):
                raise tree.refused(
                    "damaged",
                    f"{name} is damaged and may lie on {layer}.",
                    f"Drop {name} first, or restore its {PLACE}.",
                )

    def _discard(self, layer: LayerName) -> None:
        dropped = self._path / (_DROPPED + layer)
        durable.remove_tree(dropped)
        durable.move_folder(self._path / layer, dropped)
        durable.remove_tree(dropped)
        self._spoilt.discard(layer)

    def _sweep(self, layer: LayerName) -> None:
        durable.remove_tree(self._path / (_MAKING + layer))
        durable.remove_tree(self._path / (_DROPPED + layer))

    def sweep(self) -> None:
        """Delete what an interrupted add or drop left behind."""
        with self._lock:
            for entry in list(self._path.iterdir()) if self._path.is_dir() else ():
                if entry.name.startswith((_MAKING, _DROPPED)):
                    durable.remove_tree(entry)
                elif entry.is_dir() and tree.NAME.fullmatch(entry.name):
                    for draft in entry.glob(".*.tmp"):
                        durable.remove_tree(draft)


def _no_manifest(layer: LayerName, why: str) -> Problem:
    return Problem(
        "layer.manifest",
        f"The manifest of {layer} cannot be used: {safe(why)}.",
        "Its disks were not touched.",
        "The layer is treated as unfinished and made again from its image files.",
        {"layer": layer},
    )
