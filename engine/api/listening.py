"""Where the door is: a Unix socket that only members of the group bootpoint can reach."""

from __future__ import annotations

import logging
import os
import socket
import stat
from pathlib import Path

from engine.api.roles import GROUPS, known_groups
from engine.local.durable import make_folder
from engine.model.errors import Problem, Refused
from engine.model.text import safe

log = logging.getLogger(__name__)

MOST_CLIENTS = 32


def listen(path: Path) -> socket.socket:
    """Return a listening socket, mode 0660, of the group bootpoint where that can be.

    A socket that nobody answers is replaced.

    Raises:
        Refused: Somebody answers there, or it is no socket.
    """
    make_folder(path.parent, 0o750)
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    group = known_groups().get(GROUPS[0])
    if group is not None and os.geteuid() == 0:
        os.chown(path, -1, group, follow_symlinks=False)
    listener.listen(MOST_CLIENTS)
    return listener


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Refused(
            Problem(
                "door.taken",
                f"{safe(str(path), 200)} is there already, and is no socket.",
                "It was left as it is.",
                "Move it away, or give the engine another socket.",
            )
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            log.warning("probing %s: %s", path, error)
    raise Refused(
        Problem(
            "door.answered",
            f"Another engine answers at {safe(str(path), 200)}.",
            "It goes on undisturbed.",
            "Use that one, or stop it first.",
        )
    )
