"""A conversion's cost, beside virt-v2v-in-place on the same guest.

    physical guest ─► twigs ─► one backend ─► seconds, CPU seconds, bytes in the twigs
                   └► copy ──► virt-v2v-in-place ─► the same

    python -m tests.bench conversion [--guests NAME …] [--disk FILE] [--format raw|qcow2]
                                     [--rounds N] [--backends NAME …] [--no-peer]
                                     [--folder DIR] [--json FILE]

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from engine.guests.backend import GuestDisk
from engine.guests.backends.choose import NAMES, open_guest
from engine.guests.convert import GuestConverter
from engine.model.errors import Failure
from engine.ports import NeverCancelled
from tests.bench.measure import Contender, Taken, run_once
from tests.bench.peer import PACKAGES, PEER, is_there, please
from tests.bench.processes import watching
from tests.bench.subjects import BUILDERS, Subject, build

BLOCK = 4096
CLUSTER = 1 << 16
AIM_RATIO, AIM_BYTES = 0.02, 4 << 20
AIM_S = {"userland": 1.0, "uml": 5.0}
"""Seconds that a conversion may take; the peer is measured under emulation, as guestfs is."""
SLOW_ROUNDS = 1
"""Of guestfs, whose virtual machine takes half a minute to start under emulation."""


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


def convert(disks: Sequence[GuestDisk], backend: str, folder: Path) -> int:
    """Convert one guest here and now, tell the ledger's numbers; what a measured process does."""
    try:
        done = GuestConverter(folder, backend).convert(disks, [], NeverCancelled(), lambda _: None)
    except Failure as error:
        print(error, file=sys.stderr)
        return 1
    ledger = done.record.ledger
    print(json.dumps({"seconds": ledger.seconds, "check": ledger.check, "by": ledger.backend}))
    return 0


def able(guest: Subject, folder: Path, names: Sequence[str]) -> list[str]:
    """Return the backends that can convert a guest here; say why others cannot."""
    found = []
    for name in names:
        try:
            with open_guest(guest.disks, folder, is_writing=False, wanted=name):
                found.append(name)
        except Failure as error:
            print(f"{guest.name} by {name}: not measured. {error}")
    return found


def ours(guest: Subject, backend: str, folder: Path, rounds: int) -> list[Run]:
    """Convert a guest on fresh twigs: the first time, then the median of more times."""
    engine, said = folder / f"engine-{backend}", folder / "said"
    twigs = [folder / f"twig-{number}" for number in range(len(guest.disks))]
    shutil.rmtree(engine, ignore_errors=True)
    taken = []
    rounds = min(rounds, SLOW_ROUNDS) if backend == "guestfs" else rounds
    for number in range(rounds + 1):
        argv = [sys.executable, "-m", "tests.bench.conversion", "--one", backend, str(engine)]
        argv += map(str, twigs)
        name = f"{backend}, first" if not number else backend
        process = watched(Contender(name, argv, lambda: make_twigs(guest, twigs), said))
        told = json.loads(said.read_text())
        written = sum(map(clusters, twigs))
        taken.append(Run(guest.name, name, told["seconds"], process, written, told["check"]))
    return [taken[0], middle(taken[1:])] if rounds else taken


def theirs(guest: Subject, folder: Path) -> list[Run]:
    """Let virt-v2v-in-place convert a flat copy of the one disk, once: it takes minutes."""
    flat, before = folder / "peer.raw", folder / "before.raw"
    flatten(guest.disks[0], before)
    if guest.tiny is not None:
        please(before, guest.tiny)
    process = watched(
        Contender(
            PEER,
            ["env", "LIBGUESTFS_BACKEND=direct", "LIBGUESTFS_BACKEND_SETTINGS=force_tcg",
             PEER, "-i", "disk", "-if", "raw", str(flat)],
            lambda: copy(before, flat),
        )
    )  # fmt: skip
    return [Run(guest.name, PEER, process.wall, process, changed(before, flat), "")]


def watched(contender: Contender) -> Taken:
    """Run a program; its CPU seconds hold those of its virtual machines, sandboxed or not."""
    with watching() as watch:
        taken = run_once(contender)
    return replace(taken, cpu=max(taken.cpu, watch.seconds))


def make_twigs(guest: Subject, twigs: Sequence[Path]) -> None:
    """Make an empty qcow2 layer on each disk."""
    for disk, twig in zip(guest.disks, twigs, strict=True):
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


def tried(guest: Subject, way: str, take: Callable[[], list[Run]]) -> list[Run]:
    """Return what was measured; nothing, told in words, when a way gave up on the guest."""
    try:
        return take()
    except RuntimeError as error:
        print(f"{guest.name} by {way}: {error}")
        return []


def measure(told: argparse.Namespace, folder: Path) -> Iterator[Run]:
    """Measure what was asked for, guest by guest."""
    for name in [told.disk.name] if told.disk else told.guests:
        place = folder / name
        place.mkdir()
        if told.disk:
            disks = [GuestDisk(told.disk.absolute(), told.format)]
            guest = Subject(name, disks, takes=True)
        else:
            guest = build(name, place)
        for backend in able(guest, place / "able", told.backends):
            yield from tried(guest, backend, partial(ours, guest, backend, place, told.rounds))
        if told.peer and guest.takes and is_there():
            yield from tried(guest, PEER, partial(theirs, guest, place))
        shutil.rmtree(place)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench conversion")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guests", nargs="+", choices=list(BUILDERS), default=list(BUILDERS))
    parser.add_argument("--disk", type=Path, help="a guest's disk to convert instead of those")
    parser.add_argument("--format", choices=("raw", "qcow2"), default="raw", help="of --disk")
    parser.add_argument("--backends", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--no-peer", dest="peer", action="store_false")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--one", nargs="+", metavar="BACKEND FOLDER TWIG", default=None)
    told = parser.parse_args(argv)
    load = os.getloadavg()[0]
    if told.one:
        backend, folder, *twigs = told.one
        return convert([GuestDisk(Path(t), "qcow2") for t in twigs], backend, Path(folder))
    if told.peer and not is_there():
        print(f"{PEER} is missing. To compare with it: apt-get install {' '.join(PACKAGES)}")
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-") as name:
        found = list(measure(told, Path(name)))
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
