"""Image sets out of files: what belongs together, what continues what, what is missing.

    manifest p2 ─┐                              p1 ── p2 ── p3 ── p4      parents before children
    file p2 d0 ──┼─► recovery point p2                └──── p4'          a fork
    file p2 d1 ──┘   (any order, any name)      p1 ──────── p3c          replaces p2 and p3

Files are matched by what they say about themselves: set, point, disk, content hash. A name inside
a manifest only chooses between equal copies and explains what is awaited.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.model.filenames import likely_names
from engine.model.images import (
    DUPLICATE,
    Arrival,
    BadFile,
    DiskPart,
    ImagePart,
    ImageSet,
    PartKind,
    PointDisk,
    PointId,
    RecoveryPoint,
)
from engine.model.text import safe
from engine.model.ways import USABLE, label, reachable


@dataclass(frozen=True, slots=True)
class Assembly:
    """What the files of one watched folder add up to.

    Attributes:
        sets: Sorted by machine name and id.
        odd: Files that were left out although they are in order, such as second copies.
    """

    sets: Sequence[ImageSet]
    odd: Sequence[BadFile]


@dataclass(frozen=True, slots=True)
class _Form:
    """One way a point exists: as written, or consolidated; both may be there for a while.

    Attributes:
        roots: Disk UUID -> content hashes that a child may name for this point.
    """

    point: RecoveryPoint
    roots: Mapping[str, frozenset[str]]


def assemble(
    root: str,
    parts: Iterable[ImagePart],
    settled: Callable[[str], bool],
    known: Collection[PointId] = (),
) -> Assembly:
    """Put files together to image sets; the order in which they arrived does not matter.

    Args:
        root: Watched folder, absolute.
        parts: All recognised files below it.
        settled: Told a part's path; False while the file may still change.
        known: Points that are applied already, so that their files need not be here.
    """
    sets: defaultdict[str, defaultdict[PointId, list[ImagePart]]]
    sets = defaultdict(lambda: defaultdict(list))
    for part in parts:
        if part.disks:
            sets[part.set_id][part.point].append(part)
    odd: list[BadFile] = []
    made = []
    for set_id, points in sets.items():
        forms = [_forms(root, own, settled, odd) for own in points.values()]
        made.append(_image_set(set_id, root, _choose(forms, known), known))
    made.sort(key=lambda one: (one.machine_name, one.id))
    return Assembly(tuple(made), tuple(sorted(odd, key=lambda one: one.path)))


# --- one point ------------------------------------------------------------------------------


def _forms(
    root: str, parts: Sequence[ImagePart], settled: Callable[[str], bool], odd: list[BadFile]
) -> list[_Form]:
    """Return the forms of one point, made of all files that carry its id."""

    def best_first(part: ImagePart) -> tuple[bool, str]:
        return not settled(part.path), part.path

    parts = sorted(parts, key=best_first)
    manifests = _distinct((p for p in parts if p.kind is PartKind.MANIFEST), odd)
    names = {disk.name for manifest in manifests for disk in manifest.disks}
    files = [part for part in parts if part.kind is PartKind.DISK]
    files.sort(key=lambda p: (not settled(p.path), _basename(p.path) not in names, p.path))
    files = _distinct(files, odd)
    if not manifests:
        return [_without_manifest(root, files)]
    return [_with_manifest(root, manifest, files, settled) for manifest in manifests]


def _distinct(parts: Iterable[ImagePart], odd: list[BadFile]) -> list[ImagePart]:
    """Return the first of each group of files that say the same; tell of the others."""
    found: dict[object, ImagePart] = {}
    for part in parts:
        disks = tuple((d.uuid, d.root, d.size, d.file_size) for d in part.disks)
        first = found.setdefault((part.parent, disks), part)
        if first is not part:
            odd.append(_second_copy(part, first))
    return list(found.values())


def _second_copy(part: ImagePart, first: ImagePart) -> BadFile:
    return BadFile(
        part.path,
        part.mark,
        DUPLICATE,
        waiting=False,
        reason=f"{_shown(part.path)} is a second copy of {_shown(first.path)}; it is ignored.",
        remedy="Nothing needs to be done; the copy may be deleted at the source.",
    )


def _without_manifest(root: str, files: Sequence[ImagePart]) -> _Form:
    by_uuid = {part.disks[0].uuid: part for part in reversed(files)}
    chosen = sorted(by_uuid.values(), key=lambda part: (part.disks[0].number, part.path))
    disks = tuple(PointDisk(part.disks[0], part.path, part.mark) for part in chosen)
    here = "1 disk file is" if len(disks) == 1 else f"{len(disks)} disk files are"
    reason = f"{label(chosen[0])} waits for its manifest; {here} here."
    return _form(root, chosen[0], chosen, disks, Arrival.ARRIVING, reason)


def _with_manifest(
    root: str, manifest: ImagePart, files: Sequence[ImagePart], settled: Callable[[str], bool]
) -> _Form:
    disks: list[PointDisk] = []
    used: list[ImagePart] = [manifest]
    arrival, reason = Arrival.COMPLETE, ""
    if not settled(manifest.path):
        arrival, reason = Arrival.ARRIVING, _may_change(manifest, manifest.path)
    for line in sorted(manifest.disks, key=lambda disk: disk.number):
        file = next((f for f in files if _agrees(f, manifest, line)), None)
        if file is None:
            disks.append(PointDisk(line, "", None))
            arrival, reason = _worse((arrival, reason), _no_file(manifest, line, files, settled))
            continue
        used.append(file)
        disks.append(PointDisk(_joined(line, file.disks[0]), file.path, file.mark))
        if not settled(file.path) and arrival is Arrival.COMPLETE:
            arrival, reason = Arrival.ARRIVING, _may_change(manifest, file.path)
    return _form(root, manifest, used, tuple(disks), arrival, reason)


def _agrees(file: ImagePart, manifest: ImagePart, line: DiskPart) -> bool:
    """Tell whether a file is the one that a manifest's line is about."""
    disk = file.disks[0]
    return (
        disk.uuid == line.uuid
        and line.root in (disk.root, "")
        and disk.size == line.size
        and disk.file_size == line.file_size
        and (disk.base or file.parent == manifest.parent)
    )


