"""A hive that was imaged while Windows wrote it: its logs are replayed, or it is refused."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guests.windows import hive as registry
from engine.guests.windows.hive import Step, dword
from engine.guests.windows.replay import marvin32, replay
from engine.guests.windows.version import checksum, is_dirty
from tests.guests.phony_hive import system_hive
from tests.unit.guests.test_windows_plan import CONFIG, opened, planned, reglookup, windows

FIRST = 7
"""Number of the first write that a dirty hive lacks."""


def states(count: int) -> list[bytes]:
    """Return a hive, and the same after one write and after two and so on."""
    made = [system_hive()]
    for number in range(1, count + 1):
        step = Step(("ControlSet001", "Services", f"Written{number}"), "Start", dword(number))
        made.append(registry.edit(made[-1], [step]))
    return made


def numbered(hive: bytes, first: int, second: int) -> bytes:
    """Return a hive with other sequence numbers and a right checksum."""
    raw = bytearray(hive)
    struct.pack_into("<II", raw, 4, first, second)
    struct.pack_into("<I", raw, 508, checksum(bytes(raw[:512])))
    return bytes(raw)


def entry(number: int, old: bytes, new: bytes) -> bytes:
    """Return the log entry of one write: the pages that it changed."""
    old = old.ljust(len(new), b"\0")
    places = [
        at for at in range(4096, len(new), 4096) if old[at : at + 4096] != new[at : at + 4096]
    ]
    refs = b"".join(struct.pack("<II", at - 4096, 4096) for at in places)
    body = refs + b"".join(new[at : at + 4096] for at in places)
    size = -(-(40 + len(body)) // 512) * 512
    body = body.ljust(size - 40, b"\0")
    bins = len(new) - 4096
    head = struct.pack("<4sIIIII", b"HvLE", size, 0, number, bins, len(places))
    head += struct.pack("<Q", marvin32(body))
    return head + struct.pack("<Q", marvin32(head)) + body


def log(*entries: bytes, form: int = 6) -> bytes:
    """Return a log: the hive's base block, shortened, then entries."""
    head = bytearray(512)
    head[:4] = b"regf"
    struct.pack_into("<I", head, 28, form)
    return bytes(head) + b"".join(entries)


def written(count: int = 3) -> tuple[bytes, list[bytes], bytes]:
    """Return a dirty hive, the entries that it lacks, and what it should be."""
    made = states(count)
    entries = [entry(FIRST + n, old, new) for n, (old, new) in enumerate(pairwise(made))]
    return numbered(made[0], FIRST + 1, FIRST), entries, made[-1]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", 0x30ED35C100CD3C7D),
        ("AF", 0x48E73FC77D75DDC1),
        ("E70F", 0xB5F6E1FC485DBFF8),
        ("37F495", 0xF0B07C789B8CF7E8),
        ("8642DC59", 0x7008F2E87E9CF556),
        ("153FB79826", 0xE6C08C6DA2AFA997),
        ("AB427EA8D10FC7", 0xE11847E4F0678C41),
    ],
)
def test_the_hash_is_marvin32(data: str, expected: int) -> None:
    """The values that its makers publish, with a seed of theirs."""
    assert marvin32(bytes.fromhex(data), 0x004FB61A001BDBCC) == expected


@pytest.mark.parametrize("split", [[3, 0], [1, 2], [0, 3]])
def test_unfinished_writes_are_made(split: Sequence[int]) -> None:
    """From one log or over both, in any order: the hive is as Windows would see it, and clean."""
    dirty, entries, expected = written()
    one, two = log(*entries[: split[0]]), log(*entries[split[0] :])
    for logs in ((one, two), (two, one)):
        done = replay(dirty, logs)
        assert done is not None
        assert done.count == 3
        assert done.hive[4096:] == expected[4096:]
        assert not is_dirty(done.hive[:512])
        assert struct.unpack_from("<II", done.hive, 4) == (FIRST + 3, FIRST + 3)


def test_what_is_older_than_the_hive_is_not_made_again() -> None:
    """A log still holds writes that the hive has; another one was left by an earlier round."""
    dirty, entries, expected = written()
    older = entry(
        FIRST - 1, states(0)[0], states(0)[0][:5000] + b"\xff" * 3192 + states(0)[0][8192:]
    )
    stale = entry(FIRST - 4, expected, dirty)
    done = replay(dirty, [log(older, *entries, stale)])
    assert done is not None
    assert (done.count, done.hive[4096:]) == (3, expected[4096:])


def test_a_gap_or_a_damaged_entry_ends_the_replay() -> None:
    """What comes before counts; when the first one is missing the hive is refused."""
    dirty, entries, _ = written()
    broken = bytearray(entries[1])
    broken[600] ^= 1
    done = replay(dirty, [log(entries[0], bytes(broken), entries[2])])
    assert done is not None
    assert done.count == 1
    assert replay(dirty, [log(*entries[1:])]) is None
    assert replay(dirty, [log(*entries, form=1)]) is None
    assert replay(dirty, [b"", b"regf"]) is None
    damaged = bytearray(dirty)
    damaged[44] ^= 1
    assert replay(bytes(damaged), [log(*entries)]) is None


def test_pages_that_lead_out_of_the_hive_are_refused() -> None:
    """Hashes are no secret: an entry may be forged, its offsets are checked all the same."""
    dirty, _, _ = written(1)
    for offset, size, count in ((0xFFFFF000, 4096, 1), (0, 1 << 31, 1), (0, 4096, 1 << 29)):
        body = struct.pack("<II", offset, size).ljust(4096 + 8, b"x").ljust(4608 - 40, b"\0")
        head = struct.pack("<4sIIIII", b"HvLE", 4608, 0, FIRST, len(dirty) - 4096, count)
        head += struct.pack("<Q", marvin32(body))
        forged = head + struct.pack("<Q", marvin32(head)) + body
        assert replay(dirty, [log(forged)]) is None


