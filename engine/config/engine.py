"""`engine.toml`: the whole engine's configuration, with defaults that need no file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, field

from engine.config.alerts import AlertsConfig, AlertsSection, MetricsSection, read_alerts
from engine.config.blackouts import read_blackouts
from engine.config.esxi import EsxiConfig, EsxiSection, read_esxi
from engine.config.keeping import Keeping, read_keeping
from engine.config.reading import Section, convert, read_toml, wrong
from engine.config.readlimits import ReadSection, read_limits
from engine.model.blackout import Blackout
from engine.model.readrate import ReadLimit
from engine.model.retention import Retention
from engine.model.slots import Limits

LOCAL = "local"
TARGETS = "targets.d"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_HOST_ZONE = Path("/etc/localtime")
_LONGEST_SOCKET = 100

LogLevel = Literal["debug", "info", "warning", "error"]
TargetKind = Literal["libvirt", "simulated", "esxi"]
Backend = Literal["auto", "userland", "uml", "guestfs"]
StoreKind = Literal["auto", "reflink", "qcow2"]
LayersIn = StoreKind | Literal["hotadd"]


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where a target's layers live. `auto`: reflink where the file system can, else qcow2.

    `hotadd`: on the host; here is what belongs to them.

    `jobs`: boot points made or retired on it at once; None: no limit of its own.
    """

    path: Path
    kind: LayersIn = "auto"
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One hypervisor.

    Attributes:
        uri: Of libvirt, or `https://HOST/` of ESXi or vCenter; empty for a simulated one.
        jobs: Boot points made or retired on it at once; None: no limit of its own.
        esxi: What only those two have; None for others.
        file: Where it is defined; None for the one that needs no definition.
    """

    name: str
    kind: TargetKind
    uri: str
    store: StoreConfig
    esxi: EsxiConfig | None = None
    file: Path | None = None
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything engine.toml says, defaults filled in, paths absolute.

    Attributes:
        file: What was read; None when there is no file.
        site: Shown in every console.
        state_dir: Holds state.db, the lock, logs of guests, and the stores by default.
        socket: The door.
        standbys: Folder of the standbys' files.
        rescan_s: Seconds between full scans of the watched folders.
        quiet_s: Seconds a file must be unchanged; None: as its format says.
        jobs: Boot points made or retired at once.
        reserve_percent: Of each datastore, stays free.
        memory, cpus: Of a standby VM whose image and definition say nothing; memory in bytes.
        backend: Of conversions; empty: the quickest that can.
        drivers: ISO files and folders with drivers for Windows guests; need not exist.
        blackouts: Windows in which no boot point is begun, where a standby names none.
        zone: Of the times of day in triggers and windows, and of the days that retention goes by.
        retention: What standbys keep that do not say it themselves.
        reads: How fast folders may be read.
        roots: Folders watched besides those of the standbys.
        targets: By name.
        alerts: Who is told what is wrong.
        textfile, metrics_socket: Where measured values are written and served; None: nowhere.
    """

    file: Path | None
    site: str
    state_dir: Path
    socket: Path
    standbys: Path
    log_level: LogLevel
    rescan_s: float
    quiet_s: float | None
    jobs: int
    reserve_percent: float
    memory: int
    cpus: int
    backend: str
    drivers: tuple[Path, ...]
    zone: tzinfo
    blackouts: tuple[Blackout, ...]
    retention: Retention
    reads: tuple[ReadLimit, ...]
    roots: tuple[str, ...]
    targets: Mapping[str, TargetConfig]
    alerts: AlertsConfig
    textfile: Path | None
    metrics_socket: Path | None


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are when nothing is configured."""

    config: Path
    state: Path


def places() -> Places:
    """Return the usual places: the system's for root, the user's own otherwise."""
    if os.geteuid() == 0:
        return Places(Path("/etc/bootpoint/engine.toml"), Path("/var/lib/bootpoint"))
    home = Path.home()
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state")
    return Places(config / "bootpoint/engine.toml", state / "bootpoint")


# --- the file's shape -----------------------------------------------------------------------


_Jobs = Annotated[int, Meta(ge=1, le=64)]


class _Limits(Section):
    jobs: _Jobs = 2
    reserve_percent: Annotated[float, Meta(ge=0, le=90)] = 5.0


class _Watch(Section):
    roots: list[Annotated[str, Meta(min_length=1)]] = field(default_factory=list)
    rescan_s: Annotated[float, Meta(ge=1, le=86400)] = 60.0
    quiet_s: Annotated[float, Meta(ge=0, le=86400)] | None = None
    limits: Annotated[list[ReadSection], Meta(max_length=64)] = field(default_factory=list)


class _VM(Section):
    memory_mib: Annotated[int, Meta(ge=64, le=16 * 1024 * 1024)] = 1024
    cpus: Annotated[int, Meta(ge=1, le=1024)] = 2


class _Conversion(Section):
    backend: Backend = "auto"
    drivers: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=32)] = field(
        default_factory=list
    )


class _Store(Section):
    path: str = ""
    kind: StoreKind = "auto"
    jobs: _Jobs | None = None


class _Target(Section):
    kind: TargetKind = "libvirt"
    uri: str = ""
    jobs: _Jobs | None = None
    store: _Store = field(default_factory=_Store)
    esxi: EsxiSection | None = None


class _Engine(Section):
    site: Annotated[str, Meta(min_length=1, max_length=64)] = "bootpoint"
    state_dir: str = ""
    socket: str = ""
    standbys: str = ""
    log_level: LogLevel = "info"
    zone: str = ""
    blackouts: list[str] = field(default_factory=list)
    limits: _Limits = field(default_factory=_Limits)
    watch: _Watch = field(default_factory=_Watch)
    vm: _VM = field(default_factory=_VM)
    conversion: _Conversion = field(default_factory=_Conversion)
    retention: Keeping = field(default_factory=Keeping)
    alerts: AlertsSection = field(default_factory=AlertsSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    targets: dict[str, Any] = field(default_factory=dict)


# --- reading --------------------------------------------------------------------------------


def load_engine(path: Path | None = None, usual: Places | None = None) -> EngineConfig:
    """Return the engine's configuration.

    Args:
        path: The file; None: the usual one, and defaults where there is none.
        usual: The usual places; None: `places()`.

    Raises:
        WrongUse: The file cannot be read, or something in it is wrong.
    """
    usual = usual or places()
    if path is None and not usual.config.exists():
        return _config({}, None, usual)
    file = (path or usual.config).absolute()
    return _config(read_toml(file), file, usual)


def _config(raw: Mapping[str, Any], file: Path | None, usual: Places) -> EngineConfig:
    where = file or usual.config
    told = convert(raw, _Engine, where)
    state = _path(told.state_dir, where, "state_dir", usual.state)
    standbys = file.parent / "standbys.d" if file else state / "standbys.d"
    socket = _path(told.socket, where, "socket", state / "engine.sock")
    if len(os.fsencode(socket)) > _LONGEST_SOCKET:
        expected = f"expected a path of at most {_LONGEST_SOCKET} bytes (a limit of Unix sockets)"
        raise wrong(where, "socket", str(socket), expected)
    return EngineConfig(
        file=file,
        site=told.site,
        state_dir=state,
        socket=socket,
        standbys=_path(told.standbys, where, "standbys", standbys),
        log_level=told.log_level,
        rescan_s=told.watch.rescan_s,
        quiet_s=told.watch.quiet_s,
        jobs=told.limits.jobs,
        reserve_percent=told.limits.reserve_percent,
        memory=told.vm.memory_mib * 2**20,
        cpus=told.vm.cpus,
        backend="" if told.conversion.backend == "auto" else told.conversion.backend,
        drivers=tuple(
            _path(path, where, f"conversion.drivers[{number}]", state)
            for number, path in enumerate(told.conversion.drivers)
        ),
        zone=_zone(told.zone, where),
        blackouts=read_blackouts(told.blackouts, where),
        retention=read_keeping(told.retention),
        reads=read_limits(
            told.watch.limits, where, lambda path, key: str(_path(path, where, key, state))
        ),
        roots=tuple(
            str(_path(root, where, f"watch.roots[{number}]", state))
            for number, root in enumerate(told.watch.roots)
        ),
        targets=_targets(told.targets, where, state),
        alerts=read_alerts(told.alerts, where),
        textfile=_path(told.metrics.textfile, where, "metrics.textfile", state)
        if told.metrics.textfile
        else None,
        metrics_socket=_path(told.metrics.socket, where, "metrics.socket", state)
        if told.metrics.socket
        else None,
    )


def limits(told: EngineConfig) -> Limits:
    """Return how much at once; targets whose layers lie in the same folder share its limit."""
    stores = {name: str(target.store.path) for name, target in told.targets.items()}
    store_jobs: dict[str, int] = {}
    for name, target in told.targets.items():
        if target.store.jobs is not None:
            least = store_jobs.get(stores[name], target.store.jobs)
            store_jobs[stores[name]] = min(least, target.store.jobs)
    targets = {name: one.jobs for name, one in told.targets.items() if one.jobs is not None}
    return Limits(
        jobs=told.jobs,
        targets=targets,
        stores=stores,
        store_jobs=store_jobs,
        reserve_percent=told.reserve_percent,
    )


def _path(text: str, file: Path, key: str, default: Path) -> Path:
    """Return an absolute path without `..`; a relative one is below the file's folder."""
    if not text:
        return default
    if "\0" in text:
        raise wrong(file, key, text, "expected a path")
    told = Path(text).expanduser() if text.startswith("~/") else Path(text)
    return Path(os.path.normpath(file.parent / told))


