"""What a client of the door may meet."""

from __future__ import annotations

from pathlib import Path

from engine.api.wire import BAD_VALUE, BUSY, MOVED, NOT_FOUND, REFUSED, ROLE, WireError
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse
from engine.model.text import safe


class EngineAway(Failure):
    """No engine answers, or the line to it is lost (CLI exit 3)."""


class RoleLow(Refused):
    """The role is too low."""


class StateMoved(Refused):
    """What the plan was made of is not so any more."""


class InTheWay(Refused):
    """Another action has not ended."""


_KINDS: dict[int, type[Failure]] = {
    REFUSED: Refused,
    ROLE: RoleLow,
    MOVED: StateMoved,
    BUSY: InTheWay,
    NOT_FOUND: NotFound,
    BAD_VALUE: WrongUse,
}


def failure_of(error: WireError) -> Failure:
    """Return a wire error as the exception that names its kind."""
    data = error.data
    problem = Problem(f"wire.{error.code}", error.message)
    if data is not None:
        happened = data.happened or error.message
        problem = Problem(data.key, happened, data.unchanged, data.remedy, data.facts)
    return _KINDS.get(error.code, Failure)(problem)


def away(path: Path, why: str) -> EngineAway:
    """Return the error for a door that does not open."""
    return EngineAway(
        Problem(
            "engine.away",
            f"No engine answers at {safe(str(path), 200)}: {why}.",
            "Nothing was changed; VMs that run go on.",
            "Start one with: systemctl start bootpoint, or: bootpoint engine. "
            "Another socket is named with --socket or BOOTPOINT_SOCKET.",
            {"socket": safe(str(path), 200)},
        )
    )


def lost(path: Path, why: str) -> EngineAway:
    """Return the error for a line that broke."""
    return EngineAway(
        Problem(
            "engine.lost",
            f"The line to the engine at {safe(str(path), 200)} was lost: {why}.",
            "What the engine was doing goes on if it runs.",
            "Ask again with: bootpoint status.",
            {"socket": safe(str(path), 200)},
        )
    )
