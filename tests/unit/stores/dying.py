"""A process that dies at its n-th contact with the file system, without leaving this one.

Python tells an audit hook before each contact. From the chosen one on every contact raises, so
that no cleaning up happens either, as after SIGKILL.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

CONTACTS = frozenset(
    {
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.mkdir",
        "os.chmod",
        "os.truncate",
        "fcntl.ioctl",
        "subprocess.Popen",
    }
)


class Dead(BaseException):
    """The process is no more."""


class _Fuse:
    armed, left, seen = False, 0, 0

    def __call__(self, event: str, _args: object) -> None:
        """Count a contact; raise from the chosen one on."""
        if self.armed and event in CONTACTS:
            self.seen += 1
            if self.seen > self.left:
                raise Dead


_fuse = _Fuse()
sys.addaudithook(_fuse)


@contextlib.contextmanager
def dying_after(contacts: int) -> Iterator[None]:
    """Let so many contacts happen, then none any more."""
    _fuse.armed, _fuse.left, _fuse.seen = True, contacts, 0
    try:
        yield
    finally:
        _fuse.armed = False
