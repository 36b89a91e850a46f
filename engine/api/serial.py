"""A guest's serial line as text that cannot steer the reader's terminal. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.model.text import safe

LONGEST = 512
"""Characters shown of one line."""

_STEERING = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"  # OSC and other strings
    r"|\x1b[ -/]*[0-~]"  # other two-character sequences
)
_LONGEST_TAIL = 4096


@dataclass(frozen=True, slots=True)
class SerialText:
    """Safe text of a stretch of serial bytes.

    Attributes:
        lines: Whole lines.
        tail: The unfinished last line.
        used: Bytes that `lines` came from; the tail begins there.
    """

    lines: list[str]
    tail: str
    used: int


def read_serial(data: bytes) -> SerialText:
    """Split serial bytes into safe lines; a tail of more than 4 KiB counts as a line."""
    used = data.rfind(b"\n") + 1
    if len(data) - used > _LONGEST_TAIL:
        used = len(data)
    whole, tail = data[:used], data[used:]
    lines = whole.decode("utf-8", "replace").split("\n")
    if whole.endswith(b"\n") or not whole:
        lines.pop()
    return SerialText([clean(line) for line in lines], clean(tail.decode("utf-8", "replace")), used)


def clean(line: str) -> str:
    r"""Return one line without terminal sequences, other controls written as `\u{hex}`."""
    plain = _STEERING.sub("", line).rstrip("\r")
    shown = plain.rsplit("\r", 1)[-1].replace("\t", "    ")
    return safe(shown, LONGEST)


def last_lines(data: bytes, count: int) -> list[str]:
    """Return the last `count` safe lines, the unfinished one included."""
    told = read_serial(data)
    return [*told.lines, *([told.tail] if told.tail else [])][-count:]
