"""`make bench`: ratios against peers, measured in one run on data it generates.

    python -m tests.bench [--data MIB] [--virtual GIB] [--increment MIB] [--large GIB] [--rounds N]
                          [--folder DIR] [--json FILE]
    python -m tests.bench conversion …      only the conversion of guests: tests/bench/conversion.py
    python -m tests.bench scale …           only large sites: tests/bench/scale.py
    python -m tests.bench esxi …            only an ESXi target: tests/bench/esxi.py
    python -m tests.bench console           only the full screen: tests/bench/console.py
    python -m tests.bench day …             a day of it: tests/bench/day.py

The folder should have room for about six times the data. The reflink store lies on an XFS image
mounted by loop (root), when the folder's own file system has no reflinks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.stores.probe import probe
from tests.bench import console, conversion, day, esxi, scale
from tests.bench.data import change_disk, make_disk
from tests.bench.measure import Contender, Taken, side_by_side

MIB, GIB = 1 << 20, 1 << 30
PYTHON = sys.executable
BOOTPOINT = str(Path(sys.executable).with_name("bootpoint"))

_SURELY = """
qemu-img convert -f qcow2 -O raw "$1" "$2"
dd of="$2" oflag=nocache conv=notrunc,fdatasync count=0 status=none
qemu-img compare -q -f qcow2 -F raw "$1" "$2"
"""
"""What a sync promises, done with the peer's tools: on the medium, read back from it, the same."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is measured, in bytes, and how often."""

    data: int
    virtual: int
    increment: int
    large: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ours against a peer; ratio = ours / peer of wall time."""

    what: str
    ours: Taken
    peer: str
    theirs: Taken

    @property
    def ratio(self) -> float:
        """Wall time of ours for each second of the peer."""
        return self.ours.wall / self.theirs.wall


def rows(taken: dict[str, Taken], what: str, ours: str) -> list[Row]:
    """Return one row for each peer of `ours`."""
    return [Row(what, taken[ours], name, t) for name, t in taken.items() if name != ours]


def gone(*paths: Path) -> None:
    """Remove files and folders."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def image_create(folder: Path, sizes: Sizes) -> list[Row]:
    """(a) A full image against zstd and qemu-img of the same disk."""
    disk, images = folder / "disk.raw", folder / "images"
    zst, qcow = folder / "peer.zst", folder / "peer.qcow2"
    make_disk(disk, sizes.virtual, sizes.data)
    ours = [BOOTPOINT, "image", "create", "--machine", "bench", "--to", str(images), str(disk)]
    compress = ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2"]
    compress += ["-o", "compression_type=zstd", str(disk), str(qcow)]
    contenders = [
        Contender("bootpoint image create", ours, lambda: gone(images)),
        Contender(
            "zstd -T0 -3",
            ["zstd", "-q", "-T0", "-3", "-f", str(disk), "-o", str(zst)],
            lambda: gone(zst),
        ),
        Contender("qemu-img convert -c (zstd)", compress, lambda: gone(qcow)),
    ]
    return rows(side_by_side(contenders, sizes.rounds), "(a) full image", "bootpoint image create")


def seed(folder: Path, stores: dict[str, Path], sizes: Sizes) -> list[Row]:
    """(b) A seed into each store against `zstd -dc` and qemu-img of the same data."""
    images, qcow = folder / "images", folder / "peer.qcow2"
    full = next(images.rglob("*.bpi"))
    found = []
    for kind, place in stores.items():
        store, out = place / "store", place / "peer.raw"
        convert = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(qcow), str(out)]
        contenders = [
            Contender(
                f"seed into {kind}", _sync(store, kind, images), lambda s=store: gone(s), tells=True
            ),
            Contender(
                "zstd -dc FILE > disk", ["zstd", "-q", "-dc", str(full)], lambda o=out: gone(o), out
            ),
            Contender("qemu-img convert from zstd qcow2", convert, lambda o=out: gone(o)),
        ]
        found += rows(
            side_by_side(contenders, sizes.rounds), f"(b) seed, {kind}", f"seed into {kind}"
        )
        gone(store, out)
    return found


def sync(folder: Path, stores: dict[str, Path], sizes: Sizes) -> list[Row]:
    """(c) An increment into a small and into a large disk, and against qemu-img convert."""
    found = []
    for kind, place in stores.items():
        taken: dict[str, Taken] = {}
        for size in (sizes.virtual, sizes.large):
            taken |= _one_sync(folder, place, kind, size, sizes)
        names = list(taken)
        found.append(
            Row(f"(c) {names[3]} / {names[0]}", taken[names[3]], names[0], taken[names[0]])
        )
        found += [Row(f"(c) {names[0]}", taken[names[0]], peer, taken[peer]) for peer in names[1:3]]
    return found


