"""The part of the table of commands that is about when boot points are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.cli.option import MACHINE, Command, Option

SOME = Option(("machine",), "the standby's name", "MACHINE", nargs="?", default="", kind="machine")
ALL = Option(("--all",), "every machine", flag=True, dest="every")
UNTIL = Option(
    ("--until", "--for"),
    "how long, such as 4h or 1d12h, or until when: 18:00, '2026-11-30 18:00'",
    "TIME",
    default="",
)
REASON = Option(("--reason",), "why, for the others", "TEXT", default="")

_NOW = Command(
    "now",
    "Make a boot point of the newest images now; no blackout window or pause holds it up.",
    "pausing:now",
    ("bootpoint now erp", "bootpoint now erp --dry-run", "bootpoint now erp --json"),
    (MACHINE, Option(("--dry-run",), "only say what would be done", flag=True)),
)
_PAUSE = Command(
    "pause",
    "Make no further boot points of a machine, for a while or until it is resumed.",
    "pausing:pause",
    (
        "bootpoint pause erp --for 4h --reason 'moving to a new server'",
        "bootpoint pause erp --until '2026-11-30 18:00'",
        "bootpoint pause --all --until 18:00 --reason 'work on the storage'",
    ),
    (SOME, ALL, UNTIL, REASON),
)


def _once(command: Command, name: str) -> Command:
    """Return a command under the name that it once had, hidden."""
    first, second, third = (
        one.replace(f"bootpoint {command.name}", f"bootpoint {name}") for one in command.examples
    )
    return replace(command, name=name, examples=(first, second, third), hidden=True)


PAUSING: Sequence[Command] = (
    _NOW,
    _once(_NOW, "build"),
    _PAUSE,
    _once(_PAUSE, "hold"),
    Command(
        "resume",
        "Make boot points of a paused machine again.",
        "pausing:resume",
        ("bootpoint resume erp", "bootpoint resume --all", "bootpoint resume erp --json"),
        (SOME, ALL),
    ),
)
"""`build` and `hold` are what `now` and `pause` were called first; they go on working."""
