"""Definitions of standbys: whether one may be added or changed as somebody wants it, and doing it.

text ─► parsed ─► judged against the site ─► written durably ─► taken up by the running loop
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from engine.daemon.engine import Engine
from engine.daemon.service import Reloaded
from engine.daemon.upkeep import rules_for, upkeep_of_all
from engine.model.errors import Failure, NotFound, Problem, Refused, WrongUse
from engine.model.points import Stage
from engine.model.standby import Standby
from engine.model.text import NAME, safe
from engine.model.upkeep import losing
from engine.model.work import Severity

_UNCHANGED = "Nothing was changed."
GONE = frozenset({Stage.RETIRED})


def digest(text: str) -> str:
    """Return what tells one text from another."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Definitions:
    """The part of the engine's face that is about definitions. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        """Stand before a started engine."""
        self._engine = engine

    def standby_file(self, name: str) -> str:
        """Return the path of a standby's configuration file."""
        return self._engine.files.path(self._standby(name).name)

    def standby_text(self, name: str) -> str:
        """Return its file as it is."""
        return self._engine.files.text(self._standby(name).name)

    def parse_standby(self, name: str, text: str) -> tuple[Standby | None, Sequence[Problem]]:
        """Read a text as if it were a standby's file: the standby, or everything wrong in it."""
        if not NAME.fullmatch(name):  # a path's last part is a name: `x/erp` is not `erp`
            return None, [no_name(name)]
        standby, problems = self._engine.files.parse(name, text)
        if standby is None:
            return None, problems
        return standby, list(_objections(self._engine, standby))

    def define_standby(self, name: str, text: str, base: str, actor: str) -> str:
        """Validate a text, write it as the standby's file, take it up; return the file's path."""
        engine = self._engine
        with self._engine.defining:
            old = engine.standbys.get(name)
            if old is None and base:
                self._standby(name)
            if old is not None and base != digest(engine.files.text(name)):
                raise Refused(_moved(name) if base else exists(name))
            standby, problems = self.parse_standby(name, text)
            if standby is None or problems:
                raise WrongUse(replace(problems[0], unchanged=problems[0].unchanged or _UNCHANGED))
            path = engine.files.write_text(standby, text)
            self._take(standby, old)
            engine.misfits = {n: one for n, one in engine.misfits.items() if n != name}
        if old is None:
            self._tell(name, "standby.added", f"{actor} added standby {name}.")
        else:
            self._tell(name, "standby.changed", f"{actor} changed the definition of {name}.")
        return path

    def reload_standbys(self, actor: str) -> Reloaded:
        """Take up what was changed in `standbys.d` by hand; what is wrong there stays as it was.

        A file that is gone takes no standby away: that is what `remove_standby` is for.

        Raises:
            Failure: The folder cannot be read.
        """
        engine = self._engine
        with self._engine.defining:
            added: list[str] = []
            changed: list[str] = []
            misfits: dict[str, Problem] = {}
            here = engine.files.marks()
            for name in here:
                old = engine.standbys.get(name)
                standby, problem = self._by_hand(name, old)
                if problem is not None:
                    misfits[name] = replace(problem, unchanged=_in_force(name, old))
                elif standby is not None:
                    self._take(standby, old)
                    (added if old is None else changed).append(name)
            misfits |= {name: _gone(name) for name in engine.standbys if name not in here}
            fresh = {n: one for n, one in misfits.items() if engine.misfits.get(n) != one}
            engine.misfits = misfits
        for name in (*added, *changed):
            how = "added" if name in added else "changed"
            self._tell(name, f"standby.{how}", f"{actor} took up {name}, {how} by hand.")
        for name, problem in fresh.items():
            engine.tell(Severity.ERROR, name if name in engine.standbys else "", problem)
        engine.picture.touch()
        return Reloaded(added, changed, misfits)

    def has_misfits(self) -> bool:
        """Tell whether some file is not what the engine works by."""
        return bool(self._engine.misfits)

    def _by_hand(self, name: str, old: Standby | None) -> tuple[Standby | None, Problem | None]:
        """Return what a file makes of a standby, None where nothing; or why it cannot."""
        try:
            standby, problems = self._engine.files.parse(name, self._engine.files.text(name))
            if standby is not None:
                if standby == old:
                    return None, None
                problems = list(_objections(self._engine, standby))
                problems = problems or list(self._losses(standby, old))
        except Failure as failure:
            return None, failure.problem
        return standby, next(iter(problems), None)

    def _losses(self, standby: Standby, old: Standby | None) -> Iterator[Problem]:
        """Yield why a change must be confirmed: boot points would go by it."""
        engine, name = self._engine, standby.name
        if old is None:
            return
        state = engine.state.read()
        with engine.lock:
            before = upkeep_of_all(engine, state)[name]
        rules, _ = rules_for(engine, standby)
        gone = losing(name, state.points_of(name), state, before, rules)
        if gone:
            yield Problem(
                "standby.losing",
                f"{engine.files.path(name)}: by what was changed, boot points of {name} that "
                f"stay now would be taken away: {len(gone)}.",
                "",
                f"If that is meant: bootpoint standby edit {name} --yes-i-mean {name}",
                {"key": "keep", "found": str(standby.keep), "expected": f"{old.keep} as now"},
            )

    def _take(self, standby: Standby, old: Standby | None) -> None:
        """Let the engine work by a definition."""
        with self._engine.lock:
            if old is not None and old.images != standby.images:
                self._engine.sources.pop(standby.name, None)  # matched anew
            self._engine.take_standby(standby, standby.name)

    def add_standby(self, standby: Standby, actor: str) -> str:
        """Validate, write `standbys.d/NAME.toml`, take it up; return the file's path."""
        with self._engine.defining:
            if not NAME.fullmatch(standby.name):
                raise WrongUse(no_name(standby.name))
            if standby.name in self._engine.standbys:
                raise Refused(exists(standby.name))
            for problem in _objections(self._engine, standby):
                raise WrongUse(problem)
            path = self._engine.files.write(standby)
            self._engine.take_standby(standby, standby.name)
        self._tell(standby.name, "standby.added", f"{actor} added standby {standby.name}.")
        return path

    def _change(self, name: str, change: Callable[[Standby], Standby]) -> None:
        with self._engine.defining:
            standby = change(self._standby(name))
            self._engine.files.write(standby)
            self._engine.take_standby(standby, name)

    def _standby(self, name: str) -> Standby:
        found = self._engine.standbys.get(name)
        if found is None:
            known = ", ".join(sorted(self._engine.standbys)[:8]) or "none yet"
            raise NotFound(
                Problem(
                    "standby.unknown", f"There is no standby {safe(name)}.", "", f"Known: {known}."
                )
            )
        return found

    def _tell(self, name: str, key: str, text: str) -> None:
        with self._engine.state.write() as tx:
            tx.write_journal(self._engine.clock.now(), Severity.INFO, name, key, text)
        self._engine.picture.touch()