def _joined(line: DiskPart, disk: DiskPart) -> DiskPart:
    """Return what manifest and file say together; what only one of them knows comes from it."""
    return replace(disk, number=line.number, name=line.name, boot=line.boot or disk.boot)


def _no_file(
    manifest: ImagePart,
    line: DiskPart,
    files: Sequence[ImagePart],
    settled: Callable[[str], bool],
) -> tuple[Arrival, str]:
    """Return how far a point is whose disk `line` has no file that agrees with the manifest."""
    same = [file for file in files if file.disks[0].uuid == line.uuid]
    name = f" ({_shown(line.name)})" if line.name else ""
    if not same:
        return Arrival.ARRIVING, f"{label(manifest)} waits for disk {line.number}{name}."
    found = same[0]
    wrong = (
        f"{label(manifest)}: {_shown(found.path)} is not what the manifest says of disk "
        f"{line.number}: {_difference(found, manifest, line)}."
    )
    if any(settled(file.path) for file in same) and settled(manifest.path):
        return Arrival.DAMAGED, f"{wrong} Replicate all files of this point again."
    return Arrival.ARRIVING, f"{wrong} It may still be arriving."


def _difference(file: ImagePart, manifest: ImagePart, line: DiskPart) -> str:
    disk = file.disks[0]
    if disk.file_size != line.file_size:
        return f"{disk.file_size:,} instead of {line.file_size:,} bytes"
    if disk.size != line.size:
        return f"a disk of {disk.size:,} instead of {line.size:,} bytes"
    if line.root not in (disk.root, ""):
        return f"content {_short(disk.root)} instead of {_short(line.root)}"
    return f"it continues point {_id(file.parent)} instead of {_id(manifest.parent)}"


def _worse(one: tuple[Arrival, str], other: tuple[Arrival, str]) -> tuple[Arrival, str]:
    """Return the state that says more of why a point is not complete; the first if equal."""
    grave = [Arrival.COMPLETE, Arrival.ARRIVING, Arrival.DAMAGED]
    return one if grave.index(one[0]) >= grave.index(other[0]) else other


def _may_change(manifest: ImagePart, path: str) -> str:
    return f"{label(manifest)}: {_shown(path)} may still be arriving; it must stop changing first."


def _form(
    root: str,
    head: ImagePart,
    used: Sequence[ImagePart],
    disks: Sequence[PointDisk],
    arrival: Arrival,
    reason: str,
) -> _Form:
    point = RecoveryPoint(
        id=head.point,
        parent=head.parent,
        set_id=head.set_id,
        format=head.format,
        root=root,
        machine_uuid=head.machine_uuid,
        machine_name=head.machine_name,
        sequence=head.sequence,
        taken_at=head.taken_at,
        arrival=arrival,
        reason=reason,
        disks=disks,
        hints=head.hints,
        size=sum(part.mark.size for part in used),
        locked=any(part.locked for part in used),
        replaces=tuple(head.replaces),
    )
    roots = {disk.part.uuid: {disk.part.root} for disk in disks}
    for part in used:
        if part.kind is PartKind.DISK:
            folded = zip(part.replaces, part.replaced_roots, strict=False)
            roots[part.disks[0].uuid] |= {old for at, old in folded if at == part.point}
    return _Form(point, {uuid: frozenset(told) for uuid, told in roots.items()})


# --- one set --------------------------------------------------------------------------------


def _choose(points: Sequence[Sequence[_Form]], known: Collection[PointId]) -> list[_Form]:
    """Return one form for each point.

    The form as written comes first, since it is the shortest way from the point before; the
    consolidated one takes its place once the chain of the other is broken.
    """
    if all(len(forms) == 1 for forms in points):
        return [forms[0] for forms in points]
    reached = reachable((form.point for forms in points for form in forms), known)

    def preference(form: _Form) -> tuple[bool, bool, bool, int, str]:
        point = form.point
        whole = point.arrival in USABLE
        shown = "".join(disk.part.root for disk in point.disks)
        return whole, id(point) in reached, not point.replaces, len(point.replaces), shown

    return [max(forms, key=preference) for forms in points]


