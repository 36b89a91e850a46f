"""What consoles ask of the engine: the `Service` of the door, over the running loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from engine.daemon import conversions, guarding, keeping
from engine.daemon.adding import Adding
from engine.daemon.alerting import Alerting
from engine.daemon.attending import check
from engine.daemon.consoles import Consoles
from engine.daemon.defining import Definitions
from engine.daemon.engine import Engine
from engine.daemon.pauses import let_wait
from engine.daemon.reports import Reports
from engine.daemon.resuming import was_cut
from engine.daemon.service import Snapshot, Tried
from engine.daemon.taking import Taking
from engine.daemon.upkeep import Judge, upkeep_of_all
from engine.model import planner
from engine.model.alarms import Rules
from engine.model.conversion import Record
from engine.model.errors import Failure, NotFound, Problem, Refused
from engine.model.foresight import tight
from engine.model.layers import Gain
from engine.model.machine import Asked
from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.retention import Retention
from engine.model.text import safe
from engine.model.upkeep import stuck
from engine.model.work import LIVE, Job, JobId, JobKind, JournalLine, WantedJob, no_job
from engine.ports import DriverSource

STOP_WAIT_S = 30.0


class Desk(Definitions):
    """The engine's face. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        reports: Reports,
        drivers: Callable[[], Sequence[DriverSource]] = tuple,
        alerting: Alerting | None = None,
        adding: Adding | None = None,
        taking: Taking | None = None,
    ) -> None:
        """Stand before a started engine.

        Args:
            engine: The engine.
            reports: What guests said of themselves.
            drivers: Tells what is known of the registered ones.
            alerting: Its alerts; None: nobody is told anything.
            adding, taking: Add targets to its configuration, and let it know; None: it has none.
        """
        super().__init__(engine)
        self._judge, self._drivers, self.reports = Judge(), drivers, reports
        self.site, self.epoch = engine.settings.site, uuid4().hex[:8]
        self.alerting = alerting or Alerting(engine, (), (), Rules())
        self.adding, self.taking = adding, taking
        self.started_at: datetime = engine.clock.now()
        self._consoles = Consoles(engine)

    # --- looking ----------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Return the present picture."""
        engine = self._engine
        seq = engine.picture.seq
        with engine.lock:
            standbys, sources = dict(engine.standbys), dict(engine.sources)
            roots, layers = dict(engine.roots), dict(engine.layers)
            waiting = engine.rooms.with_cramped(engine.waiting)
            state = engine.state.read()
            upkeep = upkeep_of_all(engine, state)
        last = engine.state.journal(limit=1)
        made = state.alive()
        for name, care in upkeep.items():
            mine, run = made.get(name, ()), state.runs.get(name)
            runs = None if run is None else run.boot_point
            if why := stuck(mine, state, care) or tight(mine, runs, care, engine.clock.now()):
                waiting[name] = (why, *waiting.get(name, ()))
        return Snapshot(
            seq=seq,
            now=engine.clock.now(),
            state=state,
            standbys=standbys,
            sources=sources,
            roots=roots,
            progress=engine.runner.progress(),
            signs=engine.picture.signs(),
            layers=layers,
            waiting=waiting,
            verdicts=self._judge.verdicts(upkeep, state, made),
            upkeep=upkeep,
            usual=engine.settings.retention,
            targets=engine.rooms.statuses(engine, state, upkeep),
            drivers=self._drivers(),
            journal_end=last[-1].number if last else 0,
            calendar=engine.settings.calendar,
            slots=engine.slots,
            misfits=engine.misfits,
        )

    def wait_change(self, seq: int, timeout_s: float) -> int:
        """Block until the picture's number is higher than `seq` or the time is up; return it."""
        return self._engine.picture.wait(seq, timeout_s)

    def journal(
        self, *, after: int = 0, before: int | None = None, limit: int = 200, standby: str = ""
    ) -> Sequence[JournalLine]:
        """Return journal lines, oldest first."""
        return self._engine.state.journal(after=after, before=before, limit=limit, standby=standby)

    def job(self, number: JobId) -> Job:
        """Return a job, ended ones included."""
        if (found := self._engine.state.job(number)) is None:
            raise NotFound(no_job(number))
        return found

    def serial(self, name: str, after: int) -> tuple[bytes, int]:
        """Return raw serial bytes from `after` on (at most 64 KiB) and the next offset."""
        return self._consoles.serial(self._standby(name), after)

    def serial_input(self, name: str, data: bytes, actor: str) -> int:
        """Type into the guest's serial console; return how many bytes it took, within 5 s."""
        return self._consoles.typed(self._standby(name), data, actor)

    def question(self, name: str) -> Asked | None:
        """Return what the VM asks now."""
        return self._consoles.question(self._standby(name))

    def answer(self, name: str, mark: str, choice: int, actor: str) -> str:
        """Answer what the VM asks; return what was done, a sentence."""
        return self._consoles.answer(self._standby(name), mark, choice, actor)

    def screen(self, name: str) -> bytes:
        """Return the guest's screen as PNG."""
        return self._consoles.screen(self._standby(name))

    # --- definitions ------------------------------------------------------------------------

    def remove_standby(self, name: str, actor: str) -> None:
        """Stop its jobs, move its file and layers out of the way, forget it."""
        engine = self._engine
        standby = self._standby(name)
        signs = engine.picture.signs().get(name)
        if name in engine.state.read().runs and not (signs and signs.home):
            raise Refused(
                Problem(
                    "standby.running",
                    f"The VM of {name} is running.",
                    "Nothing was removed.",
                    "Stop it first.",
                )
            )
        with engine.defining:  # its target is not removed meanwhile
            store = engine.target_of(standby).store
            store.check()
            engine.take_standby(None, name)
            self._end_jobs(name, set(JobKind))
            engine.files.remove(name)
            store.set_aside(name, engine.clock.now().strftime("%Y%m%dT%H%M%SZ"))
        with engine.state.write() as tx:
            tx.forget_standby(name)
        self._tell(
            name,
            "standby.removed",
            f"{actor} removed standby {name}; its layers lie in the store's quarantine folder.",
        )

    def hold(self, name: str, reason: str, actor: str, until: datetime | None = None) -> None:
        """Pause the making of boot points of this standby, until a moment or `resume`."""
        why = safe(reason) or "no reason given"
        self._change(name, lambda s: replace(s, held=f"{actor}: {why}", held_until=until))
        let_wait(self._engine, name)
        end = "it is resumed" if until is None else f"{until:%Y-%m-%d %H:%M:%S} UTC"
        self._tell(name, "standby.held", f"{actor} paused {name} until {end}: {why}.")

    def resume(self, name: str, actor: str) -> None:
        """Undo `hold`."""
        self._change(name, lambda s: replace(s, held="", held_until=None))
        self._tell(name, "standby.resumed", f"{actor} resumed {name}.")

    # --- retention --------------------------------------------------------------------------

    def pin(self, name: str, point: BootPointId, note: str, actor: str) -> None:
        """Keep a boot point whatever retention is set to."""
        keeping.pin(self._engine, self._standby(name).name, point, note, actor)

    def unpin(self, name: str, point: BootPointId, actor: str) -> None:
        """Undo `pin`."""
        keeping.unpin(self._engine, self._standby(name).name, point, actor)

    def hold_retention(self, name: str, reason: str, actor: str) -> None:
        """Retire nothing of this standby until `release_retention`; running RETIREs are ended."""
        keeping.hold(self._engine, self._standby(name), reason, actor)
        self._end_jobs(name, {JobKind.RETIRE})

    def release_retention(self, name: str, actor: str) -> None:
        """Undo `hold_retention`."""
        keeping.release(self._engine, self._standby(name), actor)

    def release_guard(self, name: str, note: str, actor: str) -> None:
        """Undo the ransomware guard's hold."""
        guarding.release(self._engine, self._standby(name), note, actor)

    def set_retention(self, name: str, keep: int, told: Retention, actor: str) -> None:
        """Write new settings into the standby's file."""
        keeping.set_retention(self._engine, self._standby(name), keep, told, actor)

    def gain(self, name: str, points: Sequence[BootPointId]) -> Gain:
        """Return what would come back if these boot points were retired."""
        return keeping.gain(self._engine, self._standby(name), points)

    # --- work -------------------------------------------------------------------------------

    def build(self, name: str, actor: str) -> None:
        """Make a boot point of the newest complete recovery point now."""
        engine = self._engine
        standby = self._standby(name)
        with engine.lock, engine.state.write() as tx:
            state = tx.state()
            point = planner.build_now(standby, engine.sources.get(name), state, engine.clock.now())
            if point is None:
                raise Refused(
                    Problem(
                        "point.nothing-new",
                        f"No complete recovery point of {name} is newer than its boot points.",
                        "Nothing was changed.",
                        "Wait for the next increment to arrive.",
                    )
                )
            tx.save_boot_point(point)
        self._tell(name, "point.asked", f"{actor} asked for boot point {point.id} of {name} now.")
        engine.wake()

    def start(self, name: str, point: BootPointId | None, actor: str) -> Job:
        """Queue the start of a READY boot point on scratch, isolated network."""
        engine = self._engine
        standby = self._standby(name)
        state = engine.state.read()
        chosen = self._choose(name, state.ready(name), point)
        run = state.runs.get(name)
        if run is not None and not was_cut(state, run, chosen.id):
            raise Refused(
                Problem(
                    "vm.running",
                    f"{name} runs already, from boot point {run.boot_point}.",
                    "Nothing was changed.",
                    "Stop it first.",
                )
            )
        self._refuse_busy(name, {JobKind.START, JobKind.STOP})
        self._end_jobs(name, {JobKind.RETIRE, JobKind.CONVERT, JobKind.MEASURE})
        reason = f"{actor} asked for it"
        return engine.queue(standby, WantedJob(JobKind.START, name, chosen.id, reason))

    def stop(self, name: str, actor: str) -> Job:
        """Queue power off and the dropping of scratch."""
        engine = self._engine
        standby = self._standby(name)
        state = engine.state.read()
        starting = [j for j in state.live_jobs(name) if j.kind is JobKind.START]
        if name not in state.runs and not starting:
            told = Problem("vm.not-running", f"{name} does not run.", "Nothing was changed.")
            raise Refused(told)
        self._refuse_busy(name, {JobKind.STOP})
        self._end_jobs(name, {JobKind.START, JobKind.HOME})
        return engine.queue(standby, WantedJob(JobKind.STOP, name, None, f"{actor} asked for it"))

    def home(self, name: str, to: str, actor: str) -> Job:
        """Queue bringing a started VM home, to a datastore (empty: where its own files are)."""
        run = self._engine.state.read().runs.get(name)
        standby = self._standby(name)
        if run is None:
            told = Problem("vm.not-running", f"{name} does not run.", "Nothing was changed.")
            raise Refused(told)
        self._refuse_busy(name, {JobKind.START, JobKind.STOP, JobKind.HOME})
        reason = f"{actor} asked for it"
        wanted = WantedJob(JobKind.HOME, name, run.boot_point, reason, to=safe(to))
        return self._engine.queue(standby, wanted)

    def record(self, name: str, point: BootPointId | None) -> Record:
        """Return the record of a boot point's conversion (None: of the newest that has one)."""
        return conversions.record(self._engine, self._standby(name), point)

    def plan_conversion(self, name: str, point: BootPointId | None) -> Record:
        """Return what converting a boot point's trunk layer would do; nothing is written."""
        return conversions.dry_run(self._engine, self._standby(name), point)

    def convert(self, name: str, point: BootPointId | None, actor: str) -> Job | None:
        """Convert a boot point's trunk layer again: at once when FAILED, by a job when READY."""
        standby = self._standby(name)
        chosen = conversions.convertible(self._engine, standby, point)
        said = f"{actor} had {chosen.id} of {name} converted again."
        if chosen.stage is Stage.FAILED:
            conversions.try_again(self._engine, chosen)
            self._tell(name, "point.again", said)
            return None
        self._refuse_busy(name, set(JobKind))
        self._tell(name, "point.again", said)
        wanted = WantedJob(JobKind.CONVERT, name, chosen.id, f"{actor} asked for it")
        return self._engine.queue(standby, wanted)

    def cancel(self, number: JobId, actor: str) -> None:
        """Ask a job to end."""
        job = self.job(number)
        if job.status not in LIVE or not self._engine.runner.cancel(number):
            raise Refused(
                Problem(
                    "job.ended",
                    f"Job {number} has ended already ({job.status}).",
                    "Nothing was changed.",
                )
            )
        self._tell(job.standby, "job.cancel", f"{actor} cancelled job {number} ({job.kind}).")

    def _choose(
        self, name: str, ready: Sequence[BootPoint], wanted: BootPointId | None
    ) -> BootPoint:
        if wanted is None and ready:
            return ready[-1]
        for point in ready:
            if point.id == wanted:
                return point
        known = self._engine.state.boot_point(wanted) if wanted else None
        stage = (
            "has none that is ready"
            if wanted is None
            else f"has no ready boot point {safe(wanted)}"
        )
        if known is not None and known.standby == name and known.stage is not Stage.READY:
            stage += f" (it is {known.stage})"
        raise Refused(
            Problem(
                "point.not-ready",
                f"{name} {stage}.",
                "Nothing was started.",
                f"Choose one of: {', '.join(p.id for p in ready[-6:]) or 'none is ready yet'}.",
            )
        )

    def _refuse_busy(self, name: str, kinds: set[JobKind]) -> None:
        for job in self._engine.state.read().live_jobs(name):
            if job.kind in kinds:
                raise Refused(
                    Problem(
                        "vm.busy",
                        f"Job {job.id} ({job.kind}) of {name} has not ended.",
                        "Nothing was changed.",
                        "Wait for it to end.",
                    )
                )

    def _end_jobs(self, name: str, kinds: set[JobKind]) -> None:
        for job in list(self._engine.state.read().live_jobs(name)):
            if job.kind not in kinds:
                continue
            self._engine.runner.cancel(job.id)
            if not self._engine.runner.wait(job.id, STOP_WAIT_S):
                raise Failure(
                    Problem(
                        "job.stuck",
                        f"Job {job.id} ({job.kind}) of {name} did not end in {STOP_WAIT_S:.0f} s.",
                        "Nothing else was changed.",
                        "Look at the engine's log, and try again.",
                    )
                )

    # --- alerts -----------------------------------------------------------------------------

    def try_alerts(self, way: str) -> Sequence[Tried]:
        """Send a test by one way out (empty: all) and return how it went; takes up to 90 s."""
        return self.alerting.test(way)

    def ack_alert(self, key: str, note: str, actor: str) -> None:
        """Note that somebody looks after a raised alert."""
        self.alerting.acknowledge(key, note, actor)

    def unwell(self) -> Mapping[str, str]:
        """Return what is wrong with the engine itself; empty while it is well."""
        return self.alerting.health.unwell()

    # --- targets ----------------------------------------------------------------------------

    def check_target(self, name: str, definition: str) -> None:
        """Look at a target now: for its store, then what its hypervisor says of itself."""
        check(self._engine, name, definition)

    # --- small ------------------------------------------------------------------------------
