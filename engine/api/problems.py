"""Errors on their way through the door: problems into wire errors, and the ones the door makes."""

from __future__ import annotations

import logging

from engine.api.wire import (
    BAD_VALUE,
    BUSY,
    FAILED,
    INTERNAL,
    INVALID,
    MOVED,
    NO_METHOD,
    NOT_FOUND,
    PARSE,
    REFUSED,
    ROLE,
    ErrorData,
    WireError,
)
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse

log = logging.getLogger(__name__)

_BUSY_KEYS = frozenset({"vm.busy", "job.stuck", "door.busy"})


class Denied(Refused):
    """The peer's role does not allow it."""


class Moved(Refused):
    """What the plan was made of is not so any more."""


class Busy(Refused):
    """Somebody else's action on the machine has not ended, or there are too many clients."""


class Protocol(Failure):
    """The peer does not speak the protocol; `code` says how."""

    def __init__(self, code: int, problem: Problem) -> None:
        """Keep the code and the problem."""
        super().__init__(problem)
        self.code = code


def wire_error(error: BaseException) -> WireError:
    """Return an exception as the peer shall see it; unknown ones are logged and kept short."""
    if not isinstance(error, Failure):
        log.error("call failed", exc_info=error)
        problem = Problem(
            "engine.bug",
            f"The engine met an error it does not know: {type(error).__name__}.",
            "",
            "Look at the engine's log, which has the details.",
        )
        return _told(INTERNAL, problem)
    return _told(_code(error), error.problem)


def _code(error: Failure) -> int:
    match error:
        case Protocol():
            return error.code
        case Denied():
            return ROLE
        case Moved():
            return MOVED
        case NotFound():
            return NOT_FOUND
        case WrongUse():
            return BAD_VALUE
        case _ if isinstance(error, Busy) or error.problem.key in _BUSY_KEYS:
            return BUSY
        case Refused():
            return REFUSED
        case _:
            return FAILED


def _told(code: int, problem: Problem) -> WireError:
    data = ErrorData(
        key=problem.key,
        happened=problem.happened,
        unchanged=problem.unchanged,
        remedy=problem.remedy,
        facts=dict(problem.facts),
    )
    return WireError(code=code, message=problem.happened, data=data)


def bad_json(why: str) -> Protocol:
    """Return the error for a line that is no message."""
    return Protocol(
        PARSE,
        Problem("wire.parse", f"The line is not a message of this protocol: {why}."),
    )


def too_long(limit: int) -> Protocol:
    """Return the error for a line over the limit."""
    return Protocol(INVALID, Problem("wire.long", f"The line is longer than {limit} bytes."))


def answer_too_long(limit: int) -> Failure:
    """Return the error for an answer that fits into no frame."""
    return Failure(
        Problem(
            "wire.answer",
            f"The answer is longer than {limit} bytes.",
            "",
            "Ask for less at once.",
        )
    )


def too_slow(seconds: float) -> Protocol:
    """Return the error for a line that was begun and not ended."""
    return Protocol(
        INVALID, Problem("wire.slow", f"The line was not complete within {seconds:.0f} s.")
    )


def hello_first() -> Protocol:
    """Return the error for a call before `hello`."""
    return Protocol(INVALID, Problem("wire.hello", "The first call must be hello."))


def other_protocol(theirs: int, ours: int) -> Protocol:
    """Return the error for a peer of another version."""
    return Protocol(
        INVALID,
        Problem(
            "wire.proto",
            f"The engine speaks protocol {ours}, this client {theirs}.",
            "",
            "Run the bootpoint program that is installed on the engine's host.",
            {"engine": ours, "client": theirs},
        ),
    )


def no_method(name: str) -> Protocol:
    """Return the error for an unknown method; `name` is safe."""
    return Protocol(
        NO_METHOD,
        Problem(
            "wire.method",
            f"The engine has no call named {name}.",
            "",
            "Use a client of the engine's version.",
        ),
    )
