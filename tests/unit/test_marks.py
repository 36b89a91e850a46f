"""Pins and proofs beside the layers: what a state that is made anew knows again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.daemon.marks import with_marks, write_marks
from engine.daemon.rebuild import rebuild
from engine.model.images import PointId
from engine.model.layers import LayerKind, LayerName
from engine.model.points import BootPoint, Stage, boot_point_id
from engine.state.memory import MemoryState
from engine.stores.probe import open_store
from tests.contract.disk_chains import manifest

NOW = datetime(2026, 3, 1, 2, 3, 4, 567, tzinfo=UTC)
PINNED = {"pin": "ops: before the \u202eupgrade", "proven_at": NOW}


def point(number: int = 1, **more: object) -> BootPoint:
    """Return a READY boot point of recovery point `r<number>`."""
    name = boot_point_id(number)
    return replace(
        BootPoint(
            name, "erp", PointId(f"r{number}"), "set", None, number, NOW, Stage.READY,
            LayerName(f"{name}-replica"), LayerName(f"{name}-conversion"), NOW,
        ),
        **more,  # type: ignore[arg-type]  # fields of BootPoint
    )  # fmt: skip


def test_marks_are_read_back_for_the_same_recovery_point_only(tmp_path: Path) -> None:
    """Another boot point of that id, made after a state was lost, is not pinned by chance."""
    write_marks(tmp_path, "erp", [point(1, **PINNED), point(2)])

    assert with_marks(tmp_path, "erp", [point(1), point(2)]) == [point(1, **PINNED), point(2)]
    stranger = replace(point(1), recovery_point=PointId("r9"))
    assert with_marks(tmp_path, "erp", [stranger]) == [stranger]
    assert with_marks(tmp_path, "web", [point(1)]) == [point(1)]
    write_marks(tmp_path, "erp", [point(1)])
    assert with_marks(tmp_path, "erp", [point(1)]) == [point(1)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"points": 3}',
        b"\xff\xfe",
        b'{"points": {"bp000001": 7}}',
        b'{"points": {"bp000001": {"recovery_point": "r1", "proven_at": "yesterday"}}}',
        b'{"points": {"bp000001": {"recovery_point": "r1", "proven_at": "2026-03-01"}}}',
        b"[" * 10_000,
    ],
)
def test_damaged_marks_count_for_none(tmp_path: Path, content: bytes) -> None:
    """The state is rebuilt without them; nothing fails."""
    (tmp_path / ".marks").mkdir()
    (tmp_path / ".marks/erp.json").write_bytes(content)
    assert with_marks(tmp_path, "erp", [point(1)]) == [point(1)]


def test_a_store_that_cannot_be_written_costs_no_pin(tmp_path: Path) -> None:
    """The state holds the pin; its copy is only missed when the state is lost."""
    (tmp_path / ".marks").write_text("in the way")
    write_marks(tmp_path, "erp", [point(1, **PINNED)])
    write_marks(tmp_path / "none", "erp", [point(1, **PINNED)])
    assert not (tmp_path / "none").exists()


def test_a_rebuilt_state_knows_its_pins_and_proofs(tmp_path: Path) -> None:
    """All that is left is the store: boot points, pins and proofs are back, and no more layers."""
    store = open_store(tmp_path, "qcow2", "local")
    chain = store.chain("web01")
    for name, parent, kind in (
        ("bp000001-replica", None, LayerKind.REPLICA),
        ("bp000001-conversion", "bp000001-replica", LayerKind.CONVERSION),
    ):
        layer = LayerName(name)
        chain.add(layer, LayerName(parent) if parent else None, kind, [1 << 20])
        made = replace(manifest(chain, name), boot_point="bp000001", recovery_point="r1")
        chain.seal(layer, made)
    write_marks(store.path, "web01", [replace(point(1, **PINNED), standby="web01")])
    store.close()

    store, state = open_store(tmp_path, "qcow2", "local"), MemoryState()
    assert store.standbys() == ["web01"]
    assert rebuild(state, [store], NOW).ready == 1
    (found,) = state.read().boot_points.values()
    assert (found.pin, found.proven_at) == (PINNED["pin"], NOW)
    store.close()
