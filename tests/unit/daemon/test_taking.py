"""Targets that a running engine takes up and lets go of: what they share, and what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from engine.config.engine import load_engine
from engine.daemon.attending import is_ours
from engine.daemon.taking import Taking
from engine.daemon.targets import Target
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.model.errors import HypervisorError, Refused, StoreAway
from engine.model.latency import Measure
from engine.stores.memory import MemoryStore
from engine.stores.probe import open_store
from engine.targets import Targets
from tests.running import Running, running, wait


@dataclass
class Site:
    """A running engine whose configuration is in a folder."""

    folder: Path
    one: Running
    taking: Taking

    def write(self, name: str, more: str = "") -> None:
        """Write a target's own file; all have one store."""
        file = self.folder / "targets.d" / f"{name}.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'kind = "simulated"\n{more}[store]\npath = "{self.folder}/shared"\n')

    def take(self, name: str) -> Target:
        """Let the engine know it; return it once it is open."""
        self.taking.take(name, "", "ada")
        found = self.one.engine.targets[name]
        wait(lambda: found.away is None and found.opened() is not None)
        return found

    def journal(self) -> list[str]:
        """Return what was told of targets."""
        told = self.one.state.journal()
        return [line.text for line in told if line.key in ("target.added", "target.removed")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Yield an engine with the target `local`, which a standby has."""
    file = tmp_path / "engine.toml"
    state = f'state_dir = "{tmp_path}/state"\n'
    file.write_text(f'{state}[targets.local]\nkind = "simulated"\n')
    told = load_engine(file)
    with running({"local": MemoryStore()}, {"erp": "local"}, tmp_path / "reports") as one:
        make = Targets(told, DriverShelf((), tmp_path / "drivers")).make
        yield Site(tmp_path, one, Taking(one.engine, told, partial(load_engine, file), make))


def test_targets_that_share_a_folder_share_its_store_to_the_last(site: Site) -> None:
    """The first that goes leaves it to the other; the last one gives up its lock."""
    site.write("a", "jobs = 1\n")
    site.write("b")
    a, b = site.take("a"), site.take("b")
    assert a.store is b.store
    assert site.one.engine.limits.targets == {"a": 1}

    site.taking.remove("a", "ada")
    assert site.one.engine.limits.targets == {}
    with pytest.raises(HypervisorError, match="not used any more"):
        a.hypervisor()
    assert b.is_there()
    assert b.opened() is not None

    site.taking.remove("b", "ada")
    with pytest.raises(StoreAway, match="not used any more"):
        b.store.check()
    assert not b.is_there()
    open_store(site.folder / "shared", "auto", "another").close()
    assert set(site.one.engine.targets) == {"local"}
    assert [text.split(". ")[0].split("; ")[0] for text in site.journal()] == [
        "ada added target a",
        "ada added target b",
        "ada removed target a",
        "ada removed target b",
    ]


def test_one_of_the_same_name_begins_anew(site: Site) -> None:
    """What was measured and found of the old one is not told of the new one."""
    site.write("a")
    old = site.take("a")
    engine = site.one.engine
    for _ in range(30):
        engine.latencies.take(engine, "a", Measure.CALL, 0.02)
    for _ in range(4):
        engine.latencies.take(engine, "a", Measure.CALL, 9.0)
    old.look(engine.clock.now())
    known = site.folder / "state" / "targets" / "a"
    assert (known / "findings.json").exists()
    assert "a" in engine.latencies.slow(engine.clock.monotonic())

    going = site.taking.remove("a", "ada")
    assert "a" not in engine.latencies.slow(engine.clock.monotonic())
    assert not (known / "findings.json").exists()
    assert (known / "store.json").exists()
    assert not is_ours(engine, old)

    Path(going.aside).rename(going.file)
    new = site.take("a")
    assert new is not old
    assert new.store is not old.store
    assert is_ours(engine, new)
    site.taking.take("a", "", "ada")
    assert engine.targets["a"] is new


def test_what_another_start_is_needed_for_is_refused(site: Site) -> None:
    """Another state folder since, and a target that a standby has got meanwhile."""
    file = site.folder / "engine.toml"
    text = file.read_text()
    site.write("a")
    file.write_text(text.replace("/state", "/elsewhere"))
    with pytest.raises(Refused, match="names another state folder"):
        site.taking.take("a", "", "ada")
    assert set(site.one.engine.targets) == {"local"}
    file.write_text(text)
    site.take("a")
    erp = site.one.engine.standbys["erp"]
    site.one.engine.standbys["erp"] = type(erp)(name="erp", images=erp.images, target="a")
    with pytest.raises(Refused, match="configured for target a: erp"):
        site.taking.remove("a", "ada")
    site.one.engine.standbys["erp"] = erp
    assert site.taking.removal("a").name == "a"
