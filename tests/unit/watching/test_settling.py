"""When a file has stopped arriving."""

from __future__ import annotations

import pytest

from engine.model.images import FileMark
from engine.model.settling import Seen, is_settled, is_temporary, settles_at

SEEN = Seen(FileMark(1, 2, 3, 4, 5), scan=7, since=100.0)


def test_one_scan_never_settles_a_file() -> None:
    """However long ago it was: what only one scan saw may still change."""
    assert not is_settled(SEEN, 0, scan=7, now=10_000)
    assert is_settled(SEEN, 0, scan=8, now=100)


def test_a_file_settles_after_the_quiet_time() -> None:
    """Two scans are not enough before the quiet time is over."""
    assert not is_settled(SEEN, 30, scan=99, now=129.9)
    assert is_settled(SEEN, 30, scan=8, now=130)
    assert settles_at(SEEN, 30) == 130


@pytest.mark.parametrize(
    "name",
    [
        ".p000001.bpi.Xa8sd1",
        "~syncthing~p000001.bpi.tmp",
        ".syncthing.p000001.bpi",
        "p000001.bpi.part",
        "p000001.bpi.partial",
        "P000001.BPI.TMP",
        "p000001.bpi.filepart",
        "p000001.bpi.crdownload",
        "disk.tmp_fidx",
        "disk.tmp_didx",
        "p000001.bpi.rclone-upload",
        ".1767225600000.disk.vhd",
        ".nfs000000000001",
        "line\nbreak.part",
    ],
)
def test_names_that_copiers_use_are_temporary(name: str) -> None:
    """Nothing is concluded from a file that its copier has not given its name yet."""
    assert is_temporary(name)


@pytest.mark.parametrize("name", ["p000001-d00.bpi", "part.bpi", "tmp", "a.party", "x.json", "a~"])
def test_other_names_are_not(name: str) -> None:
    """Ordinary names are looked at."""
    assert not is_temporary(name)
