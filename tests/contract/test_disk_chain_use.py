"""What every store promises while several use it, and where its room ends."""

from __future__ import annotations

import mmap
import subprocess
import threading
from pathlib import Path

import pytest

from engine.model.errors import LayerError, NoSpace
from engine.model.layers import LayerKind
from tests.contract.disk_chains import MIB, Lab, grow, manifest, picture, put, seen
from tests.contract.disk_layers import (
    BASE,
    DAY1,
    DAY2,
    A,
    B,
    C,
    picture_over,
    trunk,
)


def test_an_open_layer_is_neither_dropped_nor_sealed_nor_opened_twice(lab: Lab) -> None:
    """While one writes a disk, nobody takes the layer away or writes beside it."""
    grow(lab.chain, "base", seal=False)
    with lab.chain.open(BASE, 0) as device:
        with pytest.raises(LayerError), lab.chain.open(BASE, 0):
            pass
        with pytest.raises(LayerError):
            lab.chain.drop(BASE)
        with pytest.raises(LayerError):
            lab.chain.seal(BASE, manifest(lab.chain, "base"))
        device.write(0, memoryview(A))
    assert seen(lab.chain, "base") == picture(MIB, (0, A))


def test_several_threads_write_one_disk(lab: Lab) -> None:
    """Four threads that share no byte, but share pages and clusters, lose nothing."""
    grow(lab.chain, "base", None, {0: [(0, b"p" * 2 * MIB)]}, sizes=(2 * MIB,))
    grow(lab.chain, "day1", "base", sizes=(2 * MIB,), seal=False)
    step, marks = 3001, (b"1", b"2", b"3", b"4")
    with lab.chain.open(DAY1, 0) as device:

        def work(number: int) -> None:
            for at in range(number * step, MIB, 4 * step):
                device.write(at, memoryview(marks[number] * min(step, MIB - at)))
            device.zero(MIB + number * 100_000, 100_000)
            device.read(MIB + number * 100_000, memoryview(bytearray(100_000)))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        device.flush()
    want = b"".join(marks[n % 4] * step for n in range(MIB // step + 1))[:MIB]
    assert seen(lab.chain, "day1") == want + bytes(400_000) + b"p" * (MIB - 400_000)


def test_threads_that_meet_in_one_fresh_block_lose_nothing(lab: Lab) -> None:
    """Four threads write a quarter each of the same untouched 64 KiB at the same moment."""
    quarter, blocks, meet = 16_384, 48, threading.Barrier(4)
    size = 4 * quarter * blocks
    grow(lab.chain, "base", None, {0: [(0, b"p" * size)]}, sizes=(size,))
    grow(lab.chain, "day1", "base", sizes=(size,), seal=False)
    with lab.chain.open(DAY1, 0) as device:

        def work(number: int) -> None:
            for block in range(blocks):
                meet.wait()
                at = (block * 4 + number) * quarter
                device.write(at + 1, memoryview(b"1234"[number : number + 1] * (quarter - 1)))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    parts = [b"p" + mark * (quarter - 1) for mark in (b"1", b"2", b"3", b"4")]
    assert seen(lab.chain, "day1") == b"".join(parts) * blocks


def test_what_was_flushed_comes_from_the_medium(lab: Lab) -> None:
    """After flush and evict the same bytes are read again."""
    grow(lab.chain, "base", seal=False)
    with lab.chain.open(BASE, 0) as device:
        device.write(1000, memoryview(B))
        device.flush()
        device.evict()
        back = bytearray(len(B))
        device.read(1000, memoryview(back))
        assert bytes(back) == B
        device.write(300_000, memoryview(A))
    assert seen(lab.chain, "base") == picture(MIB, (1000, B), (300_000, A))


def test_flushing_while_others_write_loses_nothing(lab: Lab) -> None:
    """Flush, evict and whole-page reads in between: every write is there in the end."""
    grow(lab.chain, "base", sizes=(8 * MIB,), seal=False)
    done = threading.Event()
    with lab.chain.open(BASE, 0) as device:

        def write(number: int) -> None:
            for at in range(number * 65_536, 8 * MIB, 131_072):
                device.write(at, memoryview(bytes([at >> 16]) * 65_536))

        def flush() -> None:
            while not done.is_set():
                device.flush()
                device.evict()

        writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
        flusher = threading.Thread(target=flush)
        for thread in (*writers, flusher):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        flusher.join()
        device.flush()
        device.evict()
        page = memoryview(mmap.mmap(-1, 65_536))
        for at in range(0, 8 * MIB, 65_536):
            device.read(at, page)
            assert page == bytes([at >> 16]) * 65_536
            device.read(at + 1, page[:100])
            assert page[:100] == bytes([at >> 16]) * 100
    assert seen(lab.chain, "base") == b"".join(bytes([n]) * 65_536 for n in range(128))


def test_a_sparse_disk_of_4_tib_costs_nothing(lab: Lab) -> None:
    """Size is no cost: adding, zeroing, reading at the end and dropping are quick and small."""
    grow(lab.chain, "base", sizes=(4 << 40,), seal=False)
    with lab.chain.open(BASE, 0) as device:
        device.zero(0, 4 << 40)
        device.write((4 << 40) - 4096, memoryview(C))
        device.flush()
    lab.chain.seal(BASE, manifest(lab.chain, "base"))
    grow(lab.chain, "day1", "base", sizes=(4 << 40,), seal=False)
    with lab.chain.open(DAY1, 0) as device:
        device.zero(0, 3 << 40)
        back = bytearray(8192)
        device.read((4 << 40) - 8192, memoryview(back))
    assert bytes(back) == bytes(4096) + C
    assert sum(layer.used for layer in lab.chain.layers().values()) < 2 * MIB
    assert sum(extent.length for extent in lab.chain.changed(BASE, 0)) <= 65_536


def test_a_full_store_fails_cleanly(lab: Lab) -> None:
    """No room: NoSpace, what was sealed stays, the leftover is dropped, and work goes on."""
    with lab.full() as chain:
        grow(chain, "base", None, {0: [(0, A)]}, sizes=(64 * MIB,))
        before = seen(chain, "base")
        chain.add(DAY1, BASE, LayerKind.REPLICA, [64 * MIB])
        with pytest.raises(NoSpace):
            put(chain, "day1", 0, *((at * MIB, b"x" * MIB) for at in range(64)))
        with pytest.raises(LayerError):
            chain.seal(DAY1, manifest(chain, "day1"))
        chain.drop(DAY1)
        assert seen(chain, "base") == before
        assert set(chain.layers()) == {"base"}
        grow(chain, "day1", "base", {0: [(0, C)]}, sizes=(64 * MIB,))
        assert seen(chain, "day1") == picture_over(before, (0, C))


def test_machines_do_not_meet(lab: Lab) -> None:
    """Layers of the same name of two machines are two layers."""
    grow(lab.store.chain("web01"), "base", None, {0: [(0, A)]})
    grow(lab.store.chain("db01"), "base", None, {0: [(0, C)]})
    assert lab.store.standbys() == ["db01", "web01"]
    assert seen(lab.store.chain("web01"), "base") == picture(MIB, (0, A))
    lab.store.chain("db01").drop(BASE)
    assert seen(lab.store.chain("web01"), "base") == picture(MIB, (0, A))


def test_layers_that_are_set_aside_are_out_of_the_way(lab: Lab) -> None:
    """A removed machine's layers move to quarantine, and its name is free again."""
    trunk(lab)
    lab.store.set_aside("web01", "20260301T020304Z")
    lab.store.set_aside("web01", "20260301T020304Z")
    assert lab.store.standbys() == []
    assert lab.store.chain("web01").layers() == {}
    grow(lab.store.chain("web01"), "base", None, {0: [(0, C)]})
    with pytest.raises(LayerError):
        lab.store.set_aside("web01", "20260301T020304Z")
    assert seen(lab.store.chain("web01"), "base") == picture(MIB, (0, C))


def test_a_hypervisor_is_told_files_that_hold_the_disks(lab: Lab, tmp_path: Path) -> None:
    """qemu-img, given the file and its format, reads the very bytes of the layer."""
    trunk(lab)
    files = lab.chain.disk_files(DAY2)
    assert len(files) == 1
    assert files[0].path.is_absolute()
    if lab.kind == "memory":
        return
    out = tmp_path / "out.raw"
    command = ["qemu-img", "convert", "-f", files[0].format, "-O", "raw", "--"]
    subprocess.run([*command, str(files[0].path), str(out)], check=True)
    assert out.read_bytes() == seen(lab.chain, "day2")
