"""What the folders of a standby say: layers, their places, seals, files and small texts."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from engine.local import durable
from engine.model.layers import Layer, LayerKind, LayerManifest, LayerName
from engine.stores import tree
from engine.stores.manifests import HASHES_LIMIT, LIMIT, Place, decode, unsigned

log = logging.getLogger(__name__)

PLACE, SEAL, NOTE = "place.json", "layer.json", "note"
CONVERSION = "conversion.json"

Stack = Sequence[Path]
"""The files of one disk, a layer's own first, then its ancestors' as far as they have the disk."""


class LayerFolders:
    """One folder for each layer of a standby; reads them anew each time."""

    def __init__(self, path: Path, file_format: str) -> None:
        """Know the folder; it may not exist yet."""
        self._path, self._format = path, file_format

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
        for name in names:
            if tree.NAME.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):
                    yield self.read(LayerName(name))

    def read(self, name: LayerName) -> Layer:
        """Return one layer; FileNotFoundError when there is none."""
        place = self.place(name)
        made = self.seal_of(name)
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
        self.put_all(layer, {name: data})

    def put_all(self, layer: LayerName, files: Mapping[str, bytes]) -> None:
        """Write small files beside a layer's disks; on return all of them are durable."""
        folder = self._path / layer
        try:
            with durable.open_folder(folder) as handle:
                durable.durable_replace_all(handle, files)
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


def there(file: Path) -> bool:
    """Tell whether a disk's file exists; a link in its place does not count."""
    return file.is_file() and not file.is_symlink()


def _kind_of(name: LayerName) -> LayerKind:
    """Guess the kind of a damaged layer from its name."""
    return next((kind for kind in LayerKind if name.endswith(f"-{kind}")), LayerKind.REPLICA)
