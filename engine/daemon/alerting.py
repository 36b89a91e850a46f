"""Tells what is wrong: looks now and then, keeps alerts in the state, has one thread for each way.

    scene ─► conditions ─► alarms.update ─► book (and state) ─┬─► thread `mail`    ─► Way.send
                                                             └─► thread `webhook` ─► Way.send
    health ─► well? ─► thread of each heartbeat ─► Beat.ping

A way that hangs holds up its own thread and nothing else. While the state cannot be written the
book goes on in memory, and is written as soon as that works again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from engine.daemon.engine import Engine
from engine.daemon.health import Health
from engine.daemon.service import Tried
from engine.daemon.upkeep import upkeep_of_all
from engine.model import alarms
from engine.model.alarms import Alert, Message, Rules, What
from engine.model.conditions import Scene, TargetScene, Trouble, conditions
from engine.model.errors import Failure, NotFound, PartlyTold, Problem
from engine.model.fleet import survey
from engine.model.images import RootView
from engine.model.planner import Limits
from engine.model.text import safe
from engine.model.work import Severity
from engine.ports import Beat, Transaction, Way

log = logging.getLogger(__name__)

LOOK_S = 15.0
"""Seconds between two looks; also the longest that a way waits for what time alone brings."""
LOOK_SHARE, LOOK_LONGEST_S = 200, 60.0
"""A look at 500 machines takes 0.3 s: it is taken less often, to cost half a per cent of a core."""
RETRY_FIRST_S, RETRY_LONGEST_S = 15.0, 1800.0
DEAF_AFTER = 3
"""Failures in a row after which the other ways are told of it."""
TEST_S = 90.0
STOP_S = 5.0


class Alerting:
    """The alerts of one engine. Thread-safe."""

    def __init__(
        self, engine: Engine, ways: Sequence[Way], beats: Sequence[Beat], rules: Rules
    ) -> None:
        """Know everything, tell nothing."""
        self._engine, self._rules = engine, rules
        self.ways = {way.name: way for way in ways}
        self._beats = beats
        self.health = Health(engine)
        self._book: dict[str, Alert] = dict(engine.state.read().alerts)
        self._unwritten: set[str] = set()
        self._deaf: dict[str, str] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._news = {name: threading.Event() for name in self.ways}
        self._threads: list[threading.Thread] = []

    # --- life

    def start(self) -> None:
        """Begin to look and to tell."""
        self._thread("alerts", self._watch)
        for way in self.ways.values():
            self._thread(f"alert-{way.name}", partial(self._serve, way))
        for beat in self._beats:
            self._thread("heartbeat", partial(self._beat, beat))

    def stop(self) -> None:
        """End; what was not told is told after the next start. A way that hangs is left behind."""
        self._stopping.set()
        for event in self._news.values():
            event.set()
        for thread in self._threads:
            thread.join(STOP_S)

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # --- looking

    def _watch(self) -> None:
        pause = LOOK_S
        while not self._stopping.wait(pause):
            began = self._engine.clock.monotonic()
            try:
                self.look()
            except Exception:
                log.exception("alerts")
            took = self._engine.clock.monotonic() - began
            pause = min(max(LOOK_S, LOOK_SHARE * took), LOOK_LONGEST_S)

    def look(self) -> None:
        """See what is wrong now, and keep what is new, changed or over."""
        now = self._engine.clock.now()
        found = conditions(self.scene(now))
        least = {way.name: way.least for way in self.ways.values()}
        with self._lock:
            changed = alarms.update(self._book, found, self._rules, now)
            before = {one.key: self._book.get(one.key) for one in changed}
            self._book |= {one.key: one for one in changed}
            over = alarms.over(self._book.values(), least, self._rules, now)
            for key in over:
                del self._book[key]
            self._unwritten |= {one.key for one in changed} | set(over)
            lines = [line for one in changed if (line := _line(before[one.key], one))]
            self._write(now, lines)
        if lines:
            self._engine.picture.touch()
        for event in self._news.values():
            event.set()

    def scene(self, now: datetime) -> Scene:
        """Return everything that conditions are seen in."""
        engine = self._engine
        with engine.lock:
            standbys, sources, roots = (
                dict(engine.standbys),
                dict(engine.sources),
                dict(engine.roots),
            )
            waiting = {name: tuple(texts) for name, texts in engine.waiting.items()}
            state = engine.state.read()
            upkeep = upkeep_of_all(engine, state)
        seen = {one.name: one for one in engine.rooms.statuses(engine, state, upkeep)}
        lost = {name: one.problem for name, one in seen.items() if one.problem}
        written = _written(roots.values())
        return Scene(
            now=now,
            state=state,
            standbys=standbys,
            standings=survey(standbys, sources, state, now, Limits(), waiting, lost, written),
            roots=roots,
            targets={
                name: TargetScene(
                    one.problem,
                    [Trouble(f.key, f.gravity, f.text, f.remedy) for f in one.findings],
                    one.room,
                    one.days_left,
                )
                for name, one in seen.items()
            },
            signs=engine.picture.signs(),
            unwell=self.health.unwell(),
            deaf=dict(self._deaf),
        )

    def _write(self, now: datetime, lines: Iterable[_Line] = ()) -> None:
        """Write what is not written yet; the caller holds the lock. Also shows that one can."""
        try:
            with self._engine.state.write() as tx:
                self._save(tx)
                for severity, standby, key, text in lines:
                    tx.write_journal(now, severity, standby, key, text)
        except (Failure, OSError) as error:
            self.health.wrote(str(error))
            log.warning("alerts are kept in memory: %s", error)
        else:
            self.health.wrote()
            self._unwritten.clear()

    def _save(self, tx: Transaction) -> None:
        for key in self._unwritten:
            alert = self._book.get(key)
            if alert is None:
                tx.forget_alert(key)
            else:
                tx.save_alert(alert)

    # --- telling

    def _serve(self, way: Way) -> None:
        failures = 0
        while not self._stopping.is_set():
            message = self._message(way)
            if message is None:
                self._news[way.name].wait(LOOK_S)
                self._news[way.name].clear()
                continue
            problem, taken = _tried(way, message)
            failures = failures + 1 if problem else 0
            self._note(way, failures, problem, deaf=taken or failures >= DEAF_AFTER)
            if taken:
                self._heard(way, message)
            else:
                pause = min(RETRY_FIRST_S * 2 ** min(failures - 1, 20), RETRY_LONGEST_S)
                self._stopping.wait(pause)

    def _message(self, way: Way) -> Message | None:
        now = self._engine.clock.now()
        site = self._engine.settings.site
        with self._lock:
            book = list(self._book.values())
        return alarms.message(book, way.name, way.least, self._rules, site, now)

    def _heard(self, way: Way, message: Message) -> None:
        now = self._engine.clock.now()
        with self._lock:
            for item in message.items:
                alert = self._book.get(item.alert.key)
                if alert is not None:
                    self._book[alert.key] = alarms.heard(alert, item, way.name, now)
                    self._unwritten.add(alert.key)
            self._write(now)
        log.info("told %s of %d alerts id=%s", way.name, len(message.items), message.id)
        self._engine.picture.touch()

    def _note(self, way: Way, failures: int, problem: str, *, deaf: bool) -> None:
        """Tell in the journal when a way ceases to work and when it works again."""
        was_deaf = self._deaf.pop(way.name, "")
        if problem and deaf:
            self._deaf[way.name] = problem
        if failures == 1:
            self._say(Severity.WARNING, "alert.not-sent", f"{way.name} ({way.where}): {problem}")
        elif not failures and was_deaf:
            self._say(Severity.INFO, "alert.sent-again", f"{way.name} ({way.where}) works again.")

    def _say(self, severity: Severity, key: str, text: str, standby: str = "") -> None:
        with self._lock:
            self._write(self._engine.clock.now(), [(severity, standby, key, text)])
        self._engine.picture.touch()

    def test(self, name: str = "") -> list[Tried]:
        """Send a test by one way, or all; returns when all have ended, within 90 s.

        Raises:
            NotFound: No way has that name, or none is configured.
        """
        chosen = [way for way in self.ways.values() if name in ("", way.name)]
        if not chosen:
            raise NotFound(no_way(name, list(self.ways)))
        now, site = self._engine.clock.now(), self._engine.settings.site
        message = Message(f"test-{now:%Y%m%dT%H%M%S%f}", site, now)
        found: dict[str, str] = {}

        def work(way: Way) -> None:
            found[way.name], _ = _tried(way, message)

        threads = [
            threading.Thread(target=work, args=(way,), name=f"test-{way.name}", daemon=True)
            for way in chosen
        ]
        for thread in threads:
            thread.start()
        until = self._engine.clock.monotonic() + TEST_S
        for thread in threads:
            thread.join(max(0.0, until - self._engine.clock.monotonic()))
        late = f"It has not ended within {TEST_S:.0f} s."
        return [Tried(way.name, way.where, found.get(way.name, late)) for way in chosen]

    def acknowledge(self, key: str, note: str, actor: str) -> None:
        """Note that somebody looks after an alert: it reminds nobody any more.

        Raises:
            NotFound: No alert of that key is raised.
        """
        now = self._engine.clock.now()
        with self._lock:
            alert = self._book.get(key)
            if alert is None or not alert.is_raised:
                known = [one.key for one in self._book.values() if one.is_raised]
                happened = f"There is no alert {safe(key, 200)}."
                listed = ", ".join(known[:8]) or "none"
                raise NotFound(Problem("alert.unknown", happened, "", f"Raised are: {listed}."))
            self._book[key] = alarms.acknowledged(alert, actor, safe(note, 400), now)
            self._unwritten.add(key)
            said = f": {safe(note, 400)}" if note else "."
            text = f"{actor} looks after {key}{said}"
            machine = alert.condition.machine
            self._write(now, [(Severity.INFO, machine, "alert.acknowledged", text)])
        self._engine.picture.touch()

    # --- the sign of life

    def _beat(self, beat: Beat) -> None:
        failed = False
        while not self._stopping.is_set():
            unwell = self.health.unwell()
            if unwell:
                log.error("no heartbeat to %s: %s", beat.where, " ".join(unwell.values()))
            else:
                problem = _worked(beat.ping)
                if problem and not failed:
                    log.warning("heartbeat: %s", problem)
                failed = bool(problem)
            self._stopping.wait(beat.every_s)


_Line = tuple[Severity, str, str, str]


def _line(before: Alert | None, after: Alert) -> _Line | None:
    """Return the journal's line about a change of an alert, if it is worth one."""
    condition = after.condition
    if not after.is_raised:
        text = f"Over: {condition.title}."
        return Severity.INFO, condition.machine, "alert.cleared", text
    again = before is None or not before.is_raised
    if again or (before is not None and before.condition.severity is not condition.severity):
        text = f"{condition.title}: {condition.text}"
        return condition.severity, condition.machine, f"alert.{What.RAISED}", text
    return None


