"""What all lists have in common: which rows a filter leaves, and in which order they stand. Pure.

rows in their usual order ─► words of the filter ─► order ─► Listed ─► head lines, empty lines

A list says once what its rows are called, what a filter finds in them and by what they can be put
in order; screens, keys, the `:` line and line mode all go by that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from tui.look import Look
from tui.rows import BLANK, Line, prose, text
from tui.tones import Tone
from tui.words import _

T = TypeVar("T")
Value = str | float | datetime | tuple[Any, ...] | None
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """One way to put rows in order.

    Attributes:
        id: One word, as typed after `:order`.
        words: As the screen says it; `turned`: the same the other way round. Both are looked up in
            the operator's language when they are shown.
        by: What is compared; rows without it (None) come last either way. Without it the usual
            order stays, in which the list was given.
        falls: True when the greatest comes first.
    """

    id: str
    words: str
    turned: str
    by: Callable[[T], Value] | None = None
    falls: bool = False


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of list.

    Attributes:
        one, many: What a row is called, one or several; looked up when it is shown.
        text: What a word of the filter is looked for in.
        orders: Ways to put rows in order, the usual one first; none: they stay as they are.
        facets: `state:late` and the like: word before the colon -> what is compared.
    """

    one: str
    many: str
    text: Callable[[T], str]
    orders: Sequence[Order[T]] = ()
    facets: Mapping[str, Callable[[T], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """What is left of a list, in order; `total` counts all rows."""

    kind: Kind[T]
    rows: Sequence[T]
    total: int
    order: Order[T] | None
    turned: bool
    query: str

    @property
    def order_ids(self) -> tuple[str, ...]:
        """Return the words that `order` takes here."""
        return tuple(one.id for one in self.kind.orders)

    @property
    def order_words(self) -> str:
        """Return the order in words; empty while it is the usual one."""
        if self.order is None or (self.order is self.kind.orders[0] and not self.turned):
            return ""
        return _(self.order.turned if self.turned else self.order.words)

    def head(self, also: str = "") -> list[Line]:
        """Return the line that says what is not as usual: filter, count, order. None when all is.

        Args:
            also: What else hides rows, such as `worst only`.
        """
        query = " ".join(part for part in (self.query, also) if part)
        parts = []
        if query:
            parts += [_("Filter: {words}", words=query), self._how_many()]
        if self.order_words:
            parts.append(_("Order: {words}", words=self.order_words))
        if query:
            parts.append(_("Esc shows all"))
        return [text(" " + "   ".join(parts), Tone.NOTE)] if parts else []

    def _how_many(self) -> str:
        return _("{shown} of {all} {rows}", shown=len(self.rows), all=self.total, rows=self._rows())

    def _rows(self) -> str:
        return _(self.kind.one if self.total == 1 else self.kind.many)

    def empty(self, look: Look, nothing: str, then: str = "") -> list[Line]:
        """Return what stands there instead of rows: that the filter hides all, or the next step.

        Args:
            look: For the width.
            nothing: A sentence, for a list that has no rows at all.
            then: What to do next, a sentence.
        """
        if self.total:
            hides = _(
                "None of the {all} {rows} fits this filter. Esc shows all of them again.",
                all=self.total,
                rows=self._rows(),
            )
            return [BLANK, *prose(hides, look.usable)]
        told = [BLANK, *prose(nothing, look.usable, Tone.STRONG)]
        return told + ([BLANK, *prose(then, look.usable)] if then else [])


def arrange(kind: Kind[T], rows: Sequence[T], look: Look) -> Listed[T]:
    """Return the rows of a list that its filter leaves, in the order that was chosen.

    Args:
        kind: Of the list.
        rows: All rows, in their usual order.
        look: Filter and order.
    """
    words = look.query.lower().split()
    kept = [row for row in rows if all(fits(kind, row, word) for word in words)]
    order = next((one for one in kind.orders if one.id == look.order), None)
    order = order or (kind.orders[0] if kind.orders else None)
    if order is None:
        return Listed(kind, kept, len(rows), None, False, look.query)
    return Listed(kind, _put(kept, order, look.turned), len(rows), order, look.turned, look.query)


def _put(rows: Sequence[T], order: Order[T], turned: bool) -> list[T]:
    by = order.by
    if by is None:
        return list(reversed(rows)) if turned else list(rows)
    told = [(value, row) for row in rows if (value := by(row)) is not None]
    silent = [row for row in rows if by(row) is None]
    told.sort(key=lambda pair: pair[0], reverse=order.falls != turned)
    return [row for _value, row in told] + silent


def fits(kind: Kind[T], row: T, word: str) -> bool:
    """Tell whether a row fits one word of a filter, in small letters.

    `state:late,fail` fits rows whose state begins with either; another word is looked for anywhere.
    """
    facet, colon, wanted = word.partition(":")
    if colon and facet in kind.facets:
        have = kind.facets[facet](row).lower()
        begins = (have, *re.split(r"[^\w]+", have))
        return any(one.startswith(part) for part in wanted.split(",") if part for one in begins)
    return word in kind.text(row).lower()


def following(orders: Sequence[str], order: str) -> str:
    """Return the order that comes after one, the first after the last."""
    if not orders:
        return ""
    at = orders.index(order) if order in orders else 0
    return orders[(at + 1) % len(orders)]


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return what puts `m2` before `m10`."""
    parts = _DIGITS.split(name.lower())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)


def found(lines: Sequence[Line], look: Look) -> tuple[list[Line], list[Line]]:
    """Return the lines of a text that have every word of the filter, and the line that says so."""
    words = look.query.lower().split()
    if not words:
        return list(lines), []
    kept = [
        line
        for line in lines
        if all(word in "".join(p for p, _tone in line).lower() for word in words)
    ]
    told = _(
        "Find: {words}   {shown} of {all} lines   Esc shows all",
        words=look.query,
        shown=len(kept),
        all=len(lines),
    )
    return kept, [text(" " + told, Tone.NOTE)]
