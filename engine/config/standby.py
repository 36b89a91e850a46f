"""`standbys.d/NAME.toml`: one file per standby; the file's name is the standby's."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tomli_w
from msgspec import Meta, field

from engine.config.blackouts import read_blackouts
from engine.config.keeping import OwnKeeping, dump_keeping, read_keeping
from engine.config.reading import Section, convert, parse_toml, read_text, read_toml, wrong
from engine.local.durable import durable_replace, make_folder, open_folder, publish
from engine.model.conversion import ConversionMode
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.machine import DiskBus, Firmware
from engine.model.retention import COUNT
from engine.model.standby import Backlog, Priority, Standby, parse_trigger
from engine.model.text import NAME, safe

SUFFIX = ".toml"


class _Standby(Section):
    images: Annotated[str, Meta(min_length=1)]
    machine: Annotated[str, Meta(max_length=255)] = ""
    target: Annotated[str, Meta(min_length=1)] = "local"
    trigger: str = "immediate"
    keep: Annotated[int, Meta(ge=1, le=10000)] = COUNT
    rpo_s: Annotated[int, Meta(ge=1)] | None = None
    silence_s: Annotated[int, Meta(ge=0)] | None = None
    memory_mib: Annotated[int, Meta(ge=64, le=16 * 1024 * 1024)] | None = None
    cpus: Annotated[int, Meta(ge=1, le=1024)] | None = None
    firmware: Firmware | None = None
    bus: DiskBus | None = None
    conversion: ConversionMode = ConversionMode.AUTO
    priority: Priority = Priority.NORMAL
    backlog: Backlog = Backlog.EVERY
    blackouts: list[str] | None = None
    guard_released: datetime | None = None
    held: str = ""
    held_until: datetime | None = None
    created_at: datetime | None = None
    retention: OwnKeeping = field(default_factory=OwnKeeping)


def load_standbys(folder: Path) -> tuple[dict[str, Standby], dict[str, Problem]]:
    """Read all standbys of a folder; a bad file does not stop the others.

    Returns:
        Standbys, and what is wrong with other files, both by name; "" stands for the folder.
    """
    found: dict[str, Standby] = {}
    problems: dict[str, Problem] = {}
    try:
        files = standby_files(folder)
    except Failure as failure:
        return found, {"": failure.problem}
    for name, file in files.items():
        try:
            found[name] = load_standby(file)
        except Failure as failure:
            problems[name] = failure.problem
    return found, problems


def standby_files(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their standbys' names. Failure when it cannot be read."""
    try:
        files = sorted(folder.iterdir())
    except FileNotFoundError:
        return {}
    except OSError as error:
        happened = f"{safe(str(folder), 200)} cannot be read: {os.strerror(error.errno or 0)}."
        problem = Problem("config.unreadable", happened, "", "Check its permissions.")
        raise Failure(problem) from error
    return {f.stem: f for f in files if f.suffix == SUFFIX and not f.name.startswith(".")}


def load_standby(file: Path) -> Standby:
    """Read one standby. WrongUse names file, key, the value found and what is expected."""
    if not NAME.fullmatch(file.stem):
        expected = "expected small letters, digits and hyphens, at most 48, then .toml"
        raise wrong(file, "file name", file.name, expected)
    return _standby(file, convert(read_toml(file), _Standby, file))


def _standby(file: Path, told: _Standby) -> Standby:
    if not Path(told.images).is_absolute() or "\0" in told.images:
        expected = "expected the absolute path of the folder the images are replicated to"
        raise wrong(file, "images", told.images, expected)
    try:
        trigger = parse_trigger(told.trigger)
    except ValueError as error:
        raise wrong(file, "trigger", told.trigger, str(error)) from None
    created_at = _utc(told.created_at, "created_at", file)
    held_until = _utc(told.held_until, "held_until", file)
    return Standby(
        name=file.stem,
        images=os.path.normpath(told.images),
        machine=told.machine,
        target=told.target,
        trigger=trigger,
        keep=told.keep,
        rpo_s=told.rpo_s,
        silence_s=told.silence_s,
        memory=None if told.memory_mib is None else told.memory_mib * 2**20,
        cpus=told.cpus,
        firmware=told.firmware,
        bus=told.bus,
        conversion=told.conversion,
        priority=told.priority,
        guard_released=_utc(told.guard_released, "guard_released", file),
        held=told.held,
        retention=read_keeping(told.retention),
        backlog=told.backlog,
        blackouts=None if told.blackouts is None else read_blackouts(told.blackouts, file),
        held_until=held_until,
        created_at=created_at,
    )


def _utc(moment: datetime | None, key: str, file: Path) -> datetime | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        expected = "expected a time with its zone, such as 2026-01-31T22:00:00Z"
        raise wrong(file, key, str(moment), expected)
    return moment.astimezone(UTC)


