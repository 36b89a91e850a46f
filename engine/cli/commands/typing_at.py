"""`bootpoint serial MACHINE --attach`: a guest's serial line, read and typed at.

What the guest prints passes as safe text, so it cannot steer this terminal, unless `--raw` is said.
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import signal
import sys
import termios
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from engine.api.guest_views import SerialView, TypedView
from engine.cli.commands.guest import extend, whole
from engine.cli.context import Context
from engine.cli.output import note
from engine.model.errors import Problem, Refused, WrongUse

if TYPE_CHECKING:
    from engine.api.client import Client

LEAVE = b"\x1d"
"""Ctrl-], as in virsh console and telnet."""
LINES, POLL_S, MOST = 20, 0.25, 1024
QUIET = 8
"""Looks without news after which a piped input has had its answer."""


def attach(context: Context, client: Client, machine: str, *, raw: bool) -> int:
    """Type what stands on standard input, until Ctrl-] or its end.

    Raises:
        Refused: This role may not type.
        WrongUse: JSON was asked for.
    """
    if context.output.as_json:
        raise WrongUse(Problem("use.attach-json", "--attach talks to a person, so it has no JSON."))
    if client.hello.role == "viewer":
        raise Refused(Problem("role.low", "Typing needs the role operator.", "Nothing was typed."))
    source = sys.stdin.fileno()
    if os.isatty(source):
        note(f"Typing at {machine}. Ctrl-] leaves; the VM runs on.")
        if raw:
            note("Raw bytes of a guest may steer this terminal.")
    with _unbuffered(source):
        _talk(client, machine, source, _Shown(client, machine, raw=raw))
    note(f"Left {machine}; it runs on.")
    return 0


def _talk(client: Client, machine: str, source: int, shown: _Shown) -> None:
    piped, quiet = not os.isatty(source), 0
    ended = False
    while not (ended and quiet >= QUIET):
        ready = select.select([] if ended else [source], [], [], POLL_S)[0]
        data = os.read(source, MOST) if ready else None
        if data == b"" or (data and LEAVE in data):
            ended = True
            quiet = 0 if piped else QUIET
        if data:
            _type(client, machine, data.partition(LEAVE)[0], piped=piped)
        quiet = 0 if shown.more() else quiet + 1


def _type(client: Client, machine: str, data: bytes, *, piped: bool) -> None:
    if not data:
        return
    data = data.replace(b"\n", b"\r") if piped else data
    told = client.call(
        "serial.type", TypedView, machine=machine, data=base64.b64encode(data).decode()
    )
    if told.taken < len(data):
        note(f"The guest took {told.taken} of {len(data)} bytes: it does not read its line now.")


class _Shown:
    """What was shown of the line so far."""

    def __init__(self, client: Client, machine: str, *, raw: bool) -> None:
        """Show the last lines there are."""
        self._client, self._machine, self._raw = client, machine, raw
        told = whole(client, machine, LINES)
        self._next, self._tail = told.next, ""
        if raw:
            return
        for line in told.lines:
            sys.stdout.write(f"{line}\n")
        self._tail = extend("", told.tail)

    def more(self) -> bool:
        """Show what is new; tell whether anything was."""
        told = self._client.call(
            "serial", SerialView, machine=self._machine, after=self._next, raw=self._raw
        )
        news = (told.next, told.tail) != (self._next, self._tail)
        self._next = told.next
        if self._raw:
            sys.stdout.buffer.write(base64.b64decode(told.data))
            sys.stdout.buffer.flush()
            return news
        for line in told.lines:
            extend(self._tail, line)
            sys.stdout.write("\n")
            self._tail = ""
        self._tail = extend(self._tail, told.tail)
        return news


@contextlib.contextmanager
def _unbuffered(source: int) -> Iterator[None]:
    """Let a terminal give every key at once; it is set back whatever ends us."""
    if not os.isatty(source):
        yield
        return
    before = termios.tcgetattr(source)
    keys = termios.tcgetattr(source)
    keys[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON)
    keys[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
    old = {number: signal.signal(number, _ended) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        termios.tcsetattr(source, termios.TCSADRAIN, keys)
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(source, termios.TCSANOW, before)
        for number, handler in old.items():
            signal.signal(number, handler)


def _ended(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
