"""Facts about the bytes of a `.bpi` file."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.images.bpi import BpiFormat, layout
from engine.images.bpi.index import IndexBuilder, columns_of
from engine.images.bpi.layout import Entry, FileKind
from engine.images.bpi.opening import open_file
from engine.model.errors import FormatError, ImageCorrupt
from tests.formats.bpifiles import GRAIN, check_whole, header, memory_file, uuid, write_file

MIB = 1 << 20


@given(length=st.integers(1, 3 << 20))
@settings(max_examples=60, deadline=None)
def test_a_frame_of_zeros_decodes_to_zeros(length: int) -> None:
    """The decoder of zstd turns the computed frame into exactly that many zeros."""
    frame = layout.zero_frame(length)
    assert len(frame) == layout.zero_stored(length)
    assert zstandard.get_frame_parameters(frame).content_size == length
    assert zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False) == bytes(length)


def test_the_longest_frame_of_zeros_is_decoded_by_zstd() -> None:
    """1 GiB of zeros is 32 KiB stored, and the zstd tool agrees."""
    frame = layout.zero_frame(1 << 30)
    told = subprocess.run(
        "zstd -dcq | cmp -n 1073741824 - /dev/zero && echo same",
        input=frame, capture_output=True, check=True, shell=True,
    )  # fmt: skip
    assert told.stdout == b"same\n"
    assert len(frame) == 32778


def test_every_field_stands_where_the_format_says(tmp_path: Path) -> None:
    """Offsets are compared with FORMATS.md 2.3 and 2.6 by hand-written numbers."""
    path = tmp_path / "x.bpi"
    head = header(
        GRAIN + 1, sequence=7, number=3, consistency=2, change_source=1, logical_sector=4096,
        physical_sector=8192, kind=FileKind.INCREMENT, parent=uuid(9), parent_root=b"p" * 32,
    )  # fmt: skip
    root = write_file(path, head, [(0, b"d" * GRAIN), (GRAIN, 1)])
    data = path.read_bytes()
    assert struct.unpack_from("<II8sHHII4B", data) == (
        0x184D2A50, 4088, b"BPI-HEAD", 1, 0, 0, 0, 2, 2, 1, 0,
    )  # fmt: skip
    ids = [data[at : at + 16] for at in (32, 48, 64, 80, 128, 144)]
    assert ids == [uuid(n).bytes for n in (1, 2, 3, 9, 4, 5)]
    assert data[96:128] == b"p" * 32
    assert struct.unpack_from("<IHBBqQIIIIIII", data, 160) == (
        7, 3, 2, 1, head.taken_ns, GRAIN + 1, 4096, 8192, 65536, 1 << 20, 1 << 30, 0,
        len(head.hints),
    )  # fmt: skip
    assert data[1280 : 1280 + len(head.hints)] == head.hints
    assert struct.unpack_from("<IIQIB3xI", data, 4096)[:5] == (0x184D2A51, 28, 0, GRAIN, 1)
    foot = data[-4096:]
    assert struct.unpack_from("<II8s", foot) == (0x184D2A53, 4088, b"BPI-FOOT")
    assert struct.unpack_from("<QQQQQ", foot, 32) == (len(data), 1, 1, GRAIN, 1)
    assert struct.unpack_from("<IBB", foot, 88) == (1, 2, 1)
    assert foot[96:128] == root
    assert foot[128:160] == data[4064:4096]
    assert (foot[16:32], foot[176:192], foot[224:240], foot[240:256]) == (
        uuid(1).bytes, uuid(3).bytes, uuid(2).bytes, uuid(5).bytes,
    )  # fmt: skip
    pos, length = struct.unpack_from("<QQ", foot, 256)
    assert (pos + length, length) == (len(data) - 4096, 40 + 2 * 45)
    assert struct.unpack_from("<II8sHHIQQ", data, pos) == (
        0x184D2A52, length - 8, b"BPI-SEGM", 1, 0, 2, 0, 0,
    )  # fmt: skip
    assert foot[-8:] == b"BPI-END\n"


def test_sha256_files_are_read_too(tmp_path: Path) -> None:
    """A writer without BLAKE3 uses SHA-256; its frames are checked, its pieces carry no digest."""
    path = tmp_path / "x.bpi"
    write_file(path, header(GRAIN, hash_alg=layout.SHA256), [(0, os.urandom(GRAIN))])
    with path.open("rb") as file:
        check_whole(file.fileno())
        reader = BpiFormat().open_disk(file.fileno(), path.name)
        assert [piece.digest for piece in reader.pieces()] == [None]
        reader.close()


def test_replaced_points_are_told_oldest_first(tmp_path: Path) -> None:
    """A consolidated file names what was folded into it, its own point last."""
    path = tmp_path / "x.bpi"
    folded = [(uuid(7), b"a" * 32), (uuid(3), b"b" * 32)]
    head = header(GRAIN, kind=FileKind.CONSOLIDATED, parent=uuid(6), parent_root=b"p" * 32)
    write_file(path, head, [(0, GRAIN)], folded)
    with path.open("rb") as file:
        assert open_file(file.fileno(), path.name).replaces == tuple(folded)
        part = BpiFormat().describe(file.fileno(), path.name)
    assert part.replaces == (str(uuid(7)), str(uuid(3)))
    assert part.replaced_roots == ("61" * 32, "62" * 32)


def test_a_consolidated_file_must_end_its_list_with_itself(tmp_path: Path) -> None:
    """A list of folded points that does not end with the file's own point is refused."""
    head = header(GRAIN, kind=FileKind.CONSOLIDATED, parent=uuid(6), parent_root=b"p" * 32)
    for number, folded in enumerate([[], [(uuid(3), b"b" * 32), (uuid(7), b"a" * 32)]]):
        path = tmp_path / f"{number}.bpi"
        write_file(path, head, [(0, GRAIN)], folded)
        with path.open("rb") as file, pytest.raises(FormatError, match="replaced"):
            BpiFormat().describe(file.fileno(), path.name)


