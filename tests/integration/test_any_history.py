"""Histories that nobody thought of, on both real stores: what is ready reads like its source."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from engine.images.imaging.create import PointMade
from engine.model.points import WORKING, Stage
from tests.contract.disk_chains import xfs
from tests.formats.bpifiles import GRAIN
from tests.histories import Following, Machine, bring, hub

__all__ = ["xfs"]
SEEDS = range(12)
STEPS = 9


@pytest.fixture(scope="module", params=["reflink", "qcow2"])
def following(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Following, Path]]:
    """Yield one engine for all tests, which keeps few boot points, and the folder of all."""
    folder = tmp_path_factory.mktemp("any")
    on_xfs = request.param == "reflink"
    under = request.getfixturevalue("xfs") / folder.name if on_xfs else folder
    every = {f"m{seed}": "every:2" if seed % 4 == 3 else "immediate" for seed in SEEDS}
    with hub(request.param, under, folder, every, keep=4) as one:
        yield one, folder


class Story:
    """What happens to one machine, by chance."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Begin with two disks."""
        self.chance = random.Random(seed)
        self.machine = Machine(folder, f"m{seed}", {"a": 8 * GRAIN, "b": 4 * GRAIN})
        self.disks = ["a", "b"]
        self.unsent: list[PointMade] = []

    def step(self) -> None:
        """Change the disks, image them, and let what is there arrive or wait."""
        self._change()
        self.unsent.append(self.machine.shoot(*self.disks, full=self.chance.random() < 0.2))
        what = self.chance.random()
        if what < 0.2:
            return
        if what < 0.35:
            self.chance.shuffle(self.unsent)
        if what > 0.9 and len(self.unsent) > 1:
            self.machine.send(self.unsent.pop(self.chance.randrange(len(self.unsent))))
        elif what > 0.8 and self._mergeable():
            for path in self.machine.merge(*self.unsent):
                bring(path, self.machine.sent / path.name)
            self.unsent.clear()
        else:
            self.machine.send(*self.unsent)
            if what > 0.7:
                self.machine.send(*self.unsent, prefix="copy ")
            self.unsent.clear()

    def end(self) -> PointMade:
        """Let all that is missing arrive, and one more increment; return it."""
        self._change()
        last = self.machine.shoot(*self.disks)
        self.machine.send(*self.unsent, last)
        return last

    def _change(self) -> None:
        for disk in self.disks:
            file = self.machine.source / disk
            if self.chance.random() < 0.25:
                size = self.chance.randrange(1, 24) * GRAIN // 2
                self.machine.resize(disk, size)
            grains = file.stat().st_size // GRAIN
            for _ in range(min(grains, self.chance.randrange(4))):
                self.machine.write(disk, self.chance.randrange(grains))
            if grains and self.chance.random() < 0.3:
                with file.open("r+b") as opened:
                    opened.seek(self.chance.randrange(grains) * GRAIN)
                    opened.write(bytes(GRAIN))
        if self.chance.random() < 0.2:
            self.chance.shuffle(self.disks)
        if self.chance.random() < 0.15 and len(self.disks) > 1:
            self.disks.pop(self.chance.randrange(len(self.disks)))
        if self.chance.random() < 0.2 and len(self.disks) < 4:
            away = [disk for disk in "abcd" if disk not in self.disks]
            disk = self.chance.choice(away)
            self.machine.resize(disk, self.chance.randrange(1, 12) * GRAIN)
            self.disks.insert(self.chance.randrange(len(self.disks) + 1), disk)

    def _mergeable(self) -> bool:
        """Tell whether what was not sent is one line of the same disks."""
        line = self.unsent
        follows = all(b.parent == a.point for a, b in pairwise(line))
        sources = {tuple(sorted(file.source for file in one.files)) for one in line}
        kinds = {file.kind for one in line[1:] for file in one.files}
        first = {file.kind for file in line[0].files}
        return len(line) > 1 and follows and len(sources) == 1 and "full" not in kinds | first


@pytest.mark.nightly
def test_whatever_happens_what_is_ready_reads_like_its_source(
    following: tuple[Following, Path],
) -> None:
    """Disks come, go, move, grow, shrink; points come late, twice, merged, in any order."""
    one, folder = following
    stories = [Story(folder, seed) for seed in SEEDS]
    for number in range(STEPS):
        for story in stories:
            story.step()
        if number % 3 == 2:
            one.a_while()
    last = [(story.machine, story.end()) for story in stories]
    for machine, shot in last:
        if one.engine.standbys[machine.name].trigger.count is None:
            wanted = str(shot.point)
            one.until(lambda m=machine, w=wanted: w in one.ready(m.name), machine.name)
    for machine, _ in last:
        one.until(lambda m=machine: not _busy(one, m.name), machine.name)
        assert one.ready(machine.name)
        one.check(machine)


def _busy(one: Following, name: str) -> bool:
    made = one.points(name).values()
    return any(point.stage in WORKING or point.stage is Stage.PENDING for point in made)