def _objections(engine: Engine, standby: Standby) -> Iterator[Problem]:
    """Yield why a definition that can be read cannot be taken up."""
    folder = Path(standby.images)
    if not folder.is_absolute() or not folder.is_dir():
        yield Problem(
            "standby.images",
            f"{safe(standby.images, 200)} is not a folder on this host.",
            _UNCHANGED,
            "Give the absolute path of the folder that the image files are replicated to.",
            {"key": "images", "found": safe(standby.images, 200)},
        )
    try:
        engine.target_of(standby)
    except Failure as failure:
        yield replace(failure.problem, facts={"key": "target", "found": safe(standby.target)})
    old = engine.standbys.get(standby.name)
    if old is not None:
        yield from changes_refused(old, standby, has_points=_has_points(engine, standby.name))


def _in_force(name: str, old: Standby | None) -> str:
    if old is None:
        return f"{name} is no standby until then; the others are not concerned."
    return f"{name} goes on as it was defined before."


def _gone(name: str) -> Problem:
    return Problem(
        "standby.file-gone",
        f"The file of standby {name} is gone.",
        f"{name} goes on as it was defined, until the engine is started again.",
        f"Put the file back, or remove the standby: bootpoint standby remove {name}",
    )


def _has_points(engine: Engine, name: str) -> bool:
    state = engine.state.read()
    return any(point.stage not in GONE for point in state.points_of(name))


def changes_refused(old: Standby, new: Standby, *, has_points: bool) -> Iterator[Problem]:
    """Yield why a definition cannot be changed into another one. Pure."""
    told = {
        "held": (old.held, new.held, "bootpoint pause and resume write it"),
        "held_until": (old.held_until, new.held_until, "bootpoint pause and resume write it"),
        "guard_released": (
            old.guard_released,
            new.guard_released,
            "bootpoint guard release writes it",
        ),
        "created_at": (old.created_at, new.created_at, "the engine writes it"),
        "retention.hold": (
            old.retention.hold,
            new.retention.hold,
            "bootpoint retention --hold and --release write it",
        ),
    }
    for key, (was, will, whose) in told.items():
        if was != will:
            shown = safe(str(will), 80) if will else "nothing"
            left = safe(str(was), 80) if was else "absent"
            yield Problem(
                "standby.not-yours",
                f"{key}: found {shown}, expected it as it was ({left}): {whose}.",
                _UNCHANGED,
                f"Put {key} back as it was.",
                {"key": key, "found": shown, "expected": f"as it was: {left}"},
            )
    if has_points and old.target != new.target:
        yield Problem(
            "standby.moves",
            f"target: found {safe(new.target)}, expected {safe(old.target)}: the boot points of "
            f"{old.name} lie there.",
            _UNCHANGED,
            "To have it on another target too, add a second standby for the same images.",
            {"key": "target", "found": safe(new.target), "expected": safe(old.target)},
        )


def no_name(name: str) -> Problem:
    """Return the problem of a name that no standby can have."""
    return Problem(
        "standby.name",
        f"{safe(name)} cannot be a standby's name: small letters, digits and hyphens, at most 48, "
        "not beginning with a hyphen.",
        _UNCHANGED,
        "",
        {"key": "name", "found": safe(name)},
    )


def exists(name: str) -> Problem:
    """Return the problem of a name that is taken."""
    return Problem(
        "standby.exists",
        f"There is a standby named {name} already.",
        "It was left as it is.",
        "Choose another name, or remove the old one first.",
        {"key": "name", "found": name},
    )


def _moved(name: str) -> Problem:
    return Problem(
        "standby.moved",
        f"The definition of {name} was changed by somebody else meanwhile.",
        "It was left as it is now.",
        "Look at it again, then change it again.",
    )
