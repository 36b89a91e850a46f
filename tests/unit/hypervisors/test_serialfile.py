"""Serial consoles in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.hypervisors import serialfile
from engine.hypervisors.serialfile import KEPT, TAIL, begin, read_from, read_tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return an empty file for a console."""
    begin(tmp_path / "serial.log")
    return tmp_path / "serial.log"


def test_without_a_file_nothing_was_printed(tmp_path: Path) -> None:
    """A VM that never ran has an empty console."""
    assert read_tail(tmp_path / "none") == b""
    assert read_from(tmp_path / "none", 77) == (b"", 0)


def test_reading_on_gives_each_byte_once(log: Path) -> None:
    """Pieces of at most 64 KiB, each continuing the last, make up the whole."""
    text = os.urandom(3 * TAIL + 5)
    log.write_bytes(text)
    got, at = b"", 0
    while len(got) < len(text):
        piece, at = read_from(log, at)
        assert 0 < len(piece) <= TAIL
        got += piece
    assert got == text
    assert read_from(log, at) == (b"", at)
    assert read_tail(log) == text[-TAIL:]


@pytest.mark.parametrize("after", [-1, 100, 1 << 60])
def test_an_offset_of_an_earlier_run_begins_anew(log: Path, after: int) -> None:
    """After a restart the file is shorter than the reader's offset: it reads from the start."""
    log.write_bytes(b"a new run")
    assert read_from(log, after) == (b"a new run", 9)


def test_a_console_that_never_stops_fills_no_disk(log: Path) -> None:
    """Old text gives its room back, new text stays, offsets keep their meaning."""
    with log.open("ab", buffering=0) as guest:
        for number in range(3 * KEPT >> 20):
            guest.write(bytes([65 + number]) * (1 << 20))
        _, size = read_from(log, 0)
        guest.write(b"the end")
        assert log.stat().st_blocks * 512 <= KEPT + (2 << 20)
    data, after = read_from(log, 3 * KEPT)
    assert (data, after) == (b"the end", 3 * KEPT + 7)
    assert read_from(log, 0)[1] > 2 * KEPT
    assert size > 2 * KEPT


def test_a_link_in_its_place_is_not_followed(log: Path, tmp_path: Path) -> None:
    """A console that is a link to another file is an error, not that file's content."""
    (tmp_path / "secret").write_bytes(b"secret")
    log.unlink()
    log.symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic"):
        serialfile.read_tail(log)
