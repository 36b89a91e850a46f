"""Files of `standbys.d` changed by hand while the engine runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.config.standby import StandbyFolder, dump_standby
from engine.daemon.defining import Definitions, digest
from engine.daemon.engine import Engine
from engine.daemon.handedits import HandEdits
from engine.model.slots import Limits
from engine.model.standby import Standby
from engine.stores.memory import MemoryStore
from tests.bench.largesite import made_of, recovery_points
from tests.running import Running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return `standbys.d` with one standby, whose images are in a folder that is there."""
    (tmp_path / "images").mkdir()
    made = StandbyFolder(tmp_path / "standbys.d")
    made.write(Standby("m0000", str(tmp_path / "images"), target="simulated"))
    return tmp_path / "standbys.d"


@pytest.fixture
def engine(folder: Path) -> Engine:
    """Return an engine, not started, that read the folder."""
    made = Running({"simulated": MemoryStore()}, {}, Limits(), folder.parent / "reports")
    engine = made.engine
    engine.files = StandbyFolder(folder)
    engine.standbys, engine.misfits = engine.files.load()
    return engine


def edit(file: Path, old: str, new: str) -> None:
    """Change a file by hand."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def keys(engine: Engine) -> list[str]:
    """Return the journal's keys."""
    return [line.key for line in engine.state.journal()]


def test_a_changed_file_is_taken_up(engine: Engine, folder: Path) -> None:
    """Its standby works by the new value, the journal names who; once more changes nothing."""
    edit(folder / "m0000.toml", "keep = 24", "keep = 30")
    told = Definitions(engine).reload_standbys("ada")
    assert (told.added, told.changed, told.misfits) == ([], ["m0000"], {})
    assert engine.standbys["m0000"].keep == 30
    assert keys(engine) == ["standby.changed"]
    assert Definitions(engine).reload_standbys("ada").changed == []


def test_a_file_dropped_in_is_a_new_standby(engine: Engine, folder: Path) -> None:
    """Copied beside the other one it is there at once."""
    (folder / "web.toml").write_text((folder / "m0000.toml").read_text())
    assert Definitions(engine).reload_standbys("ada").added == ["web"]
    assert engine.standbys["web"].images == engine.standbys["m0000"].images


def test_a_broken_file_leaves_the_former_definition_in_force(engine: Engine, folder: Path) -> None:
    """What is wrong is told with file, line and remedy, once; corrected it is forgotten."""
    before = engine.standbys["m0000"]
    edit(folder / "m0000.toml", "keep = 24", "keep = many")
    for _ in range(2):
        told = Definitions(engine).reload_standbys("ada")
        problem = told.misfits["m0000"]
        assert "m0000.toml" in problem.happened
        assert "line" in problem.happened
        assert problem.unchanged == "m0000 goes on as it was defined before."
        assert problem.remedy
    assert engine.standbys["m0000"] == before
    assert len(keys(engine)) == 1
    edit(folder / "m0000.toml", "keep = many", "keep = 25")
    assert Definitions(engine).reload_standbys("ada").changed == ["m0000"]
    assert not engine.misfits


def test_a_file_that_is_gone_takes_no_standby_away(engine: Engine, folder: Path) -> None:
    """It goes on; how to remove it is said."""
    (folder / "m0000.toml").unlink()
    told = Definitions(engine).reload_standbys("ada")
    assert "bootpoint standby remove m0000" in told.misfits["m0000"].remedy
    assert "m0000" in engine.standbys


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("keep = 24", 'keep = 24\nheld = "me"', "standby.not-yours"),
        ('target = "simulated"', 'target = "elsewhere"', "standby.target"),
        ("/images", "/nowhere", "standby.images"),
    ],
)
def test_what_cannot_be_changed_so_is_refused(
    engine: Engine, folder: Path, old: str, new: str, key: str
) -> None:
    """Keys of the engine, targets that are not there, folders that are not there."""
    before = engine.standbys["m0000"]
    edit(folder / "m0000.toml", old, new)
    assert Definitions(engine).reload_standbys("ada").misfits["m0000"].key == key
    assert engine.standbys["m0000"] == before


def test_no_slip_of_a_finger_takes_boot_points_away(engine: Engine, folder: Path) -> None:
    """`keep = 2` for 24 is not taken up before somebody says that it is meant."""
    with engine.state.write() as tx:
        arrived = recovery_points("m0000", 30)
        tx.save_recovery_points(arrived)
        for point in made_of(arrived, 1, "m0000"):
            tx.save_boot_point(point)
    edit(folder / "m0000.toml", "keep = 24", "keep = 4")
    definitions = Definitions(engine)
    problem = definitions.reload_standbys("ada").misfits["m0000"]
    assert problem.key == "standby.losing"
    assert engine.standbys["m0000"].keep == 24
    text = definitions.standby_text("m0000")
    definitions.define_standby("m0000", text, digest(text), "ada")
    assert engine.standbys["m0000"].keep == 4
    assert not engine.misfits


def test_the_chore_waits_until_a_file_was_left_alone(engine: Engine, folder: Path) -> None:
    """A file that changes between two rounds is read at the round after."""
    edits = HandEdits(engine.files, Definitions(engine))
    now = engine.clock.now()
    edits(now)
    edits(now)
    edit(folder / "m0000.toml", "keep = 24", "keep = 30")
    edits(now)
    assert engine.standbys["m0000"].keep == 24
    edits(now)
    assert engine.standbys["m0000"].keep == 30


def test_the_chore_tries_again_what_was_wrong(engine: Engine, folder: Path) -> None:
    """A folder of images that comes later brings its standby with it, without another edit."""
    late = folder.parent / "late"
    web = replace(engine.standbys["m0000"], name="web", images=str(late))
    (folder / "web.toml").write_text(dump_standby(web))
    edits = HandEdits(engine.files, Definitions(engine))
    for _ in range(3):
        edits(engine.clock.now())
    assert engine.misfits["web"].key == "standby.images"
    late.mkdir()
    edits(engine.clock.now())
    assert "web" in engine.standbys
