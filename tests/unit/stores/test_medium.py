"""Files whose bulk goes past the page cache, and what happens where it cannot."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.stores.medium import Medium

MIB = 1 << 20


def paged(data: bytes) -> memoryview:
    """Return the bytes at the start of a page, as direct I/O asks for."""
    view = memoryview(mmap.mmap(-1, len(data)))
    view[:] = data
    return view


def is_cached(path: Path, offset: int) -> bool:
    """Tell whether the page at an offset is in the page cache; looking brings nothing there."""
    told = ctypes.create_string_buffer(1)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
        byte = ctypes.c_char.from_buffer(view, offset)
        place = ctypes.c_void_p(ctypes.addressof(byte))
        del byte
        assert ctypes.CDLL(None).mincore(place, ctypes.c_size_t(4096), told) == 0
    return bool(told.raw[0] & 1)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return an empty file of 8 MiB."""
    path = tmp_path / "disk.raw"
    path.touch()
    os.truncate(path, 8 * MIB)
    return path


@pytest.fixture
def memory() -> Iterator[Path]:
    """Yield an empty file of 8 MiB in memory, where older kernels know no direct I/O."""
    path = Path(f"/dev/shm/bootpoint-medium-{os.getpid()}")
    path.touch()
    os.truncate(path, 8 * MIB)
    yield path
    path.unlink()


def test_much_is_written_past_the_cache_and_little_through_it(disk: Path) -> None:
    """A large aligned write leaves no page behind; a small one, soon read again, does."""
    with closing(Medium(disk, writable=True)) as medium:
        medium.write(paged(b"L" * MIB), 0)
        medium.write(paged(b"S" * 65_536), 4 * MIB)
        assert not is_cached(disk, 0)
        assert is_cached(disk, 4 * MIB)
        os.fsync(medium.fd)
        medium.evict()
        assert not is_cached(disk, 4 * MIB)
        back = paged(bytes(MIB))
        medium.read(back, 4 * MIB - 65_536)
        assert back[: 2 * 65_536] == bytes(65_536) + b"S" * 65_536
        assert not is_cached(disk, 4 * MIB), "it was not read from the medium"
    assert disk.read_bytes()[:MIB] == b"L" * MIB


@pytest.mark.parametrize("place", ["disk", "memory"])
@pytest.mark.parametrize(("shift", "offset"), [(0, 0), (1, 0), (0, 4097), (513, 100)])
def test_what_the_medium_cannot_take_directly_goes_through_the_cache(
    place: str, shift: int, offset: int, request: pytest.FixtureRequest
) -> None:
    """Odd places, odd buffers and file systems without direct I/O lose nothing."""
    path: Path = request.getfixturevalue(place)
    data = os.urandom(MIB)
    with closing(Medium(path, writable=True)) as medium:
        medium.write(paged(bytes(shift) + data)[shift:], offset)
        os.fsync(medium.fd)
        medium.evict()
        back = paged(bytes(shift + MIB))[shift:]
        medium.read(back, offset)
        assert back == data
    assert path.read_bytes()[offset : offset + MIB] == data


def test_what_lies_past_the_end_reads_as_zeros(disk: Path) -> None:
    """A read may go beyond a file whose end is no whole page."""
    os.truncate(disk, 5000)
    with closing(Medium(disk, writable=True)) as medium:
        medium.write(paged(b"x" * 904), 4096)
        os.fsync(medium.fd)
        medium.evict()
        back = paged(b"?" * 16_384)
        medium.read(back, 0)
    assert back == bytes(4096) + b"x" * 904 + bytes(16_384 - 5000)


def test_both_ways_at_once_lose_nothing(disk: Path) -> None:
    """Small and large writes beside each other, reads and flushes in between: all is there."""
    part, large = MIB // 16, MIB // 2
    want = b"".join(bytes([n % 250 + 1]) * part for n in range(128))
    with closing(Medium(disk, writable=True)) as medium:

        def write_small() -> None:
            for at in range(0, len(want), MIB):
                for inside in range(at, at + large, part):
                    medium.write(paged(want[inside : inside + part]), inside)
                    medium.read(paged(bytes(MIB)), at)

        def write_large() -> None:
            for at in range(large, len(want), MIB):
                medium.write(paged(want[at : at + large]), at)
                os.fsync(medium.fd)

        threads = [threading.Thread(target=one) for one in (write_small, write_large)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.fsync(medium.fd)
        medium.evict()
        back = paged(bytes(len(want)))
        medium.read(back, 0)
    assert back == want
    assert disk.read_bytes() == want
