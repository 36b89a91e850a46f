"""What consoles ask about conversions: guests, ledgers, dry runs.

    Service.record, plan_conversion ─► Record ─► GuestView, LedgerView

A ledger may be longer than a frame, so it is told in pages. A dry run is not: it would have to run
again for each page. It leaves out texts that have no room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from engine.api import asks, reports
from engine.api.conversion_views import (
    ChangeView,
    ConversionView,
    DifferenceView,
    DriverSourceView,
    DriverView,
    GuestView,
    LedgerView,
    RegistryView,
    VolumeView,
)
from engine.api.wire import MAX_FRAME, raw
from engine.api.wishes import standby_of, with_trunk
from engine.daemon.service import Service, Snapshot
from engine.guests.ledger import Difference, compare
from engine.model.conversion import GuestFacts, Record
from engine.model.errors import NotFound, Problem, WrongUse
from engine.model.guest import Ledger, LedgerEntry, RegistryEdit
from engine.model.points import BootPoint, BootPointId
from engine.model.retention import by_age
from engine.model.text import safe

PAGE = 3 * MAX_FRAME // 4
"""Bytes of a page, as JSON; the largest single change is a third of a frame."""
PATH, WORDS = 4096, 1000
MOST = 500
"""Volumes, kernels and networks that are shown."""

T = TypeVar("T", ChangeView, DifferenceView)


def guest(service: Service, ask: asks.PointAsk) -> GuestView:
    """Return the guest of a boot point: from its record, else by looking now (seconds).

    Raises:
        NotFound: No such machine or boot point.
        NotBootable, Failure: It cannot be looked at.
    """
    snapshot = service.snapshot()
    standby_of(snapshot, ask.machine)
    try:
        point, record = _record(service, snapshot, ask.machine, ask.point)
    except NotFound:
        point = with_trunk(snapshot, ask.machine, ask.point)
        record = service.plan_conversion(ask.machine, point.id)
        return guest_view(point, record.guest, "now")
    view = guest_view(point, record.guest, "record")
    view.report = reports.shown(service, point, record.guest)
    return view


def take_report(service: Service, ask: reports.ReportAsk, actor: str) -> GuestView:
    """Keep a self-check's report for a boot point; return its guest with the report judged.

    Raises:
        NotFound: No such machine or boot point, or none with a record.
        FormatError, WrongUse: It is no report, or one of another system; nothing is kept.
    """
    snapshot = service.snapshot()
    standby_of(snapshot, ask.machine)
    wanted = reports.chosen(snapshot, ask.machine, ask.point)
    point, record = _record(service, snapshot, ask.machine, wanted)
    view = guest_view(point, record.guest, "record")
    view.report = reports.take(service, point, record.guest, ask, actor)
    return view


def drivers(service: Service) -> list[DriverSourceView]:
    """Return the registered drivers, by source in the user's order."""
    return [
        DriverSourceView(
            path=source.path,
            drivers=[
                DriverView(
                    device=fact.device,
                    name=fact.name,
                    version=safe(fact.version),
                    folder=fact.folder,
                    systems=list(fact.systems),
                    refused=safe(fact.refused, WORDS),
                )
                for fact in source.drivers[:MOST]
            ],
            findings=[
                " ".join(part for part in (safe(one.text, WORDS), safe(one.remedy, WORDS)) if part)
                for one in source.findings[:MOST]
            ],
        )
        for source in service.snapshot().drivers
    ]