def test_a_full_segment_leaves_the_builder_at_once() -> None:
    """A million entries are one segment; the next begins a new one."""
    builder = IndexBuilder()
    entry = Entry(0, GRAIN, 4132, 100, layout.DATA, b"h" * 16)
    whole = [s for _ in range(layout.ENTRIES) if (s := builder.add(entry)) is not None]
    assert len(whole) == 1
    assert len(columns_of(whole[0])) == layout.ENTRIES
    assert columns_of(whole[0]).entry(layout.ENTRIES - 1) == entry
    assert builder.rest() is None
    builder.add(entry)
    rest = builder.rest()
    assert rest is not None
    assert layout.unpack_segment_head(rest)[4:7] == (1, 1, layout.ENTRIES)


def test_a_file_with_several_index_segments_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More frames than one segment holds: every frame is found, in memory of two segments."""
    for module in ("layout", "index", "segments"):
        monkeypatch.setattr(f"engine.images.bpi.{module}.ENTRIES", 4)
    path = tmp_path / "x.bpi"
    blocks = [os.urandom(GRAIN) for _ in range(11)]
    write_file(path, header(11 * GRAIN), [(n * GRAIN, b) for n, b in enumerate(blocks)])
    out = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
    assert out == b"".join(blocks)
    with path.open("rb") as file:
        check_whole(file.fileno())
        reader = BpiFormat().open_disk(file.fileno(), path.name)
        assert len(reader.opened.footer.spans) == 3
        into = bytearray(GRAIN)
        for piece in reversed(list(reader.pieces())):
            reader.read([piece], memoryview(into))
            assert into == blocks[piece.start // GRAIN]
        reader.close()


def test_clones_read_on_after_the_first_reader_is_closed(tmp_path: Path) -> None:
    """Each reader owns its descriptor; closing twice does no harm."""
    path = tmp_path / "x.bpi"
    write_file(path, header(GRAIN), [(0, b"x" * GRAIN)])
    with path.open("rb") as file:
        first = BpiFormat().open_disk(file.fileno(), path.name)
    other = first.clone()
    first.close()
    first.close()
    into = bytearray(GRAIN)
    other.read([next(other.pieces())], memoryview(into))
    assert into == b"x" * GRAIN
    other.close()


def test_the_checksum_of_zstd_is_left_to_who_compares_the_hash_later(tmp_path: Path) -> None:
    """Without a hash the right bytes come even where only that checksum is wrong."""
    path, into = tmp_path / "x.bpi", bytearray(GRAIN)
    write_file(path, header(GRAIN), [(0, b"x" * GRAIN)])
    with path.open("r+b") as file:
        reader = BpiFormat().open_disk(file.fileno(), path.name)
        entry = next(reader.opened.index.entries(file.fileno()))
        last = entry[2] + entry[3] - 1
        os.pwrite(file.fileno(), bytes([os.pread(file.fileno(), 1, last)[0] ^ 1]), last)
        pieces = list(reader.pieces())
        reader.read(pieces, memoryview(into), hashed=False)
        assert into == b"x" * GRAIN
        with pytest.raises(ImageCorrupt):
            reader.read(pieces, memoryview(into))
        reader.close()


def test_what_is_in_memory_is_read_without_waiting(tmp_path: Path) -> None:
    """Bytes that the system has are given; for others, or for the index, it is told to wait."""
    path, blocks = tmp_path / "x.bpi", [os.urandom(MIB) for _ in range(3)]
    write_file(path, header(3 * MIB), [(at * MIB, block) for at, block in enumerate(blocks)])
    with path.open("rb") as file:
        reader = BpiFormat().open_disk(file.fileno(), path.name)
        pieces, into = list(reader.pieces()), bytearray(3 * MIB)
        reader.read(pieces, memoryview(into), wait=False)
        assert into == b"".join(blocks)

        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with pytest.raises(BlockingIOError):
            reader.read(pieces, memoryview(into), wait=False)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), 64, MIB // 2)
        with pytest.raises(BlockingIOError):
            reader.read(pieces, memoryview(into), wait=False)

        into[:] = bytes(len(into))
        reader.read(pieces, memoryview(into))
        assert into == b"".join(blocks)

        reader.opened.index.release()
        with pytest.raises(BlockingIOError):
            reader.read(pieces, memoryview(into), wait=False)
        reader.close()


def test_who_reads_the_index_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may hang in it."""
    path, begun, goes = tmp_path / "x.bpi", threading.Event(), threading.Event()
    write_file(path, header(GRAIN), [(0, b"x" * GRAIN)])
    with path.open("rb") as file:
        reader = BpiFormat().open_disk(file.fileno(), path.name)
    piece, index, real = next(reader.pieces()), reader.opened.index, os.pread
    index.release()

    def hang(fd: int, length: int, pos: int) -> bytes:
        begun.set()
        assert goes.wait(20), "somebody waits for who hangs"
        return real(fd, length, pos)

    monkeypatch.setattr(os, "pread", hang)
    other = threading.Thread(target=lambda: list(reader.clone().pieces()))
    other.start()
    assert begun.wait(20)
    with pytest.raises(BlockingIOError):
        reader.read([piece], memoryview(bytearray(GRAIN)), wait=False)
    goes.set()
    other.join()


