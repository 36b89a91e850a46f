"""Layers as overlays: any file system.

    seed/disk-0.qcow2 ◄── day1/disk-0.qcow2 ◄── day2/disk-0.qcow2       ◄── backing file
                                            ◄── boot1/disk-0.qcow2

Made by qemu-img, written and read directly. A fold in the middle copies what the layer holds
into its children; a fold of the base commits the child down and gives the base its place.

The middle is not left to `qemu-img rebase`: killed at its end it may have changed the header
before the clusters it copied were referred to, and the child then read its grandparent's bytes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.local.durable import move_file
from engine.local.tools import ToolFailed, run_tool
from engine.local.whole import ZEROS, fill_zeros
from engine.model.errors import Cancelled, LayerError, NoSpace, Problem
from engine.model.extents import Extent, clip
from engine.model.layers import Gain, LayerName
from engine.model.text import safe
from engine.ports import Cancel, Copied, NeverCancelled, unseen
from engine.stores.diskkind import DiskTree, FoldedDisk
from engine.stores.layerfolders import Stack
from engine.stores.overlays import overlays_gain
from engine.stores.qcow2file import CLUSTER, HERE_NOT, SPAN, ZERO, Qcow2File, read_header
from engine.stores.rawdisk import changing
from engine.stores.tree import check_range

SECTOR = 512
DEEPEST = 66
"""Each layer is a file to open and a table to ask. libvirt refuses chains of more than 200.

