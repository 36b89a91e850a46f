"""Our qcow2 files against QEMU's own programs, and against damage."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from engine.model.errors import LayerError
from engine.model.layers import LayerKind, LayerName
from engine.stores.probe import open_store
from engine.stores.qcow2file import SPAN, Qcow2File, read_header
from tests.contract.disk_chains import MIB, grow, manifest, put, seen


def qemu_img(*words: str | Path) -> str:
    """Run qemu-img and return what it printed."""
    done = subprocess.run(
        ["qemu-img", *map(str, words)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_qemu_finds_nothing_wrong_after_random_writes(tmp_path: Path) -> None:
    """qemu-img check is content, and a guest would read the very bytes, whatever was written."""
    store, chance = open_store(tmp_path / "s", "qcow2", "local"), random.Random(7)
    chain, size = store.chain("web01"), 3 * MIB + 4096
    oracle = bytearray(size)
    for number, name in enumerate(("base", "day1", "day2")):
        parent = ("base", "day1")[number - 1] if number else None
        grow(chain, name, parent, sizes=(size,), seal=False)
        for _ in range(3):
            with chain.open(LayerName(name), 0) as device:
                for _ in range(12):
                    at = chance.randrange(size)
                    length = min(size - at, chance.choice([1, 512, 4096, 65_536, 400_000]))
                    value = chance.choice([0, 0, 7, 8])
                    if value:
                        device.write(at, memoryview(bytes([value]) * length))
                    else:
                        device.zero(at, length)
                    oracle[at : at + length] = bytes([value]) * length
        file = chain.disk_files(LayerName(name))[0].path
        qemu_img("check", "-q", "-f", "qcow2", "--", file)
        (tmp_path / "raw").write_bytes(oracle)
        qemu_img("compare", "-f", "qcow2", "-F", "raw", "--", file, tmp_path / "raw")
        chain.seal(LayerName(name), manifest(chain, name))
    store.close()


def test_what_qemu_wrote_is_read_and_written_on(tmp_path: Path) -> None:
    """A scratch disk that a VM wrote to is read right, and may be written further."""
    store = open_store(tmp_path / "s", "qcow2", "local")
    chain = store.chain("web01")
    grow(chain, "base", None, {0: [(0, b"p" * MIB)]})
    grow(chain, "run1", "base", kind=LayerKind.SCRATCH)
    file = chain.disk_files(LayerName("run1"))[0].path
    commands = ("write -P 0x41 70000 3000", "write -z 131072 65536", "discard 262144 131072")
    subprocess.run(
        ["qemu-io", "-f", "qcow2", *(w for c in commands for w in ("-c", c)), str(file)],
        check=True,
        capture_output=True,
    )
    want = bytearray(b"p" * MIB)
    want[70_000:73_000] = b"A" * 3000
    want[131_072 : 131_072 + 65_536] = bytes(65_536)
    now = seen(chain, "run1")
    assert now[:262_144] == want[:262_144]
    assert now[393_216:] == want[393_216:]
    put(chain, "run1", 0, (140_000, b"x" * 5), (MIB - 9, b"y" * 9))
    assert seen(chain, "run1")[139_999:140_006] == b"\0xxxxx\0"
    qemu_img("check", "-q", "-f", "qcow2", "--", file)
    store.close()


def test_more_tables_than_memory_holds_lose_nothing(tmp_path: Path) -> None:
    """A disk written all over, far beyond the cached tables, reads right and checks clean."""
    store = open_store(tmp_path / "s", "qcow2", "local")
    chain, size = store.chain("web01"), 70 * SPAN
    chain.add(LayerName("base"), None, LayerKind.REPLICA, [size])
    places = [n * SPAN + n * 65_536 for n in range(70)]
    with chain.open(LayerName("base"), 0) as device:
        for place in (*places, *reversed(places)):
            device.write(place, memoryview(place.to_bytes(8, "big")))
        device.flush()
        device.evict()
        for place in places:
            back = bytearray(8)
            device.read(place, memoryview(back))
            assert bytes(back) == place.to_bytes(8, "big")
    qemu_img("check", "-q", "-f", "qcow2", "--", chain.disk_files(LayerName("base"))[0].path)
    assert len(list(chain.changed(LayerName("base"), 0))) == 70
    store.close()


@pytest.mark.parametrize(
    "options",
    ["cluster_size=4096", "compat=0.10", "extended_l2=on", "refcount_bits=64", "data_file=./x.raw"],
)
def test_features_we_never_ask_for_are_refused(
    tmp_path: Path, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is qcow2 but not of our kind is refused by its header."""
    monkeypatch.chdir(tmp_path)  # qemu-img makes the data file there
    file = tmp_path / "odd.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, "--", file, "4M")
    with pytest.raises(LayerError):
        read_header(file)


def test_compressed_clusters_are_refused_when_met(tmp_path: Path) -> None:
    """Compressed clusters are never guessed at."""
    raw, file = tmp_path / "raw", tmp_path / "c.qcow2"
    raw.write_bytes(b"z" * 200_000)
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", "--", raw, file)
    opened = Qcow2File(file, writable=False)
    with pytest.raises(LayerError):
        opened.runs(0, 65_536)
    opened.close()


@pytest.mark.parametrize(
    "backing",
    ["/etc/passwd", "../base/../../secret.qcow2", "json:{}", "../other/disk-0.qcow2", ""],
)
def test_a_file_that_continues_something_else_is_never_handed_out(
    tmp_path: Path, backing: str
) -> None:
    """Scratch that a guest could have rewritten is checked before anybody opens it again."""
    store = open_store(tmp_path / "s", "qcow2", "local")
    chain = store.chain("web01")
    grow(chain, "base", None, {0: [(0, b"p" * 100)]})
    grow(chain, "other")
    grow(chain, "run1", "base", kind=LayerKind.SCRATCH)
    file = chain.disk_files(LayerName("run1"))[0].path
    target = ["-F", "qcow2"] if backing else []
    qemu_img("rebase", "-u", "-f", "qcow2", *target, "-b", backing, "--", file)
    run1 = LayerName("run1")
    for call in (
        lambda: chain.disk_files(run1),
        lambda: chain.open(run1, 0).__enter__(),
        lambda: list(chain.changed(run1, 0)),
    ):
        with pytest.raises(LayerError):
            call()
    chain.drop(run1)
    store.close()


def test_a_damaged_file_is_refused_or_read_but_never_crashes(tmp_path: Path) -> None:
    """Random bytes in header and tables end in LayerError or in some bytes, nothing else."""
    store, chance = open_store(tmp_path / "s", "qcow2", "local"), random.Random(3)
    chain = store.chain("web01")
    grow(chain, "base", None, {0: [(0, b"p" * MIB)]}, seal=False)
    file = chain.disk_files(LayerName("base"))[0].path
    good, refused = file.read_bytes(), 0
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(3):
            bad[chance.choice([chance.randrange(120), chance.randrange(5 * 65_536)])] = (
                chance.randrange(256)
            )
        file.write_bytes(bad)
        try:
            opened = Qcow2File(file, writable=False)
        except LayerError:
            refused += 1
            continue
        try:
            opened.runs(0, min(opened.size, MIB))
        except LayerError:
            refused += 1
        opened.close()
    assert refused > 20
    file.write_bytes(good)
    store.close()
