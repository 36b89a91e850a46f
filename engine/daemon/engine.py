"""The running engine: events only wake it; then the pure planner says what to do.

    scans ─┐
    timers ─┼─► wake ─► take in ─► plan ─► run ─┐
    ends  ─┘    ▲                                │
                └────────────────────────────────┘

One thread turns this loop; each job has a thread of its own; signs of life have another. What a
console asks for goes through `engine.daemon.desk`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from engine.daemon.arming import Arming, disarm
from engine.daemon.attending import Seen, attendants, limits_now
from engine.daemon.folds import Folds
from engine.daemon.given import Settings, StandbyFiles, Watcher
from engine.daemon.guarding import watch_all
from engine.daemon.intake import Intake
from engine.daemon.keeping import prove
from engine.daemon.latencies import Latencies
from engine.daemon.milestones import note_signs, passed
from engine.daemon.pacing import Pacing
from engine.daemon.pauses import end_pauses
from engine.daemon.performer import Performer
from engine.daemon.picture import Picture
from engine.daemon.resuming import go_on, take_up
from engine.daemon.rooms import Rooms
from engine.daemon.runner import Runner
from engine.daemon.targets import Target
from engine.daemon.upkeep import upkeep_of_all
from engine.daemon.views import Views, match, owners
from engine.model import planner
from engine.model.errors import Failure, Problem
from engine.model.images import RootView
from engine.model.layers import Layer, LayerName
from engine.model.machine import VMRef
from engine.model.memo import Memo
from engine.model.points import BootPoint, Stage
from engine.model.slots import RANKS, choose
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.waits import Wait
from engine.model.work import Job, JobId, JobStatus, Severity, WantedJob
from engine.ports import CancelFlag, Clock, ImageSource, Report, StateStore

log = logging.getLogger(__name__)

TURN_S = 5.0
PULSE_S = 1.0
IDLE_TURNS = 3
DISARM = "disarm-"
LOOKED_S = 0.25
"""While layers are looked at for the first time, the loop turns so often because of that."""


class Engine:
    """The loop and what it holds. `Desk` is its public face."""

    def __init__(
        self,
        settings: Settings,
        state: StateStore,
        clock: Clock,
        source: ImageSource,
        targets: Mapping[str, Target],
        files: StandbyFiles,
    ) -> None:
        """Wire everything, start nothing."""
        self.settings, self.state, self.clock = settings, state, clock
        self.targets, self.files = targets, files
        self.picture = Picture()
        self.runner = Runner(clock, self.picture.touch, self.wake)
        reading = Pacing(settings.reads, settings.zone, clock)
        self.performer = Performer(state, clock, source, self.target_of, settings.shape, reading)
        self.standbys: dict[str, Standby] = {}
        self.misfits: Mapping[str, Problem] = {}
        self.roots: dict[str, RootView] = {}
        self.sources: dict[str, str] = {}
        self.waiting: dict[str, list[str]] = {}
        self.slots: Mapping[str, Wait] = {}
        self.layers: dict[str, Mapping[LayerName, Layer]] = {}
        self.lock, self.defining = threading.RLock(), threading.Lock()
        self._intake = Intake(state)
        self._fresh_views = Views()
        self.unseen: set[str] = set()
        self._wake = threading.Event()
        self.stopping = threading.Event()
        self._watcher: Watcher | None = None
        self.threads: list[threading.Thread] = []
        self._quiet_turns = 0
        self.turned = clock.monotonic()
        """When the loop last began to turn."""
        self._rematch = False
        self.since = clock.now()
        self.limits = settings.limits
        self.memo, self.rooms, self.arming = Memo(), Rooms(), Arming()
        self.folds, self.latencies = Folds(), Latencies()

    # --- life -------------------------------------------------------------------------------

    def start(self, watcher: Watcher) -> None:
        """Take up what was left, then begin to turn."""
        self._watcher = watcher
        self._load_standbys()
        for name, work in attendants(self, seen := Seen(self.clock)).items():
            self.thread(name, work)
        seen.wait()
        self.since, starts = self.clock.now(), take_up(self)
        with self.lock:
            self.unseen = {n for n, s in self.standbys.items() if s.target in self.targets}
        for root in {*self.settings.roots, *(s.images for s in self.standbys.values())}:
            watcher.add_root(root)
        for target in self.targets.values():
            self.thread(f"layers-{target.name}", partial(self.look_at, target))
        self.rooms.look(self)
        self.thread("pulse", self._pulse)
        self.thread("loop", self._loop)
        go_on(self, starts)

    def stop(self, timeout_s: float = 10.0) -> None:
        """End jobs at their next step, threads and connections; VMs go on."""
        self.stopping.set()
        self._wake.set()
        if self._watcher is not None:
            self._watcher.stop()
        self.runner.stop(timeout_s)
        for thread in self.threads:
            thread.join(timeout_s)
        for target in self.targets.values():
            target.close()

    def wait_idle(self) -> None:
        """Block until nothing is due any more, or the engine is stopped."""
        while not self.stopping.wait(0.2):
            if self._quiet_turns >= IDLE_TURNS:
                break
            self.wake()

    def all_ready(self) -> bool:
        """Tell whether no boot point is left FAILED, and no standby without its store."""
        stages = {p.stage for p in self.state.read().boot_points.values()}
        away = {name for name, target in self.targets.items() if target.away is not None}
        return Stage.FAILED not in stages and not any(
            standby.target in away for standby in self.standbys.values()
        )

    def thread(self, name: str, work: Callable[[], None]) -> None:
        """Do something in a thread of its own, which is waited for at the end."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    def is_watching(self) -> bool:
        """Tell whether the watched folders are looked at."""
        return self._watcher is not None and self._watcher.is_alive()

    def wake(self) -> None:
        """Something happened: turn the loop now."""
        self._wake.set()

    def on_view(self, view: RootView) -> None:
        """Take a scan's result; called from scanning threads."""
        with self.lock:
            self._fresh_views.put(view)
        self.wake()

    # --- definitions ------------------------------------------------------------------------

    def target_of(self, standby: Standby) -> Target:
        """Return a standby's target. Failure when engine.toml has none of that name."""
        target = self.targets.get(standby.target)
        if target is None:
            raise Failure(
                Problem(
                    "standby.target",
                    f"Standby {standby.name} names the target {standby.target}, which is not "
                    f"configured. Configured: {', '.join(sorted(self.targets)) or 'none'}.",
                    "Nothing is done for this standby.",
                    "Correct its target, or add the target to engine.toml.",
                )
            )
        return target

    def _load_standbys(self) -> None:
        with self.lock:
            self.standbys, self.misfits = self.files.load()
        for problem in self.misfits.values():
            self.tell(Severity.ERROR, "", problem)

    def take_standby(self, standby: Standby | None, name: str) -> None:
        """Take up a new or changed definition, or let one go (None)."""
        with self.lock:
            if standby is None:
                self.memo.forget(name)
                self.unseen.discard(name)
                gone = self.standbys.pop(name, None)
                self.sources.pop(name, None)
                self.layers.pop(name, None)
                if gone is not None:
                    target = self.targets.get(gone.target)
                    self.thread(f"{DISARM}{name}", partial(disarm, self, gone, target))
                used = {*self.settings.roots, *(s.images for s in self.standbys.values())}
                if gone is not None and gone.images not in used and self._watcher is not None:
                    self._watcher.remove_root(gone.images)
                    self.roots.pop(gone.images, None)
            else:
                self.standbys[name] = standby
                self._rematch = True
                if self._watcher is not None:
                    self._watcher.add_root(standby.images)
        self.wake()

    def tell(self, severity: Severity, standby: str, problem: Problem) -> None:
        """Write a problem into the journal, and into the log."""
        log.log(logging.getLevelNamesMapping()[severity.name], "%s", problem)
        with self.state.write() as tx:
            tx.write_journal(
                self.clock.now(),
                severity,
                standby,
                problem.key,
                problem.happened,
                problem.unchanged,
                problem.remedy,
            )

    # --- the loop ---------------------------------------------------------------------------

    def look_at(self, target: Target) -> None:
        """Look at the layers on a target for the first time; who was looked at is worked on."""
        mine = [s for s in list(self.standbys.values()) if s.target == target.name]
        told = None
        for standby in sorted(mine, key=lambda one: RANKS[one.priority]):
            if self.stopping.is_set():
                return
            try:
                self.refresh_layers(standby.name)
            except Exception:
                log.exception("layers of %s", standby.name)
            with self.lock:
                self.unseen.discard(standby.name)
            if told is None or self.clock.monotonic() - told > LOOKED_S:
                told = self.clock.monotonic()
                self.wake()
        self.wake()

    def _loop(self) -> None:
        while not self.stopping.is_set():
            self._wake.wait(TURN_S)
            self._wake.clear()
            self.turned = self.clock.monotonic()
            try:
                self._turn()
            except Failure as failure:
                log.warning("turn: %s", failure)
            except Exception:
                log.exception("turn")

    def _turn(self) -> None:
        end_pauses(self)
        busy = self._take_views()
        busy |= self._plan_points()
        busy |= self._plan_jobs()
        live = bool(self.runner.running()) or any(self.state.read().live_jobs())
        still = not (busy or live or self.unseen or self._fresh_views)
        quiet = still and self._watcher is not None and self._watcher.settled()
        self._quiet_turns = self._quiet_turns + 1 if quiet else 0
        if busy:
            self.picture.touch()

    def _take_views(self) -> bool:
        with self.lock:
            views, rematch, self._rematch = self._fresh_views.batch(), self._rematch, False
            self.roots.update({view.root: view for view in views})
            here = {view.root for view in views}
            known, waits = self.standbys.items(), self.waiting.get  # which tells of ready points
            names = [n for n, s in known if rematch or waits(n) or s.images in here]
            match(self, self.state.read(), names)
            followers = owners(self, views)
        if views:
            try:
                self._intake.take(views, followers, self.clock.now())
            except Failure:
                with self.lock:
                    self._fresh_views.back(views)
                raise
        if self._fresh_views:
            self.wake()
        return rematch or bool(views)

    def _plan_points(self) -> bool:
        with self.lock:
            seen = self.state.read()
            due = self._due(seen)
            if not due:
                return False
            with self.state.write() as tx:
                state = tx.state()
                left = planner.still_missing(due, seen, state)
                for point in left:
                    tx.save_boot_point(point)
            if len(left) < len(due):
                self.wake()
        return True

    def _due(self, state: State) -> Sequence[BootPoint]:
        now, zone = self.clock.now(), self.settings.zone
        return planner.new_boot_points(self.standbys, self.sources, state, now, zone, self.memo)

    def _plan_jobs(self) -> bool:
        with self.lock:
            state = self.state.read()
            watch_all(self, state)
            now, upkeep = self.clock.now(), upkeep_of_all(self, state)
            calendar, limits = self.settings.calendar, self.limits
            seen = {n: s for n, s in self.standbys.items() if n not in self.unseen}
            wishes = planner.wanted_jobs(seen, state, now, limits, upkeep, calendar, self.memo)
            free = limits_now(self)
            rooms, layers, memo = self.rooms.known, self.layers, self.memo
            told = self.performer.measures.known(state, now)
            choice = choose(wishes, self.standbys, state, free, rooms, layers, told, memo)
            self.rooms.tell(self, choice.cramped)
            if choice.waiting != self.slots:
                self.slots = choice.waiting
                self.picture.touch()
            wanted = [*choice.jobs, *self.arming.wanted(self, state, now, wishes)]
        started = [self._queue(one) for one in wanted]
        return any(started)

    def _queue(self, wanted: WantedJob) -> bool:
        standby = self.standbys.get(wanted.standby)
        if standby is None:
            return False
        self.queue(standby, wanted)
        return True

    def queue(self, standby: Standby, wanted: WantedJob) -> Job:
        """Store a job and run it in a thread of its own."""
        point, now, queued = wanted.boot_point, self.clock.now(), JobStatus.QUEUED
        blank = Job(JobId(0), wanted.kind, wanted.standby, point, queued, now)
        blank = replace(blank, reason=wanted.reason, to=wanted.to)
        with self.state.write() as tx:
            job = tx.add_job(blank)

        def work(flag: CancelFlag, report: Report) -> None:
            status = self.performer.perform(job, standby, flag, report)
            self.arming.ended(job, status, self.clock.now())
            self.refresh_layers(standby.name)

        self.runner.start(job, work)
        self.picture.touch()
        return job

    def refresh_layers(self, name: str) -> None:
        """Look at a standby's layers again; the target is the truth."""
        standby = self.standbys.get(name)
        if standby is None:
            return
        try:
            layers = self.target_of(standby).chain(name).layers()
        except (Failure, OSError) as error:
            log.warning("layers of %s: %s", name, error)
            return
        with self.lock:
            self.layers[name] = layers

    # --- signs of life ----------------------------------------------------------------------

    def _pulse(self) -> None:
        while not self.stopping.wait(PULSE_S):
            self.rooms.look(self)
            for name in list(self.state.read().runs):
                standby = self.standbys.get(name)
                target = self.targets.get(standby.target) if standby else None
                hypervisor = target.opened() if target else None
                if hypervisor is None:
                    continue
                try:
                    signs = hypervisor.signs_of_life(VMRef(name))
                    self.picture.sign(name, signs)
                    note_signs(self.state, name, signs, self.clock.now())
                    if proven := passed(self.state.read(), name):
                        prove(self, name, proven[0], self.clock.now(), proven[1])
                except Failure as failure:
                    log.warning("signs of %s: %s", name, failure)
            self.picture.only(self.state.read().runs)