Source: libvirt, src/qemu/qemu_domain.c, QEMU_DOMAIN_STORAGE_SOURCE_CHAIN_MAX_DEPTH.
"""
_MEMORY = 2 << 30
_QUICK_S, _LONG_S = 60, 24 * 3600
_FULL_WORDS = ("No space left on device", "Disk quota exceeded")


class Qcow2:
    """A disk of a layer as an overlay on its parent's."""

    format = "qcow2"
    folds_files = True
    deepest: int | None = DEEPEST

    def make(self, path: Path, size: int, below: Stack) -> None:
        """Make an overlay on the file below; bytes past a cut end never come back."""
        rounded = -(-size // SECTOR) * SECTOR
        backing = ["-F", "qcow2", "-b", _relative(below[0])] if below else []
        command = ["create", "-q", "-f", "qcow2", *backing, "--", f"./{path.name}", str(rounded)]
        _qemu_img(command, path.parent, NeverCancelled(), _QUICK_S)
        if rounded > size and below:
            with self.open([path, *below], rounded, writable=True) as device:
                device.zero(size, rounded - size)

    @contextlib.contextmanager
    def open(self, stack: Stack, size: int, *, writable: bool) -> Iterator[Qcow2Device]:
        """Open the top of the stack, and what lies below it for reading."""
        with contextlib.ExitStack() as closing:
            files = []
            for number, path in enumerate(stack):
                files.append(Qcow2File(path, writable=writable and not number))
                closing.callback(files[-1].close)
            device = Qcow2Device(files, size, writable=writable)
            yield device
            device.settle()

    def changed(self, stack: Stack, size: int) -> Iterator[Extent]:
        """Yield what the file itself holds, in clusters of 64 KiB."""
        file = Qcow2File(stack[0], writable=False)
        try:
            return iter(list(clip(file.extents(), size)))
        finally:
            file.close()

    def used(self, stack: Stack, size: int) -> int:  # noqa: ARG002 - DiskKind's signature
        """Return the bytes the file takes on the file system."""
        return stack[0].stat().st_blocks * 512 if stack else 0

    def check(self, stack: Stack, *, loose: bool) -> None:
        """Walk the chain: each file refers to one of its ancestors in this store, or to none.

        An interrupted fold may have gone past the parent already; nothing else may differ.

        Args:
            loose: A layer below is being folded, so a file may be independent of it already.
        """
        at = 0
        while at < len(stack):
            header = read_header(stack[at])
            names = [_relative(path) for path in stack[at + 1 :]]
            if not header.backing:
                if names and not loose:
                    raise _wrong(stack[at], "nothing", names[0])
                return
            if header.backing not in names or header.backing_format != "qcow2":
                raise _wrong(stack[at], header.backing, names[0] if names else "nothing")
            at += 1 + names.index(header.backing)

    # --- folding ---------------------------------------------------------------------------

    def fold(self, disk: FoldedDisk, cancel: Cancel, copied: Copied) -> None:
        """Make the children independent of the file, one safe step after the other."""
        waiting = [path for path in disk.above if read_header(path).backing == _relative(disk.file)]
        down = waiting[:1] if not disk.below else []
        for child in waiting[len(down) :]:
            with _writable(child):
                _absorb(child, [disk.file, *disk.below], cancel, copied)
                _repoint(child, disk.below)
        for child in down:
            _commit(child, disk.file, cancel, copied)

    def gain(self, disk: DiskTree, gone: Sequence[LayerName]) -> Gain:
        """Return what the files take, less what folds copy into those above."""
        return overlays_gain(disk, gone)


class Qcow2Device:
    """A disk as seen through a stack of files; changes meet the first one only."""

    block_size = CLUSTER

    def __init__(self, files: Sequence[Qcow2File], size: int, *, writable: bool) -> None:
        """Take open files, newest first; the caller closes them."""
        self._top, self._files, self._writable = files[0], files, writable
        self._edges = threading.Lock()
        self.size = size
        self.broken = False

    def read(self, offset: int, into: memoryview) -> None:
        """Fill `into` with the bytes at `offset`."""
        check_range(self.size, offset, len(into))
        self._fill(0, offset, into)

    def _fill(self, depth: int, offset: int, into: memoryview) -> None:
        """Fill `into` with what the files from `depth` on show."""
        if depth == len(self._files) or offset >= self._files[depth].size:
            fill_zeros(into)
            return
        file = self._files[depth]
        inside = min(len(into), file.size - offset)
        fill_zeros(into[inside:])
        at = 0
        for length, place in file.runs(offset, inside):
            part = into[at : at + length]
            if place == HERE_NOT:
                self._fill(depth + 1, offset + at, part)
            elif place == ZERO:
                fill_zeros(part)
            else:
                file.medium.read(part, place)
            at += length

    def write(self, offset: int, data: memoryview) -> None:
        """Write all of `data` at `offset`."""
        with changing(self, self._top.path, writable=self._writable):
            check_range(self.size, offset, len(data))
            while data:
                count = 0 if offset % CLUSTER else len(data) // CLUSTER
                step = count * CLUSTER or min(len(data), CLUSTER - offset % CLUSTER)
                if count:
                    self._write_clusters(offset // CLUSTER, count, data[:step])
                else:
                    self._patch(offset, data[:step])
                offset, data = offset + step, data[step:]

    def _write_clusters(self, first: int, count: int, data: memoryview) -> None:
        for length, place in self._top.place(first, count):
            self._top.medium.write(data[:length], place)
            data = data[length:]

    def _patch(self, offset: int, data: memoryview) -> None:
        """Write less than a cluster; the rest of it stays as it reads now."""
        with self._edges:
            [(_, place)] = self._top.runs(offset, len(data))
            if place > ZERO:
                self._top.medium.write(data, place)
                return
            inside = offset % CLUSTER
            whole = memoryview(bytearray(CLUSTER))
            self._fill(0, offset - inside, whole)
            whole[inside : inside + len(data)] = data
            self._write_clusters(offset // CLUSTER, 1, whole)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros; whole clusters cost an entry, or nothing."""
        with changing(self, self._top.path, writable=self._writable):
            check_range(self.size, offset, length)
            end = offset + length
            if end == self.size:
                end = -(-end // CLUSTER) * CLUSTER
            while offset < end:
                step = min(end - offset, SPAN - offset % SPAN)
                if offset % CLUSTER or step < CLUSTER:
                    step = min(step, CLUSTER - offset % CLUSTER)
                    self._patch_zeros(offset, min(step, self.size - offset))
                else:
                    step -= step % CLUSTER
                    bare = all(file.absent(offset // SPAN) for file in self._files[1:])
                    self._top.clear(offset // CLUSTER, step // CLUSTER, bare=bare)
                offset += step

    def _patch_zeros(self, offset: int, length: int) -> None:
        [(_, place)] = self._top.runs(offset, length)
        if place > ZERO or (place == HERE_NOT and len(self._files) > 1):
            self._patch(offset, ZEROS[:length])

    def absorb(self, cancel: Cancel, copied: Copied = unseen) -> None:
        """Take over what the file below the first one holds, as far as it shows through.

        A cancel keeps what was copied so far; the next call goes on from there.
        """
        with changing(self, self._top.path, writable=self._writable):
            try:
                for start, end in _seen_through(self._files[1], self._top.size):
                    for step, place in self._top.runs(start, end - start):
                        if place == HERE_NOT:
                            self._take_over(start, start + step, cancel, copied)
                        start += step
            except Cancelled:
                self._top.store()
                raise
            self._top.store()

    def _take_over(self, start: int, end: int, cancel: Cancel, copied: Copied) -> None:
        """Copy whole clusters from below, in steps that stay within one table."""
        buffer = memoryview(bytearray(len(ZEROS)))
        while start < end:
            cancel.check()
            step = min(len(buffer), -(-(end - start) // CLUSTER) * CLUSTER, SPAN - start % SPAN)
            whole = buffer[:step]
            self._fill(1, start, whole)
            if whole == ZEROS[:step]:
                self._top.clear(start // CLUSTER, step // CLUSTER, bare=False)
            else:
                self._write_clusters(start // CLUSTER, step // CLUSTER, whole)
            start += step
            copied(step)

    def flush(self) -> None:
        """Make all writes durable; once it failed, it fails for ever."""
        if self._writable:
            with changing(self, self._top.path, writable=True):
                self._top.store()
                os.fsync(self._top.fd)

    def evict(self) -> None:
        """Forget cached tables and pages."""
        self._top.forget()
        self._top.medium.evict()

    def settle(self) -> None:
        """Write tables out, so that whoever opens the file next sees all writes."""
        if self._writable and not self.broken:
            with changing(self, self._top.path, writable=True):
                self._top.store()


def _absorb(child: Path, below: Stack, cancel: Cancel, copied: Copied) -> None:
    """Copy into a child what it sees of the file below it; it reads the same at any moment."""
    with contextlib.ExitStack() as closing:
        files = [Qcow2File(child, writable=True, careful=True)]
        closing.callback(files[0].close)
        for path in below:
            files.append(Qcow2File(path, writable=False))
            closing.callback(files[-1].close)
        device = Qcow2Device(files, files[0].size, writable=True)
        try:
            device.absorb(cancel, copied)
        finally:
            files[0].abandon()


def _seen_through(below: Qcow2File, size: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of what the file below holds, its end included: zeros lie past it."""
    for start, length, _ in below.extents():
        if start < size:
            yield start, min(start + length, size)
    if below.size < size:
        yield below.size - below.size % CLUSTER, size


def _repoint(child: Path, below: Stack) -> None:
    """Let a child that holds all it sees of its parent lie on what is below that."""
    where = ["-F", "qcow2", "-b", _relative(below[0])] if below else ["-b", ""]
    command = ["rebase", "-u", "-q", "-t", "writeback", "-f", "qcow2", *where, "--"]
    _qemu_img([*command, f"./{child.name}"], child.parent, NeverCancelled(), _QUICK_S)


def _commit(child: Path, base: Path, cancel: Cancel, copied: Copied) -> None:
    """Write a child down into the base, then give the base file the child's place.

    Until the rename the child reads the same: its own clusters hide what changes below. Those who
    lie on the child refer to it by name, so nothing else changes.
    """
    with _writable(base):
        command = ["commit", "-q", "-d", "-t", "writeback", "-f", "qcow2", "--", f"./{child.name}"]
        _qemu_img(command, child.parent, _Growth(base, cancel, copied), _LONG_S)
        size = read_header(child).size
        if read_header(base).size != size:
            shrink = ["resize", "-q", "-f", "qcow2", "--shrink", "--", f"./{base.name}", str(size)]
            _qemu_img(shrink, base.parent, NeverCancelled(), _LONG_S)
    move_file(base, child)


class _Growth:
    """A `Cancel` that tells on the way how much a file that another program writes has grown."""

    def __init__(self, file: Path, cancel: Cancel, copied: Copied) -> None:
        self._file, self._cancel, self._copied = file, cancel, copied
        self._size = self._occupied()

    def _occupied(self) -> int:
        return self._file.stat().st_blocks * SECTOR

    def check(self) -> None:
        """Tell, and raise `Cancelled` when the end was asked for."""
        size = self._occupied()
        if size > self._size:
            self._copied(size - self._size)
            self._size = size
        self._cancel.check()


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Let a sealed file be written for a while, then make it durable and read-only again."""
    path.chmod(0o600)
    yield
    path.chmod(0o440)
    _sync_file(path)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _relative(path: Path) -> str:
    """Return how a file in another layer's folder refers to this one."""
    return f"../{path.parent.name}/{path.name}"


def _qemu_img(command: Sequence[str], cwd: Path, cancel: Cancel, limit_s: int) -> None:
    try:
        run_tool(
            ["qemu-img", *command],
            cpu_s=limit_s,
            memory=_MEMORY,
            timeout_s=limit_s,
            cwd=cwd,
            check=cancel.check,
        )
    except ToolFailed as failed:
        said = str(failed.problem.facts.get("said", ""))
        if any(words in said for words in _FULL_WORDS):
            raise NoSpace(failed.problem) from failed
        raise LayerError(failed.problem) from failed


def _wrong(path: Path, found: str, wanted: str) -> LayerError:
    return LayerError(
        Problem(
            "layer.chain",
            f"The disk {safe(path.name)} of {safe(path.parent.name)} continues {safe(found)}, "
            f"not {safe(wanted)}.",
            "It was not opened.",
            "Somebody changed the file. Drop the layer; it is made again from its image files.",
            {"file": safe(str(path))},
        )
    )
