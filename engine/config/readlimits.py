"""`[[watch.limits]]`: how fast folders with images may be read, by the hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from engine.config.blackouts import read_blackouts
from engine.config.reading import Section, wrong
from engine.model.readrate import ReadLimit, parse_rate


class ReadSection(Section):
    """One entry."""

    directory: Annotated[str, Meta(min_length=1)]
    rate: str
    hours: list[str] = field(default_factory=list)
    outside: str = ""


def read_limits(
    told: Sequence[ReadSection], file: Path, resolve: Callable[[str, str], str]
) -> tuple[ReadLimit, ...]:
    """Return how fast folders may be read; each has one limit at most.

    Args:
        told: As the file says it.
        file: For messages.
        resolve: (path, key) -> the absolute path that is meant.

    Raises:
        WrongUse: A value is not what is expected.
    """
    found: dict[str, ReadLimit] = {}
    for number, one in enumerate(told):
        key = f"watch.limits[{number}]"
        directory = resolve(one.directory, f"{key}.directory")
        if directory in found:
            raise wrong(file, f"{key}.directory", one.directory, "it has a limit already")
        if one.outside and not one.hours:
            raise wrong(file, f"{key}.outside", one.outside, "it needs `hours` to be outside of")
        found[directory] = ReadLimit(
            directory,
            _rate(one.rate, file, f"{key}.rate"),
            read_blackouts(one.hours, file, f"{key}.hours"),
            _rate(one.outside, file, f"{key}.outside") if one.outside else None,
        )
    return tuple(found.values())


def _rate(text: str, file: Path, key: str) -> int:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise wrong(file, key, text, str(error)) from None
