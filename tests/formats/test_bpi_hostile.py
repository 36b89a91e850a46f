"""Damaged and hostile `.bpi` files: found, told, never a crash."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.images.bpi import BpiFormat, layout
from engine.images.bpi.layout import FileKind
from engine.model.errors import FormatError, ImageCorrupt
from engine.model.extents import Kind
from engine.ports import DiskReader
from tests.formats.bpifiles import (
    GRAIN,
    check_whole,
    entries_of,
    header,
    memory_file,
    uuid,
    with_right_checksums,
    write_file,
)

SPOILED = (FormatError, ImageCorrupt)
KEYS = {"image.truncated", "image.damaged", "image.unsupported", "image.corrupt"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a small full with DATA, ZERO and a short last granule."""
    path = tmp_path_factory.mktemp("small") / "small.bpi"
    write_file(
        path,
        header(3 * GRAIN + 100),
        [
            (0, b"boot sector " * 1000 + bytes(GRAIN - 12000)),
            (GRAIN, 2 * GRAIN),
            (3 * GRAIN, b"end." * 25),
        ],
    )
    return path.read_bytes()


def test_the_small_file_is_sound(small: bytes) -> None:
    """What is spoiled below passes every check before."""
    with memory_file(small) as fd:
        check_whole(fd)


def test_a_file_cut_anywhere_is_found_at_once(small: bytes) -> None:
    """Cut after any number of bytes, a file is refused by its structure alone, as incomplete."""
    with memory_file(small) as fd:
        for length in range(len(small) - 1, -1, -1):
            os.ftruncate(fd, length)
            with pytest.raises(FormatError) as told:
                BpiFormat().describe(fd, "image.bpi")
            assert told.value.problem.key == "image.truncated"


def test_a_file_whose_end_is_zeros_is_incomplete(small: bytes) -> None:
    """A copier that sets the length first leaves zeros where bytes are still to come."""
    for kept in range(0, len(small), 97):
        with memory_file(small[:kept] + bytes(len(small) - kept)) as fd:
            with pytest.raises(FormatError) as told:
                BpiFormat().describe(fd, "image.bpi")
            assert told.value.problem.key in {"image.truncated", "image.damaged"}
            if kept >= 4096:
                assert told.value.problem.key == "image.truncated"


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_is_found(small: bytes, bit: int) -> None:
    """No single bit of a file can change without a check noticing."""
    with memory_file(small) as fd:
        for at, byte in enumerate(small):
            os.pwrite(fd, bytes([byte ^ 1 << bit]), at)
            with pytest.raises(SPOILED):
                check_whole(fd)
            os.pwrite(fd, bytes([byte]), at)
        check_whole(fd)


def test_a_hole_under_a_valid_end_is_found_by_its_frame(tmp_path: Path) -> None:
    """A copier that writes out of order leaves a hole that only the frames' checksums show."""
    path = tmp_path / "image.bpi"
    blocks = [(at * GRAIN, os.urandom(GRAIN)) for at in range(40)]
    write_file(path, header(40 * GRAIN), blocks)
    data = bytearray(path.read_bytes())
    data[1 << 20 : 2 << 20] = bytes(1 << 20)
    with memory_file(bytes(data)) as fd:
        BpiFormat().describe(fd, "image.bpi")
        reader = BpiFormat().open_disk(fd, "image.bpi")
        with pytest.raises(ImageCorrupt) as told:
            _read_all(reader)
        reader.close()
    assert told.value.problem.key == "image.corrupt"


def _read_all(reader: DiskReader) -> None:
    """Read every piece; pieces must be in order, inside the disk, and never huge."""
    at = 0
    for piece in reader.pieces():
        assert at <= piece.start
        at = piece.start + piece.length
        if piece.kind is Kind.DATA:
            assert piece.length <= 4 << 20
            reader.read([piece], memoryview(bytearray(piece.length)))
    assert at <= reader.size


def _judge(data: bytes) -> None:
    """Read everything; only the two announced errors may come, each with a way out."""
    told: FormatError | ImageCorrupt | None = None
    with memory_file(data) as fd, contextlib.ExitStack() as stack:
        try:
            part = BpiFormat().describe(fd, "image.bpi")
            if not part.locked:
                reader = BpiFormat().open_disk(fd, "image.bpi")
                stack.callback(reader.close)
                _read_all(reader)
        except SPOILED as error:
            told = error
    assert told is None or (told.problem.key in KEYS and told.problem.remedy)


