"""The text of `.inf` files: encodings, sections, lines, quotes, and names for texts.

    bytes ─► text ─► lines ─► sections, with each %name% replaced

Pure. An `.inf` is hostile input: its length, its lines and their values are capped.

Source: Microsoft, "General syntax rules for INF files", "INF Strings section".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LONGEST = 2 << 20
"""Longest `.inf` in bytes."""
LINES, LINE, VALUES = 20_000, 4096, 256
_TOKEN = re.compile(r"%([^%\r\n]{0,255})%")


class InfDamaged(Exception):
    """The file is no `.inf` that can be used; its words say why."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a section: `key = values`; `key` empty where there is no `=`."""

    key: str
    values: tuple[str, ...]


def read_sections(data: bytes) -> Mapping[str, tuple[Line, ...]]:
    """Return lines by their section's name in lower case.

    Raises:
        InfDamaged: It is too long, or has no form.
    """
    if len(data) > LONGEST:
        raise InfDamaged(f"it is longer than {LONGEST >> 20} MiB")
    raw = _sections(_text(data))
    strings = {line.key.lower(): line.values for line in raw.get("strings", ())}
    return {
        _spoken(name, strings).lower(): tuple(_filled(line, strings) for line in lines)
        for name, lines in raw.items()
    }


def _text(data: bytes) -> str:
    """Return the text: UTF-16 or UTF-8 where a mark says so, else ANSI."""
    for mark, form in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"),
                       (b"\xef\xbb\xbf", "utf-8")):  # fmt: skip
        if data.startswith(mark):
            return data[len(mark) :].decode(form, "replace")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le", "replace")
    if b"\0" in data:
        raise InfDamaged("it is no text")
    return data.decode("cp1252", "replace")


def _sections(text: str) -> Mapping[str, list[Line]]:
    """Return lines by their section's name as it is spelled in lower case; equal names join."""
    found: dict[str, list[Line]] = {}
    here: list[Line] | None = None
    for line in _lines(text):
        if line.startswith("["):
            name, closed, _ = line[1:].partition("]")
            if not closed:
                raise InfDamaged("the name of a section does not end")
            here = found.setdefault(name.strip().strip('"').lower(), [])
        elif here is not None:
            here.append(_line(line))
    return found


def _lines(text: str) -> Iterator[str]:
    """Yield lines without comments and empty ones; those that end in a backslash go on."""
    held = ""
    for number_, raw in enumerate(re.split(r"\r\n|\n|\r", text)):
        if number_ > LINES:
            raise InfDamaged(f"it has more than {LINES} lines")
        line = _without_comment(raw).strip()
        if len(held) + len(line) > LINE:
            raise InfDamaged(f"a line of it is longer than {LINE} characters")
        # A backslash at the end of a quoted path belongs to the path.
        if line.endswith("\\") and line.count('"') % 2 == 0 and not line.startswith("["):
            held += line[:-1]
            continue
        whole, held = held + line, ""
        if whole:
            yield whole
    if held:
        yield held


def _without_comment(line: str) -> str:
    if ";" not in line:
        return line
    is_quoted = False
    for at, character in enumerate(line):
        if character == '"':
            is_quoted = not is_quoted
        elif character == ";" and not is_quoted:
            return line[:at]
    return line


def _line(line: str) -> Line:
    pieces, has_key = _split(line)
    if len(pieces) > VALUES:
        raise InfDamaged(f"a line of it has more than {VALUES} values")
    return Line(pieces[0], tuple(pieces[1:])) if has_key else Line("", tuple(pieces))


def _split(line: str) -> tuple[list[str], bool]:
    """Return the fields of a line without their quotes, and whether the first one is a key."""
    pieces: list[str] = []
    piece, is_quoted, has_key, at = "", False, False, 0
    while at < len(line):
        character = line[at]
        at += 1
        if character == '"':
            if is_quoted and line[at : at + 1] == '"':
                piece += '"'
                at += 1
            else:
                is_quoted = not is_quoted
        elif not is_quoted and (character == "," or (character == "=" and not pieces)):
            has_key |= character == "="
            pieces.append(piece.strip())
            piece = ""
        else:
            piece += character
    pieces.append(piece.strip())
    return pieces, has_key


def _filled(line: Line, strings: Mapping[str, tuple[str, ...]]) -> Line:
    return Line(_spoken(line.key, strings), tuple(_spoken(value, strings) for value in line.values))


def _spoken(text: str, strings: Mapping[str, tuple[str, ...]]) -> str:
    """Return a text with the names between percent signs replaced, once; `%%` is a percent sign."""

    def put(found: re.Match[str]) -> str:
        name = found[1]
        if not name:
            return "%"
        told = strings.get(name.lower())
        return told[0] if told else found[0]

    return _TOKEN.sub(put, text)[:LINE] if "%" in text else text
