"""The drivers that the user has registered, read when the engine starts and when they change.

    [conversion] drivers ─► identity ─► cached files, else read ─► Packages ─► Choice for a Windows

A source that is missing or bad is a finding, never an error: its guests are converted with what
they have.
"""

from __future__ import annotations

import hashlib
import io
import logging
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.windows.drivers import systems
from engine.guests.windows.drivers.inf import Target
from engine.guests.windows.drivers.package import ROLES, Driver, Package, Refusal, best, driver_of
from engine.guests.windows.drivers.reading import identity_of, packages_in, read_files
from engine.local.durable import durable_replace, make_folder, open_folder
from engine.model.errors import Failure, Problem
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import DriverFacts, DriverSource, Finding

log = logging.getLogger(__name__)

LOOK_S = 30.0
"""Seconds between two looks whether a source has changed."""
_RECIPE = "1"
"""Part of the names in the cache: another way to read makes new ones."""
_DIGEST = 32


@dataclass(frozen=True, slots=True)
class Choice:
    """The drivers for one Windows, at most one for each role, and why others are not used."""

    drivers: tuple[Driver, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """One configured path as it was read last. `odd`: about what in it cannot be used."""

    identity: str
    packages: tuple[Package, ...] = ()
    odd: tuple[str, ...] = ()
    problem: Problem | None = None


class DriverShelf:
    """All registered drivers. Thread-safe."""

    def __init__(self, paths: Sequence[Path], cache: Path) -> None:
        """Remember where drivers are; nothing is read yet.

        Args:
            paths: ISO files and folders, in the user's order.
            cache: Folder of the engine's own for what was read of ISO files.
        """
        self._paths = tuple(dict.fromkeys(paths))
        self._cache = cache
        self._lock = threading.Lock()
        self._known: Mapping[Path, _Source] = {}
        self._told: Sequence[DriverSource] = ()
        self._stopping = threading.Event()
        self._on_change: Callable[[], None] = _nothing
        self._thread: threading.Thread | None = None

    def start(self, on_change: Callable[[], None]) -> None:
        """Read everything in the background, and look again now and then; tell of each change."""
        self._on_change = on_change
        if self._paths:
            self._thread = threading.Thread(target=self._watch, name="drivers", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the background thread; what it reads at the moment is not waited for."""
        self._stopping.set()

    def sources(self) -> Sequence[DriverSource]:
        """Return what is known, without waiting."""
        return self._told

    def refresh(self) -> None:
        """Read what is new or has changed; what has not costs a look at its names."""
        with self._lock:
            before = self._known
            self._known = {path: self._look(path, before.get(path)) for path in self._paths}
            is_other = before != self._known
            if is_other:
                self._told = _told(self._known)
                self._sweep()
        if is_other:
            self._on_change()

    def choose(self, target: Target) -> Choice:
        """Return the drivers for a Windows, from all sources as they are now."""
        self.refresh()
        return _choice([p for source in self._known.values() for p in source.packages], target)

    def _watch(self) -> None:
        while True:
            try:
                self.refresh()
            except Exception:
                log.exception("drivers")
            if self._stopping.wait(LOOK_S):
                return

    def _look(self, path: Path, known: _Source | None) -> _Source:
        try:
            identity = identity_of(path)
            if known is not None and known.identity == identity:
                return known
            found = packages_in(path, self._files(path, identity))
        except Failure as failure:
            return _Source("", problem=failure.problem)
        log.info("drivers source=%s packages=%d", safe(str(path), 200), len(found.packages))
        return _Source(identity, found.packages, found.odd)

    # --- cache ------------------------------------------------------------------------------

    def _files(self, path: Path, identity: str) -> Mapping[str, bytes]:
        if path.is_dir():
            return read_files(path)
        place = self._place(identity)
        kept = _unpacked(place)
        if kept is not None:
            return kept
        files = read_files(path)
        try:
            make_folder(self._cache)
            with open_folder(self._cache) as folder:
                durable_replace(folder, place.name, _packed(files))
        except OSError as error:
            log.warning("the drivers of %s are read again next time: %s", path, error)
        return files

    def _place(self, identity: str) -> Path:
        name = hashlib.sha256(f"{_RECIPE} {identity}".encode()).hexdigest()
        return self._cache / f"{name[:32]}.drivers"

    def _sweep(self) -> None:
        """Take away what was kept of ISO files that are not there any more."""
        used = {self._place(source.identity).name for source in self._known.values()}
        for file in self._cache.glob("*.drivers"):
            if file.name not in used:
                file.unlink(missing_ok=True)


def _nothing() -> None:
    """Tell nobody."""


def _choice(packages: Sequence[Package], target: Target) -> Choice:
    by_role: dict[str, list[Driver]] = {}
    refusals = []
    for package in packages:
        match driver_of(package, target):
            case Driver() as driver:
                by_role.setdefault(driver.role.name, []).append(driver)
            case Refusal() as refusal:
                refusals.append(refusal)
    found = [best(by_role[role.name]) for role in ROLES if role.name in by_role]
    return Choice(tuple(found), tuple(refusals))


def _packed(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return hashlib.sha256(made.getvalue()).digest() + made.getvalue()


def _unpacked(place: Path) -> Mapping[str, bytes] | None:
    """Return what was kept; None when there is nothing, or it is not as it was written."""
    try:
        whole = place.read_bytes()
        if hashlib.sha256(whole[_DIGEST:]).digest() != whole[:_DIGEST]:
            return None
        with tarfile.open(fileobj=io.BytesIO(whole[_DIGEST:]), mode="r:") as archive:
            opened = {member.name: archive.extractfile(member) for member in archive}
            return {name: file.read() for name, file in opened.items() if file}
    except (OSError, tarfile.TarError):
        return None


# --- what is shown ----------------------------------------------------------------------------


def _told(known: Mapping[Path, _Source]) -> Sequence[DriverSource]:
    """Return all sources as they are shown; a package is judged beside those of the others."""
    uses = iter(systems.uses_of([p for source in known.values() for p in source.packages]))
    return tuple(
        DriverSource(
            safe(str(path), 200),
            tuple(_fact(package, use) for package, use in pairs),
            tuple(_findings(source, pairs)),
        )
        for path, source in known.items()
        for pairs in [[(package, next(uses)) for package in source.packages]]
    )


def _fact(package: Package, use: systems.Use) -> DriverFacts:
    return DriverFacts(
        device=use.role.title,
        name=use.role.name,
        version=package.shown_version,
        folder=package.title,
        systems=use.systems,
        refused=use.refusal.why if use.refusal else "",
    )


def _findings(source: _Source, pairs: Sequence[tuple[Package, systems.Use]]) -> Iterator[Finding]:
    problem = source.problem
    if problem is not None:
        yield Finding(Gravity.WARNING, problem.key, problem.happened, problem.remedy)
        return
    for package, use in pairs:
        key = f"driver:{package.title}"
        if use.refusal:
            text = f"Driver package {package.title} is not used: {use.refusal.why}."
            yield Finding(Gravity.WARNING, key, text, use.refusal.remedy)
        for doubt in use.doubts:
            yield Finding(Gravity.NOTE, f"{key}:doubt", doubt)
    for number, sentence in enumerate(source.odd):
        yield Finding(Gravity.WARNING, f"driver:odd:{number}", sentence, _AGAIN)
    if not pairs and not source.odd:
        text = "No driver of a virtual disk controller or network card is in it."
        yield Finding(Gravity.WARNING, "driver:none", text, _WHICH)


_AGAIN = "Get the package again from who made it, with all of its files."
_WHICH = (
    "Name the ISO of virtio-win or VMware Tools, or a folder with the .inf files of viostor, "
    "vioscsi, NetKVM, pvscsi or vmxnet3."
)
