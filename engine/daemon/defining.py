"""Whether a standby may be added as somebody wants it."""

from __future__ import annotations

from pathlib import Path

from engine.daemon.engine import Engine
from engine.model.errors import Problem, Refused, WrongUse
from engine.model.standby import NAME, Standby
from engine.model.text import safe


def check_new(engine: Engine, standby: Standby) -> None:
    """Raise WrongUse or Refused when a standby cannot be added as it is told."""
    if not NAME.fullmatch(standby.name):
        raise WrongUse(
            Problem(
                "standby.name",
                f"{safe(standby.name)} cannot be a standby's name: small letters, digits and "
                "hyphens, at most 48, not beginning with a hyphen.",
            )
        )
    if standby.name in engine.standbys:
        raise Refused(
            Problem(
                "standby.exists",
                f"There is a standby named {standby.name} already.",
                "It was left as it is.",
                "Choose another name, or remove the old one first.",
            )
        )
    folder = Path(standby.images)
    if not folder.is_absolute() or not folder.is_dir():
        raise WrongUse(
            Problem(
                "standby.images",
                f"{safe(standby.images, 200)} is not a folder on this host.",
                "No standby was added.",
                "Give the absolute path of the folder that the image files are replicated to.",
            )
        )
    engine.target_of(standby)
