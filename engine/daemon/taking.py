"""Lets a running engine take up targets that were configured since, and let go of removed ones.

    file written ─► read again ─► known at once ─► opened in the background, as at a start
    file aside   ─► forgotten at once ─► logged out and closed in the background

So a host that cannot be reached, or a file system that hangs, keeps no target from coming or going.
A pin that changed counts from the next connection on; what else changed in a known target's
definition waits for the engine's next start: jobs work by it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from engine.config.engine import EngineConfig, TargetConfig, limits
from engine.config.targets import digest
from engine.daemon.attending import FIRST_S, attendants_of, other_definition
from engine.daemon.engine import DISARM, Engine
from engine.daemon.removing import Removal, removal, remove
from engine.daemon.targets import Target
from engine.daemon.targetstore import TargetStore
from engine.daemon.trusting import Met, meet, trust
from engine.model.errors import NotFound, Problem, Refused
from engine.model.text import safe
from engine.model.work import Severity

log = logging.getLogger(__name__)

CLOSE_S = 5.0
"""Seconds that a removal waits for a host that is slow to log out."""
DISARM_S = 60.0


class Taking:
    """Changes the targets of a running engine. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        told: EngineConfig,
        config: Callable[[], EngineConfig],
        make: Callable[[TargetConfig], Target],
    ) -> None:
        """Begin with the targets that the engine was started with.

        Args:
            engine: The engine.
            told: What it was started with.
            config: Reads the configuration as it is now.
            make: Makes a target of what is configured, and opens nothing.
        """
        self._engine, self._told = engine, told
        self._config, self._make = config, make
        self._known: Mapping[str, TargetConfig] = dict(told.targets)

    def take(self, name: str, definition: str, actor: str) -> None:
        """Take up a target that was configured since, or a new pin of a known one.

        Nothing happens where it is known as it is configured.

        Args:
            name: The target.
            definition: Its digest, to tell it from that of another configuration; empty: any.
            actor: Who does it.

        Raises:
            NotFound: It is not configured.
            Refused: It is known with another definition, or configured otherwise than was asked.
            WrongUse: The configuration cannot be read any more.
        """
        engine = self._engine
        with engine.defining:
            told = self._config()
            one = told.targets.get(name)
            if one is None or definition not in ("", digest(one)):
                raise NotFound(_not_ours(name, told))
            if (known := engine.targets.get(name)) is not None:
                if known.definition == digest(one):
                    return
                if (pin := _new_pin(self._known.get(name), one)) is None:
                    raise Refused(other_definition(name))
                known.trust(pin, digest(one))
                self._known = {**self._known, name: one}
                text = f"{actor} trusts the new certificate of target {name}: SHA-256 {pin}."
                self._tell("target.trusted", text)
                return
            if told.state_dir != self._told.state_dir:
                raise Refused(_moved(told))
            begin(engine, self._make(one), self._limits({**self._known, name: one}))
        self._tell("target.added", f"{actor} added target {name}; it is looked at now.")

    def meet(self, name: str) -> Met:
        """Ask a target's host for its certificate. Raises as `engine.daemon.trusting.meet`."""
        return meet(self._config(), name)

    def trust(self, name: str, pin: str, actor: str) -> str:
        """Pin a certificate that was compared; return the file. Known targets go by it at once.

        Raises:
            WrongUse, NotFound, Refused, Failure: As for `engine.daemon.trusting.trust`.
        """
        met = trust(self._config(), name, pin)
        log.info("target=%s pinned=%s by=%s", name, met.contact.certificate.sha256, actor)
        return str(met.one.file)

    def removal(self, name: str) -> Removal:
        """Return what removing a target means.

        Raises:
            NotFound, Refused, Failure: As for `engine.daemon.removing.removal`.
        """
        engine, told = self._engine, self._config()
        if name not in told.targets and name in engine.targets and name in self._known:
            told = replace(told, targets={name: self._known[name]})  # taken away by hand
        used = [one for one, standby in list(engine.standbys.items()) if standby.target == name]
        return removal(told, name, used)

    def remove(self, name: str, actor: str) -> Removal:
        """Move its file aside, then let go of it. Nothing is changed on it.

        Raises:
            NotFound, Refused, Failure: As for `removal`; nothing was changed.
        """
        engine = self._engine
        with engine.defining:
            going = self.removal(name)
            remove(self._told, going)
            left = {one: told for one, told in self._known.items() if one != name}
            if name in engine.targets:
                let_go(engine, engine.targets[name], self._limits(left))
        text = f"{actor} removed target {name}. Its store {going.store} stays as it is."
        self._tell("target.removed", safe(text, 500))
        return going

    def _limits(self, known: Mapping[str, TargetConfig]) -> Callable[[], None]:
        """Return what makes limits of these targets count; called under the engine's lock."""

        def settle() -> None:
            self._known = known
            self._engine.limits = limits(replace(self._told, targets=known))

        return settle

    def _tell(self, key: str, text: str) -> None:
        log.info("%s", text)
        self._engine.tell(Severity.INFO, "", Problem(key, text))
        self._engine.picture.touch()


