"""What every store promises, on every store: simulated, reflink on XFS, qcow2."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from engine.model.errors import Cancelled, LayerError, NoSpace
from engine.model.extents import Kind, Piece
from engine.model.layers import LayerKind, LayerName, pack_pieces, unpack_pieces
from engine.ports import CancelFlag, NeverCancelled
from tests.contract.disk_chains import MIB, Lab, grow, manifest, picture, put, seen

BASE, DAY1, DAY2, DAY3 = (LayerName(name) for name in ("base", "day1", "day2", "day3"))
BOOT1, RUN1 = LayerName("boot1"), LayerName("run1")
A, B, C = b"a" * 70_000, b"b" * 200_000, b"c" * 4096


def trunk(lab: Lab) -> None:
    """Make base ─ day1 ─ day2, each with other bytes."""
    grow(lab.chain, "base", None, {0: [(0, A), (500_000, B)]})
    grow(lab.chain, "day1", "base", {0: [(1000, B)]})
    grow(lab.chain, "day2", "day1", {0: [(65_536 * 3, C), (900_000, A)]})


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
    """A child starts as its parent and its writes never reach the parent or a sibling."""
    grow(lab.chain, "base", None, {0: [(0, A), (500_000, B)]})
    before = seen(lab.chain, "base")
    grow(lab.chain, "day1", "base", seal=False)
    grow(lab.chain, "other", "base", seal=False)
    assert seen(lab.chain, "day1") == before

    put(lab.chain, "day1", 0, (10, C), (600_000, A))

    assert seen(lab.chain, "day1") == picture(MIB, (0, A), (500_000, B), (10, C), (600_000, A))
    assert seen(lab.chain, "other") == before
    assert seen(lab.chain, "base") == before


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
    grow(lab.chain, "open", "base", seal=False)
    for parent, kind in (
        (None, LayerKind.CONVERSION),
        (None, LayerKind.SCRATCH),
        (BOOT1, LayerKind.REPLICA),
        (BOOT1, LayerKind.CONVERSION),
        (RUN1, LayerKind.SCRATCH),
        (LayerName("open"), LayerKind.REPLICA),
        (LayerName("nowhere"), LayerKind.REPLICA),
    ):
        with pytest.raises(LayerError):
            lab.chain.add(LayerName("new"), parent, kind, [MIB])
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
        _check_changed(lab, name)
    said = list(lab.chain.changed(DAY1, 0))
    assert sum(extent.length for extent in said) < MIB
    assert {extent.kind for extent in said} == {Kind.DATA, Kind.ZERO}


def _check_changed(lab: Lab, name: str) -> None:
    layer = lab.chain.layers()[LayerName(name)]
    now = seen(lab.chain, name)
    below = bytearray(seen(lab.chain, layer.parent) if layer.parent else bytes(len(now)))
    below = below[: len(now)] + bytes(max(0, len(now) - len(below)))
    end = 0
    for start, length, kind in lab.chain.changed(layer.name, 0):
        assert start >= end
        end = start + length
        below[start:end] = now[start:end]
        if kind is Kind.ZERO:
            assert not any(now[start:end])
    assert end <= len(now)
    assert bytes(below) == now


def test_changed_is_right_on_scratch_and_below_scratch(lab: Lab) -> None:
    """A twig's own bytes are told also while scratch shares them."""
    grow(lab.chain, "base", None, {0: [(0, A), (500_000, B)]})
    grow(lab.chain, "boot1", "base", {0: [(300_000, A)]}, kind=LayerKind.CONVERSION)
    grow(lab.chain, "run1", "boot1", {0: [(0, C)]}, kind=LayerKind.SCRATCH)
    _check_changed(lab, "boot1")
    _check_changed(lab, "run1")
    assert any(extent.end > 300_000 for extent in lab.chain.changed(BOOT1, 0))


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
    _check_changed(lab, "day2")
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


def picture_over(below: bytes, *parts: tuple[int, bytes]) -> bytes:
    """Return `below` with these writes in it."""
    return picture(len(below), (0, below), *parts)


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
    grow(lab.chain, "half", "day1", seal=False)
    lab.chain.drop(BOOT1)
    with pytest.raises(LayerError):
        lab.chain.fold(DAY1, NeverCancelled())
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


def test_an_open_layer_is_neither_dropped_nor_sealed_nor_opened_twice(lab: Lab) -> None:
    """While one writes a disk, nobody takes the layer away or writes beside it."""
    grow(lab.chain, "base", seal=False)
    with lab.chain.open(BASE, 0) as device:
        with pytest.raises(LayerError), lab.chain.open(BASE, 0):
            pass
        with pytest.raises(LayerError):
            lab.chain.drop(BASE)
        with pytest.raises(LayerError):
            lab.chain.seal(BASE, manifest(lab.chain, "base"))
        device.write(0, memoryview(A))
    assert seen(lab.chain, "base") == picture(MIB, (0, A))


