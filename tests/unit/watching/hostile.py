"""Image formats whose parsers fall for what files do to them."""

from __future__ import annotations

import os
from pathlib import Path

from engine.model.images import ImagePart
from tests.arrivals import JsonFormat


class Greedy(JsonFormat):
    """Believes a file that asks for 4 GiB."""

    def describe(self, fd: int, path: str) -> ImagePart:
        """Allocate, then parse."""
        if b"greedy" in os.pread(fd, 64, 0):
            bytes(4 << 30)
        return super().describe(fd, path)


class Endless(JsonFormat):
    """Follows a circle for ever."""

    def describe(self, fd: int, path: str) -> ImagePart:
        """Turn round and round."""
        while b"endless" in os.pread(fd, 64, 0):
            pass
        return super().describe(fd, path)


class Writing(JsonFormat):
    """Is talked into writing a file."""

    def describe(self, fd: int, path: str) -> ImagePart:
        """Write, then parse."""
        own = Path(f"/proc/self/fd/{fd}").readlink()
        own.with_name(own.name + ".written").write_bytes(b"x")
        return super().describe(fd, path)
