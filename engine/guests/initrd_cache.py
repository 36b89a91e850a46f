"""Finished overlay initrds, kept for the next increment of every machine.

    FOLDER/KEY = sha256 of the archive (32 bytes) │ archive

The key is made of digests of everything that went in, so guests cannot give one another anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded

_KEY = re.compile(r"[0-9a-f]{64}")
_DIGEST = 32
_LIMIT = 160 << 20
KEPT = 64
"""Archives that are kept; each is about 1.5 MB, and each kernel of each machine has one."""


@dataclass(frozen=True, slots=True)
class OverlayCache:
    """A folder of finished archives, of which nothing is lost when it is deleted."""

    folder: Path

    def get(self, key: str) -> bytes | None:
        """Return an archive; None when it is not there or no longer what was put."""
        try:
            data = read_bounded(self._path(key), _LIMIT)
        except OSError:
            return None
        archive = data[_DIGEST:]
        return archive if hashlib.sha256(archive).digest() == data[:_DIGEST] else None

    def put(self, key: str, archive: bytes) -> None:
        """Keep an archive, whole or not at all; the oldest go when there are too many.

        Raises:
            OSError: It could not be written; what was there stays.
        """
        path = self._path(key)
        make_folder(self.folder)
        with open_folder(self.folder) as folder:
            durable_replace(folder, path.name, hashlib.sha256(archive).digest() + archive)
        for old in self._by_age()[:-KEPT]:
            old.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is no key")
        return self.folder / key

    def _by_age(self) -> Sequence[Path]:
        """Return all archives, the oldest first."""
        ages: list[tuple[int, Path]] = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if _KEY.fullmatch(path.name):
                    ages.append((path.stat().st_mtime_ns, path))
        return [path for _age, path in sorted(ages)]
