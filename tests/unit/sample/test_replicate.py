"""Replication of the sample site."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.model.errors import Cancelled
from engine.model.progress import Progress
from engine.ports import Cancel, CancelFlag, NeverCancelled
from engine.sample.replicate import missing, replicate


class Pocket:
    """A clock that tells how long it was waited, and shows the target at each wait."""

    def __init__(self, target: Path) -> None:
        """Start at zero."""
        self.waited, self.seen, self._target = 0.0, [], target  # type: ignore[var-annotated]  # sets

    def now(self) -> datetime:
        """Return a fixed day."""
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        """Return what was waited."""
        return self.waited

    def sleep(self, seconds: float, cancel: Cancel) -> None:
        """Wait without waiting."""
        cancel.check()
        self.waited += seconds
        files = (path for path in self._target.rglob("*") if path.is_file())
        self.seen.append({path.name: path.stat().st_size for path in files})


def ignore(_progress: Progress) -> None:
    """Take a progress."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a folder with two points, the second one written later, and a hidden file."""
    folder = tmp_path / "images/web/abcd"
    folder.mkdir(parents=True)
    for second, name in enumerate(("p1-d00.bpi", "p1-d01.bpi", "p1.json", "p2-d00.bpi", "p2.json")):
        (folder / name).write_bytes(name.encode() * 10_000)
        os.utime(folder / name, (second, second))
    (tmp_path / "images/web/.state").mkdir()
    (tmp_path / "images/web/.state/machine.json").write_text("{}")
    return tmp_path / "images"


def content(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "/.state" not in str(path)
    }


def test_everything_arrives_and_once(source: Path, tmp_path: Path) -> None:
    """All files arrive as they are; a second run copies nothing."""
    target = tmp_path / "watched"
    clock = Pocket(target)
    assert replicate(source, target, clock, NeverCancelled(), ignore, None) > 0
    assert content(target) == content(source)
    assert replicate(source, target, clock, NeverCancelled(), ignore, None) == 0


def test_a_manifest_comes_after_its_disks(source: Path, tmp_path: Path) -> None:
    """Files are copied in the order they were written."""
    names = [path.name for path in missing(source, tmp_path / "watched")]
    assert names == ["p1-d00.bpi", "p1-d01.bpi", "p1.json", "p2-d00.bpi", "p2.json"]


def test_a_file_grows_under_another_name_at_the_given_pace(source: Path, tmp_path: Path) -> None:
    """While it is copied, a file is hidden and grows; the whole takes as long as the rate says."""
    target = tmp_path / "watched"
    clock = Pocket(target)
    total = replicate(source, target, clock, NeverCancelled(), ignore, 100_000.0)
    assert clock.waited == pytest.approx(total / 100_000)
    first = [seen for seen in clock.seen if "p1-d00.bpi" not in seen]
    sizes = [next(iter(seen.values())) for seen in first]
    assert all(name.startswith(".p1-d00.bpi.") for seen in first for name in seen)
    assert sizes == sorted(set(sizes))
    assert len(sizes) > 5


def test_an_interrupted_copy_is_done_again(source: Path, tmp_path: Path) -> None:
    """After a cancel no half file has its final name, and the next run completes everything."""
    target = tmp_path / "watched"
    flag = CancelFlag()

    def stop(progress: Progress) -> None:
        if progress.done > 150_000:
            flag.set()

    with pytest.raises(Cancelled):
        replicate(source, target, Pocket(target), flag, stop, 100_000.0)
    for name, data in content(target).items():
        assert Path(name).name.startswith(".") or data == content(source)[name]
    replicate(source, target, Pocket(target), NeverCancelled(), ignore, None)
    assert content(target) == content(source)


def test_a_cut_file_is_replaced(source: Path, tmp_path: Path) -> None:
    """A file that arrived short is copied anew."""
    target = tmp_path / "watched"
    replicate(source, target, Pocket(target), NeverCancelled(), ignore, None)
    [cut] = target.rglob("p2-d00.bpi")
    cut.write_bytes(b"short")
    replicate(source, target, Pocket(target), NeverCancelled(), ignore, None)
    assert content(target) == content(source)