@settings(
    max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_lies_with_right_checksums_are_no_crash(small: bytes, data: st.DataObject) -> None:
    """Any structure may lie with its checksums in order: it is refused or harmless."""
    told = bytearray(small)
    tail = entries_of(small)[-1]
    index = tail.pos + tail.stored
    places = st.one_of(
        st.integers(8, 260),
        st.integers(1280, 1360),
        st.integers(index, len(small) - 4096),
        st.integers(len(small) - 4096 + 16, len(small) - 4096 + 320),
    )
    numbers = st.sampled_from([0, 1, 2, 3, 255, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 64) - 1])
    for _ in range(data.draw(st.integers(1, 3))):
        place, width = data.draw(places), data.draw(st.sampled_from(["<B", "<H", "<I", "<Q"]))
        number = data.draw(numbers) & ((1 << 8 * struct.calcsize(width)) - 1)
        struct.pack_into(width, told, place, number)
    _judge(with_right_checksums(bytes(told)))


@settings(max_examples=300, deadline=None)
@given(junk=st.binary(max_size=12000), start=st.booleans())
def test_junk_is_no_crash(junk: bytes, start: bool) -> None:
    """Random bytes, even behind a right beginning, are refused with a reason."""
    data = (layout.HEADER_START if start else b"") + junk
    with memory_file(data) as fd, pytest.raises(FormatError):
        BpiFormat().describe(fd, "image.bpi")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    """A frame that declares another length than the index is refused before it is decoded."""
    path = tmp_path / "image.bpi"
    write_file(path, header(GRAIN), [(0, bytes(GRAIN - 1) + b"x")])
    data = bytearray(path.read_bytes())
    entry = entries_of(bytes(data))[0]
    bomb = layout.zero_frame(1 << 30)[: entry.stored]
    data[entry.pos : entry.pos + len(bomb)] = bomb
    with memory_file(bytes(data)) as fd:
        reader = BpiFormat().open_disk(fd, "image.bpi")
        with pytest.raises(ImageCorrupt, match="disagrees"):
            reader.read([next(reader.pieces())], memoryview(bytearray(GRAIN)))
        reader.close()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (16, 2, "version 2"),
        (20, 2, "later"),
        (29, 7, "hash"),
        (30, 9, "compression"),
        (31, 1, "cipher"),
    ],
)
def test_later_versions_are_told_apart_from_damage(
    small: bytes, place: int, value: int, words: str
) -> None:
    """A file of a later version is not called damaged; the sentence says what is new in it."""
    told = bytearray(small)
    told[place] = value
    with memory_file(bytes(told)) as fd, pytest.raises(FormatError, match=words) as raised:
        BpiFormat().describe(fd, "image.bpi")
    assert raised.value.problem.key == "image.unsupported"


def test_an_encrypted_file_is_described_and_locked(tmp_path: Path) -> None:
    """Without the key an encrypted file is recognised, checked, and never read."""
    path = tmp_path / "image.bpi"
    write_file(path, header(GRAIN, incompatible=1, cipher=1), [(0, b"x" * GRAIN)])
    with path.open("rb") as file:
        assert BpiFormat().describe(file.fileno(), path.name).locked
        with pytest.raises(FormatError, match="encrypted") as told:
            BpiFormat().open_disk(file.fileno(), path.name)
    assert told.value.problem.key == "image.unsupported"


def test_a_full_with_a_gap_is_refused(tmp_path: Path) -> None:
    """A full that leaves out a part of its disk would let an older one show through."""
    path = tmp_path / "image.bpi"
    head = header(2 * GRAIN, kind=FileKind.INCREMENT, parent=uuid(9), parent_root=b"r" * 32)
    write_file(path, head, [(GRAIN, GRAIN)])
    told = bytearray(path.read_bytes())
    told[28] = FileKind.FULL
    told[80:128] = bytes(48)
    with memory_file(with_right_checksums(bytes(told))) as fd, pytest.raises(FormatError):
        BpiFormat().describe(fd, "image.bpi")


def _full(path: Path, granules: int = 2) -> bytes:
    """Return a full of noise: all its frames have the same stored length."""
    blocks = [(at * GRAIN, os.urandom(GRAIN)) for at in range(granules)]
    write_file(path, header(granules * GRAIN), blocks)
    return path.read_bytes()


def test_sound_frames_in_each_others_place_are_found(tmp_path: Path) -> None:
    """A frame that decodes well but is another one's does not pass its hash."""
    data = bytearray(_full(tmp_path / "image.bpi"))
    one, other = (slice(e.pos, e.pos + e.stored) for e in entries_of(bytes(data)))
    assert one.stop - one.start == other.stop - other.start
    data[one], data[other] = data[other], data[one]
    with memory_file(bytes(data)) as fd:
        reader = BpiFormat().open_disk(fd, "image.bpi")
        with pytest.raises(ImageCorrupt, match="checksum"):
            _read_all(reader)
        reader.close()


