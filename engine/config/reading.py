"""TOML into checked structs; what is wrong is told with file, key, value found, and expectation."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

_WHERE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<at>[^`]*)`)?", re.DOTALL)
_MISSING = re.compile(r"missing required field `([^`]+)`")
_LARGEST = 1 << 20
_WORDS = {
    "`int`": "a whole number",
    "`float`": "a number",
    "`str`": "text in quotation marks",
    "`bool`": "true or false",
    "`array`": "a list in brackets",
    "`object`": "a table",
    "`datetime`": "a time such as 2026-01-31T22:00:00Z",
    "`null`": "nothing",
}

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Section(msgspec.Struct, forbid_unknown_fields=True):
    """Base of all sections: a key that is not known is an error."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return a file's content. WrongUse when it cannot be read or is not TOML."""
    return parse_toml(read_text(path), path)


def read_text(path: Path) -> str:
    """Return a file's text. WrongUse when it cannot be read, is too long, or is not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        happened = f"{_shown(path)} cannot be read: {os.strerror(error.errno or 0)}."
        raise WrongUse(
            Problem("config.unreadable", happened, "", "Check its name and permissions.")
        ) from error
    if len(data) > _LARGEST:
        raise WrongUse(Problem("config.syntax", f"{_shown(path)} is longer than 1 MiB."))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _no_toml(path, error) from error


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Return a text's content. WrongUse when it is not TOML; `path` is for the message."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _no_toml(path, error) from error


def _no_toml(path: Path, error: Exception) -> WrongUse:
    return WrongUse(
        Problem(
            "config.syntax",
            f"{_shown(path)} is not valid TOML: {safe(str(error), 200)}.",
            "",
            "Correct the line; text stands in quotation marks, lists in brackets.",
        )
    )


def convert(raw: Mapping[str, Any], into: type[_Struct], file: Path, prefix: str = "") -> _Struct:
    """Return a TOML table as a struct.

    Args:
        raw: The table.
        into: The struct.
        file: Where the table is from, for messages.
        prefix: Dotted key of the table, ending in a dot; empty at the top.

    Raises:
        WrongUse: A key is unknown, or a value is not what is expected.
    """
    _refuse_unknown(raw, into, file, prefix)
    try:
        return msgspec.convert(dict(raw), into)
    except msgspec.ValidationError as error:
        raise _explained(error, raw, into, file, prefix) from None


def wrong(file: Path, key: str, found: object, expected: str) -> WrongUse:
    """Return the error about one value.

    Args:
        file: The configuration file.
        key: Dotted.
        found: The value that stands there.
        expected: A phrase, such as `expected a folder's absolute path`.
    """
    shown = "nothing" if found is None else safe(repr(found), 120)
    return WrongUse(
        Problem(
            "config.value",
            f"{_shown(file)}: {safe(key)}: found {shown}, {expected}.",
            "",
            f"Correct {safe(key)} in this file.",
            {"file": safe(str(file), 400), "key": safe(key), "found": shown, "expected": expected},
        )
    )


def _explained(
    error: msgspec.ValidationError,
    raw: Mapping[str, Any],
    into: type[Any],
    file: Path,
    prefix: str,
) -> WrongUse:
    """Return a conversion's error in words for people who edit files, not for programmers."""
    found = _WHERE.fullmatch(str(error))
    what, at = (found["what"], found["at"] or "") if found else (str(error), "")
    if missing := _MISSING.search(what):
        at = f"{at}.{missing[1]}".lstrip(".")
        return wrong(file, prefix + at, None, "it is missing, and has no default")
    if what.startswith("Invalid enum value"):
        what = f"expected one of {', '.join(_choices(into, at))}"
    for word, plain in _WORDS.items():
        what = what.replace(word, plain)
    return wrong(file, prefix + at, _at(raw, at), what[:1].lower() + what[1:])


def _choices(into: type[Any], at: str) -> list[str]:
    """Return the values allowed at a path."""
    kind: Any = into
    for step in at.split("."):
        table = next(one for one in (kind, *get_args(kind)) if _is_table(one))
        kind = next(f.type for f in msgspec.structs.fields(table) if f.encode_name == step)
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, Enum):
            return [str(value.value) for value in one]
    return [str(value) for value in get_args(kind)]


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _refuse_unknown(raw: Mapping[str, Any], into: type[Any], file: Path, prefix: str) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(into)}
    for key, value in raw.items():
        if key not in fields:
            raise WrongUse(_unknown(file, prefix + key, list(fields)))
        kind = fields[key].type
        if isinstance(kind, type) and issubclass(kind, Section) and isinstance(value, dict):
            _refuse_unknown(value, kind, file, f"{prefix}{key}.")


def _unknown(file: Path, key: str, known: list[str]) -> Problem:
    name = key.rpartition(".")[2]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"Did you mean {near[0]}? " if near else ""
    return Problem(
        "config.unknown-key",
        f"{_shown(file)}: {safe(key)} is not known.",
        "",
        f"{meant}Known here: {', '.join(sorted(known))}.",
        {"file": safe(str(file), 400), "key": safe(key), "nearest": near[0] if near else ""},
    )


def _at(raw: Mapping[str, Any], at: str) -> object:
    """Return the value at a path as msgspec writes it, such as `watch.roots[0]`."""
    value: Any = raw
    for step in re.findall(r"[^.\[\]]+", at):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return None
    return value


def _shown(path: Path) -> str:
    return safe(str(path), 200)
