"""Five increments of a real guest on real stores, a conversion on each one's twig.

trunk  P0 ─ P1 ─ P2 ─ P3 ─ P4 ─ P5      each as its image, bit for bit
        └C0  └C1  └C2  └C3  └C4  └C5    converted
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.guests.convert import GuestConverter
from engine.model.cards import CardChange
from engine.model.errors import Failure, NotBootable
from engine.model.layers import LayerKind, LayerName
from engine.ports import DiskChain, NeverCancelled
from engine.sample.guest import check_guest
from engine.stores.probe import open_store
from tests.contract.disk_chains import grow, manifest, seen, xfs
from tests.guests.boot import MAC
from tests.guests.physical import SIZE, build_physical, content, debugfs
from tests.guests.texts import OLD_MAC

__all__ = ["xfs"]
CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
POINTS = 6
GRAIN = 1 << 16
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the guest's disk at its first backup."""
    disk = tmp_path_factory.mktemp("source") / "disk.raw"
    build_physical(disk, CACHE, print)
    return disk


@dataclass
class Chain:
    """A standby's layers, and what its images were."""

    layers: DiskChain
    disk: Path
    converter: GuestConverter
    work: Path
    images: list[str] = field(default_factory=list)

    def back_up(self, *, is_on_trunk: bool = False) -> None:
        """Make a full and five increments with a conversion at each.

        Args:
            is_on_trunk: The bug that the twig is there against.
        """
        old = bytes(SIZE)
        for number in range(POINTS):
            if number:
                self._use(number)
            new = self.disk.read_bytes()
            self.images.append(hashlib.sha256(new).hexdigest())
            parent = f"p{number - 1}" if number else None
            writes = {0: list(_differences(old, new))}
            trunk = grow(self.layers, f"p{number}", parent, writes, sizes=[SIZE])
            self._convert(trunk, LayerName(f"c{number}"), is_on_trunk=is_on_trunk)
            old = new

    def _use(self, number: int) -> None:
        """Change the guest's file system as a day of use does."""
        (self.work / "new").write_bytes(os.urandom(300_000))
        changes = [f"write new /var/log/{number}.log", f"mkdir /root/{number}"]
        if number > 2:
            changes.append(f"rm /var/log/{number - 2}.log")
        debugfs(self.disk, changes, self.work)

    def _convert(self, trunk: LayerName, twig: LayerName, *, is_on_trunk: bool) -> None:
        self.layers.add(twig, trunk, LayerKind.CONVERSION, [SIZE])
        disks = self.layers.disk_files(trunk if is_on_trunk else twig)
        cards = [CardChange(MAC, OLD_MAC)]
        try:
            self.converter.convert(disks, cards, NeverCancelled(), lambda _step: None)
        except NotBootable:
            # An increment over a converted trunk makes a file system that no one can convert.
            assert is_on_trunk
            self.layers.drop(twig)
        else:
            self.layers.seal(twig, manifest(self.layers, twig))

    def flat(self, layer: str) -> Path:
        """Return what a layer's reader sees, as a raw file."""
        out = self.work / "flat.raw"
        out.write_bytes(seen(self.layers, layer))
        return out

    def wrong(self) -> Sequence[str]:
        """Return trunk layers that are not their image, or whose file system is damaged."""
        return [f"p{n}" for n, image in enumerate(self.images) if not self._is_image(n, image)]

    def _is_image(self, number: int, image: str) -> bool:
        flat = self.flat(f"p{number}")
        if hashlib.sha256(flat.read_bytes()).hexdigest() != image:
            return False
        return _is_clean(flat)


def _is_clean(disk: Path) -> bool:
    try:
        check_guest(disk)
    except Failure:
        return False
    return True


def _differences(old: bytes, new: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(new), GRAIN):
        if old[at : at + GRAIN] != new[at : at + GRAIN]:
            yield at, new[at : at + GRAIN]


@pytest.fixture(params=["reflink", "qcow2"])
def chain(
    request: pytest.FixtureRequest, source: Path, tmp_path: Path, xfs: Path
) -> Iterator[Chain]:
    """Yield an empty chain on each kind of store."""
    kind: str = request.param
    place = (xfs if kind == "reflink" else tmp_path) / f"store-{request.node.name}"
    disk = tmp_path / "disk.raw"
    shutil.copyfile(source, disk)
    store = open_store(place, kind, "local")
    yield Chain(store.chain("rack01"), disk, GuestConverter(tmp_path / "conversion"), tmp_path)
    store.close()  # type: ignore[attr-defined]  # every store here has it
    shutil.rmtree(place)


def test_five_conversions_leave_every_trunk_layer_as_its_image(chain: Chain) -> None:
    """Bit for bit, and clean; the twigs are clean too, converted, and hold that day's files."""
    chain.back_up()
    assert len(set(chain.images)) == POINTS
    assert chain.wrong() == []
    for number in range(POINTS):
        flat = chain.flat(f"c{number}")
        check_guest(flat)
        assert b"bootpoint-" in content(flat, b"/boot/grub/grub.cfg")
        if number:
            assert len(content(flat, f"/var/log/{number}.log".encode())) == 300_000


def test_a_conversion_on_the_trunk_is_caught(chain: Chain) -> None:
    """A seeded bug: were the trunk converted, the check of the test above would name its layers."""
    chain.back_up(is_on_trunk=True)
    assert chain.wrong() == [f"p{number}" for number in range(POINTS)]
