"""Where an engine may answer. Standard library only: front ends look here before anything else.

--socket, BOOTPOINT_SOCKET, engine.toml, /run/bootpoint/engine.sock, <state>/engine.sock
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/run/bootpoint/engine.sock")
NAME = "engine.sock"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to knock.

    Attributes:
        socket: The door.
        state: The engine's state folder, for its log and the last picture.
    """

    socket: Path
    state: Path


def usual_state(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the state folder of an engine without configuration."""
    if os.geteuid() == 0:
        return Path("/var/lib/bootpoint")
    home = Path(environ.get("HOME") or "/")
    return Path(environ.get("XDG_STATE_HOME") or home / ".local/state") / "bootpoint"


def usual_config(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the engine looks for its configuration."""
    if os.geteuid() == 0:
        return Path("/etc/bootpoint/engine.toml")
    home = Path(environ.get("HOME") or "/")
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "bootpoint/engine.toml"


def find(
    socket: Path | None, config: Path | None, environ: Mapping[str, str] = os.environ
) -> Place:
    """Return where to knock: the first place named, else the first that exists.

    Args:
        socket: From the command line.
        config: engine.toml from the command line.
        environ: For `BOOTPOINT_SOCKET` and the user's folders.
    """
    told = _told(config or usual_config(environ))
    state = told.state if told else usual_state(environ)
    named = socket or (Path(text) if (text := environ.get("BOOTPOINT_SOCKET", "")) else None)
    if named is not None:
        beside = named.absolute().parent
        return Place(named.absolute(), beside if (beside / "view").is_dir() else state)
    if config is not None and told is not None:
        return told
    places = [*([told] if told else []), Place(SYSTEM, usual_state(environ))]
    last = Place(state / NAME, state)
    return next((place for place in places if place.socket.exists()), last)


def _told(config: Path) -> Place | None:
    """Return what engine.toml says; None where it cannot be read (the engine tells why)."""
    if not config.exists():
        return None
    import tomllib

    try:
        told = tomllib.loads(config.read_text())
    except (OSError, ValueError):
        return None
    folder = config.absolute().parent
    state = _path(told.get("state_dir"), folder) or usual_state()
    return Place(_path(told.get("socket"), folder) or state / NAME, state)


def _path(text: object, folder: Path) -> Path | None:
    if not isinstance(text, str) or not text:
        return None
    told = Path(text).expanduser() if text.startswith("~/") else Path(text)
    return Path(os.path.normpath(folder / told))
