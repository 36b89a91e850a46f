"""A throw-away kernel as an ordinary process, with a guest's disks: started, asked, ended.

    disks ─ qemu-storage-daemon ─ vhost-user ─ linux.uml ─ inside.py     each in a sandbox, without
                                                │ /x                     network
                                 7.ask, 7.answer┘   a serial line rings

A kernel that a hostile file system made panic, or took over, is a child process that sees /usr
and one folder. What it answers is as little to be trusted as the file system itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from engine.guests.backend import GuestDisk
from engine.guests.backends.appliance import Scratch, chain
from engine.guests.backends.cage import WALLS
from engine.local.ending import wait_for
from engine.local.tools import ENVIRONMENT, ToolFailed
from engine.model.errors import Problem
from engine.model.text import safe

START_S = 60.0
ANSWER_S = 60.0
"""Longest wait for the start, and for one answer."""
END_S = 30.0
CPU_S = 900
"""Processor seconds of one kernel."""
MEMORY_MIB = 384
LONGEST = 300 << 20
"""Longest answer in bytes."""
_QUICK = ("lpj=20000000", "pty.legacy_count=0",
          "initcall_blacklist=raid6_select_algo,init_zswap,init_jfs_fs")  # fmt: skip
"""What the kernel need not do at its start, most of two seconds: measure its processor (the value
is for short busy waits of hardware drivers, and there are none), register 512 old terminals,
measure which RAID 6 arithmetic is fastest (no array of that level is ever opened), and prepare what
is not used. Names that another version does not know are passed over."""
_INSIDE = Path(__file__).with_name("inside.py")
_TELLING = (b"Kernel panic", b"bootpoint:", b"errno")
"""In the lines of a dying kernel that say why; the others are addresses."""
_LEASH = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("prlimit", "--core=0", f"--cpu={CPU_S}", "--nofile=4096", "--"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """An answer: JSON, and bytes."""

    value: object
    content: bytes


class RefusedInside(ToolFailed):
    """The kernel did not do what was asked, and goes on; `why` in its own words."""

    def __init__(self, why: str) -> None:
        """Keep the words."""
        super().__init__(_problem(f"could not do what was asked: {safe(why, 400)}", b""))
        self.why = why


class Kernel:
    """A running kernel; ended by `finish` or `close`, and with the thread that started it."""

    def __init__(
        self, disks: Sequence[GuestDisk], work: Path, *, is_writing: bool, shim: Path | None = None
    ) -> None:
        """Start it and wait until it answers.

        Args:
            disks: They become vda, vdb … in this order.
            work: Folder of the engine's own; a folder for this kernel is made in it.
            is_writing: Whether the disks may be written.
            shim: Library for processors with a long register state, see `shim`.

        Raises:
            ToolFailed: It could not be started.
        """
        self._scratch = Scratch(work)
        self._asked = 0
        self._processes: list[subprocess.Popen[bytes]] = []
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as we
        # UML itself chatters on standard output, so that bells have a line of their own.
        self._line, self._far = socket.socketpair()
        streams = (self._complaints, self._line, self._far)
        self._end = weakref.finalize(self, _end, self._processes, self._scratch, streams)
        try:
            self._daemon = self._serve_disks(disks, is_writing=is_writing) if disks else None
            self._uml = self._start_kernel(len(disks), shim)
            self._ring(b"0\n", START_S)
        except BaseException:
            self.close()
            raise

    @property
    def asked(self) -> int:
        """How many questions were asked."""
        return self._asked

    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._end.alive and all(process.poll() is None for process in self._processes)

    def ask(
        self, verb: str, body: bytes = b"", /, *, timeout_s: float = ANSWER_S, **values: object
    ) -> Asked:
        """Return the answer of `inside.py`.

        Raises:
            RefusedInside: It could not be done.
            ToolFailed: The kernel ended, or did not answer in time.
        """
        if not self._end.alive:
            raise ToolFailed(_problem("ended early", b""))
        self._asked += 1
        number = self._asked
        question = json.dumps({"verb": verb, **values}).encode()
        asked = self._scratch.path / f"{number}.ask"
        asked.write_bytes(struct.pack(">I", len(question)) + question + body)
        bell = b"%d\n" % number
        try:
            self._line.sendall(bell)
        except OSError as error:
            raise self._failed("ended early") from error
        self._ring(bell, timeout_s)
        asked.unlink(missing_ok=True)
        return self._read(self._scratch.path / f"{number}.answer")

    def finish(self) -> None:
        """Let it unmount everything and power off, and the disks' daemon write all it holds.

        Raises:
            ToolFailed: It did not end well; what was written may be lost.
        """
        try:
            self.ask("stop")
            wait_for(self._uml, END_S)
            if self._daemon is not None:
                cast("IO[bytes]", self._daemon.stdin).write(b'{"execute":"quit"}\n')
                if wait_for(self._daemon, END_S):
                    raise self._failed("lost its disks")
        except (OSError, subprocess.TimeoutExpired) as error:
            raise self._failed("did not end") from error
        finally:
            self.close()

    def close(self) -> None:
        """End it at once; repeatable."""
        self._end()

    def _serve_disks(
        self, disks: Sequence[GuestDisk], *, is_writing: bool
    ) -> subprocess.Popen[bytes]:
        daemon = self._start(_daemon(self._scratch.path, disks, is_writing=is_writing))
        with contextlib.suppress(OSError):
            cast("IO[bytes]", daemon.stdin).write(b'{"execute":"qmp_capabilities"}\n')
        self._await(cast("IO[bytes]", daemon.stdout).fileno(), b'{"return": {}}', START_S)
        return daemon

    def _start_kernel(self, disks: int, shim: Path | None) -> subprocess.Popen[bytes]:
        far = self._far.fileno()
        process = self._start(_uml(self._scratch.path, disks, shim, far), far)
        self._far.close()
        return process

    def _start(self, argv: Sequence[str], line: int | None = None) -> subprocess.Popen[bytes]:
        """Start a program; with a line it has no other input and output."""
        is_daemon = line is None
        try:
            process = subprocess.Popen(
                [*_LEASH, *argv],
                stdin=subprocess.PIPE if is_daemon else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_daemon else self._complaints,
                stderr=self._complaints,
                env=ENVIRONMENT,
                start_new_session=True,
                pass_fds=() if line is None else (line,),
                bufsize=0,
            )
        except OSError as error:
            raise ToolFailed(_problem(f"could not be started: {error}", b"")) from error
        self._processes.append(process)
        return process

    def _ring(self, bell: bytes, timeout_s: float) -> None:
        """Wait for a bell; whatever else rings is a kernel that is not ours any more."""
        if self._await(self._line.fileno(), b"\n", timeout_s) != bell:
            raise self._failed("answered something else")

    def _await(self, out: int, end: bytes, timeout_s: float) -> bytes:
        seen = b""
        until = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while end not in seen:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise self._failed(f"did not answer within {timeout_s:.0f} s")
                try:
                    piece = os.read(out, 4096)
                except ConnectionError:
                    piece = b""
                seen += piece
                if not piece or len(seen) > 1 << 16:
                    raise self._failed("ended early")
        return seen

    def _read(self, path: Path) -> Asked:
        try:
            raw = _content(path)
            end = len(raw) - 4
            start = end - struct.unpack_from(">I", raw, end)[0]
            if start < 0:
                raise ValueError("it is shorter than it says")
            told = cast("dict[str, Any]", json.loads(raw[start:end]))
            if "error" in told:
                raise RefusedInside(str(told["error"]))
            return Asked(told["answer"], raw[:start])
        except (OSError, ValueError, struct.error, TypeError, KeyError, RecursionError) as error:
            raise self._failed(f"answered nothing that can be read ({safe(str(error))})") from error
        finally:
            path.unlink(missing_ok=True)

    def _failed(self, how: str) -> ToolFailed:
        """End everything, and return the error with the kernel's last words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            wait_for(self._processes[-1], 1)  # its last words
        said = b""
        if not self._complaints.closed:
            size = os.fstat(self._complaints.fileno()).st_size
            said = os.pread(self._complaints.fileno(), 1 << 16, max(0, size - (1 << 16)))
        self.close()
        return ToolFailed(_problem(how, said))


