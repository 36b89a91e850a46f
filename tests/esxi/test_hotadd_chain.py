"""Layers as snapshots of a VM keep what every store promises, on a host that keeps bytes."""

from __future__ import annotations

import contextlib
import inspect
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.hypervisors.esxi import tree
from engine.hypervisors.esxi.attached import Turns
from engine.hypervisors.esxi.branches import Standing
from engine.hypervisors.esxi.hotadd import HotaddChain
from engine.hypervisors.esxi.hotaddstore import HotaddStore
from engine.hypervisors.esxi.layers import Disk, State
from engine.hypervisors.esxi.leaf import armed_note
from engine.hypervisors.esxi.reverts import Reverts
from engine.hypervisors.esxi.tree import Mark, Snapshot
from engine.model.errors import LayerError, Refused
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import Asked, Power
from engine.ports import DiskChain, NeverCancelled
from engine.stores.probe import open_store
from tests.contract import test_disk_chain, test_disk_chain_folds, test_disk_chain_use
from tests.contract.disk_chains import MIB, Lab, grow, manifest, picture, put, seen
from tests.vcsim.plugged import Plugged
from tests.vcsim.shadow import ENGINE, Shadow, ShadowVM

A, C = b"a" * 70_000, b"c" * 4096

BEYOND = {
    "test_two_children_of_one_layer_do_not_meet": (
        "a VM's disks hold one leaf: a second half-made layer is refused before anything is done"
    ),
    "test_disks_come_go_grow_and_shrink": (
        "a host changes no disk that has snapshots, and a standby always has some"
    ),
    "test_folding_across_sizes_keeps_the_bytes": "the same",
    "test_folding_a_fork_keeps_both_sides": (
        "a host merges a snapshot into one child, so the trunk is kept from forking"
    ),
    "test_a_full_store_fails_cleanly": (
        "a datastore that is full stops the appliance's VM itself: the reserve is what helps"
    ),
}
"""Promises that a VM's snapshots cannot keep, and why; what happens instead is tested here."""


SUITE = (test_disk_chain, test_disk_chain_folds, test_disk_chain_use)


def _promises() -> list[Callable[..., None]]:
    found = [one for part in SUITE for one in inspect.getmembers(part, inspect.isfunction)]
    return [test for name, test in found if name.startswith("test_") and name not in BEYOND]


@pytest.fixture(scope="module")
def plugged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugged]:
    """Yield a machine into which disks are plugged."""
    made = Plugged(tmp_path_factory.mktemp("plugged") / "machine")
    yield made
    made.close()


@pytest.fixture
def shadow(xfs: Path, plugged: Plugged) -> Iterator[Shadow]:
    """Yield a host that keeps bytes."""
    made = Shadow(xfs / f"shadow-{uuid.uuid4().hex}", plugged)
    yield made
    for vm in list(made.vms):
        made.unplug(made.vms[vm].seen.home)


@pytest.fixture
def lab(shadow: Shadow, tmp_path: Path) -> Iterator[Lab]:
    """Yield an empty store whose layers are snapshots."""

    def opened() -> HotaddStore:
        lock = threading.RLock()

        @contextlib.contextmanager
        def held(_cancel: object = None) -> Iterator[None]:
            with lock:
                yield

        def chains(vm: str, papers: DiskChain, reverts: Reverts) -> HotaddChain:
            at = datetime(2026, 3, 1, tzinfo=UTC)
            devices = shadow.plugged.devices()
            return HotaddChain(
                vm, papers, reverts, shadow, shadow, devices, ENGINE, lambda: at, Turns(held)
            )

        return HotaddStore(open_store(tmp_path / "papers", "hotadd", "local"), chains)

    made = Lab("hotadd", opened(), opened, lambda: contextlib.nullcontext())  # type: ignore[arg-type]  # no promise left here fills a store
    yield made
    made.store.close()  # type: ignore[attr-defined]  # this store has it


@pytest.mark.parametrize("test", _promises(), ids=lambda test: str(test.__name__))
def test_what_every_store_promises(test: Any, lab: Lab, tmp_path: Path) -> None:
    """Each promise of the contract suite but those that snapshots cannot keep as they stand."""
    given = {"lab": lab, "tmp_path": tmp_path}
    test(**{name: given[name] for name in inspect.signature(test).parameters})


