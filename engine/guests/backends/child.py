"""A program that answers for as long as a backend is open: how it ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

PATIENCE_S = 10.0
"""How long the kernel may take to end what was killed."""


def end(process: subprocess.Popen[bytes], streams: Sequence[IO[bytes]]) -> None:
    """Kill a program with all that it started and close its streams; also when it is forgotten.

    A virtual machine that it started may still hold the disk for a moment after the program is
    gone: its end is waited for, so that nobody seals a disk that is still in use.
    """
    with contextlib.ExitStack() as stack:
        family = []
        if process.poll() is None:
            for pid in _family(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    family.append(os.pidfd_open(pid))
                    stack.callback(os.close, family[-1])
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for one in family:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(one, signal.SIGKILL)
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.close()
        process.wait()
        _await(family)


def _await(family: Sequence[int]) -> None:
    """Wait until processes have ended; given up when the kernel cannot end one."""
    until = time.monotonic() + PATIENCE_S
    for one in family:
        waiting = select.poll()
        waiting.register(one, select.POLLIN)
        waiting.poll(max(0.0, until - time.monotonic()) * 1000)


def _family(parent: int) -> Iterator[int]:
    """Yield the processes that a process started, and those that they did, wherever they run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(stat[1]), []).append(int(entry.name))
    found = list(children.get(parent, ()))
    for pid in found:
        found += children.get(pid, ())
        yield pid
