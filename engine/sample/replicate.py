"""Replication for the sample site: file by file, in place of rsync, at a pace one can watch."""

from __future__ import annotations

import os
from pathlib import Path

from engine.local.durable import make_folder, open_folder, publish
from engine.model.progress import Meter
from engine.ports import Cancel, Clock, Report

PACE = 4 << 20
"""Bytes per second that let a person follow."""

_STEP_S = 0.1
_CHUNK = 1 << 20


def missing(source: Path, target: Path) -> list[Path]:
    """Return the files of `source` that `target` lacks or has at another size, oldest first.

    A recovery point's manifest comes after its disks, as the images were written.
    """
    found = [
        path
        for path in source.rglob("*")
        if path.suffix in (".bpi", ".json") and not _is_hidden(path.relative_to(source))
    ]
    lacking = [p for p in found if not _same_size(p, target / p.relative_to(source))]
    return sorted(lacking, key=lambda p: (p.stat().st_mtime_ns, p.suffix == ".json", p.name))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _same_size(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_size == other.stat().st_size
    except FileNotFoundError:
        return False


def replicate(
    source: Path,
    target: Path,
    clock: Clock,
    cancel: Cancel,
    report: Report,
    rate: float | None = PACE,
) -> int:
    """Copy what is missing; return the bytes copied. Run again after an interruption, it goes on.

    Args:
        rate: Bytes per second; None: as fast as it goes.
    """
    files = missing(source, target)
    meter = Meter(sum(path.stat().st_size for path in files), clock.monotonic())
    done = 0
    for path in files:
        place = target / path.relative_to(source)
        _make_folders(target, place.parent)
        done = _copy(path, place, clock, cancel, report, rate, meter, done)
    return done


def _make_folders(root: Path, folder: Path) -> None:
    if folder != root and not folder.exists():
        _make_folders(root, folder.parent)
        make_folder(folder, 0o755)


def _copy(
    path: Path,
    place: Path,
    clock: Clock,
    cancel: Cancel,
    report: Report,
    rate: float | None,
    meter: Meter,
    done: int,
) -> int:
    """Copy one file under a temporary name that grows, as rsync does, then give it its name."""
    draft = f".{place.name}.replica"
    chunk = _CHUNK if rate is None else max(4096, int(rate * _STEP_S))
    with path.open("rb") as reading, open_folder(place.parent) as folder:
        with open(place.parent / draft, "wb") as writing:
            while data := reading.read(chunk):
                cancel.check()
                writing.write(data)
                writing.flush()
                done += len(data)
                report(meter.at("replicate", done, clock.monotonic()))
                if rate is not None:
                    clock.sleep(len(data) / rate, cancel)
        os.utime(place.parent / draft, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        publish(folder, draft, place.name)
    return done