def _one_sync(folder: Path, place: Path, kind: str, size: int, sizes: Sizes) -> dict[str, Taken]:
    disk, images = folder / "sync.raw", folder / "sync-images"
    first, store = place / "first", place / "store"
    delta, out = folder / "delta.qcow2", place / "peer.raw"
    gone(images, first, store, out, delta)
    make_disk(disk, size, 64 * MIB, seed=7)
    create = [BOOTPOINT, "image", "create", "--machine", "bench", "--to", str(images), str(disk)]
    subprocess.run(create, check=True, capture_output=True)
    subprocess.run(_sync(first, kind, images), check=True)
    change_disk(disk, sizes.increment, seed=8)
    subprocess.run(create, check=True, capture_output=True)
    make_disk(folder / "delta.raw", size, sizes.increment, seed=8)
    compress = [
        "qemu-img",
        "convert",
        "-c",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "-o",
        "compression_type=zstd",
    ]
    subprocess.run([*compress, str(folder / "delta.raw"), str(delta)], check=True)

    def again() -> None:
        gone(store)
        subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", first, store], check=True)

    name = f"sync {sizes.increment // MIB} MiB into {size // GIB} GiB, {kind}"
    convert = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(delta), str(out)]
    peer = f"qemu-img convert of {sizes.increment // MIB} MiB, {size // GIB} GiB disk"
    taken = side_by_side(
        [
            Contender(name, _sync(store, kind, images), again, tells=True),
            Contender(peer, convert, lambda: gone(out)),
            Contender(
                f"{peer}; fsync, drop its cache, qemu-img compare",
                ["sh", "-ec", _SURELY, "sh", str(delta), str(out)],
                lambda: gone(out),
            ),
        ],
        sizes.rounds,
    )
    gone(disk, images, first, store, out, delta, folder / "delta.raw")
    return taken


def _sync(store: Path, kind: str, images: Path) -> list[str]:
    return [
        PYTHON,
        "-m",
        "tests.bench.seed",
        "--store",
        str(store),
        "--kind",
        kind,
        "--images",
        str(images),
    ]


@contextmanager
def reflink_place(folder: Path, room: int) -> Iterator[Path]:
    """Yield a folder with reflinks: the given one, or an XFS image mounted beside it.

    The image has all its blocks before, as a disk has: else who writes to a new place waits for
    the file system below to find room, and the others, who write to old ones, do not.

    Args:
        folder: For the image, or with reflinks itself.
        room: Bytes of the image.
    """
    if probe(folder) == "reflink":
        place = folder / "on-reflink"
        place.mkdir()
        yield place
        return
    image, place = folder / "xfs.img", folder / "xfs"
    place.mkdir()
    with image.open("wb") as file:
        for _ in range(0, room, 4 * MIB):
            file.write(bytes(4 * MIB))
    subprocess.run(["mkfs.xfs", "-q", "-K", "-m", "reflink=1", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def table(found: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| what | ours s (CPU s, peak MiB) | peer | peer s (CPU s, peak MiB) | ratio |",
        "|---|---:|---|---:|---:|",
    ]
    for row in found:
        cells = [row.what, _cell(row.ours), row.peer, _cell(row.theirs), f"{row.ratio:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(taken: Taken) -> str:
    return f"{taken.wall:.2f} ({taken.cpu:.2f}, {taken.peak // MIB})"


def main() -> int:
    """Measure, print the tables."""
    if sys.argv[1:2] == ["console"]:
        return console.main()
    if sys.argv[1:2] == ["conversion"]:
        return conversion.main(sys.argv[2:])
    if sys.argv[1:2] == ["day"]:
        return day.main(sys.argv[2:])
    if sys.argv[1:2] == ["esxi"]:
        return esxi.main(sys.argv[2:], reflink_place)
    if sys.argv[1:2] == ["scale"]:
        return scale.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--data", type=int, default=1024, help="MiB of data on the disk")
    parser.add_argument("--virtual", type=int, default=4, help="GiB of the disk")
    parser.add_argument("--increment", type=int, default=256, help="MiB that change")
    parser.add_argument("--large", type=int, default=400, help="GiB of the large disk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    told = parser.parse_args()
    sizes = Sizes(
        told.data * MIB, told.virtual * GIB, told.increment * MIB, told.large * GIB, told.rounds
    )
    with tempfile.TemporaryDirectory(dir=told.folder, prefix="bench-") as name:
        folder = Path(name)
        room = 4 * sizes.data + 4 * sizes.increment + 8 * GIB
        with reflink_place(folder, room) as reflinks:
            plain = folder / "plain"
            plain.mkdir()
            stores = {"reflink": reflinks, "qcow2": plain}
            found = image_create(folder, sizes)
            found += seed(folder, stores, sizes)
            found += sync(folder, stores, sizes)
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"{sizes.data // MIB} MiB of data on {sizes.virtual // GIB} GiB, {sizes.rounds} rounds\n")
    print(table(found))
    if told.json:
        told.json.write_text(json.dumps([asdict(row) | {"ratio": row.ratio} for row in found]))
    print()
    where = [] if told.folder is None else ["--folder", str(told.folder)]
    return conversion.main(["--guests", "tiny", *where])


if __name__ == "__main__":
    sys.exit(main())
