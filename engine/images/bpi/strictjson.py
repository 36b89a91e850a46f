"""JSON from outside: bounded, no duplicate keys, no floats, not deep."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NoReturn

LONGEST = 1 << 20
DEEPEST = 8
_DIGITS = 20


def parse(data: bytes) -> dict[str, object]:
    """Return the JSON object in `data`: integers, strings, booleans, null, lists, objects.

    Raises:
        ValueError: It is anything else; the message is a phrase.
    """
    if len(data) > LONGEST:
        raise ValueError("its JSON is longer than 1 MiB")
    try:
        told = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_int=_integer,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError("it is not valid JSON") from error
    if not isinstance(told, dict):
        raise ValueError("its JSON is not an object")  # noqa: TRY004 - a wrong file, not a wrong call
    _check_depth(told)
    return told


def canonical(told: object) -> bytes:
    """Return the one spelling of a JSON value that digests are made of."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError("a key stands twice in its JSON")
        found[key] = value
    return found


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("its JSON holds a number that is too long")
    return int(text)


def _refuse(_text: str) -> NoReturn:
    raise ValueError("its JSON holds a number that is no integer")


def _check_depth(told: object) -> None:
    level, depth = [told], 0
    while level:
        depth += 1
        inner = [value for one in level for value in _inside(one)]
        level = [value for value in inner if isinstance(value, (dict, list))]
        if depth > DEEPEST:
            raise ValueError("its JSON is nested too deeply")


def _inside(one: object) -> Iterable[object]:
    if isinstance(one, dict):
        return one.values()
    return one if isinstance(one, list) else ()
