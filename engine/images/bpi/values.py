"""Values taken out of a JSON object from outside, one judged access each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Values:
    """A JSON object whose values are asked for by name and type.

    Every method raises ValueError, with a phrase that names the key, when the value is not what was
    asked for.
    """

    def __init__(self, told: Mapping[str, object]) -> None:
        """Take an object as `strictjson.parse` returned it."""
        self._told = told

    def hexes(self, key: str, digits: int) -> dict[str, str]:
        """Return an object whose values are all hex strings of so many digits."""
        found = self.inner(key)
        return {name: found.hex(name, digits) for name in found.names()}

    def names(self) -> Sequence[str]:
        """Return the keys."""
        return tuple(self._told)

    def has(self, key: str) -> bool:
        """Tell whether there is a value that is not null."""
        return self._told.get(key) is not None

    def text(self, key: str) -> str:
        """Return a string of at most 255 characters."""
        value = self._told.get(key)
        if not isinstance(value, str) or len(value) > 255:
            raise _wrong(key)
        return value

    def text_or(self, key: str, default: str) -> str:
        """Return a string, or the default when there is none."""
        return self.text(key) if self.has(key) else default

    def file_name(self, key: str) -> str:
        """Return the last part of a path, printable ASCII; never to be opened as it stands."""
        name = self.text(key).replace("\\", "/").rsplit("/", 1)[-1]
        if not name.isascii() or not name.isprintable():
            raise _wrong(key)
        return name

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """Return a string that is one of `choices`."""
        value = self.text(key)
        if value not in choices:
            raise _wrong(key)
        return value

    def hex(self, key: str, digits: int) -> str:
        """Return a string of exactly so many lower-case hex digits."""
        value = self.text(key)
        if len(value) != digits or not re.fullmatch("[0-9a-f]*", value):
            raise _wrong(key)
        return value

    def uuid(self, key: str) -> UUID:
        """Return a UUID that is not all zeros."""
        value = self.text(key)
        if not _UUID.fullmatch(value) or not UUID(value).int:
            raise _wrong(key)
        return UUID(value)

    def uuid_or_none(self, key: str) -> UUID | None:
        """Return a UUID, or None for null."""
        return self.uuid(key) if self.has(key) else None

    def integer(self, key: str, least: int, most: int) -> int:
        """Return an integer between `least` and `most`."""
        value = self._told.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _wrong(key)
        return value

    def boolean(self, key: str) -> bool:
        """Return a boolean; False when there is none."""
        value = self._told.get(key)
        if value is not None and not isinstance(value, bool):
            raise _wrong(key)
        return bool(value)

    def inner(self, key: str) -> Values:
        """Return an object; an empty one when there is none."""
        value = self._told.get(key)
        if value is None:
            return Values({})
        if not isinstance(value, dict):
            raise _wrong(key)
        return Values(value)

    def inners(self, key: str, most: int) -> Iterator[Values]:
        """Yield a list of objects; nothing when there is none."""
        for value in self._values(key, most):
            if not isinstance(value, dict):
                raise _wrong(key)
            yield Values(value)

    def texts(self, key: str, most: int) -> Iterator[str]:
        """Yield a list of strings of at most 255 characters; nothing when there is none."""
        for value in self._values(key, most):
            if not isinstance(value, str) or len(value) > 255:
                raise _wrong(key)
            yield value

    def _values(self, key: str, most: int) -> Sequence[object]:
        value = self._told.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most:
            raise _wrong(key)
        return value


def _wrong(key: str) -> ValueError:
    return ValueError(f"its value {key} is missing or wrong")
