"""`targets.d/NAME.toml`: targets that were added by command, one file each."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w

from engine.config.engine import TARGETS, EngineConfig, TargetConfig, places, read_target
from engine.local.durable import durable_replace, make_folder, open_folder, publish
from engine.model.errors import Failure, NotFound, Problem, Refused
from engine.model.text import safe

ASIDE = ".removed"
"""Behind the name of a file that was taken out of the folder: nobody reads it any more."""


def targets_folder(config: EngineConfig) -> Path:
    """Return where such files are, or would be."""
    return (config.file or places().config).parent / TARGETS


def configured(config: EngineConfig, name: str, unchanged: str) -> TargetConfig:
    """Return a target of the configuration; NotFound, with what is unchanged, without one."""
    if (one := config.targets.get(name)) is not None:
        return one
    known = ", ".join(sorted(config.targets)) or "none"
    happened = f"There is no target {safe(name)}."
    raise NotFound(Problem("target.unknown", happened, unchanged, f"Known: {known}."))


def own_file(config: EngineConfig, one: TargetConfig) -> Path | None:
    """Return the file that a target has for itself; None: it is defined elsewhere, or nowhere."""
    is_own = one.file is not None and one.file.parent == targets_folder(config)
    return one.file if is_own else None


def digest(one: TargetConfig) -> str:
    """Return what tells a definition from another one; it holds no password to begin with."""
    return hashlib.blake2b(repr(replace(one, file=None)).encode(), digest_size=16).hexdigest()


def check_target(config: EngineConfig, name: str, told: Mapping[str, Any]) -> TargetConfig:
    """Return what a definition would be, before it is written.

    Raises:
        Refused: There is a target of that name.
        WrongUse: Something in it is wrong; nothing was written.
    """
    file = targets_folder(config) / f"{name}.toml"
    if name in config.targets:
        where = config.targets[name].file or "the defaults"
        raise Refused(
            Problem(
                "target.exists",
                f"There is a target {safe(name)} already, in {safe(str(where), 200)}.",
                "It was left as it is.",
                "Choose another name, or edit that file.",
            )
        )
    return read_target(name, tomllib.loads(tomli_w.dumps(told)), file, config.state_dir)


def write_target(config: EngineConfig, name: str, told: Mapping[str, Any]) -> Path:
    """Write a checked definition durably; return its file.

    Raises:
        Failure: It cannot be written.
    """
    folder = targets_folder(config)
    file = folder / f"{name}.toml"
    try:
        make_folder(folder)
        with open_folder(folder.resolve()) as opened:
            durable_replace(opened, file.name, tomli_w.dumps(told).encode())
    except OSError as error:
        raise Failure(
            Problem(
                "config.write",
                f"{safe(str(file), 200)} cannot be written: {os.strerror(error.errno or 0)}.",
                "No target was added.",
                "Check the folder and its disk.",
            )
        ) from error
    return file


def write_pin(file: Path, before: str, pin: str) -> None:
    """Change the pin in a target's own file, durably, and nothing else in it.

    Args:
        file: The target's own.
        before, pin: SHA-256 that is there, and that shall be, 64 hex digits.

    Raises:
        Refused: It is not written as a line that can be changed so; the file is as it was.
        Failure: It cannot be read or written; it is as it was.
    """
    try:
        there = file.resolve()
        text = there.read_text(encoding="utf-8")
        changed = _changed(text, before, pin)
        if changed is None:
            raise Refused(_by_hand(file, pin))
        with open_folder(there.parent) as opened:
            durable_replace(opened, there.name, changed.encode())
    except (OSError, UnicodeDecodeError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else "it is no text"
        happened = f"{safe(str(file), 200)} cannot be changed: {why}."
        unchanged, remedy = "It is as it was.", "Check the folder and its disk."
        raise Failure(Problem("config.write", happened, unchanged, remedy)) from error


def _changed(text: str, before: str, pin: str) -> str | None:
    """Return a file with another pin where it tells its own, not in a remark; None: nowhere."""
    if (wanted := _with_pin(text, pin)) is None:
        return None
    for found in re.finditer(rf"""pin["']?\s*=\s*["']({before})""", text):
        changed = text[: found.start(1)] + pin + text[found.end(1) :]
        if _with_pin(changed, "") == wanted:
            return changed
    return None


def _with_pin(text: str, pin: str) -> object:
    """Return what a file says, with another pin unless that is empty; None where it is none."""
    try:
        told = tomllib.loads(text)
        told["esxi"]["pin"] = pin or told["esxi"]["pin"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        return None
    return told


def _by_hand(file: Path, pin: str) -> Problem:
    return Problem(
        "config.pin",
        f"In {safe(str(file), 200)} no line could be told that says the pin and nothing else.",
        "It is as it was.",
        f'Write into it by hand: pin = "{pin}". Then say the same again.',
    )


def remove_target(file: Path) -> None:
    """Move a target's own file aside, to `NAME.toml.removed`, durably; repeatable.

    Raises:
        Failure: It cannot be moved; it is as it was.
    """
    try:
        with open_folder(file.parent.resolve()) as opened:
            publish(opened, file.name, f"{file.name}{ASIDE}")
    except FileNotFoundError:
        return  # somebody took it away by hand
    except OSError as error:
        raise Failure(
            Problem(
                "config.write",
                f"{safe(str(file), 200)} cannot be moved: {os.strerror(error.errno or 0)}.",
                "No target was removed.",
                "Check the folder and its disk.",
            )
        ) from error


def lines_of(text: str, name: str) -> Sequence[tuple[int, int]]:
    """Return the lines of engine.toml that define a target, first and last, counted from 1.

    Nothing is returned where these lines alone could not be taken out: a target written in
    another way than as tables of its own.
    """
    lines = text.splitlines()
    found = list(_tables(lines, name))
    taken = {at for first, last in found for at in range(first, last + 1)}
    rest = "\n".join(line for at, line in enumerate(lines, 1) if at not in taken)
    try:
        before, after = tomllib.loads(text), tomllib.loads(rest)
    except tomllib.TOMLDecodeError:
        return []
    before.get("targets", {}).pop(name, None)
    if not before.get("targets", True):
        del before["targets"]
    if not after.get("targets", True):
        del after["targets"]
    return found if before == after else []


def _tables(lines: Sequence[str], name: str) -> Iterator[tuple[int, int]]:
    """Yield where the tables of a target begin and end, without remarks of what follows."""
    first = last = 0
    for at, line in enumerate(lines, 1):
        if line.lstrip().startswith("["):
            if first:
                yield first, last
            first = at if _header(line)[:2] == ("targets", name) else 0
        if first and line.strip() and (at == first or not line.lstrip().startswith("#")):
            last = at
    if first:
        yield first, last


def _header(line: str) -> tuple[str, ...]:
    """Return the keys that a table's header names; nothing where the line is none."""
    try:
        told: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()
    keys: list[str] = []
    while isinstance(told, dict) and len(told) == 1:
        key, told = next(iter(told.items()))
        keys.append(key)
    return tuple(keys)
