r"""Decides every change that makes a Windows start on hardware it has never seen.

    SYSTEM ─► what is there ─┬─ in-box drivers switched on ─┐
    drivers of the user ─────┴─ drivers injected ───────────┼─► new hive, files ─► ConversionPlan
    static addresses, staged drivers ─► first start's script ┘
    EFI system partition ─► fallback loader

Where no driver of the user fits, the VM needs a controller and a network card that Windows has
drivers for: `ConversionPlan.drivers` tells which those are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.guests import obstacles
from engine.guests.backend import Reading, Type
from engine.guests.linux.draft import Draft
from engine.guests.linux.esp import WINDOWS, plan_fallback
from engine.guests.tree import Tree
from engine.guests.windows import facts, firstboot, hive, inject, replay, system
from engine.guests.windows.drivers.inf import Target
from engine.guests.windows.drivers.shelf import Choice
from engine.guests.windows.inspect import LOGS, SYSTEM, spelled
from engine.guests.windows.version import HiveDamaged, is_dirty
from engine.model.cards import CardChange
from engine.model.guest import ConversionPlan, FileEdit, Guest, Mount, Obstacle, Volume

Choose = Callable[[Target], Choice]
"""Returns the registered drivers for a Windows."""

_DRIVERS = b"/Windows/System32/drivers"
_WINDOWS = b"/Windows"
_REASON = "The registry lets Windows start on the VM's controllers."
_STAGED = "The first start lets Windows install the drivers in this folder."
_NO_DRIVER = Obstacle(
    "guest.no_driver",
    "This Windows has no driver for a controller of a VM: neither AHCI, IDE, NVMe nor LSI SAS.",
    "Install a driver for such a controller on the source machine, or register drivers for it: "
    "drivers in the section [conversion] of engine.toml.",
)
_NO_AHCI = (
    "This Windows has no driver for AHCI and none of a virtual controller; its VM has SATA disks, "
    "which it may not start from. Register drivers for it, or install one on the source machine."
)
_NOT_PROVEN = (
    "Not yet proven on a real Windows: conversion was verified on phony guests and by an "
    "independent registry reader only. Make a test start."
)
_NO_CONTROL_SET = obstacles.damaged_hive("SYSTEM: no control set")


@dataclass(slots=True)
class _Work:
    """One guest on its way to a plan."""

    reading: Reading
    guest: Guest
    volume: Volume
    nics: Sequence[CardChange]
    warnings: list[str]


def plan_windows(
    reading: Reading,
    guest: Guest,
    loaders: Sequence[Volume] = (),
    nics: Sequence[CardChange] = (),
    choose: Choose | None = None,
) -> ConversionPlan:
    """Return every change, before anything is written.

    Args:
        reading: The guest's volumes.
        guest: What inspection found in them, without obstacles.
        loaders: The EFI system partitions.
        nics: The VM's network cards, in the source's order.
        choose: Drivers of the user for a Windows; None: there are none.

    Returns:
        A plan without edits when an obstacle stands in the way.

    Raises:
        Failure: A volume is damaged where the plan must look, or libhivex is missing.
    """
    root = next(mount.volume for mount in guest.mounts if mount.path == b"/")
    volume = next(volume for volume in guest.volumes if volume.id == root)
    work = _Work(reading, guest, volume, nics, [])
    path = spelled(reading, volume, SYSTEM)
    old = reading.read(volume.id, path, hive.HIVE) if path else b""
    try:
        clean = _finished(work, old)
        if clean is None:
            return ConversionPlan((), (), (obstacles.DIRTY_HIVE,))
        found = hive.read(clean, _WANTED)
        if not system.control_sets(found):
            return ConversionPlan((), (), (_NO_CONTROL_SET,))
        injection = _inject(work, clean, found, choose)
        decision = system.decide(found, facts.driver_files(reading, volume, found))
        drivers = tuple(dict.fromkeys((*decision.drivers, *injection.names)))
        work.warnings += [*decision.warnings, *injection.warnings]
        if not any(system.is_disk(driver) for driver in drivers):
            return ConversionPlan((), tuple(work.warnings), (_NO_DRIVER,))
        if not system.fits_a_vm(drivers):
            work.warnings.append(_NO_AHCI)
        files, starts = _first_start(work, found, injection.staged)
        changes = _once((*decision.changes, *injection.changes, *starts))
        new = hive.edit(clean, [change.step for change in changes]) if changes else clean
    except HiveDamaged:
        return ConversionPlan((), (), (obstacles.damaged_hive("SYSTEM"),))
    draft = Draft(reading, Tree(reading, (Mount(b"/", volume.id),)))
    if new != old:
        draft.write(path or SYSTEM, new, _REASON, hive.HIVE)
    _write_files(work, draft, files, injection)
    shown = tuple(change.shown for change in changes)
    edits = [replace(edit, details=shown) if edit.path == path else edit for edit in draft.edits()]
    work.warnings += draft.warnings
    edits += _fallback_loaders(reading, loaders, work.warnings)
    edits.sort(key=lambda edit: (edit.volume, edit.path))
    warnings = tuple(dict.fromkeys((_NOT_PROVEN, *work.warnings)))
    return ConversionPlan(tuple(edits), warnings, drivers=drivers)


_WANTED = (*system.WANTED, *firstboot.WANTED, *facts.WANTED)


def _finished(work: _Work, old: bytes) -> bytes | None:
    """Return the hive with what its logs hold; None when it is dirty and they do not fit."""
    if not is_dirty(old[:512]):
        return old
    paths = [spelled(work.reading, work.volume, path) for path in LOGS]
    stats = {path: work.reading.stat(work.volume.id, path) for path in paths if path}
    logs = [
        work.reading.read(work.volume.id, path, replay.LOG)
        for path, stat in stats.items()
        if stat is not None and stat.type is Type.FILE and 512 < stat.size <= replay.LOG
    ]
    done = replay.replay(old, logs)
    if done is None:
        return None
    writes = "1 unfinished write" if done.count == 1 else f"{done.count} unfinished writes"
    work.warnings.append(f"The registry was in use when it was imaged: {writes} of its logs made.")
    return done.hive


def _inject(work: _Work, old: bytes, found: hive.Key, choose: Choose | None) -> inject.Injection:
    """Return what the user's drivers change; nothing where none are registered or none fit."""
    nothing = inject.Injection((), {}, {}, (), ())
    if choose is None:
        return nothing
    target = facts.target_of(work.reading, work.volume, work.guest, found)
    if target is None:
        work.warnings.append(
            "For which processor this Windows is cannot be told; no drivers are injected."
        )
        return nothing
    choice = choose(target)
    for refusal in choice.refusals:
        role = refusal.role.name
        if all(driver.role.name != role for driver in choice.drivers):
            title = refusal.package.title
            work.warnings.append(f"Driver package {title} is not used: {refusal.why}.")
    if not choice.drivers:
        return nothing
    known = hive.read(old, (("Select",), *inject.wanted(choice.drivers)))
    # A set of which nothing was found is not told, but it is there.
    sets = {name.lower(): hive.Key() for name in system.control_sets(found)}
    whole = hive.Key({}, {**sets, **known.keys})
    files = {
        driver.file: facts.driver_file(work.reading, work.volume, driver.file)
        for driver in choice.drivers
    }
    return inject.inject(whole, choice.drivers, files)


