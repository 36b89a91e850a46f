"""How long one call may take in all, and how much it may bring.

A time-out of a socket begins anew with every byte: a host that sends one byte a second is never
late by it. So each call has an allowance of its own, and every reading of the socket looks at it.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

WHOLE = 5
"""A whole answer may take so many times as long as its first byte."""
MOST_BYTES = 16 << 20
"""No answer that is asked for here is nearly as long; the library reads half a MiB a second."""


class TooLong(HTTPException):
    """An answer is longer than any should be."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the answer is longer than any should be")


class _Allowance(threading.local):
    """What the call of this thread has left; without a call nothing is counted."""

    until: float | None = None
    left: int = MOST_BYTES


_ALLOWANCE = _Allowance()


@contextlib.contextmanager
def at_most(seconds: float, size: int = MOST_BYTES) -> Iterator[None]:
    """Give this thread's connections so many seconds and bytes to read, all together.

    Past them a reading raises TimeoutError, or TooLong.
    """
    _ALLOWANCE.until, _ALLOWANCE.left = time.monotonic() + seconds, size
    try:
        yield
    finally:
        _ALLOWANCE.until = None


class PatientSocket(ssl.SSLSocket):
    """A socket that knows when its call is over."""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read as usual, but no longer and no more than the call may."""
        if _ALLOWANCE.until is None:
            return super().recv_into(buffer, nbytes, flags)
        if _ALLOWANCE.left <= 0:
            raise TooLong
        usual, seconds = self.gettimeout(), _ALLOWANCE.until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the answer takes too long as a whole")
        if usual is not None and usual <= seconds:
            got = super().recv_into(buffer, nbytes, flags)
        else:
            self.settimeout(seconds)
            try:
                got = super().recv_into(buffer, nbytes, flags)
            finally:
                self.settimeout(usual)
        _ALLOWANCE.left -= got
        return got


class Measured:
    """An answer as its reader gets it: unpacked, which may be a thousand times what came."""

    def __init__(self, answer: Any) -> None:
        """Measure what is read of it."""
        self._answer, self._left = answer, MOST_BYTES

    def read(self, size: int) -> bytes:
        """Return the next bytes. TimeoutError or TooLong past what the call may."""
        if _ALLOWANCE.until is not None and time.monotonic() > _ALLOWANCE.until:
            raise TimeoutError("the answer takes too long as a whole")
        data: bytes = self._answer.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TooLong
        return data
