"""What can befall a call to the host, planned by a test: the proxy carries it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Answer with a fault, in place of the call or, `after` it, in place of the answer."""

    name: str
    text: str = "as planned"
    privilege: str = "VirtualMachine.Inventory.Create"
    after: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    """Close the connection before the call is passed on, or `after` its effect."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """Answer with an HTTP code and nothing else."""

    status: int


@dataclass(frozen=True, slots=True)
class Delay:
    """Pass the call on after some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answer, and never close the connection.

    Attributes:
        passes: Pass the call on all the same, once this has returned; None: never.
    """

    passes: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Trickle:
    """Answer byte by byte, each after some seconds, for ever."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Late:
    """Close the connection at once, and pass the call on only some seconds later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Queued:
    """Begin a task of a VM that stays queued for some seconds before it does its work."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Says:
    """Answer with other bytes, as whatever stands in the host's place does.

    Attributes:
        half: Answer with the first half of what the host says, after the effect.
        packed: The bytes are called gzip.
    """

    body: bytes = b""
    status: int = 200
    after: bool = False
    half: bool = False
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Raw:
    """Send these very bytes, head and all, and close the connection.

    Attributes:
        host: What the host says is put in their place of `%b`, after the effect.
        reset: The connection is reset, not closed in order.
        stays: It is left open, and nothing more comes.
    """

    data: bytes
    host: bool = False
    reset: bool = False
    stays: bool = False


@dataclass(frozen=True, slots=True)
class Spoil:
    """Let the task do its work, and end with a fault all the same."""

    name: str


Step = Queued | Spoil | Says | Raw | Fault | Drop | Code | Delay | Hang | Trickle | Late
