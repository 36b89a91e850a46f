"""Questions are asked many at once: what a guest far away would cost, in trips to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from engine.guests.backend import Stat, Type
from engine.guests.inspect import inspect
from engine.guests.plan import plan
from engine.guests.tree import Tree
from engine.model.guest import Mount, Volume, VolumeId
from tests.unit.guests.test_plan import MAKERS, NICS, overlay
from tests.unit.guests.trees import ROOT, Link, MemoryGuest, debian12

Place = tuple[VolumeId, bytes]


@dataclass(slots=True)
class Distant:
    """A guest in memory; each question takes a trip, but for what was learnt ahead."""

    guest: MemoryGuest
    trips: list[str] = field(default_factory=list)
    listed: set[Place] = field(default_factory=set)
    held: set[Place] = field(default_factory=set)

    def volumes(self) -> Sequence[Volume]:
        """Return the volumes."""
        return self.guest.volumes()

    def ahead(self, volume: VolumeId, paths: Sequence[bytes]) -> None:
        """Learn, in one trip, what is at paths and on the way to them."""
        self.trips.append(f"ahead {len(paths)}")
        for path in paths:
            here = b"/"
            for part in path.split(b"/")[1:] if path != b"/" else ():
                self.listed.add((volume, here))
                here = here.rstrip(b"/") + b"/" + part
                found = self.guest.stat(volume, here)
                if found is None or found.type is not Type.FOLDER:
                    self.held.add((volume, here))
                    break
            else:
                self.listed.add((volume, here))
                names = self.guest.list(volume, here)
                self.held.update((volume, here.rstrip(b"/") + b"/" + name) for name in names)

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path."""
        if (volume, path.rpartition(b"/")[0] or b"/") not in self.listed:
            self.trips.append(f"stat {path!r}")
        return self.guest.stat(volume, path)

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the names in a folder; they tell what each is."""
        if (volume, path) not in self.listed:
            self.trips.append(f"list {path!r}")
            self.listed.add((volume, path))
        return self.guest.list(volume, path)

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a file's content."""
        if (volume, path) not in self.held:
            self.trips.append(f"read {path!r}")
        return self.guest.read(volume, path, limit)

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a link points; it comes with the folder's names."""
        if (volume, path.rpartition(b"/")[0] or b"/") not in self.listed:
            self.trips.append(f"link {path!r}")
        return self.guest.link(volume, path)


@pytest.mark.parametrize("make", MAKERS)
def test_a_plan_takes_few_trips(make: Callable[[], MemoryGuest]) -> None:
    """Inspecting and planning takes at most 16 trips, and gives the same plan as without."""
    near, far = make(), Distant(make())

    expected = plan(near, inspect(near), overlay, NICS)

    assert plan(far, inspect(far), overlay, NICS) == expected
    assert len(far.trips) <= 16, far.trips


def test_links_on_the_way_are_followed_when_learning() -> None:
    """Behind an absolute link and one that goes up, all is learnt, in one more trip for each."""
    guest = debian12()
    guest.put(ROOT, "/a", Link(b"/b/../b/c"))
    guest.put(ROOT, "/b/c", Link(b"../deep/er"))
    guest.put(ROOT, "/deep/er/file", "found")
    far = Distant(guest)
    tree = Tree(far, (Mount(b"/", VolumeId(ROOT)),))

    tree.ahead([b"/a/file", b"/a/none", b"/loop"])
    assert far.trips == ["ahead 3", "ahead 2", "ahead 2"]
    assert tree.read(b"/a/file") == b"found"
    assert tree.read(b"/a/none") is None
    assert len(far.trips) == 3


def test_a_link_in_a_circle_ends() -> None:
    """Learning what leads nowhere ends, and asks nothing twice."""
    guest = debian12()
    guest.put(ROOT, "/x", Link(b"y"))
    guest.put(ROOT, "/y", Link(b"/x/../x"))
    far = Distant(guest)

    Tree(far, (Mount(b"/", VolumeId(ROOT)),)).ahead([b"/x/z"])

    assert len(far.trips) <= 2