def _new_pin(before: TargetConfig | None, now: TargetConfig) -> str | None:
    """Return the pin that a definition has now; None where anything else differs."""
    if before is None or before.esxi is None or now.esxi is None:
        return None
    if not (before.esxi.pin and now.esxi.pin):
        return None
    is_all = replace(before, esxi=replace(before.esxi, pin=now.esxi.pin), file=now.file) == now
    return now.esxi.pin if is_all else None


def begin(engine: Engine, target: Target, settle: Callable[[], None]) -> None:
    """Let the engine have a target; it is opened in threads of its own."""
    seen, name = threading.Event(), target.name
    with engine.lock:
        engine.unseen |= {n for n, s in engine.standbys.items() if s.target == name}
        engine.targets = {**engine.targets, name: target}
        settle()
    for thread, work in attendants_of(engine, target, seen).items():
        engine.thread(thread, work)
    engine.thread(f"layers-{name}", partial(_look, engine, target, seen))
    engine.picture.touch()
    engine.wake()


def _look(engine: Engine, target: Target, seen: threading.Event) -> None:
    """See what standbys have there that were defined before their target was."""
    seen.wait(FIRST_S)
    engine.look_at(target)


def let_go(engine: Engine, target: Target, settle: Callable[[], None]) -> None:
    """Let the engine forget a target that no standby has; it is closed in a thread of its own."""
    name, closed = target.name, threading.Event()
    with engine.lock:
        engine.targets = {one: there for one, there in engine.targets.items() if one != name}
        settle()
    shared = any(one.store is target.store for one in engine.targets.values())
    if not shared and isinstance(target.store, TargetStore):
        target.store.is_left = True
    for kept in (engine.latencies, engine.rooms, engine.folds):
        kept.forget(name)
    engine.thread(f"leaving-{name}", partial(_close, engine, target, closed))
    closed.wait(CLOSE_S)
    engine.picture.touch()
    engine.wake()


def _close(engine: Engine, target: Target, closed: threading.Event) -> None:
    """Log out once nothing is taken off the host any more, and let others have the store."""
    try:
        for thread in [one for one in engine.threads if one.name.startswith(DISARM)]:
            thread.join(DISARM_S)
        target.leave()
        if isinstance(target.store, TargetStore) and target.store.is_left:
            target.store.close()
    except Exception:
        log.exception("target %s was not closed", target.name)
    closed.set()


def _not_ours(name: str, told: EngineConfig) -> Problem:
    file = safe(str(told.file or "the defaults"), 200)
    return Problem(
        "target.not-configured",
        f"The running engine's configuration, {file}, has no such target {safe(name)}.",
        "Nothing was taken up.",
        "Name the engine's own configuration: --config FILE.",
    )


def _moved(told: EngineConfig) -> Problem:
    return Problem(
        "target.state-moved",
        f"engine.toml names another state folder, {safe(str(told.state_dir), 200)}, than the one "
        "that the engine was started with.",
        "Nothing was taken up.",
        "Start the engine again.",
    )
