"""Time spans and sizes as people type them: `90s`, `30m`, `4h`, `1d`; `512M`, `4G`. Pure."""

from __future__ import annotations

import re

_SPAN = re.compile(r"([1-9]\d*)([smhd])")
_SPANS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SIZE = re.compile(r"([1-9]\d*)([KMGT])(?:iB)?", re.IGNORECASE)
_SIZES = {"T": 40, "G": 30, "M": 20, "K": 10}


def parse_span(text: str) -> int:
    """Return seconds. ValueError says what is expected."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError("expected a time such as 30m, 4h or 1d")
    return int(found[1]) * _SPANS[found[2]]


def span_words(seconds: int) -> str:
    """Return the text that `parse_span` reads, in the largest unit that fits."""
    unit, each = next(item for item in _SPANS.items() if seconds % item[1] == 0)
    return f"{seconds // each}{unit}"


def parse_size(text: str) -> int:
    """Return bytes. ValueError says what is expected."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError("expected a size such as 512M or 4G")
    return int(found[1]) << _SIZES[found[2].upper()]


def size_words(count: int) -> str:
    """Return the text that `parse_size` reads, in the largest unit that fits; bytes otherwise."""
    fit = ((unit, count >> power) for unit, power in _SIZES.items() if count % (1 << power) == 0)
    return next((f"{number}{unit}" for unit, number in fit), f"{count}B")
