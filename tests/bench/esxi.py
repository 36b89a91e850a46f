"""`make bench BENCH=esxi`: a boot point on an ESXi target, transport `nfs`.

    python -m tests.bench esxi [--increment MIB] [--virtual GIB] [--rounds N] [--folder DIR]

Data: an increment applied, checked and sealed in the store whose `.run` hosts mount, against `cp`
of as many bytes to that export. Control: arming the new boot point on a simulated ESXi host; calls
are counted by the proxy in front of it, time is the simulator's.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from engine.model.layers import LayerKind, LayerName, layer_name
from engine.model.machine import Firmware, Nic, VMRef, VMSpec
from engine.model.points import boot_point_id
from engine.stores.probe import open_store
from tests.bench.data import change_disk, make_disk
from tests.bench.measure import Contender, side_by_side
from tests.vcsim.simulator import certificate, running
from tests.vcsim.standby import hypervisor

MIB, GIB = 1 << 20, 1 << 30
CALLS = 25
"""Most calls that a boot point may cost."""
AIMED = "cp and fsync"
RATIO = 1.3
"""Most seconds that a boot point may take for each second of `cp`, `fsync` included."""
_SPEC = VMSpec("bench", Firmware.UEFI, 2, 64 * MIB, (Nic("eth0", "00:50:56:11:22:33"),))
_SURELY = 'cp "$1" "$2" && sync "$2"'
_CHECKED = f"""
{_SURELY}
dd of="$2" oflag=nocache conv=notrunc,fdatasync count=0 status=none
cmp "$1" "$2"
"""
"""What a boot point promises of its bytes, with the peer's tools: compared on the medium."""
_AT_LEAST = """
dd if="$1" of="$2" bs=1M oflag=direct conv=fsync status=none
dd if="$2" of=/dev/null bs=1M iflag=direct status=none
"""
"""What the medium takes for bytes that are read again, whoever moves them: nothing is compared."""

Place = Callable[[Path, int], AbstractContextManager[Path]]


def main(argv: list[str], place: Place) -> int:
    """Measure, print the table; 1 when an aim is missed.

    Args:
        place: Gives a folder with reflinks below another folder, and room for so many bytes.
    """
    parser = argparse.ArgumentParser(prog="make bench BENCH=esxi", description=__doc__)
    parser.add_argument("--increment", type=int, default=256, help="MiB that change")
    parser.add_argument("--virtual", type=int, default=4, help="GiB of the disk")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, default=None)
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-") as name:
        folder = Path(name)
        with place(folder, 8 * told.increment * MIB + 14 * GIB) as reflinks:
            ours, peers = _data(folder, reflinks, told)
            counts, seconds = _control(folder, reflinks / "store", told.rounds)
    calls, took = max(counts), statistics.median(seconds)
    print(f"{told.increment} MiB into {told.virtual} GiB, {told.rounds} rounds, medians\n")
    print("| what | ours | peer | ratio | aim |\n|---|---:|---:|---:|---:|")
    for name, wall in peers.items():
        aim = f"≤ {RATIO}" if name == AIMED else "–"
        print(f"| boot point / {name} | {ours:.2f} s | {wall:.2f} s | {ours / wall:.2f} | {aim} |")
    print(f"| calls to arm a boot point | {calls} | | | ≤ {CALLS} |")
    print(f"| the same on the simulator | {took:.2f} s | | | – |")
    return int(calls > CALLS or ours / peers[AIMED] > RATIO)


def _data(
    folder: Path, reflinks: Path, told: argparse.Namespace
) -> tuple[float, Mapping[str, float]]:
    """Return wall seconds of our sync, and of each peer by name."""
    disk, images, raw = folder / "disk.raw", folder / "images", folder / "increment.raw"
    first, store, out = reflinks / "first", reflinks / "store", reflinks / "export.raw"
    make_disk(disk, told.virtual * GIB, 64 * MIB, seed=7)
    program = str(Path(sys.executable).with_name("bootpoint"))
    create = [program, "image", "create", "--machine", "bench", "--to", str(images), str(disk)]
    subprocess.run(create, check=True, capture_output=True)
    subprocess.run(_sync(first, images), check=True, capture_output=True)
    change_disk(disk, told.increment * MIB, seed=8)
    subprocess.run(create, check=True, capture_output=True)
    subprocess.run(
        ["dd", "if=/dev/urandom", f"of={raw}", "bs=1M", f"count={told.increment}", "status=none"],
        check=True,
    )

    def again() -> None:
        subprocess.run(["rm", "-rf", str(store)], check=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(first), str(store)], check=True)

    copied = ["sh", str(raw), str(out)]
    peers = {
        "cp to the export": ["cp", *copied[1:]],
        AIMED: ["sh", "-ec", _SURELY, *copied],
        "cp, fsync, read again": ["sh", "-ec", _CHECKED, *copied],
        "dd, fsync, dd back, past the cache": ["sh", "-ec", _AT_LEAST, *copied],
    }

    def gone() -> None:
        out.unlink(missing_ok=True)

    taken = side_by_side(
        [
            Contender("ours", _sync(store, images), again, tells=True),
            *(Contender(name, command, gone) for name, command in peers.items()),
        ],
        told.rounds,
    )
    out.unlink()
    return taken["ours"].wall, {name: taken[name].wall for name in peers}


def _sync(store: Path, images: Path) -> list[str]:
    words = ["--store", str(store), "--kind", "reflink", "--images", str(images)]
    return [sys.executable, "-m", "tests.bench.seed", *words]


def _control(folder: Path, at: Path, rounds: int) -> tuple[list[int], list[float]]:
    """Return calls and wall seconds of arming the newer boot point in place of the older."""
    store = open_store(at, "reflink", "esx-01")
    (folder / "vcsim").mkdir()
    counts, seconds = [], []
    with running(folder / "vcsim", certificate(folder, "host"), "-esx") as sim:
        target, chain = hypervisor(sim, store, folder / "state"), store.chain("bench")

        def arm(number: int) -> LayerName:
            point = boot_point_id(number)
            twig = layer_name(point, LayerKind.CONVERSION)
            scratch = layer_name(point, LayerKind.SCRATCH)
            target.started_by_hand(VMRef("bench"))
            chain.add(scratch, twig, LayerKind.SCRATCH, chain.layers()[twig].disk_sizes)
            target.create(_SPEC)
            target.arm(VMRef("bench"), scratch)
            return scratch

        old = arm(1)
        for _ in range(rounds):
            before, began = len(sim.proxy.calls), time.perf_counter()
            new = arm(2)
            seconds.append(time.perf_counter() - began)
            counts.append(len(sim.proxy.calls) - before)
            chain.drop(old)
            old = arm(1)
            chain.drop(new)
        target.delete(VMRef("bench"))
    store.close()
    return counts, seconds
