"""What every command gets: the global options, and the way to the engine."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.output import Output
from engine.model.errors import Problem, Refused

if TYPE_CHECKING:
    from engine.api.client import Client
    from engine.api.sockets import Place


@dataclass(frozen=True, slots=True)
class Context:
    """The global options of one call of the program."""

    output: Output = field(default_factory=Output)
    socket: Path | None = None
    config: Path | None = None
    read_only: bool = False
    lang: str = ""

    def place(self) -> Place:
        """Return where the engine answers."""
        from engine.api.sockets import find

        return find(self.socket, self.config)

    def client(self, *, timeout_s: float | None = None) -> Client:
        """Connect to the engine. EngineAway when none answers."""
        from engine.api.client import CALL_S, Client

        want = "viewer" if self.read_only else "admin"
        return Client(self.place().socket, want=want, timeout_s=timeout_s or CALL_S)

    def may_change(self, command: str) -> None:
        """Go on, unless nothing may be changed: for what goes past the engine.

        Raises:
            Refused: `--read-only` was given.
        """
        if self.read_only:
            raise Refused(
                Problem(
                    "client.read-only",
                    f"`bootpoint {command}` changes something, and --read-only was given.",
                    "Nothing was changed.",
                    "Leave --read-only out.",
                )
            )

    def typed_name(self, expected: str, given: str, question: str) -> str:
        """Return the name that confirms a dangerous command.

        Args:
            expected: The name.
            given: From the command line; empty: it is asked for, on a terminal only.
            question: What will happen, one sentence.

        Raises:
            Refused: There is no terminal to ask on.
        """
        if given:
            return given
        if not (sys.stdin.isatty() and sys.stderr.isatty()) or self.output.as_json:
            raise Refused(
                Problem(
                    "confirm.missing",
                    f"{question} This must be confirmed with the name.",
                    "Nothing was changed.",
                    f"Add: --yes-i-mean {expected}",
                    {"expected": expected},
                )
            )
        sys.stderr.write(f"{question}\nType the name {expected} to confirm: ")
        sys.stderr.flush()
        return sys.stdin.readline().strip()


def wish_key() -> str:
    """Return a key for one wish: the same for each try of it, no other's."""
    return os.urandom(12).hex()