def test_what_is_left_out_is_a_promise() -> None:
    """No promise is left out that is none any more."""
    assert all(any(hasattr(part, name) for part in SUITE) for name in BEYOND)


# --- what is different with snapshots ---------------------------------------------------------


def vm(shadow: Shadow) -> ShadowVM:
    """Return the standby's VM on the host."""
    return shadow.vms["web01"]


def trunk_and_twig(lab: Lab) -> None:
    """Make base with its twig, and the next layer of the trunk."""
    grow(lab.chain, "base", None, {0: [(0, A)]})
    grow(lab.chain, "boot1", "base", {0: [(0, C)]}, kind=LayerKind.CONVERSION)
    grow(lab.chain, "day1", "base", {0: [(9, C)]})


def test_each_step_of_a_sync_comes_in_its_order(lab: Lab, shadow: Shadow) -> None:
    """Revert, attach, write, detach, snapshot; the shadow asserts that each finds things so."""
    trunk_and_twig(lab)
    assert shadow.done == [
        *("make", "attach", "snapshot"),
        *("revert", "attach", "snapshot"),
        *("revert", "attach", "snapshot"),
    ]
    assert [one.mark.kind for one in vm(shadow).snapshots.values() if one.mark] == [
        LayerKind.REPLICA,
        LayerKind.CONVERSION,
        LayerKind.REPLICA,
    ]
    assert seen(lab.chain, "boot1") == picture(MIB, (0, A), (0, C))
    assert seen(lab.chain, "day1") == picture(MIB, (0, A), (9, C))


def test_retiring_takes_the_twig_before_the_trunk(lab: Lab, shadow: Shadow) -> None:
    """A trunk layer with a twig is refused without a call; after the twig it folds."""
    trunk_and_twig(lab)
    before = list(shadow.done)
    with pytest.raises(LayerError, match="boot1 lies on it"):
        lab.chain.fold(LayerName("base"), NeverCancelled())
    assert shadow.done == before
    lab.chain.drop(LayerName("boot1"))
    lab.chain.fold(LayerName("base"), NeverCancelled())
    assert shadow.done == [*before, "remove", "remove"]
    assert [one.name for one in vm(shadow).snapshots.values()] == ["day1"]
    assert seen(lab.chain, "day1") == picture(MIB, (0, A), (9, C))


def test_the_trunk_has_one_tip_and_the_vm_one_trunk(lab: Lab, shadow: Shadow) -> None:
    """A fork, a second seed and other disk sizes are refused in words, before any change."""
    trunk_and_twig(lab)
    before = list(shadow.done)
    for name, parent, sizes, why in (
        ("fork", "base", [MIB], "the trunk goes on from day1"),
        ("seed2", None, [MIB], "a VM has one trunk"),
        ("day2", "day1", [2 * MIB], "changes no disk that has snapshots"),
        ("day2", "day1", [MIB, MIB], "changes no disk that has snapshots"),
    ):
        below = LayerName(parent) if parent else None
        with pytest.raises(LayerError, match=why):
            lab.chain.add(LayerName(name), below, LayerKind.REPLICA, sizes)
    assert shadow.done == before
    assert set(lab.chain.layers()) == {"base", "boot1", "day1"}


