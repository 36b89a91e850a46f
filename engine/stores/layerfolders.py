"""What the folders of a standby say: layers, their places, seals, files and small texts."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine.local import durable
from engine.model.layers import Layer, LayerKind, LayerManifest, LayerName
from engine.stores import tree
from engine.stores.manifests import HASHES_LIMIT, LIMIT, Place, decode, unsigned

log = logging.getLogger(__name__)

PLACE, SEAL, NOTE = "place.json", "layer.json", "note"
CONVERSION = "conversion.json"

Stack = Sequence[Path]
"""The files of one disk, a layer's own first, then its ancestors' as far as they have the disk."""

_TICK_NS = 20_000_000
"""Twice what a kernel's clock for files may go at once: a file may change within it unseen."""


class _Mark(NamedTuple):
    """What tells a file from the one that takes its place, and from what it was."""

    inode: int
    changed: int
    size: int


class LayerFolders:
    """One folder for each layer of a standby; what changed in them is read anew each time.

    A file is only ever replaced, so one that is the same by inode, time and size says the same:
    a look costs two `stat` for a layer. What could not be read whole is read again each time.
    """

    def __init__(self, path: Path, file_format: str) -> None:
        """Know the folder; it may not exist yet."""
        self._path, self._format = path, file_format
        self._known: dict[str, tuple[tuple[_Mark | None, _Mark | None], Layer]] = {}

    def found(self) -> Iterator[Layer]:
        """Yield each layer as its folder tells it; `used` only of sealed ones."""
        try:
            names = sorted(
                entry.name
                for entry in os.scandir(self._path)
                if entry.is_dir(follow_symlinks=False)
            )
        except FileNotFoundError:
            return
        for gone in self._known.keys() - set(names):
            self._known.pop(gone, None)
        for name in names:
            if tree.NAME.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    yield self.read(LayerName(name))

    def read(self, name: LayerName) -> Layer:
        """Return one layer; FileNotFoundError when there is none."""
        now = time.time_ns()
        marks = _mark(self._path / name / PLACE), _mark(self._path / name / SEAL)
        before, layer = self._known.get(name, (None, None))
        if layer is not None and before == marks:
            return layer
        place, made = self.place(name), self.seal_of(name)
        layer = self._layer(name, place, made)
        is_sound = place is not None and (made is None) is (marks[1] is None)
        if is_sound and all(now - mark.changed > _TICK_NS for mark in marks if mark):
            self._known[name] = marks, layer
        return layer

    def _layer(self, name: LayerName, place: Place | None, made: LayerManifest | None) -> Layer:
        if place is None and made is not None:
            place = Place(name, made.parent, made.kind, [disk.size for disk in made.disks])
        if place is None:
            if not (self._path / name).is_dir():
                raise FileNotFoundError(name)
            return Layer(name, None, _kind_of(name), sealed=False, disk_sizes=())
        if made is not None:
            made = None if place.folding else replace(made, parent=place.parent)
        return Layer(
            name,
            place.parent,
            place.kind,
            sealed=made is not None,
            disk_sizes=place.sizes,
            used=place.used,
            manifest=made,
        )

    def place(self, name: LayerName) -> Place | None:
        """Return where a layer stands; None when that cannot be read."""
        try:
            place = decode(durable.read_bounded(self._path / name / PLACE, LIMIT), Place)
        except (OSError, ValueError):
            return None
        return place if place.layer == name else None

    def seal_of(self, name: LayerName) -> LayerManifest | None:
        """Return a layer's manifest without hashes; None when unsealed or damaged."""
        try:
            made = decode(durable.read_bounded(self._path / name / SEAL, LIMIT), LayerManifest)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("manifest damaged layer=%s why=%s", name, error)
            return None
        return made if made.layer == name else None

    def file(self, layer: LayerName, disk: int) -> Path:
        """Return where a layer's disk lies, there or not."""
        return self._path / layer / f"disk-{disk}.{self._format}"

    def stack(self, layers: Mapping[LayerName, Layer], layer: LayerName, disk: int) -> Stack:
        """Return the files of one disk from a layer down, as far as they are there."""
        files = []
        for one in tree.ancestry(layers, layer):
            file = self.file(one.name, disk)
            if not there(file):
                break
            files.append(file)
        return files

    def put(self, layer: LayerName, name: str, data: bytes) -> None:
        """Write a small file beside a layer's disks, durably."""
        with self.putting(layer, {name: data}):
            pass

    @contextlib.contextmanager
    def putting(
        self, layer: LayerName, files: Mapping[str, bytes], last: str = ""
    ) -> Iterator[None]:
        """Write small files beside a layer's disks, durably at the end of the block.

        Args:
            layer: Beside its disks.
            files: Content by name.
            last: The one of them that is there only once all the others are.
        """
        folder = self._path / layer
        try:
            with durable.open_folder(folder) as handle, durable.replacing(handle, files, last):
                yield
        except OSError as error:
            if error.errno in durable.FULL:
                raise durable.no_space(error, folder) from error
            raise

    def conversion(self, layer: LayerName) -> str:
        """Return the record of the conversion, empty without one. ValueError when damaged."""
        try:
            data = durable.read_bounded(self._path / layer / CONVERSION, LIMIT)
        except FileNotFoundError:
            return ""
        return unsigned(data)

    def hashes(self, layer: LayerName, disk: int) -> bytes:
        """Return the packed piece hashes of a disk, empty without any."""
        try:
            return durable.read_bounded(self._path / layer / f"disk-{disk}.hashes", HASHES_LIMIT)
        except FileNotFoundError:
            return b""


def _mark(file: Path) -> _Mark | None:
    """Return a file's mark, or None without one."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return _Mark(found.st_ino, max(found.st_mtime_ns, found.st_ctime_ns), found.st_size)


def there(file: Path) -> bool:
    """Tell whether a disk's file exists; a link in its place does not count."""
    return file.is_file() and not file.is_symlink()


def _kind_of(name: LayerName) -> LayerKind:
    """Guess the kind of a damaged layer from its name."""
    return next((kind for kind in LayerKind if name.endswith(f"-{kind}")), LayerKind.REPLICA)
