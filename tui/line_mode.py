"""The console line by line: for dumb terminals, screen readers, and as the parachute.

The same places and actions as on the full screen (`core.py`): rows have numbers, keys are words.
Only whole lines are written, and nothing that was written is ever changed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TextIO

from tui import spoken
from tui.core import Core, Setup
from tui.format import wrap
from tui.question import Page, Question
from tui.run_news import RunNews, news
from tui.screens import frame
from tui.talk import Talk
from tui.words import _

FIRST_S, TICK_S, SLOW_S = 5.0, 1.0, 10.0
FRESH_S = 0.2
"""The engine tells changes ten times a second; what a line changed is to be in the answer."""
LEAST_WIDTH, MOST_WIDTH, HEIGHT = 60, 100, 50
ANSWERS = 6
"""Examples named of what may be answered."""
LEAVING = ("q", "quit", "leave", "exit")
BACK = ("0", "back", "..")


def run(setup: Setup, why: str = "", *, source: int = 0, out: TextIO | None = None) -> int:
    """Hold the conversation and return the exit code.

    Args:
        setup: What to look at.
        why: A sentence said first, such as why there is no full screen.
        source: File descriptor that lines are read from.
        out: Where lines are written; None: standard output.
    """
    return asyncio.run(_talk(setup, why, source, out or sys.stdout))


async def _talk(setup: Setup, why: str, source: int, out: TextIO) -> int:
    lines = LineMode(setup, source, out)
    try:
        return await lines.hold(why)
    finally:
        await lines.core.close()


class LineMode:
    """A face of the console that speaks in lines."""

    def __init__(self, setup: Setup, source: int, out: TextIO) -> None:
        """Prepare; `hold` begins."""
        self.core = Core(setup, self)
        self._out = out
        self._talk = Talk(source, out, self.core.glyphs)
        self._question: Question | None = None
        self._code: int | None = None
        self._error: Exception | None = None
        self._first = 0
        self._said = ""
        self._lost = False
        self._run = RunNews()

    # --- a face -----------------------------------------------------------------------------

    def room(self) -> tuple[int, int]:
        """Return the room of a line beside its number; as many lines as anybody wants."""
        try:
            width = os.get_terminal_size(self._out.fileno()).columns
        except (OSError, ValueError):
            width = 80
        return max(LEAST_WIDTH, min(width, MOST_WIDTH)) - spoken.NUMBER, HEIGHT

    def paint(self) -> None:
        """Say what the operator is to know at once; places are told after each word."""
        notice = self.core.notice
        if notice and notice != self._said:
            self._talk.say(*(f" {line}" for line in wrap(notice, self.room()[0])))
        self._said = notice

    def paint_soon(self) -> None:
        """Say when the engine was lost, or is found again."""
        lost = self.core.fleet.link.is_lost
        if lost != self._lost:
            self._lost = lost
            if lost:
                look = self.core.look()
                self._talk.say(*spoken.plain(frame.banner(self.core.fleet, look), look))
            else:
                self._talk.say(
                    " " + _("The engine answers again. An empty line tells how things stand.")
                )

    def redraw(self) -> None:
        """Tell the place again."""
        self._tell()

    def dress(self) -> None:
        """Write with the signs that the operator chose."""
        self._talk.glyphs = self.core.glyphs

    def ask(self, question: Question) -> None:
        """Say what is to be typed; the next line is the answer."""
        self._question = question
        told = [f" {question.label}"]
        if question.answers:
            few = ", ".join(question.answers[:ANSWERS])
            told.append(" " + _("For example: {answers}", answers=few))
        leave = _("A single dot leaves it.")
        if question.value:
            leave = _("An empty line is: {answer}. A single dot leaves it.", answer=question.value)
        self._talk.say(*told, f" {leave}")

    def edit(self, page: Page) -> None:
        """Tell the text and where it can be edited: there is no editor line by line."""
        self._talk.say(f" {page.title}:", *(f"   {line}" for line in page.text.splitlines()))
        name = page.title.rpartition("/")[2].removesuffix(".toml")
        self._talk.say(f" To edit it as text: bootpoint standby edit {name}")

    def attach(self, machine: str) -> None:
        """Ask for a line, and send it to the guest."""

        def done(text: str) -> None:
            self.core.actions.guest.type(text.encode() + b"\r")

        self.ask(Question(_("What shall be typed at {machine}?", machine=machine), done=done))

    def detach(self) -> None:
        """Do nothing: each line is typed by itself."""

    def leave(self, code: int) -> None:
        """End the conversation."""
        self._code = code

    def failed(self, error: Exception) -> None:
        """End with the traceback of a fault of this program."""
        self._error = error
        self._code = 1

    # --- the conversation -------------------------------------------------------------------

    async def hold(self, why: str = "") -> int:
        """Talk until the operator leaves, or the input ends."""
        if why:
            self._talk.say(*wrap(why, self.room()[0]))
        self._talk.say(_("Bootpoint, line by line. Type help for the words, leave to end."))
        self._talk.start()
        self.core.start()
        await self._connected()
        self._tell()
        while self._code is None:
            try:
                line = await self._talk.line(TICK_S)
            except TimeoutError:
                self._tick()
                continue
            if line is None:
                break
            await self._hear(line)
        self._talk.say(" " + _("Left. The engine goes on."))
        if self._error is not None:
            raise self._error
        return self._code or 0

    async def _connected(self) -> None:
        """Wait a little for the engine's first picture, or for its absence."""
        end = asyncio.get_running_loop().time() + FIRST_S
        while asyncio.get_running_loop().time() < end:
            fleet = self.core.fleet
            if fleet.seq or (fleet.link.is_lost and fleet.link.tries):
                break
            await asyncio.sleep(0.02)
        await self.core.settle()
        self._lost = self.core.fleet.link.is_lost

    async def _hear(self, line: str) -> None:
        """Do what a line says, wait for the engine's answer, tell what came of it."""
        before = self._stands()
        self._said = ""
        if self._question is not None:
            self._answer(line)
        elif line:
            self._obey(line)
        await self._settled()
        if self._code is None and self._question is None and (not line or before != self._stands()):
            self._tell()

    def _stands(self) -> tuple[object, ...]:
        spot = self.core.spot
        return id(spot), spot.subject, spot.query, spot.worst, self._first

    async def _settled(self) -> None:
        """Wait until the engine has answered; say so when that takes long."""
        waiting = asyncio.ensure_future(self.core.settle())
        while not (await asyncio.wait([waiting], timeout=SLOW_S))[0]:
            self._talk.say(" " + _("Still waiting for the engine's answer .."))
        if await waiting:
            await asyncio.sleep(FRESH_S)
        if self.core.spot.place == "run":
            self.core.actions.guest.follow()
            await self.core.settle()

    def _answer(self, line: str) -> None:
        question, self._question = self._question, None
        if question is None:
            return
        if line == ".":
            if question.left is not None:
                question.left()
            self._talk.say(" " + _("Nothing was changed."))
        else:
            question.done(line or question.value)

    def _obey(self, line: str) -> None:
        typed, _, rest = line.partition(" ")
        rest = rest.strip()
        if typed.lower() in LEAVING and not rest:
            self.leave(0)
        elif typed.lower() in BACK:
            self._back()
        elif typed.isdigit():
            self._open(int(typed))
        elif typed in ("more", "less"):
            self._turn(typed)
        elif typed.startswith("/"):
            self._find(line[1:].strip())
        else:
            self._word(typed, rest)

    # --- moving -----------------------------------------------------------------------------

    def _back(self) -> None:
        spot = self.core.spot
        self._first = 0
        if len(self.core.spots) == 1 and not spot.query and not spot.worst:
            self._talk.say(" " + _("This is the first page. To end type: leave"))
        else:
            self.core.act("back")

    def _turn(self, way: str) -> None:
        content = self.core.content()
        most = spoken.READ if content.pager else spoken.ROWS
        first = self._first + (most if way == "more" else -most)
        if 0 <= first < len(content.ids):
            self._first = first
        else:
            end = _("There is no more.") if way == "more" else _("This is the beginning.")
            self._talk.say(f" {end}")

    def _find(self, text: str) -> None:
        if not self.core.belongs("filter"):
            self._talk.say(" " + _("There is nothing to find here."))
            return
        self._first = 0
        self.core.spot.query = text

    def _choose(self, number: int) -> bool:
        """Put the cursor on a row; say so when there is none."""
        content = self.core.content()
        if content.pager or not 0 < number <= len(content.ids):
            self._talk.say(" " + _("There is no row {number} here.", number=number))
            return False
        self.core.spot.chosen = content.ids[number - 1]
        return True

    def _open(self, number: int) -> None:
        if not self._choose(number):
            return
        if self.core.belongs("open"):
            self._first = 0
            self.core.act("open")
        else:
            look = self.core.look()
            self._talk.say(*spoken.plain(self.core.content().tail, look))

    # --- words ------------------------------------------------------------------------------

    def _word(self, typed: str, rest: str) -> None:
        core = self.core
        if f"{typed} {rest}".strip() in core.fleet.machines:
            self._first = 0
            core.go("machine", f"{typed} {rest}".strip())
            return
        if rest in core.fleet.machines:
            self._first = 0
            core.go("machine", rest)
            rest = ""
            rowed = False
        else:
            rowed = True
        meant = spoken.meant(typed, core.fleet, core.look())
        if not meant:
            self._unknown(typed)
        elif meant[0].id == "filter":
            self._find(rest)
        elif rowed and spoken.needs_row(meant[0], core.spot.place) and not rest.isdigit():
            word = spoken.word(meant[0])
            which = _(
                "Which one? Type {word} and the number of its row, such as: {word} 1", word=word
            )
            self._talk.say(f" {which}")
        elif not rest.isdigit() or self._choose(int(rest)):
            self._act([key.id for key in meant], typed)

    def _act(self, ids: list[str], typed: str) -> None:
        works = [name for name in ids if self.core.belongs(name)]
        if len(works) == 1:
            self._first = 0
            self.core.act(works[0])
        elif works:
            self._talk.say(" " + _("{word} may be: {words}.", word=typed, words=", ".join(works)))
        else:
            about = self.core.look().machine
            why = _("{word} does not work now.", word=typed)
            if about:
                why = _("{word} does not work now for {machine}.", word=typed, machine=about)
            self._talk.say(f" {why}")

    def _unknown(self, typed: str) -> None:
        look = self.core.look()
        self._talk.say(" " + _("There is no word {word} here. These are:", word=typed))
        self._talk.say(*spoken.words(self.core.fleet, look, numbered=False))

    # --- telling ----------------------------------------------------------------------------

    def _tell(self) -> None:
        core = self.core
        content = core.content()
        if self._first >= max(1, len(content.ids)):
            self._first = 0
        if not content.pager and core.spot.chosen not in content.ids:
            start = content.first if content.first in content.ids else (*content.ids, "")[0]
            core.spot.chosen = start
            content = core.content()
        look = core.look()
        self._talk.say(*spoken.page(content, core.fleet, look, self._first))
        numbered = bool(content.ids) and not content.pager
        self._talk.say(*spoken.words(core.fleet, look, numbered=numbered))
        self._run = RunNews.of(core.fleet, core.spot)

    def _tick(self) -> None:
        """Tell what a VM that is looked at says meanwhile; all else waits to be asked."""
        core = self.core
        core.actions.guest.follow()
        told, self._run = news(self._run, RunNews.of(core.fleet, core.spot))
        self._talk.say(*told)
