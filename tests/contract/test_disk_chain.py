"""What every store promises, on every store: simulated, reflink on XFS, qcow2."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.errors import LayerError
from engine.model.extents import Kind, Piece
from engine.model.layers import LayerKind, LayerName, pack_pieces, unpack_pieces
from engine.ports import NeverCancelled
from tests.contract.disk_chains import MIB, Lab, grow, manifest, picture, put, seen
from tests.contract.disk_layers import (
    BASE,
    BOOT1,
    DAY1,
    DAY2,
    RUN1,
    A,
    B,
    C,
    check_changed,
    trunk,
)


def test_an_empty_chain_has_no_layers_and_makes_nothing(lab: Lab) -> None:
    """Asking a store about a machine it does not know leaves no trace."""
    assert lab.chain.layers() == {}
    assert lab.chain.free() > 0
    assert lab.store.standbys() == []


def test_a_new_layer_reads_zeros_and_what_was_written(lab: Lab) -> None:
    """A base layer is zeros with the writes in it, at any alignment."""
    grow(lab.chain, "base", None, {0: [(0, A), (131_071, C), (MIB - 5, b"x" * 5)]}, seal=False)
    want = picture(MIB, (0, A), (131_071, C), (MIB - 5, b"x" * 5))
    assert seen(lab.chain, "base") == want


def test_a_child_reads_like_its_parent_until_it_is_written(lab: Lab) -> None:
    """A child starts as its parent and its writes never reach the parent."""
    grow(lab.chain, "base", None, {0: [(0, A), (500_000, B)]})
    before = seen(lab.chain, "base")
    grow(lab.chain, "day1", "base", seal=False)
    assert seen(lab.chain, "day1") == before

    put(lab.chain, "day1", 0, (10, C), (600_000, A))

    assert seen(lab.chain, "day1") == picture(MIB, (0, A), (500_000, B), (10, C), (600_000, A))
    assert seen(lab.chain, "base") == before


def test_two_children_of_one_layer_do_not_meet(lab: Lab) -> None:
    """What is written to one half-made child reaches no other one."""
    grow(lab.chain, "base", None, {0: [(0, A)]})
    before = seen(lab.chain, "base")
    grow(lab.chain, "day1", "base", seal=False)
    grow(lab.chain, "other", "base", seal=False)
    put(lab.chain, "day1", 0, (10, C))
    assert seen(lab.chain, "other") == before


def test_zero_hides_the_parent(lab: Lab) -> None:
    """A zeroed range reads as zeros at any alignment, also when it is written again."""
    grow(lab.chain, "base", None, {0: [(0, b"p" * MIB)]})
    grow(lab.chain, "day1", "base", seal=False)
    with lab.chain.open(DAY1, 0) as device:
        device.zero(70_001, 300_000)
        device.zero(MIB - 10, 10)
        device.zero(5, 0)
        device.write(200_000, memoryview(C))
        device.flush()
    want = picture(
        MIB, (0, b"p" * MIB), (70_001, bytes(300_000)), (MIB - 10, bytes(10)), (200_000, C)
    )
    assert seen(lab.chain, "day1") == want


def test_a_sealed_layer_refuses_writes(lab: Lab) -> None:
    """Sealed means read-only, for writes, zeros and notes alike."""
    grow(lab.chain, "base", None, {0: [(0, A)]})
    with lab.chain.open(BASE, 0) as device:
        with pytest.raises(LayerError):
            device.write(0, memoryview(b"x"))
        with pytest.raises(LayerError):
            device.zero(0, 10)
    with pytest.raises(LayerError):
        lab.chain.note(BASE, "text")
    assert seen(lab.chain, "base") == picture(MIB, (0, A))


def test_bytes_outside_the_disk_are_refused(lab: Lab) -> None:
    """Nothing is read or written past the end of a disk."""
    grow(lab.chain, "base", seal=False)
    with lab.chain.open(BASE, 0) as device:
        for offset in (-1, MIB - 3):
            with pytest.raises(LayerError):
                device.write(offset, memoryview(b"four"))
            with pytest.raises(LayerError):
                device.read(offset, memoryview(bytearray(4)))
            with pytest.raises(LayerError):
                device.zero(offset, 4)


def test_adding_and_sealing_and_dropping_are_repeatable(lab: Lab) -> None:
    """A retry that finds its work done changes nothing."""
    first = lab.chain.add(BASE, None, LayerKind.REPLICA, [MIB])
    put(lab.chain, "base", 0, (0, A))
    again = lab.chain.add(BASE, None, LayerKind.REPLICA, [MIB])
    assert (again.name, again.parent, again.kind, again.sealed) == ("base", None, first.kind, False)
    made = manifest(lab.chain, "base")
    lab.chain.seal(BASE, made)
    lab.chain.seal(BASE, made)
    assert seen(lab.chain, "base") == picture(MIB, (0, A))
    lab.chain.drop(BASE)
    lab.chain.drop(BASE)
    assert lab.chain.layers() == {}


def test_adding_a_layer_again_as_something_else_is_refused(lab: Lab) -> None:
    """A name belongs to one layer; another size or parent is no retry."""
    grow(lab.chain, "base")
    for parent, kind, sizes in (
        (None, LayerKind.REPLICA, [2 * MIB]),
        (BASE, LayerKind.REPLICA, [MIB]),
    ):
        with pytest.raises(LayerError):
            lab.chain.add(BASE, parent, kind, sizes)


def test_the_tree_keeps_its_rules(lab: Lab) -> None:
    """Increments meet only the trunk, twigs lie on the trunk, scratch on sealed layers."""
    grow(lab.chain, "base")
    grow(lab.chain, "boot1", "base", kind=LayerKind.CONVERSION)
    grow(lab.chain, "run1", "boot1", kind=LayerKind.SCRATCH)
    for parent, kind in (
        (None, LayerKind.CONVERSION),
        (None, LayerKind.SCRATCH),
        (BOOT1, LayerKind.REPLICA),
        (BOOT1, LayerKind.CONVERSION),
        (RUN1, LayerKind.SCRATCH),
        (LayerName("nowhere"), LayerKind.REPLICA),
    ):
        with pytest.raises(LayerError):
            lab.chain.add(LayerName("new"), parent, kind, [MIB])
    lab.chain.drop(RUN1)
    grow(lab.chain, "open", "base", seal=False)
    with pytest.raises(LayerError):
        lab.chain.add(LayerName("new"), LayerName("open"), LayerKind.REPLICA, [MIB])
    assert LayerName("new") not in lab.chain.layers()


def test_scratch_is_never_sealed(lab: Lab) -> None:
    """Scratch stays writable: nothing may be built on what a running VM writes."""
    grow(lab.chain, "base")
    grow(lab.chain, "run1", "base", kind=LayerKind.SCRATCH)
    with pytest.raises(LayerError):
        lab.chain.seal(RUN1, manifest(lab.chain, "run1"))


def test_hostile_names_are_refused(lab: Lab) -> None:
    """A name that could leave the store's folder is refused by every method."""
    grow(lab.chain, "base")
    for name in ("", "..", "../x", "a/b", "A", "a b", "-x", ".x", "x\0", "ä", "x" * 200, "a\n"):
        bad = LayerName(name)
        for call in (
            lambda bad=bad: lab.chain.add(bad, None, LayerKind.REPLICA, [MIB]),
            lambda bad=bad: lab.chain.add(LayerName("x"), bad, LayerKind.REPLICA, [MIB]),
            lambda bad=bad: lab.chain.drop(bad),
            lambda bad=bad: lab.chain.fold(bad, NeverCancelled()),
            lambda bad=bad: lab.chain.noted(bad),
            lambda bad=bad: lab.chain.note(bad, "x"),
            lambda bad=bad: lab.chain.manifest(bad),
            lambda bad=bad: lab.chain.disk_files(bad),
            lambda bad=bad: lab.chain.open(bad, 0).__enter__(),
            lambda bad=bad: list(lab.chain.changed(bad, 0)),
            lambda bad=bad: lab.store.chain(bad),
            lambda bad=bad: lab.store.set_aside(bad, "20260101T000000Z"),
        ):
            with pytest.raises(LayerError):
                call()
    assert list(lab.chain.layers()) == ["base"]


