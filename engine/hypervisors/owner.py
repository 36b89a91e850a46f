"""Which engine a VM belongs to: an id in the target's folder, and the same in each VM's mark."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded


def owner(folder: Path) -> str:
    """Return this target's id; it is made when there is none."""
    try:
        return read_bounded(folder / "owner", 64).decode("ascii").strip()
    except FileNotFoundError:
        made = str(uuid4())
        make_folder(folder)
        with open_folder(folder) as at:
            durable_replace(at, "owner", f"{made}\n".encode())
        return made


def known_owner(folder: Path) -> str:
    """Return this target's id, empty when it has none yet; nothing is made."""
    try:
        return read_bounded(folder / "owner", 64).decode("ascii").strip()
    except FileNotFoundError:
        return ""
