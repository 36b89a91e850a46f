"""A watched folder with a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from engine.images.watching.scan import Scanner
from engine.model.images import ImageSet, RecoveryPoint, RootView
from tests.arrivals import START, JsonFormat


class Folder:
    """A watched folder and its scanner; time moves only when told."""

    def __init__(self, path: Path, quiet_s: float | None = None) -> None:
        """Make the folder."""
        self.path = path
        self.path.mkdir(exist_ok=True)
        self.format = JsonFormat()
        self.time = 0.0
        self.scanner = Scanner(
            str(path), [self.format], quiet_s=quiet_s, monotonic=lambda: self.time
        )

    def scan(self, after: float = 0.0) -> RootView:
        """Scan once, some seconds later."""
        self.time += after
        return self.scanner.scan(START + timedelta(seconds=self.time))

    def settle(self) -> RootView:
        """Scan twice, a minute apart."""
        self.scan(1)
        return self.scan(60)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return an empty watched folder."""
    return Folder(tmp_path / "replica")


def points(view: RootView) -> list[RecoveryPoint]:
    """Return all points of a view."""
    return [point for one in sets(view) for point in one.points]


def sets(view: RootView) -> Sequence[ImageSet]:
    """Return the image sets of a view."""
    return view.sets


def told(view: RootView) -> list[tuple[str, str, bool]]:
    """Return path, key and whether it waits, of all files that cannot be used."""
    return [(bad.path, bad.key, bad.waiting) for bad in view.bad]
