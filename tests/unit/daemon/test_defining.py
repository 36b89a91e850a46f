"""Definitions through the engine's own face: judged, written durably, taken up, or left as is."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config.standby import StandbyFolder
from engine.daemon.clock import ManualClock
from engine.daemon.defining import Definitions, digest
from engine.model.errors import Failure, Problem, Refused, WrongUse
from engine.model.machine import Power, Signs, VMRef
from engine.model.standby import Standby
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.running import running, wait
from tests.world import START


class Loop(SimpleNamespace):
    """What `Definitions` needs of a running engine."""

    def take_standby(self, standby: Standby, name: str) -> None:
        """Take it up."""
        self.standbys[name] = standby

    def target_of(self, standby: Standby) -> None:
        """Know one target."""
        if standby.target != "local":
            raise Failure(Problem("standby.target", f"{standby.target} is not configured."))


@pytest.fixture
def loop(tmp_path: Path) -> Any:
    """Return an engine without standbys, its images in `images`."""
    (tmp_path / "images").mkdir()
    return Loop(
        standbys={},
        misfits={},
        sources={},
        lock=threading.RLock(),
        clock=ManualClock(START),
        state=MemoryState(),
        files=StandbyFolder(tmp_path / "standbys.d"),
        picture=SimpleNamespace(touch=lambda: None),
        defining=threading.Lock(),
        text=f'images = "{tmp_path / "images"}"\n# by hand\n',
    )


def test_a_text_is_written_as_it_is_and_taken_up(loop: Any, tmp_path: Path) -> None:
    """Comments stay; the loop knows the standby; the journal says who added and changed it."""
    desk = Definitions(loop)
    path = desk.define_standby("erp", loop.text, "", "ops1")
    assert Path(path) == tmp_path / "standbys.d/erp.toml"
    assert Path(path).read_text() == loop.text
    loop.sources["erp"] = "uuid"
    changed = loop.text + "keep = 7\n"
    desk.define_standby("erp", changed, digest(loop.text), "ops2")
    assert loop.standbys["erp"].keep == 7
    assert loop.sources == {"erp": "uuid"}
    told = [line.text for line in loop.state.journal(limit=9)]
    assert told == ["ops1 added standby erp.", "ops2 changed the definition of erp."]


def test_what_is_wrong_leaves_everything(loop: Any, tmp_path: Path) -> None:
    """Everything wrong is found at once, nothing is written, no standby is taken up."""
    desk = Definitions(loop)
    bad = 'images = "/nowhere"\ntrigger = "soon"\nkeep = 0\ncolour = 1\n'
    _standby, problems = desk.parse_standby("erp", bad)
    assert [one.facts["key"] for one in problems] == ["trigger", "keep", "colour"]
    _standby, problems = desk.parse_standby("erp", 'images = "/nowhere"\ntarget = "moon"\n')
    assert [one.facts["key"] for one in problems] == ["images", "target"]
    with pytest.raises(WrongUse) as wrong:
        desk.define_standby("erp", bad, "", "ops1")
    assert wrong.value.problem.unchanged == "Nothing was changed."
    assert loop.standbys == {}
    assert not (tmp_path / "standbys.d").exists()
    assert desk.parse_standby("Bad Name", loop.text)[1][0].facts["key"] == "name"
    assert desk.parse_standby("erp", "")[1][0].facts["key"] == "images"
    assert desk.parse_standby("erp", "x = [")[1][0].key == "config.syntax"


def test_two_hands_do_not_overwrite_one_another(loop: Any) -> None:
    """A change made of a text that is no longer there is refused; so is a name that is taken."""
    desk = Definitions(loop)
    desk.define_standby("erp", loop.text, "", "ops1")
    old = digest(loop.text)
    desk.define_standby("erp", loop.text + "keep = 7\n", old, "ops2")
    for base in (old, ""):
        with pytest.raises(Refused):
            desk.define_standby("erp", loop.text + "keep = 9\n", base, "ops1")
    assert loop.standbys["erp"].keep == 7


@pytest.mark.parametrize(
    "line", ['held = "me"', "created_at = 2026-01-01T00:00:00Z", '[retention]\nhold = "me"']
)
def test_what_the_engine_writes_is_not_the_operators(loop: Any, line: str) -> None:
    """Pauses, holds and releases go by their own commands, whatever stands in a text."""
    desk = Definitions(loop)
    desk.define_standby("erp", loop.text, "", "ops1")
    _standby, (problem,) = desk.parse_standby("erp", f"{loop.text}{line}\n")
    assert problem.key == "standby.not-yours"
    assert "expected it as it was (absent)" in problem.happened


def test_a_standby_is_removed_while_its_vm_runs_at_home_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On our store it would lose its disks; at home it runs on, and nobody here knows it."""
    with running({"local": MemoryStore()}, {"erp": "local"}, tmp_path / "reports") as one:
        one.arrive("erp")
        one.idle()
        one.desk.start("erp", None, "me")
        wait(lambda: "erp" in one.state.read().runs)
        one.idle()
        target = one.targets["local"].hypervisor()
        with pytest.raises(Refused, match="is running"):
            one.desk.remove_standby("erp", "me")

        home = Signs(Power.ON, home="datastore1")
        monkeypatch.setattr(target, "signs_of_life", lambda _vm: home)
        wait(lambda: one.engine.picture.signs().get("erp") == home)
        one.desk.remove_standby("erp", "me")

        assert "erp" not in one.engine.standbys
        assert not one.state.read().runs
        monkeypatch.undo()
        assert target.signs_of_life(VMRef("erp")).power is Power.ON
