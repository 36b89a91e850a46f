"""The stock driver without the faults that end the program, and with far fewer bytes.

It repairs what is fatal: one byte that is not UTF-8, a terminal that went away, signals, and
answers to queries that arrive late and look like keys. What Textual writes goes through an
`Outlet`, which sends only cells that differ, and leaves out frames that the line is too slow for.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import termios
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from tui.outlet import Outlet

if TYPE_CHECKING:
    from textual.app import App

WAKE_S = 0.1
GONE = 129
"""Exit code when the terminal went away, as after SIGHUP."""
_UNWANTED = frozenset({"\x1b[?1004h", "\x1b[?1004l"})
"""Focus reports: nothing here uses them, and a slow line shows them as keys."""


_BAUD = re.compile(r"B[1-9]\d*")
_LATE = re.compile(r"\x1b\[(?:\?[\d;$]*[a-zA-Z]|>[\d;]*c|\d+;\d+R)")
"""Answers to questions of whoever had the terminal before; unread they look like keys."""


_LINE = re.compile(r"/dev/(ttyS|ttyAMA|ttyUSB|hvc)\d")
_SHARE = 0.08
"""Of a line's bits a second, bytes that it is given: ten bits are a byte, a fifth is left free."""


def _rate(terminal: int) -> float | None:
    """Return bytes a second for a serial line; None where the terminal tells nothing of its line.

    A pseudo terminal says 38400 baud whatever lies behind it.
    """
    try:
        if not _LINE.match(os.ttyname(terminal)):
            return None
        speed = termios.tcgetattr(terminal)[5]
    except (OSError, termios.error):
        return None
    bits = {getattr(termios, name): int(name[1:]) for name in dir(termios) if _BAUD.fullmatch(name)}
    return bits[speed] * _SHARE if bits.get(speed) else None


class _SteadyFile:
    """A terminal that may be gone: what cannot be written is dropped, never raised.

    The stock writer thread dies of the first error, and the event loop then waits for it for ever.
    Written to past the file's own buffer, whose lock a write to a terminal that takes nothing would
    hold: at its exit the interpreter flushes that file, and Python 3.13.5 waits for that lock.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._encoding = file.encoding or "utf-8"
        self._held: list[bytes] = []

    def write(self, text: str) -> None:
        self._held.append(text.encode(self._encoding, "replace"))

    def flush(self) -> None:
        held, self._held = self._held, []
        data = memoryview(b"".join(held))
        with contextlib.suppress(OSError, ValueError):
            while data:
                try:
                    data = data[os.write(self.fileno(), data) :]
                except BlockingIOError:  # somebody who shares the terminal made it so
                    select.select([], [self.fileno()], [])

    def fileno(self) -> int:
        return self._file.fileno()

    def isatty(self) -> bool:
        return self._file.isatty()


class SteadyDriver(LinuxDriver):
    """Textual's driver for Linux, made steady."""

    def __init__(self, app: App[Any], **more: Any) -> None:  # noqa: ANN401  (as the stock driver)
        """Stand before the terminal."""
        super().__init__(app, **more)
        self._file: Any = _SteadyFile(self._file)
        self._outlet = Outlet(self._file, _rate(self.fileno))

    def start_application_mode(self) -> None:
        """Take the terminal."""
        self._outlet.start()
        super().start_application_mode()  # type: ignore[no-untyped-call]  # as Textual has it

    def write(self, data: str) -> None:
        """Write to the terminal, without modes nobody asked for; never waits for it."""
        if data not in _UNWANTED:
            self._outlet.write(data)

    def close(self) -> None:
        """Let go of the terminal; what it does not take within two seconds is dropped."""
        self._outlet.stop()
        super().close()

    def ready(self) -> None:
        """Send the first frame: there is something to show."""
        self._outlet.ready()

    def redraw(self) -> None:
        """Send everything again, whatever may stand there."""
        self._outlet.forget()

    def _get_terminal_size(self) -> tuple[int, int]:
        """Ask the terminal itself: an exported COLUMNS is as old as the shell that set it."""
        try:
            width, height = os.get_terminal_size(self.fileno)
        except OSError:
            width, height = 0, 0
        width, height = width or 80, height or 24
        self._outlet.resize(width, height)
        return width, height

    def _request_terminal_sync_mode_support(self) -> None:
        """Ask nothing: a late answer is typed as keys."""

    def _query_in_band_window_resize(self) -> None:
        """Ask nothing, as above; SIGWINCH tells of a new size."""

    @classmethod
    def _patch_iflag(cls, attrs: int) -> int:
        """Leave XON/XOFF as it was: a serial line may depend on it."""
        return attrs & ~(termios.ICRNL | termios.INLCR | termios.IGNCR)

    def run_input_thread(self) -> None:
        """Read keys until the end; a bad byte is dropped, the end of input ends the program."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        while not self.exit_event.is_set():
            try:
                ready, _, _ = select.select([self.fileno], [], [], WAKE_S)
                data = os.read(self.fileno, 4096) if ready else None
            except OSError:
                data = b""
            if data == b"":
                self._hang_up()
                return
            text = _LATE.sub("", decode(data).replace("\ufffd", "")) if data else ""
            parser = self._feed(parser, text)

    def _feed(self, parser: XTermParser, text: str) -> XTermParser:
        """Hand text to the parser; one that cannot go on is replaced by a fresh one."""
        try:
            for event in self._events(parser, text):
                self.process_message(event)
        except Exception:  # noqa: BLE001  (line noise must not end the program)
            return XTermParser(self._debug)
        return parser

    @staticmethod
    def _events(parser: XTermParser, text: str) -> Iterator[Any]:
        if text:
            yield from parser.feed(text)
        yield from parser.tick()

    def _hang_up(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._app.exit, GONE, GONE)
