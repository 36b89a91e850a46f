"""A conversion's cost, beside virt-v2v-in-place on the same guest.

    physical guest ─► twig ─► one backend ─► seconds, CPU seconds, bytes in the twig
                   └► copy ─► virt-v2v-in-place ─► the same

    python -m tests.bench conversion [--rounds N] [--guest FILE] [--format raw|qcow2] [--no-peer]
                                     [--backends NAME …] [--folder DIR] [--json FILE]

Each run is a process of its own; its start-up counts in ours as it does in the peer's. `first` is
the first conversion of a kernel: the overlay initrd is packed, and guestfs builds its appliance.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.guests.backend import GuestDisk
from engine.guests.backends.choose import NAMES, open_guest
from engine.guests.convert import GuestConverter
from engine.model.errors import Failure
from engine.model.guest import Kernel
from engine.ports import NeverCancelled
from tests.bench.measure import Contender, Taken, run_once
from tests.bench.peer import PACKAGES, PEER, build_guest, is_there, please
from tests.bench.processes import watching

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
BLOCK = 4096
CLUSTER = 1 << 16
AIM_RATIO, AIM_BYTES = 0.02, 4 << 20
AIM_S = {"userland": 1.0, "uml": 5.0}
"""Seconds that a conversion may take; the peer is measured under emulation, as guestfs is."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one conversion took.

    Attributes:
        seconds: Of the conversion itself, as the ledger has them; of the whole process for a peer.
        process: Wall and CPU seconds (children included) and peak memory of the whole process.
        written: Bytes of the twig: clusters of a qcow2 twig, changed blocks of a flat one.
        check: The ledger's word on the check after it.
    """

    guest: str
    way: str
    seconds: float
    process: Taken
    written: int
    check: str


def convert(disk: GuestDisk, backend: str, folder: Path) -> int:
    """Convert one disk here and now, tell the ledger's numbers; what a measured process does."""
    try:
        done = GuestConverter(folder, backend).convert([disk], [], NeverCancelled(), lambda _: None)
    except Failure as error:
        print(error, file=sys.stderr)
        return 1
    ledger = done.record.ledger
    print(json.dumps({"seconds": ledger.seconds, "check": ledger.check, "by": ledger.backend}))
    return 0


def able(disk: GuestDisk, folder: Path, names: Sequence[str]) -> list[str]:
    """Return the backends that can convert a guest here; say why others cannot."""
    found = []
    for name in names:
        try:
            with open_guest([disk], folder, is_writing=False, wanted=name):
                found.append(name)
        except Failure as error:
            print(f"{name}: not measured. {error}")
    return found


def ours(guest: str, disk: GuestDisk, backend: str, folder: Path, rounds: int) -> list[Run]:
    """Convert a guest on fresh twigs: the first time, then the median of more times."""
    engine, twig, said = folder / f"engine-{backend}", folder / "twig", folder / "said"
    shutil.rmtree(engine, ignore_errors=True)
    taken = []
    for number in range(rounds + 1):
        argv = [sys.executable, "-m", "tests.bench.conversion", "--one", str(twig), backend]
        argv.append(str(engine))
        name = f"{backend}, first" if not number else backend
        process = watched(Contender(name, argv, lambda: make_twig(disk, twig), said))
        told = json.loads(said.read_text())
        taken.append(Run(guest, name, told["seconds"], process, clusters(twig), told["check"]))
    return [taken[0], middle(taken[1:])] if rounds else taken


def theirs(guest: str, disk: GuestDisk, kernel: Kernel | None, folder: Path) -> Run:
    """Let virt-v2v-in-place convert a flat copy, once: it takes minutes.

    Args:
        kernel: Of the tiny guest, which gets what the peer looks for; None: another guest.
    """
    flat, before = folder / "peer.raw", folder / "before.raw"
    flatten(disk, before)
    if kernel is not None:
        please(before, kernel)
    process = watched(
        Contender(
            PEER,
            ["env", "LIBGUESTFS_BACKEND=direct", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg",
             PEER, "-i", "disk", "-if", "raw", str(flat)],
            lambda: copy(before, flat),
        )
    )  # fmt: skip
    return Run(guest, PEER, process.wall, process, changed(before, flat), "")


def watched(contender: Contender) -> Taken:
    """Run a program; its CPU seconds hold those of its virtual machines, sandboxed or not."""
    with watching() as watch:
        taken = run_once(contender)
    return replace(taken, cpu=max(taken.cpu, watch.seconds))


def make_twig(disk: GuestDisk, twig: Path) -> None:
    """Make an empty qcow2 layer on a disk."""
    twig.unlink(missing_ok=True)
    below = str(disk.path.absolute())
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", disk.format, "-b", below, "--"]
    subprocess.run([*argv, str(twig)], check=True)