def test_sizes_beyond_reason_are_refused(lab: Lab) -> None:
    """Negative, enormous or too many disks make no layer."""
    for sizes in ([-1], [1 << 60], [MIB] * 500):
        with pytest.raises(LayerError):
            lab.chain.add(BASE, None, LayerKind.REPLICA, sizes)
    assert lab.chain.layers() == {}


def test_disks_come_go_grow_and_shrink(lab: Lab) -> None:
    """A longer disk ends in zeros, a shorter one is cut for good, a further one is empty."""
    grow(lab.chain, "base", None, {0: [(0, b"p" * MIB)], 1: [(5, C)]}, sizes=(MIB, 300_001))
    grow(lab.chain, "day1", "base", sizes=(500_001, 2 * MIB, 65_537))
    grow(lab.chain, "day2", "day1", sizes=(2 * MIB,))
    grow(lab.chain, "day3", "day2", sizes=(2 * MIB, MIB))

    assert seen(lab.chain, "day1", 0) == b"p" * 500_001
    assert seen(lab.chain, "day1", 1) == picture(2 * MIB, (5, C))
    assert seen(lab.chain, "day1", 2) == bytes(65_537)
    assert seen(lab.chain, "day2") == picture(2 * MIB, (0, b"p" * 500_001))
    assert seen(lab.chain, "day3", 1) == bytes(MIB)
    with pytest.raises(LayerError), lab.chain.open(DAY2, 1):
        pass


