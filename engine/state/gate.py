"""One writer at a time."""

from __future__ import annotations

import threading
from types import TracebackType


class Gate:
    """A lock for one writing transaction; a thread that comes back while inside is told so."""

    def __init__(self) -> None:
        """Start open."""
        self._lock = threading.Lock()
        self._inside: int | None = None

    def __enter__(self) -> None:
        """Wait until nobody is inside, then go in."""
        if self._inside == threading.get_ident():
            raise RuntimeError("this thread has a writing transaction open already")
        self._lock.acquire()
        self._inside = threading.get_ident()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Go out."""
        self._inside = None
        self._lock.release()
