"""What consoles do with reports of self-checks: import one for a boot point, show it judged.

bytes of the report ─► read ─► judged by the boot point's record ─► kept ─► ReportView
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from engine.api.asks import PointAsk
from engine.api.conversion_views import ReportView
from engine.daemon.reports import Report
from engine.daemon.service import Service, Snapshot
from engine.model.cards import vm_cards
from engine.model.conversion import ConversionMode, GuestFacts
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.images import hints_from_json
from engine.model.points import BootPoint
from engine.model.selfcheck import LONGEST, Verdict, judge, read_report
from engine.model.text import safe


class ReportAsk(PointAsk, kw_only=True):
    """Params of `guest.report`: the file in base 64; without a point the one that runs, or ran."""

    report: Annotated[str, Meta(max_length=LONGEST * 2)]


def chosen(snapshot: Snapshot, machine: str, wanted: str) -> str:
    """Return the boot point a report is about: the wanted one, else the one that runs."""
    run = snapshot.state.runs.get(machine)
    return wanted or (run.boot_point if run is not None else "")


def take(
    service: Service, point: BootPoint, guest: GuestFacts, ask: ReportAsk, actor: str
) -> ReportView:
    """Keep a report, judged.

    Raises:
        FormatError, WrongUse: It is no report, or one of another system; nothing is kept.
    """
    try:
        data = base64.b64decode(ask.report, validate=True)
    except (binascii.Error, ValueError):
        problem = Problem("report.form", "The report is not in base 64.", "Nothing was changed.")
        raise WrongUse(problem) from None
    verdict = _judged(service.snapshot(), point, guest, data)
    said = _said(len(verdict.doubts))
    kept = service.reports.keep(point.standby, point.id, data, actor, said)
    return _view(kept, verdict)


def shown(service: Service, point: BootPoint, guest: GuestFacts) -> ReportView | None:
    """Return the report kept for a boot point; None without one."""
    kept = service.reports.of(point.standby, point.id)
    if kept is None:
        return None
    try:
        return _view(kept, _judged(service.snapshot(), point, guest, kept.data))
    except Failure as failure:
        return _view(kept, Verdict((), (failure.problem.happened,)))


def _judged(snapshot: Snapshot, point: BootPoint, guest: GuestFacts, data: bytes) -> Verdict:
    return judge(read_report(data), guest, _macs(snapshot, point))


def _macs(snapshot: Snapshot, point: BootPoint) -> Sequence[str]:
    """Return the addresses of the VM's cards; none where they are not known."""
    standby = snapshot.standbys.get(point.standby)
    layer = snapshot.layers.get(point.standby, {}).get(point.boot)
    if standby is None or layer is None or layer.manifest is None:
        return ()
    try:
        hints = hints_from_json(layer.manifest.facts)
    except (ValueError, TypeError, KeyError):
        return ()
    is_converted = standby.conversion is ConversionMode.AUTO
    nics = vm_cards(standby.name, hints) if is_converted else hints.nics
    return [nic.mac for nic in nics]


def _view(report: Report, verdict: Verdict) -> ReportView:
    return ReportView(
        at=report.at,
        actor=safe(report.actor, 80),
        as_expected=not verdict.doubts,
        facts=[safe(fact, 400) for fact in verdict.facts],
        doubts=[safe(doubt, 400) for doubt in verdict.doubts],
    )


def _said(doubts: int) -> str:
    if not doubts:
        return "as expected."
    return "1 doubt." if doubts == 1 else f"{doubts} doubts."
