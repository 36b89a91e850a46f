"""Parsers in children: the same answers, and no harm."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.images.watching.cell import Confined
from engine.model.errors import FormatError
from engine.model.images import ImagePart
from engine.ports import ImageFormat
from tests.arrivals import JsonFormat, shot, write
from tests.unit.watching.conftest import Folder, points
from tests.unit.watching.hostile import Endless, Greedy, Writing


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Yield a descriptor."""
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def describe(known: ImageFormat, path: Path) -> ImagePart:
    """Have a file described."""
    with opened(path) as fd:
        return known.describe(fd, os.fsdecode(os.fsencode(path.name)))


def test_a_child_says_what_the_format_says(tmp_path: Path) -> None:
    """Parts and errors come through unchanged, hostile names included."""
    with closing(Confined(JsonFormat())) as known:
        for part in shot(2, shot(1, disks=2), disks=2).parts:
            path = write(part, tmp_path, f"\udcff\n{part.path}")
            assert describe(known, path) == describe(JsonFormat(), path)
        bad = tmp_path / "bad.img"
        bad.write_bytes(b"x")
        with pytest.raises(FormatError) as caught:
            describe(known, bad)
        assert caught.value.problem.key == "image.truncated"
        with opened(tmp_path) as fd, pytest.raises(IsADirectoryError):
            known.describe(fd, "folder")
        assert known.recognises("x.img", b"")
        assert len(known._idle) == 1


def test_a_greedy_file_costs_a_child_only(tmp_path: Path) -> None:
    """A parser that asks for gigabytes dies, the file is damaged, the next one is read."""
    (tmp_path / "bad.img").write_bytes(b"greedy")
    good = write(shot(1).manifest, tmp_path)
    with closing(Confined(Greedy())) as known:
        with pytest.raises(FormatError, match="more memory or time than any image needs"):
            describe(known, tmp_path / "bad.img")
        assert describe(known, good).point == "set-1-000001"


def test_an_endless_file_costs_a_child_only(tmp_path: Path) -> None:
    """A parser that never ends is ended."""
    (tmp_path / "bad.img").write_bytes(b"endless")
    with closing(Confined(Endless(), cpu_s=0)) as known, pytest.raises(FormatError):
        describe(known, tmp_path / "bad.img")


def test_a_child_cannot_write(tmp_path: Path) -> None:
    """Whatever a file talks its parser into, nothing is written."""
    good = write(shot(1).manifest, tmp_path)
    with closing(Confined(Writing())) as known, pytest.raises(OSError, match="File too large"):
        describe(known, good)
    assert good.with_name(good.name + ".written").stat().st_size == 0


def test_a_child_that_was_killed_is_replaced(tmp_path: Path) -> None:
    """A child killed for other reasons takes no file with it."""
    good = write(shot(1).manifest, tmp_path)
    with closing(Confined(JsonFormat())) as known:
        describe(known, good)
        known._idle[0]._process.kill()
        assert describe(known, good).point == "set-1-000001"


def test_threads_have_children_of_their_own(tmp_path: Path) -> None:
    """Folders are parsed side by side, and closing ends all children."""
    good = write(shot(1).manifest, tmp_path)
    known = Confined(JsonFormat())
    found: list[ImagePart] = []
    work = [threading.Thread(target=lambda: found.append(describe(known, good))) for _ in range(3)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    children = [child._process for child in known._idle]
    assert len(found) == 3
    assert 1 <= len(children) <= 3
    known.close()
    assert all(child.poll() is not None for child in children)


def test_a_folder_is_scanned_through_children(tmp_path: Path) -> None:
    """The scanner cannot tell a confined format from a plain one."""
    folder = Folder(tmp_path / "replica")
    shot(1, disks=2).write(folder.path)
    plain = points(folder.settle())
    with closing(Confined(JsonFormat())) as known:
        folder.scanner._formats = (known,)
        folder.scanner._tree.files.clear()
        assert points(folder.settle()) == plain