def test_what_was_sealed_is_there_after_a_restart(lab: Lab) -> None:
    """Layers, kinds, sizes, manifests and bytes come from the disk alone."""
    trunk(lab)
    grow(lab.chain, "boot1", "day1", {0: [(0, C)]}, kind=LayerKind.CONVERSION)
    grow(lab.chain, "run1", "boot1", {0: [(5000, C)]}, kind=LayerKind.SCRATCH)
    names = ("base", "day1", "day2", "boot1", "run1")
    before = {name: seen(lab.chain, name) for name in names}
    layers = lab.chain.layers()

    chain = lab.restart()

    assert {name: seen(chain, name) for name in names} == before
    assert chain.layers() == layers
    assert layers[BOOT1].kind is LayerKind.CONVERSION
    assert layers[BOOT1].parent == "day1"
    assert [layers[LayerName(name)].sealed for name in names] == [True] * 4 + [False]
    assert layers[DAY1].manifest == replace(
        manifest(chain, "day1"), disks=layers[DAY1].manifest.disks
    )
    assert lab.store.standbys() == ["web01"]


def test_an_unfinished_layer_is_still_there_after_a_restart(lab: Lab) -> None:
    """Flushed bytes and the note of an interrupted try are found by the next one."""
    grow(lab.chain, "base", None, {0: [(0, A)]}, sizes=(MIB, MIB), seal=False)
    lab.chain.note(BASE, "disk 0 is done ✓")
    chain = lab.restart()
    assert not chain.layers()[BASE].sealed
    assert chain.noted(BASE) == "disk 0 is done ✓"
    assert seen(chain, "base") == picture(MIB, (0, A))
    put(chain, "base", 1, (100, B))
    put(chain, "base", 0, (70_000, C))
    assert seen(chain, "base", 0) == picture(MIB, (0, A), (70_000, C))
    assert seen(chain, "base", 1) == picture(MIB, (100, B))
    chain.seal(BASE, manifest(chain, "base"))
    assert chain.noted(BASE) == ""


