"""Whole lines in and out, on whatever stands there: a terminal, a pipe, a printer of paper."""

from __future__ import annotations

import asyncio
import os
import threading
import unicodedata
from codecs import getincrementaldecoder
from typing import TextIO

from tui.glyphs import Glyphs

LONGEST = 1000
"""Characters taken of one line."""


class Talk:
    """One conversation; lives on one event loop, with a thread that waits for lines."""

    def __init__(self, source: int, out: TextIO, glyphs: Glyphs) -> None:
        """Talk over a file descriptor and a stream; `start` begins to read."""
        self._source, self._out, self.glyphs = source, out, glyphs
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()

    def start(self) -> None:
        """Begin to read."""
        loop = asyncio.get_running_loop()
        # A daemon: nothing wakes a read of a terminal, and the program must end all the same.
        threading.Thread(target=self._read, args=(loop,), name="lines", daemon=True).start()

    def say(self, *lines: str) -> None:
        """Write whole lines. BrokenPipeError once nobody reads them."""
        for line in lines:
            self._out.write(self.glyphs.fit(line).rstrip() + "\n")
        self._out.flush()

    async def line(self, patience_s: float) -> str | None:
        """Return the next line, None at the end of input. TimeoutError when none comes in time."""
        return await asyncio.wait_for(self._heard.get(), patience_s)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        rest = ""
        while data := self._bytes():
            *lines, rest = (rest + decode(data).replace("\r", "\n")).split("\n")
            rest = rest[-LONGEST:]
            if not self._tell(loop, [clean(line) for line in lines]):
                return
        self._tell(loop, [*([clean(rest)] if rest else []), None])

    def _bytes(self) -> bytes:
        try:
            return os.read(self._source, 4096)
        except OSError:
            return b""  # the terminal went away

    def _tell(self, loop: asyncio.AbstractEventLoop, lines: list[str | None] | list[str]) -> bool:
        try:
            for line in lines:
                loop.call_soon_threadsafe(self._heard.put_nowait, line)
        except RuntimeError:
            return False  # the conversation is over
        return True


def clean(line: str) -> str:
    """Return a typed line without what is no text; full-width letters become plain ones."""
    plain = unicodedata.normalize("NFKC", line[:LONGEST])
    return "".join(sign for sign in plain if sign.isprintable() and sign != "\ufffd").strip()