def flatten(disk: GuestDisk, flat: Path) -> None:
    """Make a flat, sparse copy of a disk."""
    argv = ["qemu-img", "convert", "-f", disk.format, "-O", "raw", "--", str(disk.path), str(flat)]
    subprocess.run(argv, check=True)


def copy(source: Path, target: Path) -> None:
    """Copy a flat disk, sparse."""
    subprocess.run(["cp", "--sparse=always", source, target], check=True)


def clusters(twig: Path) -> int:
    """Return the bytes of data that a qcow2 layer holds itself."""
    argv = ["qemu-img", "check", "-f", "qcow2", "--output=json", "--", str(twig)]
    shown = subprocess.run(argv, check=True, capture_output=True).stdout
    return int(json.loads(shown).get("allocated-clusters", 0)) * CLUSTER


def changed(before: Path, after: Path) -> int:
    """Return the bytes in blocks of 4 KiB in which two flat disks differ."""
    count = 0
    with before.open("rb") as old, after.open("rb") as new:
        while pieces := (old.read(1 << 20), new.read(1 << 20)):
            if not any(pieces):
                break
            if pieces[0] != pieces[1]:
                size = max(map(len, pieces))
                count += sum(
                    pieces[0][at : at + BLOCK] != pieces[1][at : at + BLOCK]
                    for at in range(0, size, BLOCK)
                )
    return count * BLOCK


def middle(runs: Sequence[Run]) -> Run:
    """Return the medians of several runs."""
    return Run(
        runs[0].guest,
        runs[0].way,
        statistics.median(one.seconds for one in runs),
        Taken(
            statistics.median(one.process.wall for one in runs),
            statistics.median(one.process.cpu for one in runs),
            max(one.process.peak for one in runs),
        ),
        max(one.written for one in runs),
        runs[0].check,
    )


def table(runs: Sequence[Run]) -> str:
    """Return the runs as a Markdown table, each with its ratio to the peer and what is aimed at."""
    lines = [
        "| guest | way | conversion s | process s | CPU s | MiB written | ratio | aim |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    peers = {run.guest: run.process.wall for run in runs if run.way == PEER}
    for run in runs:
        peer = peers.get(run.guest)
        ratio = run.process.wall / peer if peer and run.way != PEER else None
        cells = [run.guest, run.way, f"{run.seconds:.2f}", f"{run.process.wall:.2f}"]
        cells += [f"{run.process.cpu:.2f}", f"{run.written / (1 << 20):.2f}"]
        cells += [f"{ratio:.4f}" if ratio is not None else "", verdict(run, ratio)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(run: Run, ratio: float | None) -> str:
    """Say whether a run is within what is aimed at: seconds, bytes, ratio to the peer."""
    if run.way == PEER:
        return ""
    missed = []
    if run.seconds > AIM_S.get(run.way.partition(",")[0], run.seconds):
        missed.append("seconds")
    if run.written > AIM_BYTES:
        missed.append("bytes")
    if ratio is not None and ratio > AIM_RATIO:
        missed.append("ratio")
    return "missed: " + ", ".join(missed) if missed else "met"


def measure(told: argparse.Namespace, folder: Path) -> list[Run]:
    """Measure what was asked for."""
    kernel = None
    if told.guest:
        name, disk = told.guest.name, GuestDisk(told.guest.absolute(), told.format)
    else:
        name, disk = "tiny, ext4, BIOS", GuestDisk(folder / "physical.raw", "raw")
        kernel = build_guest(disk.path, CACHE)
    found = []
    for backend in able(disk, folder / "able", told.backends):
        found += ours(name, disk, backend, folder, told.rounds)
    if told.peer and is_there():
        found.append(theirs(name, disk, kernel, folder))
    elif told.peer:
        print(f"{PEER} is missing. To compare with it: apt-get install {' '.join(PACKAGES)}")
    return found


def main(argv: Sequence[str]) -> int:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench conversion")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guest", type=Path, help="a disk to convert instead of the tiny guest")
    parser.add_argument("--format", choices=("raw", "qcow2"), default="raw", help="of --guest")
    parser.add_argument("--backends", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--no-peer", dest="peer", action="store_false")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--one", nargs=3, metavar=("TWIG", "BACKEND", "FOLDER"), default=None)
    told = parser.parse_args(argv)
    load = os.getloadavg()[0]
    if told.one:
        twig, backend, folder = told.one
        return convert(GuestDisk(Path(twig), "qcow2"), backend, Path(folder))
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-") as name:
        found = measure(told, Path(name))
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"load of the machine before: {load:.1f}; wall times are those of an idle one below 0.5")
    print(
        f"median of {told.rounds}; aims: {AIM_S}, {AIM_BYTES >> 20} MiB, {AIM_RATIO} of the peer\n"
    )
    print(table(found))
    if told.json:
        told.json.write_text(json.dumps([asdict(run) for run in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