def _once(changes: Sequence[system.Change]) -> Sequence[system.Change]:
    """Return changes sorted by key and value, each value once; what comes later wins."""
    by_place = {(c.shown.key.lower(), c.step.name.lower(), c.step.value is None): c
                for c in changes}  # fmt: skip
    return sorted(by_place.values(), key=lambda c: (c.shown.key, c.shown.value))


def _first_start(
    work: _Work, found: hive.Key, staged: Mapping[str, bytes]
) -> tuple[Mapping[bytes, bytes], Sequence[system.Change]]:
    """Return the scripts of the first start and what starts them; none without need."""
    current = found.at((system.control_sets(found)[0],)) or hive.Key()
    pairs = firstboot.pair(firstboot.statics(current), work.nics, work.warnings)
    if not pairs and not staged:
        return {}, ()
    starts = system.starts_once(found, firstboot.COMMAND, firstboot.KEPT)
    if starts is None:
        work.warnings.append(
            "Windows is in the middle of a set-up; static addresses are not moved, and drivers "
            "for network cards are not installed by themselves."
        )
        return {}, ()
    scripts = {b"/firstboot.cmd": firstboot.command(), b"/firstboot.ps1": firstboot.script(pairs)}
    return scripts, starts


def _write_files(
    work: _Work, draft: Draft, scripts: Mapping[bytes, bytes], injection: inject.Injection
) -> None:
    windows = spelled(work.reading, work.volume, _WINDOWS) or _WINDOWS
    folder = windows + firstboot.FOLDER[len(_WINDOWS) :]
    files = {folder + name: (text, "The first start runs it, once.")
             for name, text in scripts.items()}  # fmt: skip
    drivers = spelled(work.reading, work.volume, _DRIVERS) or _DRIVERS
    files |= {drivers + b"/" + name.encode(): told for name, told in injection.files.items()}
    files |= {
        folder + b"/drivers/" + name.encode(): (content, _STAGED)
        for name, content in injection.staged.items()
    }
    for path, (content, reason) in files.items():
        if draft.read(path, inject.STAGED_FILE) != content:
            draft.write(path, content, reason, inject.STAGED_FILE)


def _fallback_loaders(
    reading: Reading, loaders: Sequence[Volume], warnings: list[str]
) -> Iterator[FileEdit]:
    for volume in loaders:
        esp = Draft(reading, Tree(reading, (Mount(b"/", volume.id),)))
        plan_fallback(esp, WINDOWS)
        warnings += esp.warnings
        yield from esp.edits()
