"""Stores of every kind for tests: simulated, reflink on a real XFS, qcow2 on whatever is there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.model.layers import DiskManifest, LayerKind, LayerManifest, LayerName
from engine.ports import DiskChain, Store
from engine.stores.memory import MemoryStore
from engine.stores.probe import open_store

MIB = 1 << 20
WHEN = datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)


@dataclass
class Lab:
    """One store under test.

    Attributes:
        kind: `memory`, `reflink` or `qcow2`.
        open: Opens the store again as after a restart.
        full: Makes a chain in a store with about 4 MiB left.
    """

    kind: str
    store: Store
    open: Callable[[], Store]
    full: Callable[[], contextlib.AbstractContextManager[DiskChain]]

    @property
    def chain(self) -> DiskChain:
        """Return the chain that most tests use."""
        return self.store.chain("web01")

    def restart(self) -> DiskChain:
        """Forget everything that is not on disk."""
        self.store.close()  # type: ignore[attr-defined]  # every store here has it
        self.store = self.open()
        return self.chain


@contextlib.contextmanager
def mounted(options: Sequence[str], place: Path) -> Iterator[Path]:
    """Mount a file system for a test."""
    place.mkdir()
    subprocess.run(["mount", *options, str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="session")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the mount point of a fresh XFS of 512 MiB that can share bytes."""
    room = tmp_path_factory.mktemp("xfs")
    image = _roomy(room) / f"bootpoint-{uuid.uuid4().hex}.xfs"
    with image.open("wb") as file:
        file.truncate(512 * MIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", str(image)], check=True)
    try:
        with mounted(["-o", "loop", str(image)], room / "mnt") as place:
            yield place
    finally:
        image.unlink()


def _roomy(otherwise: Path) -> Path:
    """Return a folder in memory when there is room for the image: syncing there is quick."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        return otherwise
    room = os.statvfs(memory)
    return memory if room.f_bavail * room.f_frsize > 600 * MIB else otherwise


@pytest.fixture(params=["memory", "reflink", "qcow2"])
def lab(request: pytest.FixtureRequest, tmp_path: Path, xfs: Path) -> Iterator[Lab]:
    """Yield an empty store of each kind."""
    if request.param == "memory":
        store = MemoryStore()
        yield Lab("memory", store, lambda: store, _full_memory)
        return
    path = xfs / uuid.uuid4().hex if request.param == "reflink" else tmp_path / "store"

    def opened() -> Store:
        return open_store(path, request.param, "local")

    full = _full_xfs(path) if request.param == "reflink" else _full_tmpfs(tmp_path)
    made = Lab(request.param, opened(), opened, full)
    yield made
    made.store.close()  # type: ignore[attr-defined]  # every store here has it
    subprocess.run(["rm", "-rf", str(path)], check=True)


@contextlib.contextmanager
def _full_memory() -> Iterator[DiskChain]:
    yield MemoryStore("small", 4 * MIB).chain("web01")


def _full_xfs(path: Path) -> Callable[[], contextlib.AbstractContextManager[DiskChain]]:
    @contextlib.contextmanager
    def full() -> Iterator[DiskChain]:
        ballast, store = path.parent / "ballast", open_store(path / "small", "reflink", "small")
        with ballast.open("wb") as file:
            room = os.statvfs(path)
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - 4 * MIB)
        try:
            yield store.chain("web01")
        finally:
            ballast.unlink()
            store.close()

    return full


def _full_tmpfs(tmp_path: Path) -> Callable[[], contextlib.AbstractContextManager[DiskChain]]:
    @contextlib.contextmanager
    def full() -> Iterator[DiskChain]:
        with mounted(["-t", "tmpfs", "-o", "size=5M", "none"], tmp_path / "small") as place:
            store = open_store(place / "store", "qcow2", "small")
            yield store.chain("web01")
            store.close()

    return full


def manifest(
    chain: DiskChain, name: str, hashes: Mapping[int, bytes] | None = None
) -> LayerManifest:
    """Return a manifest for a layer that is there."""
    layer = chain.layers()[LayerName(name)]
    disks = [
        DiskManifest(size=size, uuid=f"disk-{n}", hashes=(hashes or {}).get(n, b""))
        for n, size in enumerate(layer.disk_sizes)
    ]
    return LayerManifest(
        layer=layer.name,
        parent=layer.parent,
        kind=layer.kind,
        standby="web01",
        boot_point=name,
        recovery_point=f"point-{name}",
        set_id="set",
        machine="Wéb 01",
        machine_uuid="uuid",
        sequence=3,
        taken_at=WHEN,
        sealed_at=WHEN,
        disks=disks,
        facts='{"cpus": 2}',
    )


Writes = Mapping[int, Sequence[tuple[int, bytes]]]
"""By disk: (offset, bytes)."""


def grow(
    chain: DiskChain,
    name: str,
    parent: str | None = None,
    writes: Writes | None = None,
    *,
    kind: LayerKind = LayerKind.REPLICA,
    sizes: Sequence[int] = (MIB,),
    seal: bool = True,
) -> LayerName:
    """Add a layer, write to it, and seal it."""
    layer = LayerName(name)
    chain.add(layer, LayerName(parent) if parent else None, kind, sizes)
    for disk, parts in (writes or {}).items():
        put(chain, name, disk, *parts)
    if seal and kind is not LayerKind.SCRATCH:
        chain.seal(layer, manifest(chain, name))
    return layer


def put(chain: DiskChain, name: str, disk: int, *parts: tuple[int, bytes]) -> None:
    """Write to a layer and make it durable."""
    with chain.open(LayerName(name), disk) as device:
        for offset, data in parts:
            device.write(offset, memoryview(data))
        device.flush()


def seen(chain: DiskChain, name: str, disk: int = 0) -> bytes:
    """Return all bytes of a disk, read in odd steps over old bytes."""
    with chain.open(LayerName(name), disk) as device:
        data = bytearray(b"\xaa") * device.size
        view = memoryview(data)
        for at in range(0, device.size, 77_777):
            device.read(at, view[at : at + 77_777])
        return bytes(data)


def picture(size: int, *parts: tuple[int, bytes]) -> bytes:
    """Return what a disk of zeros with these writes must read like."""
    data = bytearray(size)
    for offset, part in parts:
        data[offset : offset + len(part)] = part
    return bytes(data[:size])
