"""Hand a recovery point to tools that know nothing of `.bpi`: raw, or qcow2 by qemu-img.

full, increment, … ─► draft.raw (sparse) ─► raw: renamed    qcow2: qemu-img convert
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from engine.images.bpi.chains import in_order
from engine.images.bpi.format import encrypted
from engine.images.bpi.opening import OpenedFile, open_file
from engine.images.bpi.reader import Readers
from engine.images.tally import Tally
from engine.local.durable import FULL, open_folder, publish
from engine.local.parallel import run
from engine.local.tools import run_tool
from engine.model.errors import NoSpace, NotFound, Problem, Refused
from engine.model.extents import Kind, Piece
from engine.model.text import safe
from engine.ports import Cancel, Clock, Report

FORMATS = ("qcow2", "raw")
_ZEROS = bytes(1 << 20)
_DAY_S = 86400
_TOOL_MEMORY = 4 << 30
_DRAFT = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class Exported:
    """A written disk.

    Attributes:
        files: The image files it was made of, parent first.
        disk_size: Bytes of the disk; `size`: of the file, as `ls` shows it.
    """

    path: Path
    format: str
    files: Sequence[Path]
    disk_size: int
    size: int
    seconds: float


def export(
    files: Sequence[Path],
    out: Path,
    *,
    clock: Clock,
    cancel: Cancel,
    report: Report,
    format: str = "qcow2",  # noqa: A002 - the word users know
) -> Exported:
    """Write the disk that a full and its increments make, every byte checked.

    Args:
        files: `.bpi` files of one disk, in any order: one full and the increments that follow.
        out: File to write; it must not exist. Beside it there must be room for the raw disk.
        format: `qcow2` or `raw`.

    Raises:
        NotFound: A file or the folder of `out` does not exist.
        Refused: `out` exists.
        ChainBroken: The files are not one chain.
        FormatError, ImageCorrupt: A file is damaged.
        ToolFailed: qemu-img failed.
        NoSpace: There is no room.
        Cancelled: `cancel` fired.
    """
    if format not in FORMATS:
        raise ValueError(format)
    _judge_out(out)
    started = clock.monotonic()
    draft = out.with_name(f".{out.name}.{uuid4().hex[:8]}.part")
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(path)) for path in files]
        line = in_order([one for _, one in opened])
        fds = {id(one): fd for fd, one in opened}
        paths = {id(one): path for (_, one), path in zip(opened, files, strict=True)}
        stack.callback(draft.unlink, missing_ok=True)
        try:
            tally = Tally("export", sum(one.footer.data_bytes for one in line), clock, report)
            _write_raw(draft, [(fds[id(one)], one) for one in line], cancel, tally)
            tally.end()
            _finish(draft, out, format, cancel)
        except OSError as error:
            if error.errno in FULL:
                raise _no_space(out, error) from error
            raise
        return Exported(
            path=out,
            format=format,
            files=[paths[id(one)] for one in line],
            disk_size=line[-1].header.disk_size,
            size=out.stat().st_size,
            seconds=clock.monotonic() - started,
        )


def _write_raw(
    draft: Path, line: Sequence[tuple[int, OpenedFile]], cancel: Cancel, tally: Tally
) -> None:
    fd = os.open(draft, _DRAFT, 0o640)
    try:
        for image, opened in line:
            # What lies past a smaller size is dropped, even if the disk grows again later.
            os.ftruncate(fd, opened.header.disk_size)
            _apply(image, opened, fd, cancel, tally)
    finally:
        os.close(fd)


def _apply(image: int, opened: OpenedFile, fd: int, cancel: Cancel, tally: Tally) -> None:
    def work(piece: Piece) -> None:
        if piece.kind is Kind.ZERO:
            if not opened.header.is_base:
                _clear(fd, piece.start, piece.start + piece.length, cancel)
            return
        _write_at(fd, readers.plain(piece), piece.start)
        tally.add(piece.length)

    with Readers(image, opened) as readers:
        run(readers.pieces(), work, cancel=cancel)


def _clear(fd: int, at: int, end: int, cancel: Cancel) -> None:
    """Make a range zeros; where nothing was written it is already.

    A layer's frames do not overlap, so what other workers write beside it does not matter.
    """
    size = os.fstat(fd).st_size
    while at < min(end, size):
        cancel.check()
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        step = min(len(_ZEROS), end - at)
        if step > 0:
            _write_at(fd, memoryview(_ZEROS)[:step], at)
        at += max(step, 1)


def _write_at(fd: int, data: memoryview, pos: int) -> None:
    while data:
        written = os.pwrite(fd, data, pos)
        data, pos = data[written:], pos + written


def _finish(draft: Path, out: Path, kind: str, cancel: Cancel) -> None:
    """Give the raw draft its final form and name."""
    with open_folder(out.parent) as folder:
        if kind == "raw":
            publish(folder, draft.name, out.name)
            return
        converted = draft.with_name(f"{draft.name}.qcow2.part")
        try:
            run_tool(
                ["qemu-img", "convert", "-t", "writeback", "-f", "raw", "-O", "qcow2",
                 str(draft.absolute()), str(converted.absolute())],
                cpu_s=_DAY_S, memory=_TOOL_MEMORY, timeout_s=_DAY_S, check=cancel.check,
            )  # fmt: skip
            publish(folder, converted.name, out.name)
        finally:
            converted.unlink(missing_ok=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[int, OpenedFile]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise _not_there(path, "Name .bpi files of one disk that exist.") from error
    try:
        opened = open_file(fd, path.name)
        if opened.header.encrypted:
            raise encrypted(path.name)
        yield fd, opened
    finally:
        os.close(fd)


def _judge_out(out: Path) -> None:
    if os.path.lexists(out):
        raise Refused(
            Problem(
                "export.exists",
                f"{safe(str(out))} exists already.",
                "It was not touched.",
                "Name another file, or delete that one first.",
                {"file": safe(str(out))},
            )
        )
    if not out.parent.is_dir():
        raise _not_there(out.parent, "Make the folder first, or name another one.")


def _not_there(path: Path, remedy: str) -> NotFound:
    name = safe(str(path))
    return NotFound(
        Problem(
            "export.missing",
            f"{name} does not exist.",
            "Nothing was written.",
            remedy,
            {"file": name},
        )
    )


def _no_space(out: Path, error: OSError) -> NoSpace:
    name = safe(str(out))
    return NoSpace(
        Problem(
            "export.no-space",
            f"There is no room left for {name}: {error.strerror}.",
            "What was written of it was removed.",
            "Free space there, or write to another file system; the raw disk must fit too.",
            {"file": name},
        )
    )