def _tried(way: Way, message: Message) -> tuple[str, bool]:
    """Return why a way failed, empty when it did not, and whether it took the message."""
    partly = ""

    def send() -> None:
        nonlocal partly
        try:
            way.send(message)
        except PartlyTold as failure:
            partly = failure.problem.happened

    problem = _worked(send)
    return problem or partly, not problem


def _worked(work: Callable[[], None]) -> str:
    """Return why work by a way failed; empty when it did not."""
    try:
        work()
    except Failure as failure:
        return failure.problem.happened
    except Exception as error:
        log.exception("a way out")
        return f"It stopped at an error inside the engine: {type(error).__name__}."
    return ""


def _written(roots: Iterable[RootView]) -> Mapping[str, datetime]:
    found: dict[str, datetime] = {}
    for family in (family for root in roots for family in root.sets):
        for point in family.points:
            known = found.get(family.machine_uuid, point.taken_at)
            found[family.machine_uuid] = max(known, point.taken_at)
    return found


def no_way(name: str, known: Sequence[str]) -> Problem:
    """Return the problem of a way out that is not there; without a name: of none at all."""
    if not known:
        return Problem(
            "alert.no-way",
            "No way out for alerts is configured, so nobody is told of any.",
            "Nothing was sent.",
            "Add one to engine.toml, [alerts], and start the engine again.",
        )
    return Problem(
        "alert.no-way",
        f"There is no way {safe(name)} for alerts.",
        "Nothing was sent.",
        f"Known: {', '.join(known)}.",
    )
