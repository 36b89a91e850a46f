"""Commands that look into a running guest: its serial line and its screen."""

from __future__ import annotations

import base64
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from engine.api.guest_views import PictureView, ScreenView, SerialView
from engine.cli.context import Context
from engine.cli.output import note

if TYPE_CHECKING:
    from engine.api.client import Client

FOLLOW_S = 0.5


def serial(
    context: Context, *, machine: str, attach: bool, follow: bool, raw: bool, lines: int
) -> int:
    """Print a machine's serial line; with `follow` go on for ever, with `attach` type as well."""
    with context.client() as client:
        if attach:
            from engine.cli.commands.typing_at import attach as type_at

            return type_at(context, client, machine, raw=raw)
        if raw:
            return _raw(context, client, machine, follow=follow)
        if context.output.as_json:
            return _as_json(context, client, machine, follow=follow, lines=lines)
        return _text(context, client, machine, follow=follow, lines=lines)


def whole(client: Client, machine: str, keep: int) -> SerialView:
    """Return the last `keep` lines that there are now."""
    told, kept = SerialView(next=0), list[str]()
    while True:
        before = told.next
        told = client.call("serial", SerialView, machine=machine, after=before)
        kept = [*kept, *told.lines][-keep:]
        if told.next == before:
            return SerialView(lines=kept, tail=told.tail, next=told.next)


def _as_json(context: Context, client: Client, machine: str, *, follow: bool, lines: int) -> int:
    told = whole(client, machine, lines)
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
    told = whole(client, machine, lines)
    for line in told.lines:
        context.output.say(line)
    if not follow:
        context.output.say(*([told.tail] if told.tail else []))
        return 0
    shown = extend("", told.tail)
    pause = threading.Event()
    while True:
        pause.wait(FOLLOW_S)
        context.output.check()
        told = client.call("serial", SerialView, machine=machine, after=told.next)
        for line in told.lines:
            extend(shown, line)
            sys.stdout.write("\n")
            shown = ""
        shown = extend(shown, told.tail)


def extend(shown: str, line: str) -> str:
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


def screen(context: Context, *, machine: str, to: Path | None) -> int:
    """Save a machine's screen as PNG, or draw it with characters."""
    if to is None:
        return _draw(context, machine)
    with context.client() as client:
        told = client.call("screen", ScreenView, machine=machine)
    data = base64.b64decode(told.png)
    to.write_bytes(data)
    if context.output.as_json:
        context.output.object(machine=machine, file=str(to), bytes=len(data))
    else:
        context.output.say(f"The screen of {machine} is in {to} ({len(data)} bytes).")
    return 0


def _draw(context: Context, machine: str) -> int:
    from tui.picture import drawn
    from tui.terminal import draws_blocks
    from tui.tones import style

    room = shutil.get_terminal_size()
    with context.client() as client:
        told = client.call(
            "picture", PictureView, machine=machine, columns=room.columns - 1, rows=room.lines - 1
        )
    if context.output.as_json:
        context.output.object(machine=machine, picture=told)
        return 0
    blocks = context.output.in_colour and draws_blocks(os.environ)
    for line in drawn(told, blocks=blocks):
        parts = [style(tone, colours=True).render(text) if blocks else text for text, tone in line]
        context.output.say("".join(parts).rstrip())
    return 0
