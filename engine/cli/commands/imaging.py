"""Commands on image files. They need no engine."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType

from engine.api.words import duration, size
from engine.cli.context import Context
from engine.cli.progress import ProgressLine
from engine.daemon.clock import SystemClock
from engine.model.errors import Problem, WrongUse
from engine.model.machine import Firmware, Hints
from engine.model.text import safe
from engine.ports import CancelFlag


@contextlib.contextmanager
def stoppable() -> Iterator[CancelFlag]:
    """Let Ctrl+C and SIGTERM end the work inside at its next step."""
    flag = CancelFlag()

    def end(_number: int, _frame: FrameType | None) -> None:
        flag.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def shown(what: str) -> Iterator[ProgressLine]:
    """Show the progress of the work inside, and leave the terminal clean."""
    line = ProgressLine(what)
    try:
        yield line
    finally:
        line.end()


def create(
    context: Context,
    *,
    machine: str,
    to: Path,
    full: bool,
    taken_at: datetime | None,
    memory: int | None,
    cpus: int | None,
    firmware: str | None,
    os: str,
    disks: Sequence[Path],
) -> int:
    """Make a recovery point of a machine's disks."""
    from engine.images.imaging.create import create_point
    from engine.images.imaging.plan import ImagingOptions

    hints = None
    if memory or cpus or firmware or os:
        kind = Firmware(firmware) if firmware else None
        hints = Hints(os=os, firmware=kind, cpus=cpus, memory=memory)
    options = ImagingOptions(full=full, hints=hints, taken_at=taken_at)
    with stoppable() as cancel, shown(safe(machine)) as report:
        made = create_point(
            machine, to, disks, clock=SystemClock(), cancel=cancel, report=report, options=options
        )
    if context.output.as_json:
        context.output.object(point=made)
        return 0
    kind_words = "Full" if made.full else "Increment"
    context.output.say(
        f"{kind_words} {made.sequence} of {made.machine}: {size(made.stored_bytes)} stored, "
        f"{size(made.data_bytes)} of data, {size(made.bytes_read)} read in "
        f"{duration(made.seconds)}."
    )
    if made.why_full:
        context.output.say(f"It is a full: {made.why_full}")
    context.output.say(*(f"  {one.path}  {size(one.size)}" for one in made.files))
    context.output.say(f"  {made.manifest}")
    return 0


def info(context: Context, *, file: Path) -> int:
    """Say what an image file or a manifest says about itself."""
    from engine.images.bpi.info import info as look

    told = look(file)
    if context.output.as_json:
        context.output.object(image=told)
        return 0
    rows = [
        ["File", told.file],
        ["Is", told.what + (", encrypted" if told.encrypted else "")],
        ["Machine", f"{safe(told.machine)}  {told.machine_uuid}"],
        ["Set", told.set],
        ["Point", f"{told.sequence}  {told.point}"],
        ["Parent", told.parent or "none: it needs no other file"],
        ["Taken at", f"{told.taken_at:%Y-%m-%d %H:%M:%S} UTC"],
        ["Consistency", told.consistency],
        ["Hash", told.hash],
    ]
    context.output.table(["", ""], rows)
    heads = [">DISK", "KIND", ">SIZE", ">FILE SIZE", ">DATA", ">ZEROS", "FILE"]
    context.output.table(
        heads,
        [
            [
                str(disk.number),
                disk.kind,
                size(disk.size),
                size(disk.file_size),
                size(disk.data_bytes),
                size(disk.zero_bytes),
                disk.file,
            ]
            for disk in told.disks
        ],
    )
    return 0


def verify(context: Context, *, path: Path) -> int:
    """Check every hash; return 1 when something is wrong."""
    from engine.images.bpi.verify import verify_path

    with stoppable() as cancel, shown("") as report:
        found = verify_path(path, clock=SystemClock(), cancel=cancel, report=report)
    if context.output.as_json:
        context.output.object(
            good=found.good,
            files=found.files,
            points=found.points,
            bytes=found.bytes,
            items=[
                {"key": one.key, "message": str(one), "facts": dict(one.facts)}
                for one in found.problems
            ],
            notes=found.notes,
        )
        return 0 if found.good else 1
    for problem in found.problems:
        context.output.say(f"X {problem}")
    context.output.say(*(f"  {text}" for text in found.notes))
    verdict = "Every hash is right" if found.good else f"{len(found.problems)} things are wrong"
    context.output.say(
        f"{verdict}: {found.files} image files, {found.points} recovery points, "
        f"{size(found.bytes)} checked."
    )
    return 0 if found.good else 1


def export(context: Context, *, files: Sequence[Path], qcow2: Path | None, raw: Path | None) -> int:
    """Write the disk of a chain as qcow2 or raw."""
    from engine.images.export import export as write

    out = qcow2 or raw
    if out is None or (qcow2 and raw):
        raise WrongUse(Problem("use.export", "Name one file to write, with --qcow2 or with --raw."))
    kind = "qcow2" if qcow2 else "raw"
    with stoppable() as cancel, shown(safe(out.name)) as report:
        made = write(files, out, clock=SystemClock(), cancel=cancel, report=report, format=kind)
    if context.output.as_json:
        context.output.object(export=made)
        return 0
    context.output.say(
        f"{made.path} holds the disk of {len(made.files)} files: {size(made.disk_size)}, "
        f"{made.format}, {size(made.size)} in the file, in {duration(made.seconds)}."
    )
    return 0
