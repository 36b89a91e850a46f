"""A program that answers for as long as a backend is open: how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import IO


def end(process: subprocess.Popen[bytes], streams: Sequence[IO[bytes]]) -> None:
    """Kill a program with all that it started and close its streams; also when it is forgotten."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    for stream in streams:
        with contextlib.suppress(OSError):
            stream.close()
    process.wait()
