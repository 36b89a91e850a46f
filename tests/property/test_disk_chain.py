"""Any story of layers, told to every store and to a bytearray, ends the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.errors import LayerError
from engine.model.extents import Kind
from engine.model.layers import LayerKind, LayerName
from engine.ports import DiskChain, NeverCancelled, Store
from engine.stores.memory import MemoryStore
from engine.stores.probe import open_store
from tests.contract.disk_chains import manifest, seen

EDGES = (0, 511, 512, 4095, 4096, 65_535, 65_536, 65_537, 131_072, 200_000, 262_144)
offsets = st.one_of(st.sampled_from(EDGES), st.integers(0, 262_144))
lengths = st.one_of(st.sampled_from(EDGES[1:]), st.integers(1, 150_000))
writes = st.tuples(st.sampled_from(["write", "zero"]), offsets, lengths, st.integers(1, 255))
grows = st.tuples(
    st.just("grow"),
    st.integers(0, 9),
    st.sampled_from([LayerKind.REPLICA] * 3 + [LayerKind.CONVERSION, LayerKind.SCRATCH]),
    st.sampled_from([100_000, 131_072, 262_144, 262_144, 300_001]),
    st.lists(writes, max_size=4),
)
removals = st.tuples(st.sampled_from(["fold", "fold", "drop"]), st.integers(0, 9))
stories = st.lists(st.one_of(grows, grows, removals), min_size=3, max_size=10)


@dataclass
class Oracle:
    """Layers as whole bytearrays: slow and obvious."""

    parents: dict[str, str | None] = field(default_factory=dict)
    kinds: dict[str, LayerKind] = field(default_factory=dict)
    bytes_of: dict[str, bytearray] = field(default_factory=dict)

    def grow(self, name: str, parent: str | None, kind: LayerKind, size: int) -> bytearray:
        """Copy the parent, cut or lengthened."""
        below = self.bytes_of[parent] if parent else bytearray()
        self.parents[name], self.kinds[name] = parent, kind
        self.bytes_of[name] = below[:size] + bytearray(max(0, size - len(below)))
        return self.bytes_of[name]

    def fold(self, name: str) -> None:
        """Give the children the grandparent."""
        for child, parent in self.parents.items():
            if parent == name:
                self.parents[child] = self.parents[name]
        self.forget(name)

    def forget(self, name: str) -> None:
        """Remove a layer."""
        del self.parents[name], self.kinds[name], self.bytes_of[name]


def play(chain: DiskChain, story: list[tuple[object, ...]]) -> Oracle:
    """Tell a story to a chain and an oracle; what the chain refuses does not happen."""
    oracle = Oracle()
    for number, (verb, pick, *rest) in enumerate(story):
        names = sorted(oracle.parents)
        if verb == "grow":
            _grow(chain, oracle, f"l{number:02}", [None, *names], pick, *rest)
        elif names:
            name = names[pick % len(names)]
            remove: Callable[[], None] = (
                (lambda name=name: chain.drop(LayerName(name)))
                if verb == "drop"
                else (lambda name=name: chain.fold(LayerName(name), NeverCancelled()))
            )
            try:
                remove()
            except LayerError:
                continue
            oracle.forget(name) if verb == "drop" else oracle.fold(name)
    return oracle


def _grow(chain, oracle, name, parents, pick, kind, size, changes) -> None:  # noqa: ANN001 - drawn
    parent = parents[pick % len(parents)]
    try:
        chain.add(LayerName(name), LayerName(parent) if parent else None, kind, [size])
    except LayerError:
        return
    data = oracle.grow(name, parent, kind, size)
    with chain.open(LayerName(name), 0) as device:
        for verb, offset, length, value in changes:
            length = min(length, size - offset)
            if length <= 0:
                continue
            if verb == "write":
                device.write(offset, memoryview(bytes([value]) * length))
            else:
                device.zero(offset, length)
            data[offset : offset + length] = bytes([value if verb == "write" else 0]) * length
    if kind is not LayerKind.SCRATCH:
        chain.seal(LayerName(name), manifest(chain, name))


def check(chain: DiskChain, oracle: Oracle) -> None:
    """Compare tree, bytes and changed extents."""
    layers = chain.layers()
    assert {name: layer.parent for name, layer in layers.items()} == oracle.parents
    for name, want in oracle.bytes_of.items():
        assert seen(chain, name) == want
        parent = oracle.parents[name]
        below = (oracle.bytes_of[parent] if parent else bytearray())[: len(want)]
        below += bytes(len(want) - len(below))
        for start, length, kind in chain.changed(LayerName(name), 0):
            now = want[start : start + length]
            assert kind is Kind.DATA or not any(now)
            below[start : start + length] = now
        assert below == want


@pytest.mark.parametrize("kind", ["memory", "reflink", "qcow2"])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories)
def test_any_story_ends_as_the_oracle_says(
    kind: str, xfs: Path, tmp_path: Path, story: list[tuple[object, ...]]
) -> None:
    """Whatever is grown, written, zeroed, resized, folded and dropped, the bytes are right."""
    place = (xfs if kind == "reflink" else tmp_path) / uuid.uuid4().hex
    store: Store = MemoryStore() if kind == "memory" else open_store(place, kind, "local")
    oracle = play(store.chain("web01"), story)
    check(store.chain("web01"), oracle)
    store.close()  # type: ignore[attr-defined]  # every store here has it
    if kind != "memory":
        store = open_store(place, "auto", "local")
        check(store.chain("web01"), oracle)
        for name in sorted(oracle.parents, reverse=True):
            store.chain("web01").drop(LayerName(name))
        assert store.standbys() == []
        store.close()  # type: ignore[attr-defined]  # every store here has it
