"""Walking a watched folder again: what is listed as before is not looked at file by file."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from engine.images.watching import tree as walking
from engine.images.watching.tree import Tree, walked
from engine.local.safedir import SafeDir

FOLDERS, FILES = 10, 5


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with ten folders of five files each."""
    for number in range(FOLDERS):
        (tmp_path / f"m{number}").mkdir()
        for file in range(FILES):
            (tmp_path / f"m{number}/f{file}").write_bytes(b"x")
    return tmp_path


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the inodes of files that are compared one by one."""
    inodes: list[int] = []
    really = walking._is_unchanged

    def compare(mark: walking.FileMark, found: os.stat_result) -> bool:
        inodes.append(found.st_ino)
        return really(mark, found)

    monkeypatch.setattr(walking, "_is_unchanged", compare)
    return inodes


def walk(place: Path, before: Tree, number: int = 1) -> Tree:
    """Walk a folder once."""
    with SafeDir(str(place)) as folder:
        return walked(folder, before, (number, float(number)), lambda _name: False)


def test_an_unchanged_folder_is_the_tree_it_was(place: Path, compared: list[int]) -> None:
    """Nothing is compared one by one, however many files there are."""
    before = walk(place, Tree())
    assert len(before.files) == FOLDERS * FILES
    assert before.fresh == FOLDERS * FILES
    again = walk(place, before, 2)
    assert again is before
    assert again.is_like(before)
    assert compared == []


def test_a_change_costs_the_files_of_its_folder(place: Path, compared: list[int]) -> None:
    """The others are what they were, and so are the unchanged ones beside it."""
    before = walk(place, Tree())
    changed = place / "m3/f2"
    changed.write_bytes(b"longer")
    again = walk(place, before, 2)
    assert sorted(compared) == sorted(p.stat().st_ino for p in (place / "m3").iterdir())
    assert [path for path in again.files if again.files[path] is not before.files[path]] == [
        "m3/f2"
    ]
    assert list(again.files) == list(before.files), "in the order in which they were"
    assert not again.is_like(before)
    assert walk(place, again, 3) is again


def test_a_file_that_was_dropped_is_noted_anew(place: Path) -> None:
    """It went after it was listed, and is back as it was with the next walk."""
    before = walk(place, Tree())
    before.drop("m1/f1")
    before.drop("m1/f1")
    again = walk(place, before, 2)
    assert "m1/f1" in again.files
    assert again.fresh == 1


def test_whatever_happens_it_is_as_if_walked_for_the_first_time(place: Path) -> None:
    """Only how long a file has not changed is remembered."""
    chance = random.Random(4)
    known = walk(place, Tree())
    for number in range(2, 120):
        for _ in range(chance.choice((0, 1, 1, 3))):
            _happens(place, chance)
        known, fresh = walk(place, known, number), walk(place, Tree(), number)
        assert known.files.keys() == fresh.files.keys()
        assert known.odd == fresh.odd
        marks = {path: file.seen.mark for path, file in known.files.items()}
        assert marks == {path: file.seen.mark for path, file in fresh.files.items()}
        assert known.listed == fresh.listed


def _happens(place: Path, chance: random.Random) -> None:
    """Do something to the folder."""
    folder = place / f"m{chance.randrange(FOLDERS)}"
    file = folder / chance.choice(("f0", "f1", "f9", ".hidden", "x.part"))
    what = chance.choice(("write", "write", "remove", "link", "move", "folder"))
    if what == "folder" and folder.is_dir():
        folder.rename(place / f"away{chance.randrange(2**30)}")
    folder.mkdir(exist_ok=True)
    if what == "write" and not file.is_symlink():
        file.write_bytes(bytes(chance.randrange(9)))
    elif what == "remove":
        file.unlink(missing_ok=True)
    elif what == "link" and not file.exists() and not file.is_symlink():
        file.symlink_to("nowhere")
    elif what == "move" and file.exists():
        file.rename(folder / "f7")
