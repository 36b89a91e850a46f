"""The way of frames to a terminal that may be slow: what is late is left out, not queued.

    write ─► grid ─► (woken) ─► difference ─► the terminal takes it, however long that lasts
                ▲                                   │
                └── newer frames replace older ones ┘

A queue of frames would show old ones first, and then block the program. Here one thread waits for
the terminal; whoever writes never does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from tui.grid import Grid

FIRST_S = 0.3
"""The first frame waits so long for something to show: the empty screen would only cost bytes."""
TOGETHER_S = 0.005
"""Frames that follow one another so closely are one."""
LEAVE_S = 2.0
"""At the end the terminal may take so long for the rest."""


class Sink(Protocol):
    """Where bytes go; it never raises."""

    def write(self, text: str) -> None:
        """Take text."""

    def flush(self) -> None:
        """Hand it on; blocks while the terminal takes nothing."""


class Outlet:
    """A terminal's newest picture and the thread that brings it there."""

    def __init__(self, sink: Sink, rate: float | None = None) -> None:
        """Know nothing of the size yet.

        Args:
            rate: Bytes a second that the line carries; None: whatever it takes. A line that buffers
                is not given more than it carries, or keys would be answered behind what it holds.
        """
        self._sink, self._rate = sink, rate
        self._size = (80, 24)
        self._grid = Grid(*self._size)
        self._lock = threading.Lock()
        self._woken, self._ready = threading.Event(), threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
            self._thread.start()

    def write(self, text: str) -> None:
        """Take what shall stand there; never blocks on the terminal."""
        self._change(lambda: self._feed(text))

    def resize(self, width: int, height: int) -> None:
        """Take another size with the next frame, which is sent whole.

        Called from a signal handler, which may have interrupted `write`: so it takes no lock.
        """
        self._size = (width, height)

    def _feed(self, text: str) -> None:
        if self._size != (self._grid.width, self._grid.height):
            self._grid.resize(*self._size)
        self._grid.feed(text)

    def forget(self) -> None:
        """Send everything again, whatever may stand there."""
        self._change(self._grid.forget_all)

    def ready(self) -> None:
        """Say that there is something to show."""
        self._ready.set()

    def stop(self) -> None:
        """Send the rest, but wait for no terminal that takes nothing."""
        self._ending.set()
        self._ready.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(LEAVE_S)

    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()
        self._woken.set()

    def _run(self) -> None:
        self._woken.wait()
        self._ready.wait(FIRST_S)
        while True:
            self._woken.wait()
            self._ending.wait(TOGETHER_S)
            self._woken.clear()
            with self._lock:
                text = self._grid.difference()
            if text:
                self._sink.write(text)
                self._sink.flush()
            if self._ending.is_set() and not self._woken.is_set():
                return
            if self._rate and text:
                self._ending.wait(len(text) / self._rate)
