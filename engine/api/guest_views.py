"""What consoles are told when they look at a running guest or type at it."""

from __future__ import annotations

from datetime import datetime

import msgspec


class QuestionView(msgspec.Struct, kw_only=True):
    """What a VM asks before it goes on. `id` goes with the answer; the first choice is 1."""

    id: str
    text: str
    choices: list[str] = []


class RunView(msgspec.Struct, kw_only=True):
    """A started VM. `serial`: safe lines; `guest`: what is told; `home`: datastore it came to.

    `question`: what its start waits for; None: nothing.
    """

    point: str
    since: datetime
    power: str
    serial: list[str] = []
    accelerator: str = ""
    guest: list[str] = []
    home: str = ""
    homing: str = "none"
    question: QuestionView | None = None


class TypedView(msgspec.Struct, kw_only=True):
    """Answer to `serial.type`: how many bytes the guest took."""

    taken: int


class PictureView(msgspec.Struct, kw_only=True):
    """Answer to `picture`: the guest's screen scaled into terminal cells.

    A cell holds two pixels, one above the other. `pixels`: base64 of red, green, blue of each,
    row by row, `columns` wide and twice `rows` high; empty when `digest` is the known one.
    `width` and `height` are the screen's own.
    """

    digest: str
    width: int = 0
    height: int = 0
    columns: int = 0
    rows: int = 0
    pixels: str = ""


class SerialView(msgspec.Struct, kw_only=True):
    """Answer to `serial`: whole safe lines, the unfinished last one, and where to go on.

    `data`: the raw bytes instead, base64, when they were asked for.
    """

    lines: list[str] = []
    tail: str = ""
    next: int
    data: str = ""


class ScreenView(msgspec.Struct, kw_only=True):
    """Answer to `screen`: a picture, base64."""

    png: str
