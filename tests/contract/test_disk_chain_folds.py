"""What every store promises when layers go: folds and drops."""

from __future__ import annotations

import pytest

from engine.model.errors import Cancelled, LayerError
from engine.model.layers import LayerKind, LayerName
from engine.ports import CancelFlag, NeverCancelled
from tests.contract.disk_chains import MIB, Lab, grow, seen
from tests.contract.disk_layers import (
    BASE,
    BOOT1,
    DAY1,
    DAY2,
    A,
    C,
    check_changed,
    picture_over,
    trunk,
)


def test_folding_the_middle_changes_nothing_its_children_see(lab: Lab) -> None:
    """Retiring a boot point in the middle leaves later and earlier ones bit for bit the same."""
    trunk(lab)
    grow(lab.chain, "day3", "day2", {0: [(123, A)]})
    grow(lab.chain, "boot2", "day2", {0: [(9999, C)]}, kind=LayerKind.CONVERSION)
    names = ("base", "day2", "day3", "boot2")
    before = {name: seen(lab.chain, name) for name in names}

    lab.chain.fold(DAY1, NeverCancelled())

    for look in (lambda: lab.chain, lab.restart):
        chain = look()
        assert {name: seen(chain, name) for name in names} == before
        assert chain.layers()[DAY2].parent == "base"
        assert chain.manifest(DAY2).parent == "base"
        assert DAY1 not in chain.layers()
    check_changed(lab, "day2")
    lab.chain.fold(DAY1, NeverCancelled())


def test_folding_the_base_changes_nothing_its_children_see(lab: Lab) -> None:
    """Retiring the oldest boot point leaves all later ones bit for bit the same."""
    trunk(lab)
    grow(lab.chain, "boot1", "day1", {0: [(9999, C)]}, kind=LayerKind.CONVERSION)
    grow(lab.chain, "boot2", "day2", {0: [(9999, C)]}, kind=LayerKind.CONVERSION)
    names = ("day1", "day2", "boot1", "boot2")
    before = {name: seen(lab.chain, name) for name in names}

    lab.chain.fold(BASE, NeverCancelled())

    for look in (lambda: lab.chain, lab.restart):
        chain = look()
        assert {name: seen(chain, name) for name in names} == before
        assert chain.layers()[DAY1].parent is None
        assert set(chain.layers()) == set(names)
    grow(lab.chain, "day3", "day2", {0: [(77, A)]})
    lab.chain.drop(BOOT1)
    lab.chain.fold(DAY1, NeverCancelled())
    assert seen(lab.chain, "boot2") == before["boot2"]
    assert seen(lab.chain, "day3") == picture_over(before["day2"], (77, A))


def test_folding_a_fork_keeps_both_sides(lab: Lab) -> None:
    """A layer with two children on the trunk is folded into both, in the middle and at the base."""
    trunk(lab)
    grow(lab.chain, "fork", "day1", {0: [(100, C)]})
    before = {name: seen(lab.chain, name) for name in ("day2", "fork")}
    lab.chain.fold(DAY1, NeverCancelled())
    assert {name: seen(lab.chain, name) for name in before} == before
    lab.chain.fold(BASE, NeverCancelled())
    assert {name: seen(lab.chain, name) for name in before} == before
    assert {layer.parent for layer in lab.chain.layers().values()} == {None}


def test_folding_across_sizes_keeps_the_bytes(lab: Lab) -> None:
    """What a short layer cut off never comes back when it is folded away."""
    grow(lab.chain, "base", None, {0: [(0, b"p" * MIB)]}, sizes=(MIB, 70_000))
    grow(lab.chain, "day1", "base", {0: [(5, C)]}, sizes=(300_001,))
    grow(lab.chain, "day2", "day1", {0: [(900_000, C)]}, sizes=(2 * MIB, 100_000))
    grow(lab.chain, "day3", "day2", {1: [(0, C)]}, sizes=(400_000, 100_000, 65_536))
    grow(lab.chain, "day4", "day3", sizes=(MIB, 300_000, 65_536))
    before = {(n, d): seen(lab.chain, n, d) for n, d in (("day4", 0), ("day4", 1), ("day4", 2))}
    day2 = seen(lab.chain, "day2")
    lab.chain.fold(DAY1, NeverCancelled())
    assert seen(lab.chain, "day2") == day2
    for name in ("base", "day2", "day3"):
        lab.chain.fold(LayerName(name), NeverCancelled())
        assert {key: seen(lab.chain, *key) for key in before} == before


def test_a_fold_refuses_what_would_be_lost(lab: Lab) -> None:
    """No fold with a twig, scratch or half-made layer on it, none of a twig, none without child."""
    trunk(lab)
    grow(lab.chain, "boot1", "day1", kind=LayerKind.CONVERSION)
    with pytest.raises(LayerError):
        lab.chain.fold(DAY1, NeverCancelled())
    with pytest.raises(LayerError):
        lab.chain.fold(BOOT1, NeverCancelled())
    with pytest.raises(LayerError):
        lab.chain.fold(DAY2, NeverCancelled())
    grow(lab.chain, "run0", "base", kind=LayerKind.SCRATCH)
    with pytest.raises(LayerError):
        lab.chain.fold(BASE, NeverCancelled())
    lab.chain.drop(LayerName("run0"))
    lab.chain.drop(BOOT1)
    grow(lab.chain, "half", "day2", seal=False)
    with pytest.raises(LayerError):
        lab.chain.fold(DAY2, NeverCancelled())
    assert set(lab.chain.layers()) == {"base", "day1", "day2", "half"}


def test_a_fold_below_scratch_is_refused_or_harmless(lab: Lab) -> None:
    """Files that a running VM reads from never change; a store of flat files may fold anyway."""
    trunk(lab)
    grow(lab.chain, "boot2", "day2", kind=LayerKind.CONVERSION)
    grow(lab.chain, "run2", "boot2", {0: [(7, C)]}, kind=LayerKind.SCRATCH)
    before = seen(lab.chain, "run2")
    for layer in (BASE, DAY1):
        if lab.kind == "qcow2":
            with pytest.raises(LayerError):
                lab.chain.fold(layer, NeverCancelled())
        else:
            lab.chain.fold(layer, NeverCancelled())
    assert seen(lab.chain, "run2") == before


def test_a_cancelled_fold_changes_nothing_and_runs_again(lab: Lab) -> None:
    """Cancel leaves every layer readable; the next fold finishes."""
    trunk(lab)
    before = seen(lab.chain, "day2")
    flag = CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        lab.chain.fold(DAY1, flag)
    assert seen(lab.chain, "day2") == before
    lab.chain.fold(DAY1, NeverCancelled())
    assert seen(lab.chain, "day2") == before


def test_dropping_goes_from_the_leaves(lab: Lab) -> None:
    """A layer with children is not dropped; after them it is."""
    trunk(lab)
    for name in (BASE, DAY1):
        with pytest.raises(LayerError):
            lab.chain.drop(name)
    before = seen(lab.chain, "day1")
    lab.chain.drop(DAY2)
    assert seen(lab.chain, "day1") == before
    lab.chain.drop(DAY1)
    lab.chain.drop(BASE)
    assert lab.store.standbys() == []
