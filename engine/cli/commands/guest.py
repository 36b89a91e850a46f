"""Commands that look into a running guest: its serial line and its screen."""

from __future__ import annotations

import base64
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from engine.api.views import ScreenView, SerialView
from engine.cli.context import Context
from engine.cli.output import note

if TYPE_CHECKING:
    from engine.api.client import Client

FOLLOW_S = 0.5


def serial(context: Context, *, machine: str, follow: bool, raw: bool, lines: int) -> int:
    """Print a machine's serial line; with `follow` go on for ever."""
    with context.client() as client:
        if raw:
            return _raw(context, client, machine, follow=follow)
        if context.output.as_json:
            return _as_json(context, client, machine, follow=follow, lines=lines)
        return _text(context, client, machine, follow=follow, lines=lines)


def _whole(client: Client, machine: str, keep: int) -> SerialView:
    """Return the last `keep` lines that there are now."""
    told, kept = SerialView(next=0), list[str]()
    while True:
        before = told.next
        told = client.call("serial", SerialView, machine=machine, after=before)
        kept = [*kept, *told.lines][-keep:]
        if told.next == before:
            return SerialView(lines=kept, tail=told.tail, next=told.next)


def _as_json(context: Context, client: Client, machine: str, *, follow: bool, lines: int) -> int:
    told = _whole(client, machine, lines)
    context.output.object(machine=machine, lines=told.lines, tail=told.tail, next=told.next)
    pause = threading.Event()
    while follow:
        pause.wait(FOLLOW_S)
        context.output.check()
        more = client.call("serial", SerialView, machine=machine, after=told.next)
        if (more.next, more.tail) != (told.next, told.tail):
            context.output.object(machine=machine, lines=more.lines, tail=more.tail, next=more.next)
        told = more
    return 0


def _text(context: Context, client: Client, machine: str, *, follow: bool, lines: int) -> int:
    told = _whole(client, machine, lines)
    for line in told.lines:
        context.output.say(line)
    if not follow:
        context.output.say(*([told.tail] if told.tail else []))
        return 0
    shown = _extend("", told.tail)
    pause = threading.Event()
    while True:
        pause.wait(FOLLOW_S)
        context.output.check()
        told = client.call("serial", SerialView, machine=machine, after=told.next)
        for line in told.lines:
            _extend(shown, line)
            sys.stdout.write("\n")
            shown = ""
        shown = _extend(shown, told.tail)


def _extend(shown: str, line: str) -> str:
    """Write what a growing line has more than what is shown of it; return what is shown now."""
    if line.startswith(shown):
        sys.stdout.write(line[len(shown) :])
    else:
        sys.stdout.write("\n" + line)
    sys.stdout.flush()
    return line


def _raw(context: Context, client: Client, machine: str, *, follow: bool) -> int:
    if sys.stdout.isatty():
        note("Raw bytes of a guest may steer this terminal.")
    after, pause = 0, threading.Event()
    while True:
        told = client.call("serial", SerialView, machine=machine, after=after, raw=True)
        sys.stdout.buffer.write(base64.b64decode(told.data))
        sys.stdout.buffer.flush()
        if told.next == after:
            if not follow:
                return 0
            pause.wait(FOLLOW_S)
        context.output.check()
        after = told.next


def screen(context: Context, *, machine: str, to: Path) -> int:
    """Save a machine's screen as PNG."""
    with context.client() as client:
        told = client.call("screen", ScreenView, machine=machine)
    data = base64.b64decode(told.png)
    to.write_bytes(data)
    if context.output.as_json:
        context.output.object(machine=machine, file=str(to), bytes=len(data))
    else:
        context.output.say(f"The screen of {machine} is in {to} ({len(data)} bytes).")
    return 0