def ledger(service: Service, ask: asks.LedgerAsk) -> LedgerView:
    """Return a page of a boot point's ledger, or of how it differs from another one's.

    Raises:
        NotFound: No such machine or boot point, or none with a record.
        WrongUse: Both boot points are the same one.
    """
    snapshot = service.snapshot()
    standby_of(snapshot, ask.machine)
    point, record = _record(service, snapshot, ask.machine, ask.point)
    if not ask.against:
        view = ledger_view(point, record.ledger)
        changes = [change_view(entry) for entry in record.ledger.entries]
        view.total = len(changes)
        view.entries, view.next = page(changes, ask.first)
        return view
    other, its = _record(service, snapshot, ask.machine, ask.against)
    if other.id == point.id:
        raise WrongUse(
            Problem(
                "ledger.same",
                f"Boot point {point.id} cannot be compared with itself.",
                "",
                "Name another boot point of the same machine.",
            )
        )
    pairs = sorted([(point, record), (other, its)], key=lambda pair: by_age(pair[0]))
    (earlier, old), (later, new) = pairs
    view = ledger_view(later, new.ledger)
    view.against, view.against_as_of = earlier.id, earlier.taken_at
    found = [_difference(one) for one in compare(old.ledger, new.ledger)]
    view.total = len(found)
    view.differences, view.next = page(found, ask.first)
    return view


def dry_run(service: Service, ask: asks.PointAsk) -> ConversionView:
    """Return what converting a boot point's trunk layer would change; nothing is written.

    Raises:
        NotFound: No such machine, or no such boot point with a sealed trunk layer.
        NotBootable, Failure: It cannot be converted, and why.
    """
    snapshot = service.snapshot()
    standby_of(snapshot, ask.machine)
    point = with_trunk(snapshot, ask.machine, ask.point)
    record = service.plan_conversion(ask.machine, point.id)
    view = ledger_view(point, record.ledger)
    changes = [change_view(entry) for entry in record.ledger.entries]
    view.total = len(changes)
    view.entries = one_page(changes)
    return ConversionView(guest=guest_view(point, record.guest, "now"), ledger=view)


# --- which boot point -----------------------------------------------------------------------


def _record(
    service: Service, snapshot: Snapshot, machine: str, wanted: str
) -> tuple[BootPoint, Record]:
    """Return the record of a boot point (empty: of the newest ready one that has one)."""
    ready = snapshot.state.ready(machine)
    chosen = [point for point in ready if wanted in ("", point.id)]
    for point in reversed(chosen):
        try:
            return point, service.record(machine, point.id)
        except NotFound:
            continue
    raise NotFound(_without_record(snapshot, machine, wanted, is_ready=bool(chosen)))


def _without_record(snapshot: Snapshot, machine: str, wanted: str, *, is_ready: bool) -> Problem:
    known = snapshot.state.boot_points.get(BootPointId(wanted)) if wanted else None
    remedy = "What a conversion would change can be seen by a dry run."
    if wanted and (known is None or known.standby != machine):
        return _unknown(snapshot, machine, wanted)
    if known is not None and known.obstacle:
        happened = f"Boot point {known.id} is NOT BOOTABLE and was not converted. {known.reason}"
        return Problem("conversion.none", safe(happened, WORDS))
    if known is not None and not is_ready:
        happened = f"Boot point {known.id} of {machine} is not converted yet: it is {known.stage}."
    elif known is not None:
        happened = f"Boot point {known.id} of {machine} was made without a conversion."
    else:
        happened = f"No ready boot point of {machine} has a record of its conversion."
    if snapshot.standbys[machine].conversion.value == "none":
        happened += f' The definition of {machine} says conversion = "none".'
    return Problem("conversion.none", happened, "", remedy)


def _unknown(snapshot: Snapshot, machine: str, wanted: str) -> Problem:
    """Return the problem of a boot point that this machine does not have."""
    listed = ", ".join(point.id for point in snapshot.state.ready(machine)[-6:])
    return Problem(
        "point.unknown",
        f"{machine} has no boot point {safe(wanted)}.",
        "",
        f"Ready are: {listed}." if listed else "None is ready yet.",
    )


# --- views ----------------------------------------------------------------------------------


