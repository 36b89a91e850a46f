"""Wait for the end of a program without looking at the clock.

`Popen.wait` with a time limit looks every 50 ms whether the program has ended; a conversion runs a
dozen short programs, one after the other. The kernel tells the end of one at once.
"""

from __future__ import annotations

import os
import select
import subprocess


def wait_for(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    """Return the exit code of a program as soon as it has ended.

    Raises:
        subprocess.TimeoutExpired: It runs on after so many seconds.
    """
    if process.poll() is None:
        handle = os.pidfd_open(process.pid)
        try:
            waiting = select.poll()
            waiting.register(handle, select.POLLIN)
            waiting.poll(timeout_s * 1000)
        finally:
            os.close(handle)
    if (code := process.poll()) is None:
        raise subprocess.TimeoutExpired(process.args, timeout_s)
    return code
