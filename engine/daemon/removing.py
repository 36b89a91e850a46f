"""Removing a target from the configuration: whether it may go, and what stays where it is.

    name ─► in a file of its own? ─► no standby on it? ─► told, typed ─► file aside, durably

Only what `target add` may have written is touched. The store, the host and the password's file are
somebody's data, or somebody else's: what stays is told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from engine.config.engine import EngineConfig, TargetConfig
from engine.config.standby import load_standbys, standby_files
from engine.config.targets import (
    ASIDE,
    configured,
    lines_of,
    own_file,
    remove_target,
)
from engine.daemon.targets import forget
from engine.local.durable import LockHeld, file_lock
from engine.model.errors import Failure, Problem, Refused
from engine.model.text import safe

_UNCHANGED = "No target was removed."
_MOST = 8


@dataclass(frozen=True, slots=True)
class Removal:
    """What taking a target out of the configuration means.

    Attributes:
        file: Of its own, which is moved aside.
        store: Where its boot points are, or what belongs to them.
        stays: What is not touched, sentences.
    """

    name: str
    file: Path
    store: Path
    stays: Sequence[str]

    @property
    def aside(self) -> str:
        """Return where its file is afterwards."""
        return f"{self.file}{ASIDE}"


def removal(told: EngineConfig, name: str, used: Iterable[str] = ()) -> Removal:
    """Return what removing a target means. Nothing is changed.

    Args:
        told: The configuration as it is now.
        name: The target.
        used: Standbys that the running engine has on it; those in files are looked for here.

    Raises:
        NotFound: There is none of that name.
        Refused: It has no file of its own, or standbys.
        Failure: The standbys' folder cannot be read.
    """
    one = configured(told, name, _UNCHANGED)
    if (file := own_file(told, one)) is None:
        raise Refused(_elsewhere(told, name))
    if standbys := sorted({*used, *_standbys(told.standbys, name)}):
        raise Refused(_in_use(name, standbys))
    return Removal(name, file, one.store.path, [safe(text, 400) for text in _stays(told, one)])


def remove(told: EngineConfig, going: Removal) -> None:
    """Move its file aside, and drop what was found in it last. Failure: it is as it was."""
    remove_target(going.file)
    forget(told.state_dir / "targets" / going.name)


def remove_alone(told: EngineConfig, going: Removal) -> None:
    """Remove a target where no engine runs, and keep one from starting meanwhile.

    Raises:
        Refused: An engine runs after all.
        Failure: The file cannot be moved; it is as it was.
    """
    lock = told.state_dir / "engine.lock"
    try:
        with file_lock(lock) if lock.parent.is_dir() else nullcontext():
            remove(told, removal(told, going.name))  # a standby may have come meanwhile
    except LockHeld as held:
        raise Refused(
            Problem(
                "target.engine-runs",
                f"An engine works with {safe(str(told.state_dir), 200)}, and does not answer here.",
                _UNCHANGED,
                "Name its socket with --socket, or stop it first.",
            )
        ) from held
    except OSError as error:
        happened = f"{safe(str(lock), 200)} cannot be held: {safe(error.strerror or str(error))}."
        problem = Problem("target.lock", happened, _UNCHANGED, "Do it as the engine's own user.")
        raise Failure(problem) from error


def _standbys(folder: Path, target: str) -> Iterator[str]:
    """Yield the standbys of a target by their files, those with a mistake in them too."""
    found, wrong = load_standbys(folder)
    yield from (name for name, one in found.items() if one.target == target)
    if "" in wrong:
        raise Failure(wrong[""])
    for name, file in standby_files(folder).items() if wrong else ():
        if name in wrong:
            try:
                if tomllib.loads(file.read_text(encoding="utf-8")).get("target") == target:
                    yield name
            except (OSError, ValueError):
                continue  # nobody can tell


def _stays(told: EngineConfig, one: TargetConfig) -> Iterator[str]:
    yield f"Its store {one.store.path} stays as it is, with all that lies in it."
    esxi = one.esxi
    if esxi is not None:
        yield "Nothing is changed on the host: VMs, networks and snapshots made there stay."
        if esxi.transport != "hotadd" and esxi.server:
            yield (
                f"Hosts that mounted its share keep it as datastore bp-{one.name}: unmount it "
                "there when no VM uses it."
            )
        yield f"Its password is left where it is: {esxi.password}"
    yield (
        f"What was known of it stays in {told.state_dir / 'targets' / one.name}: added again, it "
        "knows its VMs and its store."
    )


def _in_use(name: str, standbys: Sequence[str]) -> Problem:
    shown = ", ".join(standbys[:_MOST])
    if len(standbys) > _MOST:
        shown += f" and {len(standbys) - _MOST} more"
    return Problem(
        "target.in-use",
        f"Standbys are configured for target {safe(name)}: {shown}.",
        "No target was removed. They go on.",
        "Remove them first; their boot points are set aside in the store, not deleted. Each: "
        f"bootpoint standby remove {standbys[0]}",
        {"target": safe(name), "standbys": shown},
    )


def _elsewhere(told: EngineConfig, name: str) -> Problem:
    """Return why a target cannot be removed that has no file of its own."""
    try:
        text = told.file.read_text(encoding="utf-8") if told.file is not None else ""
        raw = tomllib.loads(text).get("targets", {})
    except (OSError, ValueError):
        text, raw = "", {}
    if name not in raw:
        return Problem(
            "target.default",
            f"Target {safe(name)} is this machine itself: it needs no definition, so there is none "
            "to remove.",
            _UNCHANGED,
            "It goes once engine.toml defines targets of its own.",
        )
    file, own = safe(str(told.file), 200), safe(name)
    lines = ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in lines_of(text, name))
    happened = f"Target {own} is defined in {file} itself, as targets.{own}."
    if lines:
        happened = f"Target {own} is defined in {file} itself, lines {lines}."
    return Problem(
        "target.in-engine-toml",
        happened,
        "No target was removed. That file is yours: no command writes it.",
        "Take that out of it, then start the engine again.",
        {"target": own, "file": file, "lines": lines},
    )
