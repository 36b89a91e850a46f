"""Every change of a layer tree, cut off at every contact with the file system."""

from __future__ import annotations

import subprocess
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.model.errors import Cancelled
from engine.model.layers import LayerKind, LayerName
from engine.ports import DiskChain, NeverCancelled
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, Lab, grow, manifest, picture, seen
from tests.unit.stores.dying import Dead, dying_after

A, B = b"a" * 70_000, b"b" * 200_000
BASE, DAY1, DAY2 = LayerName("base"), LayerName("day1"), LayerName("day2")


@pytest.fixture(params=["reflink", "qcow2"], name="place")
def _place(request: pytest.FixtureRequest, tmp_path: Path, xfs: Path) -> Callable[[int], Lab]:
    root = (xfs if request.param == "reflink" else tmp_path) / uuid.uuid4().hex
    store = open_store(root / "template", request.param, "local")
    trunk(store.chain("web01"))
    store.close()

    def fresh(number: int) -> Lab:
        path = root / str(number)
        subprocess.run(["cp", "-a", "--reflink=auto", root / "template", path], check=True)

        def opened() -> object:
            return open_store(path, request.param, "local")

        return Lab(request.param, opened(), opened, None)  # type: ignore[arg-type]  # never full here

    return fresh


def trunk(chain: DiskChain) -> None:
    """Make base ─ day1 ─ day2 with a twig, of two disks."""
    sizes = (MIB, MIB)
    grow(chain, "base", None, {0: [(0, A)], 1: [(9, B)]}, sizes=sizes)
    grow(chain, "day1", "base", {0: [(65_000, B)], 1: [(500_000, A)]}, sizes=sizes)
    grow(chain, "day2", "day1", {0: [(90_000, A)]}, sizes=(MIB, 600_000))
    grow(chain, "boot2", "day2", {1: [(0, A)]}, sizes=(MIB, 600_000), kind=LayerKind.CONVERSION)


def everything(chain: DiskChain, *names: str) -> dict[tuple[str, int], bytes]:
    """Return all bytes of some layers."""
    return {
        (name, disk): seen(chain, name, disk)
        for name in names
        for disk in range(len(chain.layers()[LayerName(name)].disk_sizes))
    }


def every_interruption(
    place: Callable[[int], Lab],
    work: Callable[[DiskChain], object],
    check: Callable[[DiskChain], None],
    again: Callable[[DiskChain], object],
) -> int:
    """Cut `work` at each contact, look after a restart, run `again`, look again."""
    number, alive = 0, False
    while not alive:
        lab = place(number)
        try:
            with dying_after(number):
                work(lab.chain)
            alive = True
        except Dead:
            pass
        check(lab.restart())
        again(lab.chain)
        check(lab.restart())
        assert not list((lab.store.path / "web01").rglob(".*"))
        lab.store.close()  # type: ignore[attr-defined]  # every store here has it
        number += 1
    return number


@pytest.mark.parametrize("layer", [BASE, DAY1])
def test_a_fold_may_be_cut_anywhere(place: Callable[[int], Lab], layer: LayerName) -> None:
    """Younger layers read the same at each moment of a fold, and folding again finishes it."""
    reference = place(999)
    want = everything(reference.chain, "day2", "boot2")
    reference.store.close()  # type: ignore[attr-defined]  # every store here has it

    def check(chain: DiskChain) -> None:
        assert everything(chain, "day2", "boot2") == want

    def again(chain: DiskChain) -> None:
        chain.fold(layer, NeverCancelled())
        assert layer not in chain.layers()

    def work(chain: DiskChain) -> None:
        chain.fold(layer, NeverCancelled())

    assert every_interruption(place, work, check, again) > 5


def test_a_new_layer_is_there_in_full_or_not_at_all(place: Callable[[int], Lab]) -> None:
    """An interrupted add leaves no layer, or one that reads like its parent."""

    def work(chain: DiskChain) -> None:
        chain.add(LayerName("day3"), DAY2, LayerKind.REPLICA, [MIB, 700_000])

    def check(chain: DiskChain) -> None:
        if "day3" in chain.layers():
            assert seen(chain, "day3", 0) == seen(chain, "day2", 0)
            assert seen(chain, "day3", 1) == seen(chain, "day2", 1) + bytes(100_000)

    assert every_interruption(place, work, check, work) > 3