def old_log(hive: bytes, new: bytes, number: int = FIRST + 1) -> bytes:
    """Return a log of the form before Windows 8.1: one write, its pages marked in a bitmap."""
    head = bytearray(numbered(new, number, number)[:512])
    head[12:20] = hive[12:20]
    struct.pack_into("<I", head, 28, 1)
    struct.pack_into("<I", head, 508, checksum(bytes(head)))
    old = hive.ljust(len(new), b"\0")
    marks = bytearray((len(new) - 4096) // 4096)
    pages = []
    for page in range((len(new) - 4096) // 512):
        at = 4096 + page * 512
        if old[at : at + 512] != new[at : at + 512]:
            marks[page // 8] |= 1 << page % 8
            pages.append(new[at : at + 512])
    vector = b"DIRT" + bytes(marks)
    return bytes(head) + vector.ljust(-(-len(vector) // 512) * 512, b"\0") + b"".join(pages)


def test_a_write_of_windows_7_is_finished() -> None:
    """A log with marked pages brings the hive to what Windows would see; an independent reader too.

    The hive grows by a write, as it does when a service is installed.
    """
    made = states(120)
    assert len(made[-1]) > len(made[0])
    dirty, whole = numbered(made[0], FIRST + 1, FIRST), old_log(made[0], made[-1])
    for logs in ([whole, b""], [b"", whole], [log(form=6), whole]):
        done = replay(dirty, logs)
        assert done is not None
        assert (done.count, done.hive[4096:]) == (1, made[-1][4096:])
        assert not is_dirty(done.hive[:512])
        assert struct.unpack_from("<II", done.hive, 4) == (FIRST + 1, FIRST + 1)


def test_of_two_old_logs_the_later_one_counts() -> None:
    """The second log repeats what the first could not bring to its place, and adds to it."""
    made = states(2)
    dirty = numbered(made[0], FIRST + 2, FIRST)
    logs = [old_log(made[0], made[1]), old_log(made[0], made[2], FIRST + 2)]

    done = replay(dirty, logs)

    assert done is not None
    assert done.hive[4096:] == made[2][4096:]


def test_an_old_log_of_another_write_is_refused() -> None:
    """Another time, another form, unequal numbers, no mark, no page, a page that is no bin."""
    made = states(1)
    dirty, whole = numbered(made[0], FIRST + 1, FIRST), old_log(made[0], made[1])
    assert replay(dirty, [whole]) is not None
    for at, change in ((12, b"\x01"), (28, b"\x06"), (4, b"\x02"), (8, b"\x02"), (40, b"\x01")):
        raw = bytearray(whole)
        raw[at : at + 1] = change
        assert replay(dirty, [bytes(raw)]) is None, at  # the checksum is wrong
        struct.pack_into("<I", raw, 508, checksum(bytes(raw[:512])))
        assert replay(dirty, [bytes(raw)]) is None, at
    assert replay(dirty, [whole[:512] + b"DIRX" + whole[516:]]) is None
    assert replay(dirty, [whole[:516] + bytes(508)]) is None
    assert replay(dirty, [whole[:-1]]) is None
    marked = whole[:516] + b"\x01" + whole[517:1024] + b"no bin".ljust(512) + whole[1024:]
    assert replay(dirty, [marked]) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bits_never_raise(data: st.DataObject) -> None:
    """A damaged log gives fewer writes or none."""
    dirty, entries, _ = written(2)
    raw = bytearray(log(*entries))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[at] ^= data.draw(st.integers(1, 255))
    done = replay(dirty, [bytes(raw)])
    assert done is None or done.count in (1, 2)


OLD_STATES = states(1)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bits_of_an_old_log_give_a_whole_hive_or_none(data: st.DataObject) -> None:
    """Whatever its marks and lengths say, with a right checksum too: bins or a refusal."""
    raw = bytearray(old_log(*OLD_STATES))
    for at in data.draw(st.lists(st.integers(4, 600), min_size=1, max_size=4)):
        raw[at] ^= data.draw(st.integers(1, 255))
    struct.pack_into("<I", raw, 508, checksum(bytes(raw[:512])))
    done = replay(numbered(OLD_STATES[0], FIRST + 1, FIRST), [bytes(raw)])
    assert done is None or done.hive[4096:4100] == b"hbin"
    assert done is None or len(done.hive) == 4096 + struct.unpack_from("<I", raw, 40)[0]


def test_a_windows_that_was_running_is_converted(tmp_path: Path) -> None:
    """The plan sees what the logs hold; the hive is clean afterwards; a second plan is empty."""
    dirty, entries, _ = written(2)
    windows(tmp_path, dirty)
    (tmp_path / CONFIG / "SYSTEM.LOG1").write_bytes(log(entries[0]))
    (tmp_path / CONFIG / "SYSTEM.LOG2").write_bytes(log(entries[1]))
    made = planned(opened(tmp_path))
    opened(tmp_path).replay(made.edits)

    assert any("2 unfinished writes" in warning for warning in made.warnings)
    values = reglookup(tmp_path / CONFIG / "SYSTEM")
    assert values["/ControlSet001/Services/Written2/Start"] == "0x00000002"
    assert values["/ControlSet001/Services/storahci/Start"] == "0x00000000"
    assert planned(opened(tmp_path)).edits == ()