def _zone(name: str, file: Path) -> tzinfo:
    if not name:
        return _host_zone()
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        expected = "expected a time zone's name, such as Europe/Berlin or UTC"
        raise wrong(file, "zone", name, expected) from None


def _host_zone() -> tzinfo:
    """Return the host's zone with all its rules, UTC where it has none."""
    try:
        with _HOST_ZONE.open("rb") as rules:
            return ZoneInfo.from_file(rules)
    except (OSError, ValueError):
        return UTC  # not ZoneInfo("UTC"): a small Debian has no zones at all


def _targets(raw: Mapping[str, Any], file: Path, state: Path) -> dict[str, TargetConfig]:
    """Return the targets of engine.toml and of the files in `targets.d` beside it."""
    found = {}
    for name, table in (raw or {LOCAL: {}}).items():
        found[name] = _named(name, table, file, state, f"targets.{name}")
    for own in target_files(file):
        if own.stem in found and own.stem in raw:
            expected = f"expected a name that {file.name} does not define too"
            raise wrong(own, "file name", own.name, expected)
        found[own.stem] = _named(own.stem, read_toml(own), own, state, "")
    _check_apart(found, file)
    return found


def _check_apart(found: Mapping[str, TargetConfig], file: Path) -> None:
    """Refuse a folder that a target with layers on its host would share with another target."""
    for (name, one), (other, also) in permutations(found.items(), 2):
        if one.store.kind == "hotadd" and also.store.path == one.store.path:
            expected = f"expected a folder that target {other} has not"
            raise wrong(one.file or file, f"{name}: store.path", str(one.store.path), expected)


