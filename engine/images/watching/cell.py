"""Parses hostile files in child processes that may use little and write nothing.

    Confined ─ descriptor, path ─► child: limits set, the real format's `describe`
             ◄─ ImagePart, or why not ─┘

A file that has a parser eat memory or time costs a child, never the engine. `Confined` is an
`ImageFormat` around another one; only `describe` goes through a child, since all else reads no
more than what `describe` has judged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from importlib import import_module

import msgspec

from engine.model.errors import FormatError, Problem
from engine.model.images import ImagePart
from engine.model.text import safe
from engine.ports import DiskReader, ImageFormat

log = logging.getLogger(__name__)

MEMORY = 512 << 20
CPU_S = 60
FILES = 64
_LONGEST_PATH = 65536
_LONGEST_REPLY = 32 << 20
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class _Reply:
    """What a child found: exactly one of part, problem and error number."""

    part: ImagePart | None = None
    problem: Problem | None = None
    number: int | None = None
    text: str = ""


class Confined:
    """An image format whose parser runs in children, one for each thread that parses at a time."""

    def __init__(self, inner: ImageFormat, *, memory: int = MEMORY, cpu_s: int = CPU_S) -> None:
        """Start no child yet.

        Args:
            inner: Its class must be importable and need no arguments.
            memory: Bytes of address space a child may use.
            cpu_s: Processor seconds for one file.
        """
        self.name = inner.name
        self.quiet_s = inner.quiet_s
        self._inner = inner
        self._limits = (str(memory), str(cpu_s))
        self._idle: list[_Child] = []
        self._lock = threading.Lock()

    def recognises(self, name: str, head: bytes) -> bool:
        """Tell whether a file of this name with these first 4096 bytes is of this format."""
        return self._inner.recognises(name, head)

    def describe(self, fd: int, path: str) -> ImagePart:
        """Read header, end mark and index structure of an open file, in a child.

        Raises:
            FormatError: As the format says, and where its parser used too much.
        """
        # A child may die of something else once; of the same file twice it is the file.
        reply = self._ask(fd, path) or self._ask(fd, path)
        if reply is None:
            raise FormatError(_too_much(path))
        return _judged(reply, path)

    def _ask(self, fd: int, path: str) -> _Reply | None:
        """Return what a child says of a file; None when that was its death."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None:
            child = _Child(type(self._inner), self._limits)
        try:
            reply = child.ask(fd, path)
        except (OSError, EOFError, msgspec.DecodeError):
            log.warning("a parser died of %s", safe(path, 200))
            child.close()
            return None
        except BaseException:
            child.close()
            raise
        with self._lock:
            self._idle.append(child)
        return reply

    def open_disk(self, fd: int, path: str) -> DiskReader:
        """Return a reader of the disk in an open file; the reader owns a duplicate of `fd`."""
        return self._inner.open_disk(fd, path)

    def close(self) -> None:
        """End the children; the next file gets a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()


class _Child:
    """One child process; for one thread at a time."""

    def __init__(self, kind: type[ImageFormat], limits: tuple[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*command, kind.__module__, kind.__qualname__, *limits],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        self._socket = ours

    def ask(self, fd: int, path: str) -> _Reply:
        """Have a file described. EOFError or OSError when the child died."""
        name = os.fsencode(path)[-_LONGEST_PATH:]
        socket.send_fds(self._socket, [_LENGTH.pack(len(name)) + name], [fd])
        return msgspec.json.decode(_receive(self._socket, _LONGEST_REPLY), type=_Reply)

    def close(self) -> None:
        """End the child."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def _judged(reply: _Reply, path: str) -> ImagePart:
    if reply.problem is not None:
        raise FormatError(reply.problem)
    if reply.part is None:
        raise OSError(reply.number or 0, reply.text, path)
    part = reply.part
    nics = tuple(replace(nic, addresses=tuple(nic.addresses)) for nic in part.hints.nics)
    return replace(
        part,
        path=path,
        disks=tuple(part.disks),
        hints=replace(part.hints, nics=nics),
        replaces=tuple(part.replaces),
        replaced_roots=tuple(part.replaced_roots),
    )


def _too_much(path: str) -> Problem:
    name = safe(path.rpartition("/")[2], 120)
    return Problem(
        "image.damaged",
        f"{name} could not be understood: its structure asked for more memory or time than any "
        "image needs.",
        remedy="Replicate the file again; if that does not help, it is no good image.",
    )


def _receive(link: socket.socket, longest: int) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size))
    if length > longest:
        raise EOFError(f"a message of {length} bytes")
    return _exactly(link, length)


def _exactly(link: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        more = link.recv(min(length - len(data), 1 << 20))
        if not more:
            raise EOFError("the other side is gone")
        data += more
    return bytes(data)


# --- in the child ---------------------------------------------------------------------------


def _serve(link: socket.socket, known: ImageFormat, cpu_s: int) -> None:
    while True:
        first, fds, _, _ = socket.recv_fds(link, _LENGTH.size, 1)
        if not first:
            return
        first += _exactly(link, _LENGTH.size - len(first))
        path = os.fsdecode(_exactly(link, _LENGTH.unpack(first)[0]))
        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime) + cpu_s + 1
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
        reply = msgspec.json.encode(_answer(known, fds[0], path))
        link.sendall(_LENGTH.pack(len(reply)) + reply)


def _answer(known: ImageFormat, fd: int, path: str) -> _Reply:
    try:
        return _Reply(part=replace(known.describe(fd, path), path=""))
    except FormatError as error:
        return _Reply(problem=error.problem)
    except OSError as error:
        return _Reply(number=error.errno, text=error.strerror or "")
    finally:
        os.close(fd)


def _confine(memory: int) -> None:
    for what, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES),
    ):
        resource.setrlimit(what, (limit, limit))


def main() -> None:
    """Serve as a child: link's descriptor, module, class, memory and seconds as arguments."""
    number, module, name, memory, cpu_s = sys.argv[1:]
    known: ImageFormat = getattr(import_module(module), name)()
    link = socket.socket(fileno=int(number))
    _confine(int(memory))
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        _serve(link, known, int(cpu_s))


if __name__ == "__main__":
    main()