def _image_set(
    set_id: str, root: str, forms: Sequence[_Form], known: Collection[PointId]
) -> ImageSet:
    by_id = {form.point.id: form for form in forms}
    points = _in_order([_linked(form, by_id).point for form in forms])
    missing: dict[PointId, str] = {}
    for point in points:
        parent = point.parent
        if parent is None or parent in known or parent in missing or point.arrival not in USABLE:
            continue
        if parent not in by_id:
            missing[parent] = _missing(point, parent, root, points)
        elif (before := by_id[parent].point).lacks_a_file:
            missing[parent] = _overtaken(point, before)
    newest = max(points, key=lambda point: (point.taken_at, point.sequence, point.id))
    return ImageSet(set_id, newest.machine_uuid, newest.machine_name, root, tuple(points), missing)


def _linked(form: _Form, by_id: Mapping[PointId, _Form]) -> _Form:
    """Return a form whose link to its parent was checked, DAMAGED if it does not fit.

    Nothing is concluded from a parent that is not complete itself.
    """
    point = form.point
    parent = by_id.get(point.parent) if point.parent is not None else None
    if parent is None or not {point.arrival, parent.point.arrival} <= USABLE:
        return form
    for disk in point.disks:
        wrong = _misfit(disk.part, point, parent)
        if wrong:
            return replace(form, point=replace(point, arrival=Arrival.DAMAGED, reason=wrong))
    return form


def _misfit(disk: DiskPart, child: RecoveryPoint, parent: _Form) -> str:
    """Return why a disk's increment does not continue its parent; empty when it does (C1, C2)."""
    if disk.base:
        return ""
    roots = parent.roots.get(disk.uuid)
    if roots is None:
        wrong = f"is an increment, but {label(parent.point)} has no such disk"
    elif not disk.parent_root or disk.parent_root in roots or "" in roots:
        return ""
    else:
        told = ", ".join(sorted(_short(root) for root in roots))
        below = label(parent.point)
        wrong = f"continues content {_short(disk.parent_root)}, but {below} here holds {told}"
    return (
        f"{label(child)} does not fit the point it continues: disk {disk.number} {wrong}. "
        "Replicate both points again, or start a new chain with a full backup."
    )


def _in_order(points: Sequence[RecoveryPoint]) -> list[RecoveryPoint]:
    """Return parents before children, else by time; points in a circle are DAMAGED, at the end."""
    here = {point.id for point in points}
    children: dict[PointId, list[RecoveryPoint]] = defaultdict(list)
    ready: list[tuple[object, RecoveryPoint]] = []
    for point in points:
        if point.parent is None or point.parent not in here:
            ready.append((_age(point), point))
        else:
            children[point.parent].append(point)
    heapq.heapify(ready)
    ordered = []
    while ready:
        point = heapq.heappop(ready)[1]
        ordered.append(point)
        for child in children.pop(point.id, ()):
            heapq.heappush(ready, (_age(child), child))
    circle = sorted((one for own in children.values() for one in own), key=_age)
    return [*ordered, *(_circular(point) for point in circle)]


def _circular(point: RecoveryPoint) -> RecoveryPoint:
    reason = (
        f"{label(point)} cannot be used: its chain of parents leads back to itself. "
        "Start a new chain with a full backup."
    )
    return replace(point, arrival=Arrival.DAMAGED, reason=reason)


def _age(point: RecoveryPoint) -> tuple[object, ...]:
    return point.taken_at, point.sequence, point.id


def _missing(
    point: RecoveryPoint, parent: PointId, root: str, points: Sequence[RecoveryPoint]
) -> str:
    before = "" if point.replaces else f", sequence {point.sequence - 1}"
    names = () if point.replaces else likely_names(point.sequence - 1, point, points)
    named = f" ({', '.join(names)})" if names else ""
    return (
        f"{label(point)} of {safe(point.machine_name)} continues point {_id(parent)}{before}, "
        f"which is not in {safe(root, 200)}. No boot point can be made from it or any later one. "
        f"Replicate the missing point again{named}, or start a new chain with a full backup."
    )


def _overtaken(point: RecoveryPoint, parent: RecoveryPoint) -> str:
    """Return what stops a point that is whole before the one it continues is."""
    return (
        f"{parent.reason} {label(point)} is whole and continues it: until then no boot point can "
        "be made from either or any later one. If nothing copies it any more, replicate it again."
    )


# --- words ----------------------------------------------------------------------------------


def _basename(path: str) -> str:
    return path.rpartition("/")[2]


def _shown(path: str) -> str:
    return safe(_basename(path), 120)


def _id(point: PointId | None) -> str:
    return "none" if point is None else safe(point, 40)


def _short(root: str) -> str:
    return f"{safe(root, 12)}" if root else "unknown"
