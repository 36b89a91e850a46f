"""The last full picture as a file, for when no engine answers: `<state>/view/last.json`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engine.api.views import LastView
from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded

NAME = "last.json"
_MOST = 64 << 20


def write_last(folder: Path, view: LastView) -> None:
    """Write the picture durably, readable for the folder's group. OSError when that fails."""
    make_folder(folder, 0o750)
    with open_folder(folder) as opened:
        durable_replace(opened, NAME, msgspec.json.encode(view))
        os.chmod(NAME, 0o640, dir_fd=opened)


def read_last(folder: Path) -> LastView | None:
    """Return the last picture; None when there is none that can be read."""
    try:
        return msgspec.json.decode(read_bounded(folder / NAME, _MOST), type=LastView)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