def test_several_threads_write_one_disk(lab: Lab) -> None:
    """Four threads that share no byte, but share pages and clusters, lose nothing."""
    grow(lab.chain, "base", None, {0: [(0, b"p" * 2 * MIB)]}, sizes=(2 * MIB,))
    grow(lab.chain, "day1", "base", sizes=(2 * MIB,), seal=False)
    step, marks = 3001, (b"1", b"2", b"3", b"4")
    with lab.chain.open(DAY1, 0) as device:

        def work(number: int) -> None:
            for at in range(number * step, MIB, 4 * step):
                device.write(at, memoryview(marks[number] * min(step, MIB - at)))
            device.zero(MIB + number * 100_000, 100_000)
            device.read(MIB + number * 100_000, memoryview(bytearray(100_000)))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        device.flush()
    want = b"".join(marks[n % 4] * step for n in range(MIB // step + 1))[:MIB]
    assert seen(lab.chain, "day1") == want + bytes(400_000) + b"p" * (MIB - 400_000)


def test_threads_that_meet_in_one_fresh_block_lose_nothing(lab: Lab) -> None:
    """Four threads write a quarter each of the same untouched 64 KiB at the same moment."""
    quarter, blocks, meet = 16_384, 48, threading.Barrier(4)
    size = 4 * quarter * blocks
    grow(lab.chain, "base", None, {0: [(0, b"p" * size)]}, sizes=(size,))
    grow(lab.chain, "day1", "base", sizes=(size,), seal=False)
    with lab.chain.open(DAY1, 0) as device:

        def work(number: int) -> None:
            for block in range(blocks):
                meet.wait()
                at = (block * 4 + number) * quarter
                device.write(at + 1, memoryview(b"1234"[number : number + 1] * (quarter - 1)))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    parts = [b"p" + mark * (quarter - 1) for mark in (b"1", b"2", b"3", b"4")]
    assert seen(lab.chain, "day1") == b"".join(parts) * blocks


def test_what_was_flushed_comes_from_the_medium(lab: Lab) -> None:
    """After flush and evict the same bytes are read again."""
    grow(lab.chain, "base", seal=False)
    with lab.chain.open(BASE, 0) as device:
        device.write(1000, memoryview(B))
        device.flush()
        device.evict()
        back = bytearray(len(B))
        device.read(1000, memoryview(back))
        assert bytes(back) == B
        device.write(300_000, memoryview(A))
    assert seen(lab.chain, "base") == picture(MIB, (1000, B), (300_000, A))


def test_a_sparse_disk_of_4_tib_costs_nothing(lab: Lab) -> None:
    """Size is no cost: adding, zeroing, reading at the end and dropping are quick and small."""
    grow(lab.chain, "base", sizes=(4 << 40,), seal=False)
    with lab.chain.open(BASE, 0) as device:
        device.zero(0, 4 << 40)
        device.write((4 << 40) - 4096, memoryview(C))
        device.flush()
    lab.chain.seal(BASE, manifest(lab.chain, "base"))
    grow(lab.chain, "day1", "base", sizes=(4 << 40,), seal=False)
    with lab.chain.open(DAY1, 0) as device:
        device.zero(0, 3 << 40)
        back = bytearray(8192)
        device.read((4 << 40) - 8192, memoryview(back))
    assert bytes(back) == bytes(4096) + C
    assert sum(layer.used for layer in lab.chain.layers().values()) < 2 * MIB
    assert sum(extent.length for extent in lab.chain.changed(BASE, 0)) <= 65_536


def test_a_full_store_fails_cleanly(lab: Lab) -> None:
    """No room: NoSpace, what was sealed stays, the leftover is dropped, and work goes on."""
    with lab.full() as chain:
        grow(chain, "base", None, {0: [(0, A)]}, sizes=(64 * MIB,))
        before = seen(chain, "base")
        chain.add(DAY1, BASE, LayerKind.REPLICA, [64 * MIB])
        with pytest.raises(NoSpace):
            put(chain, "day1", 0, *((at * MIB, b"x" * MIB) for at in range(64)))
        with pytest.raises(LayerError):
            chain.seal(DAY1, manifest(chain, "day1"))
        chain.drop(DAY1)
        assert seen(chain, "base") == before
        assert set(chain.layers()) == {"base"}
        grow(chain, "day1", "base", {0: [(0, C)]}, sizes=(64 * MIB,))
        assert seen(chain, "day1") == picture_over(before, (0, C))


def test_machines_do_not_meet(lab: Lab) -> None:
    """Layers of the same name of two machines are two layers."""
    grow(lab.store.chain("web01"), "base", None, {0: [(0, A)]})
    grow(lab.store.chain("db01"), "base", None, {0: [(0, C)]})
    assert lab.store.standbys() == ["db01", "web01"]
    assert seen(lab.store.chain("web01"), "base") == picture(MIB, (0, A))
    lab.store.chain("db01").drop(BASE)
    assert seen(lab.store.chain("web01"), "base") == picture(MIB, (0, A))


def test_layers_that_are_set_aside_are_out_of_the_way(lab: Lab) -> None:
    """A removed machine's layers move to quarantine, and its name is free again."""
    trunk(lab)
    lab.store.set_aside("web01", "20260301T020304Z")
    lab.store.set_aside("web01", "20260301T020304Z")
    assert lab.store.standbys() == []
    assert lab.store.chain("web01").layers() == {}
    grow(lab.store.chain("web01"), "base", None, {0: [(0, C)]})
    with pytest.raises(LayerError):
        lab.store.set_aside("web01", "20260301T020304Z")
    assert seen(lab.store.chain("web01"), "base") == picture(MIB, (0, C))


def test_a_hypervisor_is_told_files_that_hold_the_disks(lab: Lab, tmp_path: Path) -> None:
    """qemu-img, given the file and its format, reads the very bytes of the layer."""
    trunk(lab)
    files = lab.chain.disk_files(DAY2)
    assert len(files) == 1
    assert files[0].path.is_absolute()
    if lab.kind == "memory":
        return
    out = tmp_path / "out.raw"
    command = ["qemu-img", "convert", "-f", files[0].format, "-O", "raw", "--"]
    subprocess.run([*command, str(files[0].path), str(out)], check=True)
    assert out.read_bytes() == seen(lab.chain, "day2")