def target_files(file: Path) -> list[Path]:
    """Return the files with one target each that lie beside engine.toml."""
    try:
        beside = sorted((file.parent / TARGETS).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [one for one in beside if one.suffix == ".toml" and not one.name.startswith(".")]


def read_target(name: str, table: object, file: Path, state: Path) -> TargetConfig:
    """Return a target as a file of its own in `targets.d` says it. WrongUse when it is wrong."""
    return _named(name, table, file, state, "")


def _named(name: str, table: object, file: Path, state: Path, key: str) -> TargetConfig:
    if not _NAME.fullmatch(name):
        expected = "expected a name of small letters, digits and hyphens, at most 48"
        raise wrong(file, key or "file name", name, expected)
    if not isinstance(table, dict):
        raise wrong(file, key, table, "expected a table, such as [targets.local]")
    prefix = f"{key}." if key else ""
    return _target(name, convert(table, _Target, file, prefix), file, state, key)


def _target(name: str, told: _Target, file: Path, state: Path, key: str) -> TargetConfig:
    dot = f"{key}." if key else ""
    kind: LayersIn = told.store.kind
    if told.uri and told.kind == "simulated":
        raise wrong(file, f"{dot}uri", told.uri, "a simulated target has no uri")
    esxi = None
    if told.kind == "esxi":
        if told.esxi is None:
            raise wrong(file, f"{dot}esxi", None, "it is missing: user and password stand there")
        esxi = read_esxi(told.esxi, told.uri, file, key)
        if esxi.transport == "hotadd" and kind != "auto":
            expected = "with transport hotadd layers are snapshots on the host: expected auto"
            raise wrong(file, f"{dot}store.kind", kind, expected)
        if kind not in ("auto", "reflink"):
            raise wrong(file, f"{dot}store.kind", kind, "hosts read flat files: expected reflink")
        kind = "hotadd" if esxi.transport == "hotadd" else "reflink"
    elif told.esxi is not None:
        raise wrong(file, f"{dot}esxi", told.kind, "only a target of kind esxi has this table")
    below = state / "store" if name == LOCAL else state / f"store-{name}"
    path = _path(told.store.path, file, f"{dot}store.path", below)
    store = StoreConfig(path, kind, told.store.jobs)
    embedded = f"qemu:///embed?root={state / 'libvirt'}"
    uri = told.uri or (embedded if told.kind == "libvirt" else "")
    return TargetConfig(name, told.kind, uri, store, esxi, file, told.jobs)


def defaults() -> dict[str, Any]:
    """Return what engine.toml's keys are when they are not given, for its documentation."""
    told: dict[str, Any] = msgspec.to_builtins(_Engine())
    told["targets"] = {LOCAL: msgspec.to_builtins(_Target())}
    del told["targets"][LOCAL]["esxi"]  # documented in a file of its own
    return told
