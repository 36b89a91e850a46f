"""A power cut at the n-th contact with the outside world.

Any implementation can be wrapped; the engine contains no test code. A dry run counts the
contacts; then each run blows at another one, and everything touched afterwards fails too, until
the fuse is renewed: nobody can clean up after a real power cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any


class PowerCut(BaseException):
    """Not an Exception: nothing in the engine may catch it and go on."""


class Fuse:
    """Counts contacts; blows at the `at`-th one (None: never) and stays blown."""

    def __init__(self, at: int | None = None) -> None:
        """Start unused."""
        self.at, self.count = at, 0

    def touch(self) -> None:
        """Count one contact."""
        self.count += 1
        if self.at is not None and self.count >= self.at:
            raise PowerCut(self.at)


_WRAPPED = (
    "MemoryChain",
    "_MemoryDevice",
    "_Change",
    "ReflinkChain",
    "Qcow2Chain",
    "FolderChain",
)


def fused(found: Any, fuse: Fuse) -> Any:
    """Wrap chains, devices and transactions; leave data alone."""
    if type(found).__name__ in _WRAPPED:
        return Fused(found, fuse)
    if isinstance(found, AbstractContextManager) and not hasattr(found, "keys"):
        return _fused_context(found, fuse)
    return found


@contextmanager
def _fused_context(inner: AbstractContextManager[Any], fuse: Fuse) -> Iterator[Any]:
    fuse.touch()
    with inner as value:
        yield fused(value, fuse)
        fuse.touch()
    fuse.touch()


class Fused:
    """An implementation with one contact before each effect and one after it."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        """Wrap `inner`."""
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        """Return the attribute; calls touch the fuse twice."""
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return self._calling(found)

    def _calling(self, found: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse.touch()
            result = found(*args, **kwargs)
            self._fuse.touch()
            return fused(result, self._fuse)

        return call