def guest_view(point: BootPoint, facts: GuestFacts, source: str) -> GuestView:
    """Return the view of a guest."""
    return GuestView(
        id=point.id,
        machine=point.standby,
        data_as_of=point.taken_at,
        source=source,
        family=facts.family.value,
        name=safe(facts.name),
        version=safe(facts.version),
        firmware=facts.firmware.value,
        boot_loader=safe(facts.boot_loader),
        kernels=[safe(kernel) for kernel in facts.kernels[:MOST]],
        drivers=[safe(driver, 40) for driver in facts.drivers[:MOST]],
        others=[safe(other) for other in facts.others[:MOST]],
        networks=[safe(network) for network in facts.networks[:MOST]],
        boot_disk=facts.boot_disk,
        volumes=[
            VolumeView(
                id=safe(volume.id),
                disk=volume.disk,
                number=volume.number,
                start=volume.start,
                size=volume.size,
                kind=safe(volume.kind),
                label=safe(volume.label),
                mounted=[safe(path, 200) for path in volume.mounted[:8]],
            )
            for volume in facts.volumes[:MOST]
        ],
    )


def ledger_view(point: BootPoint, told: Ledger) -> LedgerView:
    """Return the view of a ledger without its changes."""
    return LedgerView(
        id=point.id,
        machine=point.standby,
        data_as_of=point.taken_at,
        backend=safe(told.backend),
        seconds=told.seconds,
        bytes_written=told.bytes_written,
        check=safe(told.check, WORDS),
        warnings=[safe(warning, WORDS) for warning in told.warnings[:MOST]],
    )


def change_view(entry: LedgerEntry) -> ChangeView:
    """Return the view of one change."""
    return ChangeView(
        volume=safe(entry.volume),
        path=safe(entry.path, PATH),
        action=entry.action.value,
        reason=safe(entry.reason, WORDS),
        before=_lines(entry.before),
        after=_lines(entry.after),
        before_digest=entry.before_digest,
        after_digest=entry.after_digest,
        after_size=entry.after_size,
        registry=[_registry_view(edit) for edit in entry.details],
    )


def _registry_view(edit: RegistryEdit) -> RegistryView:
    return RegistryView(
        hive=safe(edit.hive),
        key=safe(edit.key, PATH),
        value=safe(edit.value, WORDS),
        type=safe(edit.type),
        before=None if edit.before is None else safe(edit.before, WORDS),
        after=None if edit.after is None else safe(edit.after, WORDS),
        reason=safe(edit.reason, WORDS),
    )


def _lines(text: str) -> str:
    return "\n".join(safe(line, len(line)) for line in text.split("\n"))


def _difference(one: Difference) -> DifferenceView:
    return DifferenceView(
        volume=safe(one.volume),
        path=safe(one.path, PATH),
        earlier=None if one.earlier is None else change_view(one.earlier),
        later=None if one.later is None else change_view(one.later),
    )


def page(items: Sequence[T], first: int) -> tuple[list[T], int | None]:
    """Return the items from `first` on that fit into one answer, and where to go on (None: end)."""
    shown: list[T] = []
    room = PAGE
    for at in range(first, len(items)):
        one = items[at]
        room -= _cost(one)
        if room < 0 and shown:
            return shown, at
        shown.append(one if room >= 0 else _without_texts(one))
    return shown, None


def one_page(changes: Sequence[ChangeView]) -> list[ChangeView]:
    """Return all changes, those without room without their texts; none where even that is much."""
    shown: list[ChangeView] = []
    room = PAGE
    for one in changes:
        cost = _cost(one)
        if cost > room // 2:
            one = _without_texts(one)
            cost = _cost(one)
        if cost > room:
            break
        room -= cost
        shown.append(one)
    return shown


def _cost(one: T) -> int:
    return len(bytes(raw(one))) + 1


def _without_texts(one: T) -> T:
    """Return an item that alone is too long for an answer, without its texts."""
    parts = [one] if isinstance(one, ChangeView) else [one.earlier, one.later]
    for part in parts:
        if part is not None:
            part.before = part.after = ""
            part.cut = True
    return one