def test_a_file_system_that_only_knows_waiting_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share does not tell what it has in memory; other errors stay what they are."""
    path = tmp_path / "x.bpi"
    write_file(path, header(GRAIN), [(0, b"x" * GRAIN)])
    with path.open("rb") as file:
        reader = BpiFormat().open_disk(file.fileno(), path.name)
    pieces, into = list(reader.pieces()), memoryview(bytearray(GRAIN))
    errors = [errno.EOPNOTSUPP, errno.EIO]

    def refuse(*_asked: object) -> int:
        number = errors.pop(0)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "preadv", refuse)
    with pytest.raises(BlockingIOError):
        reader.read(pieces, into, wait=False)
    with pytest.raises(OSError, match="Input/output error"):
        reader.read(pieces, into, wait=False)
    reader.close()


def test_image_files_are_recognised_by_what_they_are() -> None:
    """A header is enough under any name, a name is enough under any damage."""
    known = BpiFormat().recognises
    assert known("anything.bin", layout.HEADER_START + bytes(4080))
    assert known("p000001-20260101T030000Z-d00.bpi", bytes(4096))
    assert known("p000001-20260101T030000Z.json", b"")
    assert known("x.json", b'{"format": "bootpoint-point"}')
    assert not known("package.json", b'{"name": "x"}')
    assert not known("disk.qcow2", b"QFI\xfb")


def test_an_index_that_changes_while_in_use_is_noticed(tmp_path: Path) -> None:
    """Each time a part of the index is read again its checksum is compared."""
    path = tmp_path / "x.bpi"
    write_file(path, header(GRAIN), [(0, b"x" * GRAIN)])
    data = path.read_bytes()
    with memory_file(data) as fd:
        reader = BpiFormat().open_disk(fd, "x.bpi")
        span = reader.opened.footer.spans[0]
        os.pwrite(fd, b"\xff", span.pos + 50)
        with pytest.raises(Exception, match="changed while in use"):
            list(reader.pieces())
        reader.close()
