"""What kind of terminal is this, and what must be set before Textual is imported.

Standard library only: Textual turns the environment into constants when it is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from tui.words import _

LEAST_COLUMNS, LEAST_ROWS = 60, 16
_SERIAL_LINE = re.compile(r"/dev/(ttyS|ttyAMA|ttyUSB|hvc)\d")
_SERIAL_TERMS = ("vt100", "vt102", "vt220", "vt320")
_KNOWN = re.compile(
    r"(xterm|screen|tmux|linux|vt\d|rxvt|konsole|gnome|putty|alacritty|foot|kitty|wezterm|iterm|"
    r"st\b|cygwin|ansi|pcansi|teraterm|mintty|cons25)"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of terminal and what it can show.

    Attributes:
        name: `plain` (no full screen possible), `serial`, `vt`, `ssh` or `local`.
        why: Why `plain`, a sentence; empty otherwise.
        colours: False: bold and reverse only.
        unicode: True when more than ASCII may be written.
        system: Textual's name of the colour system.
        slow: A serial line: split escape sequences, few changes a second.
        kanji: True when kana and kanji come out: UTF-8, and not Linux's own console, which has no
            such signs in its font.
    """

    name: str
    why: str = ""
    colours: bool = True
    unicode: bool = False
    system: str = "standard"
    slow: bool = False
    kanji: bool = False

    @property
    def is_plain(self) -> bool:
        """Tell whether only line-by-line output is possible."""
        return self.name == "plain"

    @property
    def max_hz(self) -> float:
        """Return how many changes a second the engine should send."""
        return {"plain": 10.0, "serial": 1.0, "vt": 2.0, "ssh": 2.0}.get(self.name, 4.0)


def look(stdin: TextIO, stdout: TextIO, environ: Mapping[str, str]) -> Kind:
    """Return what kind of terminal this is, without asking it anything."""
    term = environ.get("TERM", "")
    why = _why_plain(stdin, stdout, term)
    if why:
        return Kind("plain", why, colours=False)
    colours = "NO_COLOR" not in environ
    unicode = _writes_utf8(environ)
    if _is_serial(stdin, term):
        bright = colours and not term.startswith(_SERIAL_TERMS)
        return Kind("serial", colours=bright, slow=True, kanji=unicode)
    if term == "linux":
        return Kind("vt", colours=colours, unicode=unicode)
    name = "ssh" if "SSH_CONNECTION" in environ or "SSH_TTY" in environ else "local"
    return Kind(name, colours=colours, unicode=unicode, kanji=unicode)


def lines(environ: Mapping[str, str]) -> Kind:
    """Return the kind of whatever only takes lines of text: no colours, and what encodes."""
    unicode = _writes_utf8(environ)
    return Kind("plain", colours=False, unicode=unicode, kanji=draws_blocks(environ))


def draws_blocks(environ: Mapping[str, str]) -> bool:
    """Tell whether half blocks come out: some fonts of Linux's own console lack them."""
    return _writes_utf8(environ) and environ.get("TERM") != "linux"


def _why_plain(stdin: TextIO, stdout: TextIO, term: str) -> str:
    if not (stdin.isatty() and stdout.isatty()):
        return _("Input or output is not a terminal.")
    if not _KNOWN.match(term):
        shown = "".join(sign if sign.isprintable() else "?" for sign in term[:40])
        if term in ("", "dumb", "unknown"):
            return _("This terminal is not one that a full screen can be drawn on.")
        return _("TERM={term} is not one that a full screen can be drawn on.", term=shown)
    return ""


def _is_serial(stdin: TextIO, term: str) -> bool:
    try:
        line = os.ttyname(stdin.fileno())
    except OSError:
        line = ""
    return bool(_SERIAL_LINE.match(line)) or term.startswith(_SERIAL_TERMS)


def _writes_utf8(environ: Mapping[str, str]) -> bool:
    named = next((environ[k] for k in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(k)), "C")
    return named.lower().replace("-", "").endswith("utf8")


def settings(kind: Kind) -> dict[str, str]:
    """Return the environment to set before Textual is imported."""
    return {
        "TEXTUAL_COLOR_SYSTEM": kind.system,
        "TEXTUAL_ANIMATIONS": "none",
        "TEXTUAL_SMOOTH_SCROLL": "0",
        "TEXTUAL_DISABLE_KITTY_KEY": "1",
        "ESCDELAY": "500" if kind.slow else "100",
    }


def advice(kind: Kind) -> str:
    """Return what to do instead where no full screen can be drawn."""
    told = _(
        "The console needs one. Line by line, also over a pipe: bootpoint plain\n"
        "The same by command:\n"
        "  bootpoint status                 every machine: can it start, with data from when\n"
        "  bootpoint points MACHINE         its boot points\n"
        "  bootpoint start MACHINE          run the newest one, isolated\n"
        "  bootpoint stop MACHINE           power off\n"
        "  bootpoint journal                what has happened\n"
        "On a terminal with another name: TERM=vt220 bootpoint"
    )
    return f"{kind.why}\n{told}"