@pytest.mark.parametrize(
    "stored",
    [
        lambda frame: frame + b"\0",
        lambda frame: frame + layout.zero_frame(GRAIN),
        lambda frame: frame + b"\x50\x2a\x4d\x18\0\0\0\0",
        lambda frame: frame[:-1],
        lambda frame: frame[:-4],
        lambda frame: frame[:-5],
        lambda frame: frame[: len(frame) // 2],
    ],
    ids=["byte more", "frame more", "skippable more", "byte less", "no checksum", "cut", "half"],
)
def test_a_frame_that_is_not_all_of_what_is_stored_is_found(
    tmp_path: Path, stored: Callable[[bytes], bytes]
) -> None:
    """Too much or too little of a frame is damage, even where the bytes it decodes to are right."""
    data = b"text " * 10_000 + os.urandom(GRAIN)
    write_file(tmp_path / "image.bpi", header(len(data)), [(0, data)], stored=stored)
    with (tmp_path / "image.bpi").open("rb") as file:
        reader = BpiFormat().open_disk(file.fileno(), "image.bpi")
        with pytest.raises(ImageCorrupt, match="does not end"):
            _read_all(reader)
        reader.close()
        with pytest.raises(ImageCorrupt, match="does not end"):
            check_whole(file.fileno())


def test_blocks_of_every_kind_are_read(tmp_path: Path) -> None:
    """Noise is stored as it is, one byte's run as one byte, text packed: all in one frame."""
    data = os.urandom(300_000) + bytes(300_000) + b"text " * 50_000 + b"x" * 198_576
    write_file(tmp_path / "image.bpi", header(len(data)), [(0, data)])
    with (tmp_path / "image.bpi").open("rb") as file:
        reader = BpiFormat().open_disk(file.fileno(), "image.bpi")
        into = bytearray(len(data))
        reader.read([next(reader.pieces())], memoryview(into))
        reader.close()
        check_whole(file.fileno())
    assert into == data


def test_a_content_hash_that_is_not_the_contents_is_refused(tmp_path: Path) -> None:
    """The root in the end mark is computed again, however right the end mark's checksum is."""
    data = _full(tmp_path / "image.bpi")
    footer = replace(layout.unpack_footer(data[-4096:]).footer, root=b"x" * 32)
    whole = data[:-4096] + layout.pack_footer(footer)
    with memory_file(whole) as fd, pytest.raises(FormatError, match="content hash"):
        BpiFormat().describe(fd, "image.bpi")


@pytest.mark.parametrize("place", ["before the index", "behind the index"])
def test_bytes_that_nothing_accounts_for_are_refused(tmp_path: Path, place: str) -> None:
    """No byte can hide between the structures of a file."""
    data = _full(tmp_path / "image.bpi")
    footer = layout.unpack_footer(data[-4096:]).footer
    (span,) = footer.spans
    at = span.pos if place == "before the index" else span.pos + span.length
    moved = span._replace(pos=span.pos + 100 * (place == "before the index"))
    changed = replace(footer, spans=[moved], file_size=footer.file_size + 100)
    whole = data[:at] + b"h" * 100 + data[at:-4096] + layout.pack_footer(changed)
    with memory_file(whole) as fd, pytest.raises(FormatError, match="accounts for"):
        BpiFormat().describe(fd, "image.bpi")


def test_a_full_of_a_part_of_its_disk_is_refused(tmp_path: Path) -> None:
    """A full that ends before its disk does would let an older end show through."""
    data = bytearray(_full(tmp_path / "image.bpi"))
    struct.pack_into("<Q", data, 176, 3 * GRAIN)
    whole = with_right_checksums(bytes(data))
    with memory_file(whole) as fd, pytest.raises(FormatError, match="whole disk"):
        BpiFormat().describe(fd, "image.bpi")


def test_hostile_names_do_not_reach_a_terminal(tmp_path: Path) -> None:
    """Escape sequences in a machine's name or a file's name are shown, not obeyed."""
    path = tmp_path / "image.bpi"
    write_file(path, header(GRAIN, hints=b'{"machine":{"name":"\\u001b[2Jerp"}}'), [(0, GRAIN)])
    with path.open("rb") as file:
        part = BpiFormat().describe(file.fileno(), path.name)
    assert part.machine_name == "\\u{1b}[2Jerp"
    with memory_file(b"") as fd, pytest.raises(FormatError) as told:
        BpiFormat().describe(fd, "\x1b[2J.bpi")
    assert "\x1b" not in str(told.value)
