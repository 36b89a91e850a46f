"""Processor time of all processes below this one, also of those that nobody waits for.

bubblewrap ends without waiting for its sandbox's first process, so that `wait4` does not tell what
a virtual machine in it used. Hence they are looked at while they run, five times a second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PERIOD_S = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")


class Watch:
    """Sums the processor time of descendants; `seconds` is right up to 0.2 s a process."""

    def __init__(self) -> None:
        """Begin with what is used already, which does not count."""
        self._used: dict[tuple[int, int], int] = {}
        self._end = threading.Event()
        self._look()
        self._before = sum(self._used.values())

    @property
    def seconds(self) -> float:
        """Seconds of processor time since the beginning."""
        return (sum(self._used.values()) - self._before) / _TICKS

    def run(self) -> None:
        """Look until the end."""
        while not self._end.wait(PERIOD_S):
            self._look()

    def end(self) -> None:
        """Stop looking."""
        self._look()
        self._end.set()

    def _look(self) -> None:
        rows = [row for path in Path("/proc").glob("[0-9]*/stat") if (row := _row(path))]
        parents = {pid: parent for pid, parent, _, _ in rows}
        for pid, _, started, used in rows:
            above, depth = parents.get(pid, 0), 0
            while above not in (0, os.getpid()) and depth < 64:
                above, depth = parents.get(above, 0), depth + 1
            if above == os.getpid():
                self._used[pid, started] = max(used, self._used.get((pid, started), 0))


def _row(path: Path) -> tuple[int, int, int, int] | None:
    """Return pid, parent, start, used ticks; None for a process that is gone (proc(5))."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    pid = int(path.parent.name)
    return pid, int(fields[1]), int(fields[19]), int(fields[11]) + int(fields[12])


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch descendants in a thread of its own."""
    watch = Watch()
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()
