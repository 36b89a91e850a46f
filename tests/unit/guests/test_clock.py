"""The hardware clock of a Linux that ran in local time."""

from __future__ import annotations

import pytest

from engine.guests.linux.clock import CLOCKS, plan_clock
from engine.guests.linux.draft import Draft
from engine.guests.tree import Tree
from engine.model.guest import FileSystem, Mount, VolumeId
from tests.unit.guests.trees import ROOT, MemoryGuest, volume


def after(path: str, content: str) -> str | None:
    """Return what a file becomes; None when nothing is changed."""
    disk = MemoryGuest([volume(ROOT, FileSystem.EXT)], {ROOT: {path: content}})
    draft = Draft(disk, Tree(disk, (Mount(b"/", VolumeId(ROOT)),)))
    plan_clock(draft)
    edits = draft.edits()
    assert draft.warnings == []
    return edits[0].after.decode() if edits else None


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n", "0.0 0 0.0\n0\nUTC\n"),
        ("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL", "0.0 0 0.0\n0\nUTC"),
        ("/etc/default/rcS", "#UTC=no\nUTC=no\n", "#UTC=no\nUTC=yes\n"),
        ("/etc/sysconfig/clock", 'ZONE="Asia/Tokyo"\nUTC=false\n', 'ZONE="Asia/Tokyo"\nUTC=true\n'),
        ("/etc/sysconfig/clock", 'HWCLOCK="--localtime"\n', 'HWCLOCK="-u"\n'),
        ("/etc/conf.d/hwclock", 'clock="local"\n', 'clock="UTC"\n'),
    ],
)
def test_a_clock_in_local_time_is_taken_for_one_in_utc(
    path: str, content: str, expected: str
) -> None:
    """Wherever a system says so; what it becomes is not changed again."""
    assert path.encode() in CLOCKS
    assert after(path, content) == expected
    assert after(path, expected) is None


@pytest.mark.parametrize(
    "content", ["", "0.0 0 0.0\n0\nUTC\n", "LOCAL\n", "0.0\n0\nLOCALE\n", "\n\n\nLOCAL\n"]
)
def test_what_does_not_say_so_is_left(content: str) -> None:
    """The third line alone counts."""
    assert after("/etc/adjtime", content) is None