def test_one_boot_point_too_many_is_refused_before_it_is_begun(
    lab: Lab, shadow: Shadow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full is full before the first byte; after the oldest was folded away there is room again."""
    monkeypatch.setattr(tree, "MOST_POINTS", 3)
    below = None
    for number in range(3):
        below = grow(lab.chain, f"bp{number}", below)
    grow(lab.chain, "twig", below, kind=LayerKind.CONVERSION)
    before = list(shadow.done)
    with pytest.raises(LayerError, match="3 boot points, and a host takes no more"):
        grow(lab.chain, "bp3", below)
    assert shadow.done == before
    lab.chain.fold(LayerName("bp0"), NeverCancelled())
    grow(lab.chain, "bp3", below)
    assert len(vm(shadow).snapshots) == 4
    assert lab.chain.deepest == 32


def test_one_leaf_at_a_time_but_a_start_goes_first(lab: Lab, shadow: Shadow) -> None:
    """Beside a layer that is being made none is begun; a start takes the leaf all the same."""
    trunk_and_twig(lab)
    grow(lab.chain, "day2", "day1", {0: [(0, C)]}, seal=False)
    lab.chain.note(LayerName("day2"), "half of it")
    with pytest.raises(LayerError, match="day2 is being made"):
        grow(lab.chain, "boot2", "day1", kind=LayerKind.CONVERSION)
    assert lab.chain.noted(LayerName("day2")) == "half of it"
    grow(lab.chain, "run1", "boot1", {0: [(5, C)]}, kind=LayerKind.SCRATCH)
    assert seen(lab.chain, "run1") == picture(MIB, (0, A), (0, C), (5, C))
    assert lab.chain.noted(LayerName("day2")) == ""
    for call in (
        lambda: put(lab.chain, "day2", 0, (0, C)),
        lambda: lab.chain.seal(LayerName("day2"), manifest(lab.chain, "day2")),
    ):
        with pytest.raises(LayerError, match="no leaf of day2"):
            call()
    with pytest.raises(LayerError, match="holds what a VM wrote"):
        grow(lab.chain, "day3", "day1")
    lab.chain.drop(LayerName("run1"))
    lab.chain.drop(LayerName("day2"))
    grow(lab.chain, "day2", "day1", {0: [(1, C)]})
    assert seen(lab.chain, "day2") == picture(MIB, (0, A), (9, C), (1, C))


def test_armed_scratch_goes_for_the_next_layer_unless_somebody_ran_it(
    lab: Lab, shadow: Shadow
) -> None:
    """What is armed and untouched is dropped; what a VM wrote pauses everything."""
    trunk_and_twig(lab)
    armed, chain = grow(lab.chain, "run1", "boot1", kind=LayerKind.SCRATCH), lab.chain
    there = shadow.look("web01")
    assert there is not None
    chain.note(armed, armed_note(there))
    shadow.mark(there, State("op", armed, "none", armed=True))
    assert list(chain.changed(armed, 0)) == []
    vm(shadow).used += 4096
    assert [one.length for one in chain.changed(armed, 0)] == [MIB]
    before = list(shadow.done)
    with pytest.raises(Refused, match="started by somebody else"):
        grow(chain, "day2", "day1")
    assert (shadow.done, set(chain.layers())) == (before, {"base", "boot1", "day1", "run1"})
    vm(shadow).used -= 4096
    grow(chain, "day2", "day1")
    assert set(chain.layers()) == {"base", "boot1", "day1", "day2"}


def _foreign_snapshot(one: ShadowVM) -> None:
    one.snapshots["x"] = Snapshot("x", "before update", "", one.current)


def _removed_all(one: ShadowVM) -> None:
    one.snapshots, one.current = {}, None


CHANGES: dict[str, tuple[Callable[[ShadowVM], None], str]] = {
    "snapshot": (_foreign_snapshot, "a snapshot that is not ours: before update"),
    "running": (lambda one: _seen(one, power=Power.ON), "it runs"),
    "question": (
        lambda one: _seen(one, question=Asked("7", "moved or copied?")),
        "it waits for an answer",
    ),
    "task": (lambda one: _seen(one, busy=True), "a task works on it"),
    "mark": (lambda one: _seen(one, state=None), "its mark was changed"),
    "lost": (lambda one: _seen(one, connected=False), "the host has lost it"),
    "disk": (
        lambda one: _seen(one, disks=(Disk(2000, "[other] x/x.vmdk"),)),
        "a disk outside of its own folder",
    ),
    "revert": (
        lambda one: setattr(one, "current", next(iter(one.snapshots))),
        "somebody reverted it",
    ),
}


def _seen(one: ShadowVM, **changes: Any) -> None:
    one.seen = replace(one.seen, **changes)


@pytest.mark.parametrize("change", CHANGES)
def test_what_somebody_else_changed_stops_every_step(lab: Lab, shadow: Shadow, change: str) -> None:
    """Nothing is added, sealed, folded or dropped, and it is said why; sealed layers still read."""
    trunk_and_twig(lab)
    grow(lab.chain, "boot2", "day1", kind=LayerKind.CONVERSION)
    lab.chain.drop(LayerName("boot1"))
    grow(lab.chain, "day2", "day1", {0: [(0, C)]}, seal=False)
    make, why = CHANGES[change]
    lab.restart()
    make(vm(shadow))
    before, layers = list(shadow.done), lab.chain.layers()
    for call in (
        lambda: lab.chain.seal(LayerName("day2"), manifest(lab.chain, "day2")),
        lambda: put(lab.chain, "day2", 0, (0, A)),
        lambda: lab.chain.drop(LayerName("boot2")),
        lambda: lab.chain.fold(LayerName("base"), NeverCancelled()),
        lambda: lab.chain.add(LayerName("run"), LayerName("boot2"), LayerKind.SCRATCH, [MIB]),
    ):
        with pytest.raises((Refused, LayerError)) as refusal:
            call()
        assert why in str(refusal.value) or change == "mark"
    assert (shadow.done, lab.chain.layers()) == (before, layers)
    assert seen(lab.chain, "day1") == picture(MIB, (0, A), (9, C))


def test_a_snapshot_that_somebody_removed_is_no_layer_any_more(lab: Lab, shadow: Shadow) -> None:
    """Delete all, pressed in a vSphere client: no boot point counts as sealed, nothing is read."""
    trunk_and_twig(lab)
    _removed_all(vm(shadow))
    layers = lab.chain.layers()
    assert set(layers) == {"base", "boot1", "day1"}
    assert not any(one.sealed for one in layers.values())
    with pytest.raises(Refused, match="its snapshot base is gone"):
        seen(lab.chain, "day1")


@pytest.mark.parametrize("is_after", [False, True])
def test_a_crash_between_papers_and_snapshot_is_finished_by_the_next_try(
    lab: Lab, shadow: Shadow, monkeypatch: pytest.MonkeyPatch, is_after: bool
) -> None:
    """The layer counts as sealed with its snapshot only, and there is one snapshot of it."""
    trunk_and_twig(lab)
    grow(lab.chain, "day2", "day1", {0: [(0, C)]}, seal=False)
    snapshot = shadow.snapshot

    def crash(there: Standing, mark: Mark) -> Standing:
        if is_after:
            snapshot(there, mark)
        raise KeyboardInterrupt

    made = manifest(lab.chain, "day2")
    monkeypatch.setattr(shadow, "snapshot", crash)
    with pytest.raises(KeyboardInterrupt):
        lab.chain.seal(LayerName("day2"), made)
    monkeypatch.undo()
    lab.restart()
    assert lab.chain.layers()[LayerName("day2")].sealed is is_after
    lab.chain.seal(LayerName("day2"), made)
    assert lab.chain.layers()[LayerName("day2")].sealed
    assert [one.name for one in vm(shadow).snapshots.values()].count("day2") == 1
    assert seen(lab.chain, "day2") == picture(MIB, (0, A), (9, C), (0, C))


def test_a_crash_in_the_middle_of_a_fold_is_finished_by_the_next_try(
    lab: Lab, shadow: Shadow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The snapshot is gone and the papers are not: folding again puts that right."""
    trunk_and_twig(lab)
    lab.chain.drop(LayerName("boot1"))
    remove = shadow.remove

    def crash(there: Standing, snapshot: str) -> Standing:
        remove(there, snapshot)
        raise KeyboardInterrupt

    monkeypatch.setattr(shadow, "remove", crash)
    with pytest.raises(KeyboardInterrupt):
        lab.chain.fold(LayerName("base"), NeverCancelled())
    monkeypatch.undo()
    lab.restart()
    assert not lab.chain.layers()[LayerName("base")].sealed
    lab.chain.fold(LayerName("base"), NeverCancelled())
    assert {name: one.parent for name, one in lab.chain.layers().items()} == {"day1": None}
    assert seen(lab.chain, "day1") == picture(MIB, (0, A), (9, C))


def test_leftovers_of_a_removal_are_consolidated_before_the_next_step(
    lab: Lab, shadow: Shadow
) -> None:
    """The host's own sign is looked at before each changing step."""
    trunk_and_twig(lab)
    _seen(vm(shadow), consolidate=True)
    grow(lab.chain, "run1", "boot1", kind=LayerKind.SCRATCH)  # a start does not wait for a merge
    assert shadow.done[-1] == "revert"
    assert vm(shadow).seen.consolidate
    lab.chain.drop(LayerName("run1"))
    _seen(vm(shadow), consolidate=True)
    grow(lab.chain, "day2", "day1")
    assert shadow.done[-3:] == ["consolidate", "revert", "snapshot"]


def test_a_converter_gets_block_devices_and_all_of_the_twig_counts_as_written(
    lab: Lab, shadow: Shadow
) -> None:
    """Another program writes through the device: its bytes are in the twig, and in nothing else."""
    grow(lab.chain, "base", None, {0: [(0, A)]}, sizes=(MIB, 300_001))
    twig = grow(
        lab.chain, "boot1", "base", kind=LayerKind.CONVERSION, sizes=(MIB, 300_001), seal=False
    )
    files = lab.chain.disk_files(twig)
    assert [one.format for one in files] == ["raw", "raw"]
    with files[0].path.open("r+b") as device:
        device.write(C)
    lab.chain.seal(twig, manifest(lab.chain, twig))
    assert seen(lab.chain, twig) == picture(MIB, (0, A), (0, C))
    assert seen(lab.chain, "base") == picture(MIB, (0, A))
    assert [one.length for one in lab.chain.changed(twig, 1)] == [300_001]


def test_an_interrupted_run_leaves_nothing_attached_for_the_next_one(
    lab: Lab, shadow: Shadow
) -> None:
    """What a killed engine left attached is taken out by the next step that changes anything."""
    trunk_and_twig(lab)
    lab.chain.disk_files(LayerName("day1"))
    lab.restart()
    grow(lab.chain, "day2", "day1", {0: [(0, C)]})
    assert seen(lab.chain, "day2") == picture(MIB, (0, A), (9, C), (0, C))


def test_reverts_cut_short_one_after_another_are_no_change_of_somebody_else(
    lab: Lab, shadow: Shadow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first moved the disks, the second did nothing; the third try goes on from there."""
    trunk_and_twig(lab)

    def cut(*_: object) -> Standing:
        raise KeyboardInterrupt

    for step, layer, kind, parent in (
        ("mark", "run1", LayerKind.SCRATCH, "boot1"),
        ("revert", "day2", LayerKind.REPLICA, "day1"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(shadow, step, cut)
            with pytest.raises(KeyboardInterrupt):
                lab.chain.add(LayerName(layer), LayerName(parent), kind, [MIB])
        lab.restart()
    grow(lab.chain, "day2", "day1", {0: [(0, C)]})
    assert seen(lab.chain, "day2") == picture(MIB, (0, A), (9, C), (0, C))


def test_a_late_revert_of_an_engine_that_was_killed_is_no_change_of_somebody_else(
    lab: Lab, shadow: Shadow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next engine has done another step by then; what was written is made again."""
    trunk_and_twig(lab)

    def cut(*_: object) -> Standing:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shadow, "revert", cut)
        with pytest.raises(KeyboardInterrupt):
            lab.chain.add(LayerName("run1"), LayerName("boot1"), LayerKind.SCRATCH, [MIB])
    lab.restart()
    grow(lab.chain, "day2", "day1", {0: [(0, C)]}, seal=False)
    _revert(lab, shadow, "boot1")
    with pytest.raises(LayerError, match="no leaf of day2"):
        lab.chain.seal(LayerName("day2"), manifest(lab.chain, "day2"))
    grow(lab.chain, "day2", "day1", {0: [(0, C)]})
    assert seen(lab.chain, "day2") == picture(MIB, (0, A), (9, C), (0, C))


def test_bytes_that_a_revert_to_the_same_snapshot_dropped_are_not_sealed(
    lab: Lab, shadow: Shadow
) -> None:
    """Nothing but the name of the leaf's file tells of it; nor does a note of them count then."""
    trunk_and_twig(lab)
    grow(lab.chain, "day2", "day1", {0: [(0, C)]}, seal=False)
    lab.chain.note(LayerName("day2"), "disk 0 is done")
    assert lab.chain.noted(LayerName("day2")) == "disk 0 is done"
    _revert(lab, shadow, "day1")
    assert lab.chain.noted(LayerName("day2")) == ""
    with pytest.raises(LayerError, match="no leaf of day2"):
        lab.chain.seal(LayerName("day2"), manifest(lab.chain, "day2"))
    lab.restart()
    assert lab.chain.noted(LayerName("day2")) == ""


def _revert(lab: Lab, shadow: Shadow, name: str) -> None:
    """Let the host revert the VM, whoever asked for it; the mark stays."""
    assert isinstance(lab.chain, HotaddChain)
    lab.chain.ready()  # attached no more: a host reverts no disk that is
    one = vm(shadow)
    (snapshot,) = (one.id for one in vm(shadow).snapshots.values() if one.name == name)
    there = shadow.look("web01")
    assert there is not None
    shadow.revert(there, snapshot, one.seen.state or State())
