"""Where standby VMs run and where their disks lie, with everything that was found wrong there."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.views import TargetView
from tui.format import moment, size
from tui.heard import heard
from tui.lists import Kind, Order, arrange, natural
from tui.look import Look
from tui.rows import BLANK, Column, Line, Span, paragraph, table, text
from tui.screens import frame
from tui.state import Fleet
from tui.tones import Tone
from tui.words import N_, _

COLUMNS = (
    Column("TARGET", 14),
    Column("KIND", 10),
    Column("STATE", 12),
    Column("CPU BY", 6),
    Column("STANDBYS", 8, right=True, least=70),
    Column("STORE", 8, least=70),
    Column("FREE", 8, right=True),
    Column("WHERE", 0, least=100),
)
GOOD = ("", "ok", "ready")


def _good(one: TargetView) -> int:
    return int(one.state in GOOD)


LIST: Kind[TargetView] = Kind(
    N_("target"),
    N_("targets"),
    text=lambda one: f"{one.id} {one.kind} {one.state} {one.store_path}",
    orders=(
        Order("name", "name", "name, from the end"),
        Order("free", "least free first", "most free first", lambda one: one.free),
        Order("standbys", "most standbys", "fewest standbys", lambda one: one.standbys, True),
        Order("state", "what does not answer first", "what answers first", _good),
    ),
    facets={"state": lambda one: one.state or "ok"},
)


def content(fleet: Fleet, look: Look) -> frame.Content:
    """Return what stands on the targets screen."""
    every = sorted(fleet.targets.values(), key=lambda one: natural(one.id))
    listed = arrange(LIST, every, look)
    targets = {one.id: one for one in listed.rows}
    grid = table(COLUMNS, look.usable)
    chosen = targets.get(look.chosen) or next(iter(targets.values()), None)
    return frame.Content(
        title=_("targets"),
        head=[text(_answer(fleet), Tone.STRONG), *listed.head()],
        columns=grid.head(),
        ids=list(targets),
        row=lambda name: (grid.row(*_row(fleet, targets[name])),),
        empty=listed.empty(
            look,
            _("No target is known: there is nowhere to run a VM."),
            _(
                "This host needs no definition. An ESXi host or vCenter: n here, or {command}",
                command="bootpoint target add NAME --url https://HOST/ --user USER --password "
                "file:PATH",
            ),
        ),
        orders=listed.order_ids,
        tail=_about(look, chosen) if chosen else (),
    )


def lines(fleet: Fleet, look: Look) -> list[Line]:
    """Return the targets screen, line by line."""
    return list(frame.draw(content(fleet, look), fleet, look).lines)


def one_content(fleet: Fleet, look: Look) -> frame.Content:
    """Return all that is known of one target: the list has no room for what was found in it."""
    title, one = _("targets") + f" > {look.arg}", fleet.targets.get(look.arg)
    if one is None:
        gone = _("There is no target {name} any more.", name=look.arg)
        return frame.Content(title=title, empty=[BLANK, text(f" {gone}")])
    on_it = sorted((m.id for m in fleet.machines.values() if m.target == one.id), key=natural)
    told = [BLANK, *_about(look, one)]
    told += [BLANK, *paragraph("Standbys", ", ".join(on_it) or _("none"), look.usable)]
    state = heard(one.state) or "ok"
    return frame.pages(
        told, title=title, head=[text(f" {one.id}  {one.kind}  {state}", Tone.STRONG)]
    )


def _answer(fleet: Fleet) -> str:
    good = sum(one.state in GOOD for one in fleet.targets.values())
    return " " + _("TARGETS THAT ANSWER: {good} of {all}", good=good, all=len(fleet.targets))


def _row(fleet: Fleet, one: TargetView) -> tuple[Span, Sequence[str | Span]]:
    good = one.state in GOOD
    mark: Span = (" ", Tone.PLAIN) if good and not one.findings else ("!", Tone.WARN)
    if not good:
        mark = ("X", Tone.BAD)
    if fleet.link.is_lost:
        mark = ("?", Tone.WARN)
    return mark, (
        one.id,
        one.kind,
        (heard(one.state) or "ok", Tone.PLAIN if good else Tone.BAD),
        one.accelerator or "-",
        str(one.standbys),
        one.store or "-",
        size(one.free),
        one.store_path,
    )


def _about(look: Look, one: TargetView) -> list[Line]:
    width = look.usable
    where = f"{one.store_path or _('not known')} ({one.store or '?'})"
    told = paragraph("Disks on", where, width)
    told += paragraph("Free", _room(one), width)
    if one.latency_s is not None:
        told += paragraph("Writes", _writes(one), width)
    if one.call_latency_s is not None:
        told += paragraph("Answers", _answers(one), width)
    if one.accelerator == "tcg":
        told += paragraph(
            "Slow",
            _("no usable KVM here: VMs run emulated, many times slower than hardware"),
            width,
        )
    if one.looked_at is not None:
        checked = _("{when}, each night again", when=moment(one.looked_at, look.zone))
        told += paragraph("Checked", checked, width)
    for finding in one.findings:
        told += paragraph("Found", heard(finding), width, tone=Tone.WARN)
    return told if one.findings else [*told, *paragraph("Found", _("nothing wrong"), width)]


def _room(one: TargetView) -> str:
    """Return what is free of how much, and what of it is spoken for."""
    free = size(one.free)
    told = [_("{free} of {total}", free=free, total=size(one.total)) if one.total else free]
    if one.reserve:
        told.append(_("{size} in reserve", size=size(one.reserve)))
    if one.fold:
        told.append(_("{size} for consolidation", size=size(one.fold)))
    return ", ".join(told)


def _answers(one: TargetView) -> str:
    """Return how long a small question to its hypervisor takes, and usually does."""
    took, usual = f"{(one.call_latency_s or 0) * 1000:.0f}", one.usual_call_latency_s
    if usual is None:
        return _("in {took} ms, a small question to its hypervisor", took=took)
    return _(
        "in {took} ms, a small question to its hypervisor; usually {usual} ms",
        took=took,
        usual=f"{usual * 1000:.0f}",
    )


def _writes(one: TargetView) -> str:
    """Return how long a small durable write takes, and usually does."""
    took, usual = f"{(one.latency_s or 0) * 1000:.0f}", one.usual_latency_s
    if usual is None:
        return _("in {took} ms, small and durable", took=took)
    return _(
        "in {took} ms, small and durable; usually {usual} ms",
        took=took,
        usual=f"{usual * 1000:.0f}",
    )
