"""How far long work is, on standard error: one line rewritten, or plain lines now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from engine.api.words import eta, percent, rate, size
from engine.cli.cells import fit, pad
from engine.cli.output import columns
from engine.model.progress import Progress

REDRAW_S, PLAIN_S = 0.2, 5.0


def line_of(progress: Progress, what: str = "") -> str:
    """Return a moment of work as one line."""
    amount = size(progress.done)
    if progress.total:
        amount = f"{amount} of {size(progress.total)}"
    parts = [
        " ".join(part for part in (what, progress.step) if part),
        percent(progress.done, progress.total),
        amount,
        rate(progress.rate) if progress.rate is not None else "",
        f"{eta(progress.eta_s)} left" if progress.eta_s is not None else "",
    ]
    return "  ".join(part for part in parts if part)


class ProgressLine:
    """Shows progress; may be told from any thread. `end` leaves the terminal clean."""

    def __init__(
        self,
        what: str = "",
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            what: What is being worked on, shown first.
            stream: Standard error without it.
            monotonic: Seconds that never jump.
        """
        self._what, self._stream = what, stream or sys.stderr
        self._live = self._stream.isatty()
        self._monotonic = monotonic
        self._told = float("-inf") if self._live else monotonic()
        self._drawn = False
        self._lock = threading.Lock()

    def __call__(self, progress: Progress) -> None:
        """Take the newest figures; drawn at most five times a second."""
        with self._lock:
            now = self._monotonic()
            if now - self._told < (REDRAW_S if self._live else PLAIN_S):
                return
            self._told = now
            line = line_of(progress, self._what)
            if self._live:
                width = columns(self._stream)
                self._write("\r" + pad(fit(line, width), width))
                self._drawn = True
            else:
                self._write(line + "\n")

    def end(self) -> None:
        """Clear the line; repeatable."""
        with self._lock:
            if self._drawn:
                self._write("\r" + " " * columns(self._stream) + "\r")
                self._drawn = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
