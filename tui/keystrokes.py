"""What a key sends over a serial line, as a VT100 would. Pure."""

from __future__ import annotations

LEAVE = "ctrl+right_square_bracket"
"""Ends typing, as in virsh console and telnet."""
LEAVE_SIGN = "Ctrl-]"
_KEYS = {
    "enter": b"\r",
    "tab": b"\t",
    "escape": b"\x1b",
    "backspace": b"\x7f",
    "delete": b"\x1b[3~",
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "insert": b"\x1b[2~",
}


def sent(key: str, character: str | None) -> bytes:
    """Return the bytes of a key, empty for one that a serial line does not know.

    Args:
        key: As Textual names it.
        character: What it types, if it types something.
    """
    if key in _KEYS:
        return _KEYS[key]
    letter = key.removeprefix("ctrl+")
    if letter != key and len(letter) == 1 and letter.isascii() and letter.isalpha():
        return bytes([ord(letter.lower()) & 31])
    return character.encode() if character else b""
