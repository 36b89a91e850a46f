"""What is made durable, and what gets its name, in the order in which it happens."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

_DRAFT = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each `fsync NAME` and `rename NAME` is added once it was done.

    A draft has the name that it is for; a rename is told by its new name.
    """
    seen: list[str] = []
    fsync, rename = os.fsync, os.rename  # noqa: TID251 - looked at, not used

    def synced(fd: int) -> None:
        fsync(fd)
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        draft = _DRAFT.fullmatch(name)
        seen.append(f"fsync {draft[1] if draft else name}")

    def renamed(old: str | Path, new: str | Path, **folders: int) -> None:
        rename(old, new, **folders)
        seen.append(f"rename {Path(new).name}")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    return seen
