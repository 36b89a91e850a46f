"""Pure: what is wrong with files, folders and targets, each with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.api.views import FindingView
from engine.daemon.intake import standing
from engine.daemon.service import Snapshot, TargetStatus
from engine.model.errors import Problem
from engine.model.images import Arrival, BadFile, PointId, RootView
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import DriverSource

MOST_FILES = 200
"""Bad files told one by one of one folder."""
REASON = 400


def findings(snapshot: Snapshot) -> list[FindingView]:
    """Return the topic `findings`: definitions, folders, files, targets, drivers."""
    found = [_of_definition(*one) for one in sorted(snapshot.misfits.items())]
    lacking = standing(snapshot.roots.values(), snapshot.state)
    found += [one for root in snapshot.roots.values() for one in _of_root(root, lacking)]
    found += [one for target in snapshot.targets for one in _of_target(target)]
    found += [one for source in snapshot.drivers for one in _of_drivers(source)]
    return list({one.id: one for one in found}.values())


def _of_definition(name: str, problem: Problem) -> FindingView:
    told = f"{problem.happened} {problem.unchanged}"
    return FindingView(
        id=f"standbys.d:{safe(name, REASON)}",
        gravity=Gravity.ERROR.value,
        subject=f"standbys.d/{safe(name)}.toml" if name else "standbys.d",
        text=safe(told.rstrip(), REASON),
        remedy=safe(problem.remedy, REASON),
    )


_Lacking = Mapping[str, Mapping[PointId, str]]
"""Image set -> missing parents that stop something."""


def _of_root(root: RootView, lacking: _Lacking) -> Iterator[FindingView]:
    folder = safe(root.root, REASON)
    if not root.online:
        yield FindingView(
            id=f"folder:{folder}",
            gravity=Gravity.ERROR.value,
            subject=folder,
            text=safe(root.reason, REASON),
            remedy="Mount or replicate the folder again; what was known of it is kept.",
            since=root.scanned_at,
        )
    yield from _of_points(root, lacking)
    shown = root.bad[:MOST_FILES]
    for bad in shown:
        yield _of_file(root, bad)
    if len(root.bad) > len(shown):
        yield FindingView(
            id=f"folder:{folder}:more",
            gravity=Gravity.WARNING.value,
            subject=folder,
            text=f"{len(root.bad) - len(shown)} more files of this folder cannot be used.",
            remedy="Look at the folder: it may hold more than image files.",
        )


def _of_file(root: RootView, bad: BadFile) -> FindingView:
    path = safe(f"{root.root}/{bad.path}", REASON)
    gravity = Gravity.NOTE if bad.is_harmless else Gravity.WARNING
    return FindingView(
        id=f"file:{path}",
        gravity=gravity.value,
        subject=path,
        text=safe(bad.reason, REASON),
        remedy=safe(bad.remedy, REASON),
    )


def _of_points(root: RootView, lacking: _Lacking) -> Iterator[FindingView]:
    for family in root.sets:
        machine = safe(family.machine_name)
        for point, text in lacking.get(family.id, {}).items():
            yield FindingView(
                id=f"missing:{safe(family.id)}:{safe(point)}",
                gravity=Gravity.WARNING.value,
                subject=f"{machine} in {safe(root.root, REASON)}",
                text=safe(text, REASON),
                remedy="Replicate the missing files again, or start a new chain with a full.",
            )
        for damaged in family.points:
            if damaged.arrival is Arrival.DAMAGED:
                yield FindingView(
                    id=f"point:{safe(family.id)}:{safe(damaged.id)}",
                    gravity=Gravity.ERROR.value,
                    subject=f"{machine} point {damaged.sequence}",
                    text=safe(damaged.reason, REASON),
                    remedy="Replicate its files again from where they were made.",
                )


def _of_target(target: TargetStatus) -> Iterator[FindingView]:
    if target.problem:
        yield FindingView(
            id=f"target:{target.name}",
            gravity=Gravity.ERROR.value,
            subject=f"target {target.name}",
            text=safe(target.problem, REASON),
        )
    for finding in target.findings:
        yield FindingView(
            id=f"target:{target.name}:{finding.key}",
            gravity=finding.gravity.value,
            subject=f"target {target.name}",
            text=safe(finding.text, REASON),
            remedy=safe(finding.remedy, REASON),
        )


def _of_drivers(source: DriverSource) -> Iterator[FindingView]:
    for number, finding in enumerate(source.findings[:MOST_FILES]):
        yield FindingView(
            id=f"drivers:{source.path}:{number}:{safe(finding.key, REASON)}",
            gravity=finding.gravity.value,
            subject=f"drivers in {source.path}",
            text=safe(finding.text, REASON),
            remedy=safe(finding.remedy, REASON),
        )