def test_a_dropped_layer_is_there_in_full_or_not_at_all(place: Callable[[int], Lab]) -> None:
    """An interrupted drop leaves the whole layer, or nothing that a listing shows."""
    reference = place(999)
    want = everything(reference.chain, "boot2")
    reference.store.close()  # type: ignore[attr-defined]  # every store here has it

    def work(chain: DiskChain) -> None:
        chain.drop(LayerName("boot2"))

    def check(chain: DiskChain) -> None:
        if "boot2" in chain.layers():
            assert chain.layers()[LayerName("boot2")].sealed
            assert everything(chain, "boot2") == want

    def again(chain: DiskChain) -> None:
        work(chain)
        assert "boot2" not in chain.layers()

    assert every_interruption(place, work, check, again) > 3


def test_a_seal_is_there_or_not(place: Callable[[int], Lab]) -> None:
    """A layer whose seal was interrupted is unsealed, or has all that lies beside its disks."""
    want, hashes, record = picture(MIB, (3, A)), b"a digest of each piece", "what was converted"

    def work(chain: DiskChain) -> None:
        if "new" not in chain.layers():
            grow(chain, "new", None, {0: [(3, A)]}, seal=False)
        told = manifest(chain, "new", {0: hashes})
        chain.seal(LayerName("new"), replace(told, conversion=record))

    def check(chain: DiskChain) -> None:
        found = chain.layers().get(LayerName("new"))
        if found is not None and found.sealed:
            made = chain.manifest(LayerName("new"))
            assert (made.disks[0].hashes, made.conversion) == (hashes, record)
            assert seen(chain, "new") == want

    def again(chain: DiskChain) -> None:
        found = chain.layers().get(LayerName("new"))
        if found is not None and not found.sealed:
            chain.drop(LayerName("new"))
        work(chain)
        assert chain.layers()[LayerName("new")].sealed

    assert every_interruption(place, work, check, again) > 5


class _Soon:
    """Asks for the end at the n-th question."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def check(self) -> None:
        """Raise when it is time."""
        self.left -= 1
        if self.left < 0:
            raise Cancelled


@pytest.mark.parametrize("layer", [BASE, DAY1])
def test_killing_qemu_img_in_the_middle_loses_nothing(tmp_path: Path, layer: LayerName) -> None:
    """A copying qemu-img that is killed again and again loses no byte of the younger layers."""
    before = set(threading.enumerate())
    store = open_store(tmp_path / "store", "qcow2", "local")
    chain, size = store.chain("web01"), 96 * MIB
    grow(chain, "base", None, {0: [(0, b"0" * MIB)]}, sizes=(size,))
    grow(chain, "day1", "base", {0: [(n * MIB, b"1" * MIB) for n in range(80)]}, sizes=(size,))
    grow(chain, "day2", "day1", {0: [(5 * MIB, b"2" * MIB)]}, sizes=(size,))
    want = seen(chain, "day2")
    killed = 0
    for questions in range(1, 5):
        try:
            chain.fold(layer, _Soon(questions))
        except Cancelled:
            killed += 1
        assert seen(chain, "day2") == want
    chain.fold(layer, NeverCancelled())
    assert killed
    assert seen(chain, "day2") == want
    assert set(threading.enumerate()) <= before
    store.close()


def test_a_cancelled_copy_goes_on_where_it_was(tmp_path: Path) -> None:
    """What a cancelled fold copied is not copied again, and the file is whole at that moment."""
    store = open_store(tmp_path / "store", "qcow2", "local")
    chain, size = store.chain("web01"), 16 * MIB
    grow(chain, "base", sizes=(size,))
    grow(chain, "day1", "base", {0: [(0, b"1" * (12 * MIB))]}, sizes=(size,))
    grow(chain, "day2", "day1", {0: [(5 * MIB, b"2" * MIB)]}, sizes=(size,))
    want, file = seen(chain, "day2"), chain.disk_files(DAY2)[0].path
    for done in (4, 8):
        with pytest.raises(Cancelled):
            chain.fold(DAY1, _Soon(6))
        assert sum(extent.length for extent in chain.changed(DAY2, 0)) > done * MIB
        subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", "--", file], check=True)
        assert seen(chain, "day2") == want
    chain.fold(DAY1, NeverCancelled())
    assert seen(chain, "day2") == want
    store.close()