def test_a_note_has_a_limit(lab: Lab) -> None:
    """A note is a short text; longer ones are refused and the old one stays."""
    grow(lab.chain, "base", seal=False)
    lab.chain.note(BASE, "short")
    with pytest.raises(LayerError):
        lab.chain.note(BASE, "x" * 70_000)
    assert lab.chain.noted(BASE) == "short"
    assert lab.chain.noted(DAY1) == ""


def test_the_manifest_comes_back_with_its_hashes(lab: Lab) -> None:
    """Piece hashes are kept beside the manifest and returned only when asked for."""
    pieces = [Piece(0, 4096, Kind.DATA, b"h" * 16), Piece(8192, 65_536, Kind.ZERO, bytes(16))]
    grow(lab.chain, "base", sizes=(MIB, MIB), seal=False)
    lab.chain.seal(BASE, manifest(lab.chain, "base", {1: pack_pieces(pieces)}))
    chain = lab.restart()
    made = chain.manifest(BASE)
    assert list(unpack_pieces(made.disks[1].hashes)) == pieces
    assert len(made.disks[1].digest) == 64
    assert made.disks[0].hashes == b""
    assert made.machine == "Wéb 01"
    shown = chain.layers()[BASE].manifest
    assert shown is not None
    assert shown.disks[1].hashes == b""


def test_a_manifest_of_another_layer_is_refused(lab: Lab) -> None:
    """What is sealed must say what it is."""
    grow(lab.chain, "base")
    grow(lab.chain, "day1", "base", seal=False)
    good = manifest(lab.chain, "day1")
    for bad in (
        replace(good, layer=BASE),
        replace(good, parent=None),
        replace(good, kind=LayerKind.CONVERSION),
        replace(good, disks=[]),
    ):
        with pytest.raises(LayerError):
            lab.chain.seal(DAY1, bad)
    assert not lab.chain.layers()[DAY1].sealed
    with pytest.raises(LayerError):
        lab.chain.manifest(DAY1)


def test_changed_says_where_a_layer_differs(lab: Lab) -> None:
    """Every byte that differs from the parent lies in a changed extent; most others do not."""
    grow(lab.chain, "base", None, {0: [(0, A), (500_000, B)]}, sizes=(4 * MIB,))
    grow(lab.chain, "day1", "base", sizes=(4 * MIB,), seal=False)
    with lab.chain.open(DAY1, 0) as device:
        device.write(2 * MIB, memoryview(A))
        device.zero(500_000, 200_000)
        device.flush()
    lab.chain.seal(DAY1, manifest(lab.chain, "day1"))
    for name in ("base", "day1"):
        check_changed(lab, name)
    said = list(lab.chain.changed(DAY1, 0))
    assert sum(extent.length for extent in said) < MIB
    assert {extent.kind for extent in said} == {Kind.DATA, Kind.ZERO}


def test_changed_is_right_on_scratch_and_below_scratch(lab: Lab) -> None:
    """A twig's own bytes are told also while scratch shares them."""
    grow(lab.chain, "base", None, {0: [(0, A), (500_000, B)]})
    grow(lab.chain, "boot1", "base", {0: [(300_000, A)]}, kind=LayerKind.CONVERSION)
    grow(lab.chain, "run1", "boot1", {0: [(0, C)]}, kind=LayerKind.SCRATCH)
    check_changed(lab, "boot1")
    check_changed(lab, "run1")
    assert any(extent.end > 300_000 for extent in lab.chain.changed(BOOT1, 0))


def test_a_store_that_is_open_is_there(lab: Lab) -> None:
    """A look at an open store finds it, whatever lies in it; it says what its layers are."""
    lab.store.check()
    trunk(lab)
    lab.restart()
    lab.store.check()
    assert lab.store.kind == lab.kind
    before = lab.chain.layers()
    lab.store.touch()
    lab.store.touch()
    assert lab.chain.layers() == before
    assert lab.store.standbys() == ["web01"]
