r"""Decides every change that makes a Windows start on hardware it has never seen.

    SYSTEM ─► registry changes ─► new hive  ┐
    static addresses ─► first start's script ┼─► ConversionPlan
    EFI system partition ─► fallback loader  ┘

Drivers of the user are not part of it yet: the VM needs a controller and a network card that
Windows has drivers for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from engine.guests import obstacles
from engine.guests.backend import Reading
from engine.guests.linux.draft import Draft
from engine.guests.linux.esp import WINDOWS, plan_fallback
from engine.guests.tree import Tree
from engine.guests.windows import firstboot, hive, system
from engine.guests.windows.inspect import SYSTEM, spelled
from engine.guests.windows.version import HiveDamaged, is_dirty
from engine.model.cards import CardChange
from engine.model.guest import ConversionPlan, FileEdit, Guest, Mount, Obstacle, Volume

_DRIVERS = b"/Windows/System32/drivers"
_REASON = "The registry lets Windows start on the VM's controllers."
_NO_DRIVER = Obstacle(
    "guest.no_driver",
    "This Windows has no driver for a controller of a VM: neither AHCI, IDE, NVMe nor LSI SAS.",
    "Install a driver for such a controller on the source machine.",
)
_NOT_PROVEN = (
    "Not yet proven on a real Windows: conversion was verified on phony guests and by an "
    "independent registry reader only. Make a test start."
)
_NO_CONTROL_SET = obstacles.damaged_hive("SYSTEM: no control set")


def plan_windows(
    reading: Reading,
    guest: Guest,
    loaders: Sequence[Volume] = (),
    nics: Sequence[CardChange] = (),
) -> ConversionPlan:
    """Return every change, before anything is written.

    Args:
        reading: The guest's volumes.
        guest: What inspection found in them, without obstacles.
        loaders: The EFI system partitions.
        nics: The VM's network cards, in the source's order.

    Returns:
        A plan without edits when an obstacle stands in the way.

    Raises:
        Failure: A volume is damaged where the plan must look, or libhivex is missing.
    """
    root = next(mount.volume for mount in guest.mounts if mount.path == b"/")
    volume = next(volume for volume in guest.volumes if volume.id == root)
    path = spelled(reading, volume, SYSTEM)
    old = reading.read(volume.id, path, hive.HIVE) if path else b""
    try:
        if is_dirty(old[:512]):
            return ConversionPlan((), (), (obstacles.DIRTY_HIVE,))
        found = hive.read(old, (*system.WANTED, *firstboot.WANTED))
        if not system.control_sets(found):
            return ConversionPlan((), (), (_NO_CONTROL_SET,))
        decision = system.decide(found, _files(reading, volume))
        if not decision.drivers:
            return ConversionPlan((), decision.warnings, (_NO_DRIVER,))
        warnings = list(decision.warnings)
        files, starts = _first_start(found, nics, warnings)
        changes = (*decision.changes, *starts)
        new = hive.edit(old, [change.step for change in changes]) if changes else old
    except HiveDamaged:
        return ConversionPlan((), (), (obstacles.damaged_hive("SYSTEM"),))
    draft = Draft(reading, Tree(reading, (Mount(b"/", volume.id),)))
    if new != old:
        draft.write(path or SYSTEM, new, _REASON, hive.HIVE)
    for name, content in files.items():
        at = (spelled(reading, volume, b"/Windows") or b"/Windows") + firstboot.FOLDER[8:]
        if draft.read(at + name) != content:
            draft.write(at + name, content, "The first start runs it, once.")
    shown = tuple(change.shown for change in changes)
    edits = [replace(edit, details=shown) if edit.path == path else edit for edit in draft.edits()]
    warnings += draft.warnings
    edits += _fallback_loaders(reading, loaders, warnings)
    edits.sort(key=lambda edit: (edit.volume, edit.path))
    return ConversionPlan(tuple(edits), tuple(dict.fromkeys((_NOT_PROVEN, *warnings))))


def _first_start(
    found: hive.Key, nics: Sequence[CardChange], warnings: list[str]
) -> tuple[Mapping[bytes, bytes], Sequence[system.Change]]:
    """Return the scripts of the first start and what starts them; none without need."""
    current = found.at((system.control_sets(found)[0],)) or hive.Key()
    pairs = firstboot.pair(firstboot.statics(current), nics, warnings)
    if not pairs:
        return {}, ()
    starts = system.starts_once(found, firstboot.COMMAND, firstboot.KEPT)
    if starts is None:
        warnings.append("Windows is in the middle of a set-up; static addresses are not moved.")
        return {}, ()
    scripts = {b"/firstboot.cmd": firstboot.command(), b"/firstboot.ps1": firstboot.script(pairs)}
    return scripts, starts


def _files(reading: Reading, volume: Volume) -> frozenset[str]:
    path = spelled(reading, volume, _DRIVERS)
    names = reading.list(volume.id, path) if path else ()
    return frozenset(name.decode("utf-8", "replace").lower() for name in names)


def _fallback_loaders(
    reading: Reading, loaders: Sequence[Volume], warnings: list[str]
) -> Iterator[FileEdit]:
    for volume in loaders:
        esp = Draft(reading, Tree(reading, (Mount(b"/", volume.id),)))
        plan_fallback(esp, WINDOWS)
        warnings += esp.warnings
        yield from esp.edits()
