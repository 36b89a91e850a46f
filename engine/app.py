"""The one place that knows every class: configuration in, wired engine out."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

from engine.alerts.heartbeat import Heartbeat
from engine.alerts.http import Address
from engine.alerts.mail import Mail, MailSettings
from engine.alerts.syslog import Syslog, SyslogSettings
from engine.alerts.webhook import Webhook
from engine.api.exporting import Exporter
from engine.api.server import Door
from engine.config.alerts import AlertsConfig, smtp_port
from engine.config.engine import EngineConfig, limits, load_engine
from engine.config.standby import StandbyFolder
from engine.daemon.alerting import Alerting
from engine.daemon.clock import SystemClock
from engine.daemon.desk import Desk
from engine.daemon.engine import Engine
from engine.daemon.given import Settings
from engine.daemon.handedits import HandEdits
from engine.daemon.housekeeping import Housekeeping
from engine.daemon.nightly import NightlyLook
from engine.daemon.rebuild import rebuild
from engine.daemon.reports import Reports
from engine.daemon.taking import Taking
from engine.daemon.targets import Target
from engine.esxi import esxi_adding
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.images.bpi import BpiFormat
from engine.images.watching.cell import Confined
from engine.images.watching.inbox import Inbox
from engine.images.watching.patience import PatientSource
from engine.images.watching.source import FolderSource
from engine.jobs.power import Shape
from engine.local.durable import file_lock, make_folder, move_folder, scratch_folder
from engine.local.lasting import Lasting
from engine.model.alarms import Rules
from engine.model.errors import Failure, Problem
from engine.model.work import Severity
from engine.ports import Beat, Way
from engine.state.copies import copies_in, copies_of, copy_state, is_due
from engine.state.sqlite import SqliteState
from engine.targets import Targets

log = logging.getLogger(__name__)

_DATABASE = "state.db"


def run_engine(
    config: Path | None, *, until_idle: bool, rebuild_state: bool, socket: Path | None
) -> int:
    """Run the engine until it is told to stop, or until nothing is due; return the exit code.

    Raises:
        Failure: It could not start; nothing was changed.
    """
    told = load_engine(config)
    _log_to_stderr(told.log_level)
    with ExitStack() as stack:
        make_folder(told.state_dir)
        stack.enter_context(file_lock(told.state_dir / "engine.lock"))
        stack.enter_context(scratch_folder(told.state_dir / "tmp"))
        lasting = Lasting()
        stack.callback(lasting.stop)
        clock = SystemClock()
        shelf = DriverShelf(told.drivers, told.state_dir / "conversion/drivers")
        maker = Targets(told, shelf)
        targets = {name: maker.make(one) for name, one in told.targets.items()}
        state = _state(told, targets, clock, rebuild_state=rebuild_state)
        stack.callback(state.close)
        settings = Settings(
            site=told.site,
            roots=told.roots,
            zone=told.zone,
            blackouts=told.blackouts,
            retention=told.retention,
            limits=limits(told),
            shape=Shape(told.memory, told.cpus),
            reads=told.reads,
        )
        formats = (Confined(BpiFormat()),)
        stack.callback(formats[0].close)
        engine = Engine(
            settings, state, clock, PatientSource(FolderSource(formats), clock.monotonic), targets,
            StandbyFolder(told.standbys),
        )  # fmt: skip
        inbox = Inbox(
            formats,
            on_view=engine.on_view,
            now=clock.now,
            monotonic=clock.monotonic,
            rescan_s=told.rescan_s,
            quiet_s=told.quiet_s,
        )
        shelf.start(engine.picture.touch)
        stack.callback(shelf.stop)
        engine.start(inbox)
        stack.callback(engine.stop)
        copying = partial(_copy_daily, told.state_dir / _DATABASE)
        reports = Reports(
            told.state_dir / "reports", clock.now, partial(engine.tell, Severity.INFO)
        )
        alerting = Alerting(engine, *ways_out(told.alerts), rules_of(told))
        alerting.start()
        stack.callback(alerting.stop)
        taking = Taking(engine, told, partial(load_engine, told.file), maker.make)
        desk = Desk(engine, reports, shelf.sources, alerting, esxi_adding(told.file), taking)
        edits = HandEdits(engine.files, desk)
        housekeeping = Housekeeping(
            clock,
            partial(engine.tell, Severity.ERROR, ""),
            {"copy": copying, "look": NightlyLook(engine), "edits": edits, "heap": lasting.daily},
        )
        housekeeping.start()
        stack.callback(housekeeping.stop)
        door = Door(desk, socket or told.socket, view=told.state_dir / "view")
        door.start()
        stack.callback(door.stop)
        exporter = Exporter(desk, told.textfile, told.metrics_socket)
        exporter.start()
        stack.callback(exporter.stop)
        return _serve(engine, until_idle=until_idle)


def _serve(engine: Engine, *, until_idle: bool) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())

    def wait() -> None:
        engine.wait_idle()
        stop.set()

    if until_idle:
        threading.Thread(target=wait, name="idle", daemon=True).start()
    stop.wait()
    log.info("stopping")
    return 0 if not until_idle or engine.all_ready() else 1


def _state(
    told: EngineConfig, targets: Mapping[str, Target], clock: SystemClock, *, rebuild_state: bool
) -> SqliteState:
    path = told.state_dir / _DATABASE
    if not rebuild_state:
        return SqliteState(path)
    stores = list({id(target.store): target.store for target in targets.values()}.values())
    for target in targets.values():
        target.find_store()
        if target.away is not None:
            raise Failure(_not_all_there(target.name, target.away))
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    for old in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        if old.exists():
            move_folder(old, old.with_name(f"{old.name}.before-{stamp}"))
    state = SqliteState(path)
    found = rebuild(state, stores, clock.now())
    for odd in found.odd:
        log.warning("%s", odd)
    log.info("state rebuilt: %d ready, %d unfinished", found.ready, found.unfinished)
    return state


def _not_all_there(name: str, away: Problem) -> Problem:
    """Return why the state cannot be made anew: names of what is away would be given again."""
    return Problem(
        "state.rebuild",
        f"The state cannot be made anew without the store of target {name}: {away.happened}",
        "Nothing was changed; the state is as it was.",
        f"{away.remedy} Or take the target out of the configuration.",
    )


def ways_out(told: AlertsConfig) -> tuple[list[Way], list[Beat]]:
    """Return the ways by which alerts leave, and the signs of life."""
    ways: list[Way] = []
    if told.smtp is not None:
        mail = told.smtp
        settings = MailSettings(
            host=mail.host,
            port=smtp_port(mail),
            security=mail.security,
            sender=mail.sender,
            to=tuple(mail.to),
            user=mail.user,
            password=mail.password,
            authority=_authority(mail.authority),
        )
        ways.append(Mail("mail", settings, mail.min_severity or told.least))
    if told.syslog is not None and told.syslog.transport:
        log_to = told.syslog
        place = SyslogSettings(told.syslog.transport, log_to.host, log_to.port, log_to.path)
        ways.append(Syslog("syslog", place, log_to.min_severity or told.least))
    for name, hook in told.webhooks.items():
        address = Address(hook.url, hook.allow_http, _authority(hook.authority))
        least = hook.min_severity or told.least
        own = f"webhook.{name}"
        ways.append(Webhook(own, address, least, secret=hook.secret, bearer=hook.bearer))
    beat = told.heartbeat
    if beat is None:
        return ways, []
    address = Address(beat.url, beat.allow_http, _authority(beat.authority))
    return ways, [Heartbeat(address, beat.every_s)]


def _authority(path: str) -> Path | None:
    return Path(path) if path else None


def rules_of(told: EngineConfig) -> Rules:
    """Return when alerts are told."""
    return Rules(told.alerts.quiet, told.zone, told.alerts.remind_s)


def _copy_daily(database: Path, now: datetime) -> None:
    if is_due(copies_in(copies_of(database)), now.date()):
        log.info("state copied to %s", copy_state(database, now.date()))


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s",
    )