def _content(path: Path) -> bytes:
    """Return a regular file's content, whatever lies there instead."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LONGEST:
            raise ValueError("it is no file, or too long")
        return file.read(LONGEST)


def _daemon(folder: Path, disks: Sequence[GuestDisk], *, is_writing: bool) -> Sequence[str]:
    """Return the command that shows disks to the kernel, each at a socket in the folder."""
    shared = ["--bind", str(folder), "/x"]
    below = [path for disk in disks if disk.format == "qcow2" for path in chain(disk.path)]
    for path in dict.fromkeys(below):
        shared += ["--ro-bind", str(path), str(path)]
    options: list[str] = ["--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"]
    for number, disk in enumerate(disks):
        path = disk.path.absolute()
        is_block = stat.S_ISBLK(path.stat().st_mode)
        how = "--dev-bind" if is_block else "--bind" if is_writing else "--ro-bind"
        shared += [how, str(path), str(path)]
        file = {
            "driver": "host_device" if is_block else "file",
            "filename": str(path),
            "node-name": f"file{number}",
            "read-only": not is_writing,
        }
        node = {  # the format is stated, or a guest could choose its own
            "driver": disk.format,
            "file": f"file{number}",
            "node-name": f"disk{number}",
            "read-only": not is_writing,
        }
        export = {
            "type": "vhost-user-blk",
            "id": f"export{number}",
            "node-name": f"disk{number}",
            "addr": {"type": "unix", "path": f"/x/{number}.socket"},
            "writable": is_writing,
        }
        options += ["--blockdev", json.dumps(file), "--blockdev", json.dumps(node)]
        options += ["--export", json.dumps(export)]
    return [*WALLS, *shared, "--", "qemu-storage-daemon", *options]


def _uml(folder: Path, disks: int, shim: Path | None, line: int) -> Sequence[str]:
    """Return the command of the kernel; its serial line is a descriptor of ours."""
    prefix = Path(sys.base_prefix).resolve()
    shared = ["--bind", str(folder), "/x", "--ro-bind", str(_INSIDE), "/inside.py"]
    own = ("--setenv", "HOME", "/tmp", "--dir", "/sys", "--dir", "/run", "--dir", "/mnt")  # noqa: S108 - the sandbox's own
    shared += [*own, "--tmpfs", "/dev/shm"]  # noqa: S108 - the sandbox's own
    if not prefix.is_relative_to("/usr"):
        shared += ["--ro-bind", str(prefix), str(prefix)]
    if shim is not None:
        shared += ["--ro-bind", str(shim), "/shim.so", "--setenv", "LD_PRELOAD", "/shim.so"]
    python = str(Path(sys.executable).resolve())
    kernel = ["linux.uml", f"mem={MEMORY_MIB}M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
              "selinux=0", "con=null", "con0=null,fd:2", "ssl=null", f"ssl0=fd:{line}", *_QUICK,
              *(f"virtio_uml.device=/x/{number}.socket:2" for number in range(disks)),
              f"init={python}", "--", "-I", "-S", "-X", "utf8", "/inside.py"]  # fmt: skip
    return [*WALLS, *shared, "--", *kernel]


def _end(
    processes: Sequence[subprocess.Popen[bytes]],
    scratch: Scratch,
    streams: Sequence[IO[bytes] | socket.socket],
) -> None:
    """Kill what runs and remove the folder, once."""
    for process in reversed(processes):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
    for opened in streams:
        opened.close()
    scratch.close()


def _problem(how: str, complaints: bytes) -> Problem:
    lines = complaints.splitlines()
    told = [line for line in lines if any(mark in line for mark in _TELLING)] or lines
    words = safe(b" ".join(b" ".join(told).split())[-600:], 600)
    return Problem(
        "tool.failed",
        f"The throw-away kernel (linux.uml) that reads the guest {how}."
        + (f" It said: {words}" if words else ""),
        "Only the twig of this conversion may have been written.",
        "Check that the guest's file system has free space and is healthy; let the backend guestfs "
        "convert this guest if this happens again.",
        {"tool": "linux.uml", "said": words},
    )
