"""What a store says would come back when layers go, against what comes back."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import pytest

from engine.model.errors import Cancelled
from engine.model.layers import Gain, LayerKind, LayerName, read_from
from engine.ports import CancelFlag, DiskChain, NeverCancelled
from tests.contract.disk_chains import MIB, Lab, grow, lab, seen, xfs

__all__ = ["lab", "xfs"]

SIZE = 16 * MIB
NEAR = MIB // 4


def near(lab: Lab, told: int, want: int, layers: int = 1) -> bool:
    """Tell whether a figure is right but for the tables of overlays, which are not looked at."""
    tables = layers * MIB * 2 // 3 if lab.kind == "qcow2" else 0
    return abs(told - want) <= NEAR + tables


def trunk(chain: DiskChain) -> None:
    """Make base ─ day1 ─ day2 with a twig on day1; every letter is a MiB.

    base   AAAAAAAA
    day1   BBB.....     boot1  .......T
    day2   ..CC....
    """
    sizes = (SIZE, MIB)
    grow(chain, "base", None, {0: [(0, b"A" * (8 * MIB))], 1: [(0, b"a" * MIB)]}, sizes=sizes)
    grow(chain, "day1", "base", {0: [(0, b"B" * (3 * MIB))]}, sizes=sizes)
    twig = LayerKind.CONVERSION
    grow(chain, "boot1", "day1", {0: [(7 * MIB, b"T" * MIB)]}, sizes=sizes, kind=twig)
    grow(chain, "day2", "day1", {0: [(2 * MIB, b"C" * (2 * MIB))]}, sizes=sizes)


def names(*told: str) -> list[LayerName]:
    """Return layer names."""
    return [LayerName(one) for one in told]


def occupied(chain: DiskChain) -> int:
    """Return what all layers take together."""
    return chain.gain(names("boot1", "day2", "day1", "base")).bytes


def take_away(chain: DiskChain, gone: Sequence[LayerName]) -> int:
    """Drop and fold as a retirement does; return the bytes that folds told of."""
    told: list[int] = []
    for name in gone:
        if any(layer.parent == name for layer in chain.layers().values()):
            chain.fold(name, NeverCancelled(), told.append)
        else:
            chain.drop(name)
    return sum(told)


@pytest.mark.parametrize(
    ("gone", "mib"),
    [
        (("boot1",), 1),
        (("boot1", "day1"), 2),
        (("boot1", "day1", "base"), 6),
        (("boot1", "base"), 4),
        (("day2",), 2),
        (("boot1", "day2", "day1"), 6),
        (("boot1", "day2", "day1", "base"), 15),
        (("nothing",), 0),
        ((), 0),
    ],
)
def test_what_is_said_to_come_back_comes_back(lab: Lab, gone: tuple[str, ...], mib: int) -> None:
    """The figure is right before anything is done, on each store, and asking changes nothing."""
    trunk(lab.chain)
    before = occupied(lab.chain)
    want = seen(lab.chain, "day2") if "day2" not in gone else b""

    told = lab.chain.gain(names(*gone))

    assert set(lab.chain.layers()) == {"base", "day1", "day2", "boot1"}
    assert near(lab, told.bytes, mib * MIB, len(gone))
    take_away(lab.chain, [name for name in names(*gone) if name in lab.chain.layers()])
    assert near(lab, before - occupied(lab.chain), told.bytes, len(gone))
    if want:
        assert seen(lab.chain, "day2") == want


def test_flat_files_give_back_what_the_file_system_says(lab: Lab) -> None:
    """On XFS the free space grows by just what was told."""
    trunk(lab.chain)
    gone = names("boot1", "day1", "base")
    told = lab.chain.gain(gone)
    assert told.exact == (lab.kind != "qcow2")
    if lab.kind != "reflink":
        return
    free = _free(lab)
    take_away(lab.chain, gone)
    for _ in range(100):  # XFS gives room back a little later than unlink returns
        if abs(_free(lab) - free - told.bytes) <= NEAR:
            break
        threading.Event().wait(0.1)
    assert abs(_free(lab) - free - told.bytes) <= NEAR


def _free(lab: Lab) -> int:
    fd = os.open(lab.store.path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.sync()
        found = os.fstatvfs(fd)
    finally:
        os.close(fd)
    return found.f_bfree * found.f_frsize


@pytest.mark.parametrize("layer", ["base", "day1"])
def test_a_fold_tells_how_far_it_is(lab: Lab, layer: str) -> None:
    """The steps add up to what was said before, and only stores that copy have any."""
    trunk(lab.chain)
    lab.chain.drop(LayerName("boot1"))
    said = lab.chain.gain(names(layer)).copied

    told = take_away(lab.chain, names(layer))

    assert told <= said + NEAR
    assert bool(said) == (lab.kind == "qcow2")
    if layer == "day1":
        assert abs(told - said) <= NEAR


def test_a_fold_that_copies_can_be_cancelled_half_way(lab: Lab) -> None:
    """Asked to end after the first step, it ends; all reads the same; the rest is done later."""
    trunk(lab.chain)
    lab.chain.drop(LayerName("boot1"))
    before, flag = seen(lab.chain, "day2"), CancelFlag()
    if lab.kind == "qcow2":
        with pytest.raises(Cancelled):
            lab.chain.fold(LayerName("day1"), flag, lambda _step: flag.set())
        assert seen(lab.chain, "day2") == before
    lab.chain.fold(LayerName("day1"), NeverCancelled())
    assert seen(lab.chain, "day2") == before


def test_what_is_read_from_is_known(lab: Lab) -> None:
    """All that lies below scratch, or below what is being written, is read from; nothing else."""
    trunk(lab.chain)
    assert read_from(lab.chain.layers()) == set()
    sizes = (SIZE, MIB)
    grow(lab.chain, "run1", "boot1", sizes=sizes, kind=LayerKind.SCRATCH)
    assert read_from(lab.chain.layers()) == {"boot1", "day1", "base"}
    grow(lab.chain, "half", "day2", sizes=sizes, seal=False)
    assert read_from(lab.chain.layers()) == {"boot1", "day1", "day2", "base"}


def test_nothing_gained_is_exact() -> None:
    """The figure of nothing is certain."""
    assert Gain() == Gain(0, 0, exact=True)