def parse_standby(file: Path, text: str) -> tuple[Standby | None, list[Problem]]:
    """Read a definition's text as if it were the file: the standby, or everything wrong in it."""
    problems: list[Problem] = []
    try:
        if not NAME.fullmatch(file.stem):
            expected = "expected small letters, digits and hyphens, at most 48"
            raise wrong(file, "name", file.stem, expected)
        raw = parse_toml(text, file)
    except WrongUse as error:
        return None, [error.problem]
    for key in raw if "images" in raw else ["images", *raw]:
        try:
            one = {key: raw[key]} if key in raw else {}
            alone = one if key == "images" else {"images": "/", **one}
            _standby(file, convert(alone, _Standby, file))
        except WrongUse as error:
            problems.append(error.problem)
    return (None, problems) if problems else (_standby(file, convert(raw, _Standby, file)), [])


def dump_standby(standby: Standby) -> str:
    """Return a standby as its file's text; what has its default is left out, but for a few."""
    memory = None if standby.memory is None else standby.memory // 2**20
    told: dict[str, Any] = {
        "images": standby.images,
        "machine": standby.machine or None,
        "target": standby.target,
        "trigger": str(standby.trigger),
        "keep": standby.keep,
        "rpo_s": standby.rpo_s,
        "silence_s": standby.silence_s,
        "memory_mib": memory,
        "cpus": standby.cpus,
        "firmware": None if standby.firmware is None else str(standby.firmware),
        "bus": None if standby.bus is None else str(standby.bus),
        "conversion": None
        if standby.conversion is ConversionMode.AUTO
        else str(standby.conversion),
        "priority": None if standby.priority is Priority.NORMAL else str(standby.priority),
        "guard_released": standby.guard_released,
        "held": standby.held or None,
        "backlog": None if standby.backlog is Backlog.EVERY else str(standby.backlog),
        "blackouts": None if standby.blackouts is None else [one.text for one in standby.blackouts],
        "held_until": standby.held_until,
        "created_at": standby.created_at,
        "retention": dump_keeping(standby.retention) or None,
    }
    return tomli_w.dumps({key: value for key, value in told.items() if value is not None})


def write_standby(folder: Path, standby: Standby) -> Path:
    """Write a standby's file, so that a power cut leaves the old or the new one.

    Returns:
        The file's path.

    Raises:
        WrongUse: What would be written could not be read again; nothing was written.
        Failure: The file could not be written; the old one is left.
    """
    return write_text(folder, standby, dump_standby(standby))


def write_text(folder: Path, standby: Standby, text: str) -> Path:
    """Write a standby's file as `write_standby` does, with a text of somebody's own."""
    file = standby_file(folder, standby.name)
    if not NAME.fullmatch(standby.name):
        raise wrong(file, "file name", standby.name, "expected small letters, digits and hyphens")
    _standby(file, convert(tomllib.loads(text), _Standby, file))
    with _changing(file):
        make_folder(folder)
        with open_folder(folder.resolve()) as opened:
            durable_replace(opened, file.name, text.encode())
    return file


def remove_standby(folder: Path, name: str) -> None:
    """Move a standby's file aside, to `NAME.toml.removed`; repeatable."""
    file = standby_file(folder, name)
    gone_already = contextlib.suppress(FileNotFoundError)
    with _changing(file), gone_already, open_folder(folder.resolve()) as opened:
        publish(opened, file.name, f"{file.name}.removed")


def standby_file(folder: Path, name: str) -> Path:
    """Return where a standby's file is, or would be."""
    return folder / f"{name}{SUFFIX}"


@contextlib.contextmanager
def _changing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        happened = f"{safe(str(file), 200)} cannot be written: {os.strerror(error.errno or 0)}."
        unchanged = "The standby was left as it was."
        problem = Problem("config.write", happened, unchanged, "Check the folder and its disk.")
        raise Failure(problem) from error


class StandbyFolder:
    """The folder `standbys.d` of one engine."""

    def __init__(self, folder: Path) -> None:
        """Look at nothing yet."""
        self._folder = folder

    def load(self) -> tuple[dict[str, Standby], dict[str, Problem]]:
        """Read all files: standbys, and what is wrong with the others, by name."""
        return load_standbys(self._folder)

    def marks(self) -> dict[str, object]:
        """Return of each file, by name, what changes when it does. Failure: cannot be read."""
        told: dict[str, object] = {}
        for name, file in standby_files(self._folder).items():
            with contextlib.suppress(OSError):
                seen = file.stat()
                told[name] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
        return told

    def write(self, standby: Standby) -> str:
        """Write one file durably; return its path."""
        return str(write_standby(self._folder, standby))

    def text(self, name: str) -> str:
        """Return a file as it is. WrongUse when it cannot be read."""
        return read_text(standby_file(self._folder, name))

    def parse(self, name: str, text: str) -> tuple[Standby | None, list[Problem]]:
        """Read a text as if it were a standby's file: the standby, or everything wrong in it."""
        return parse_standby(standby_file(self._folder, name), text)

    def write_text(self, standby: Standby, text: str) -> str:
        """Write one file durably, with the text it was parsed from; return its path."""
        return str(write_text(self._folder, standby, text))

    def remove(self, name: str) -> None:
        """Move one file out of the way; repeatable."""
        remove_standby(self._folder, name)

    def path(self, name: str) -> str:
        """Return where a standby's file is, or would be."""
        return str(standby_file(self._folder, name))


def defaults() -> Mapping[str, Any]:
    """Return what a standby's keys are when they are not given, for the documentation."""
    told: dict[str, Any] = msgspec.to_builtins(_Standby(images="-"))
    del told["images"]
    return told
