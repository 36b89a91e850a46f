"""Commands about conversion: guests, ledgers, dry runs, converting again."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from engine.api.changes import (
    Words,
    difference_words,
    guest_words,
    ledger_summary,
    ledger_words,
    printed,
)
from engine.api.conversion_views import (
    ChangeView,
    ConversionView,
    DriverSourceView,
    GuestView,
    LedgerView,
    VolumeView,
)
from engine.api.views import MachineView
from engine.api.words import moment
from engine.cli.commands.acting import act, point_id
from engine.cli.context import Context
from engine.cli.output import note, plain
from engine.model.errors import NotFound, Problem, Refused, WrongUse
from engine.model.guest import Action, Ledger, LedgerEntry, VolumeId
from engine.model.selfcheck import LONGEST

if TYPE_CHECKING:
    from engine.api.client import Client

DRY_RUN_S = 600.0
"""A dry run may start a small virtual machine, under emulation too."""


# --- guest ----------------------------------------------------------------------------------


def guest(
    context: Context, *, machine: str, point: str, import_report: Path | None, self_check: bool
) -> int:
    """Print what was found in the disks of a boot point, after keeping a self-check's report."""
    report = None if import_report is None else _report(import_report)
    with context.client(timeout_s=DRY_RUN_S) as client:
        told = {"machine": machine, "point": point_id(point)}
        if report is None:
            view = client.call("guest", GuestView, **told)
        else:
            view = client.call("guest.report", GuestView, **told, report=report)
        now = client.hello.now
    if self_check:
        return _self_check(context, view)
    if context.output.as_json:
        context.output.object(guest=view)
        return 0
    found = "found when it was converted" if view.source == "record" else "found now; not converted"
    context.output.say(
        f"GUEST of {view.machine}, boot point {view.id}, data as of {moment(view.data_as_of, now)}"
    )
    context.output.say(f"({found})", "")
    _say(context, guest_words(view))
    return 0


def _self_check(context: Context, view: GuestView) -> int:
    """Print the script that fits a guest."""
    name = "windows.ps1" if view.family == "windows" else "linux.sh"
    script = resources.files("engine.guests.selfcheck").joinpath(name).read_text("utf-8")
    if context.output.as_json:
        context.output.object(name=name, script=script)
    else:
        context.output.say(*script.splitlines())
    return 0


def _report(file: Path) -> str:
    """Return a report as the door takes it. WrongUse when it is too long."""
    with file.open("rb") as opened:
        data = opened.read(LONGEST + 1)
    if len(data) > LONGEST:
        happened = f"{file} has more than {LONGEST >> 10} KiB; it is no report of a self-check."
        raise WrongUse(Problem("report.form", happened, "Nothing was changed."))
    return base64.b64encode(data).decode()


# --- drivers --------------------------------------------------------------------------------


def drivers(context: Context) -> int:
    """Print the registered drivers, each with the Windows that it can be used for."""
    with context.client() as client:
        found = client.call("drivers", list[DriverSourceView])
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    if not found:
        output.say("No drivers are registered, or they are not read yet.")
        output.say("Register ISO files or folders: drivers in the section [conversion].")
        return 0
    for number, source in enumerate(found):
        output.say(*([""] if number else []), f"DRIVERS in {source.path}")
        heads = ["DRIVER", "DEVICE", "VERSION", "USED FOR WINDOWS", "PACKAGE"]
        rows = [
            [
                one.name,
                one.device,
                one.version or "-",
                "not used" if one.refused else _systems(one.systems),
                one.folder,
            ]
            for one in source.drivers
        ]
        if rows:
            output.table(heads, rows)
        for finding in source.findings:
            output.say(f"! {finding}")
    return 0


def _systems(told: Sequence[str]) -> str:
    """Return Windows by processor: `2019, 2022 (amd64)`."""
    by_arch: dict[str, list[str]] = {}
    for one in told:
        name, _, arch = one.rpartition(" ")
        by_arch.setdefault(arch, []).append(name)
    return "; ".join(f"{', '.join(names)} ({arch})" for arch, names in by_arch.items()) or "-"


# --- ledger ---------------------------------------------------------------------------------


def ledger(context: Context, *, machine: str, point: str, against: str, export: Path | None) -> int:
    """Print, or write to a file, what a conversion changed or did otherwise than another."""
    with context.client(timeout_s=DRY_RUN_S) as client:
        view = whole_ledger(client, machine, point_id(point), point_id(against))
        now = client.hello.now
        volumes = [] if context.output.as_json or export else _volumes(client, view)
    if export is not None:
        return _export(context, view, export)
    if context.output.as_json:
        context.output.object(**_as_json(view))
        return 0
    data = f"data as of {moment(view.data_as_of, now)}"
    if view.against:
        older = f"{view.against} (data as of {moment(view.against_as_of, now)})"
        context.output.say(f"LEDGERS of {view.machine}: {older} against {view.id} ({data})", "")
        _say(context, difference_words(view))
    else:
        context.output.say(f"LEDGER of {view.machine}, boot point {view.id}, {data}")
        _say(context, ledger_summary(view))
        _say(context, ledger_words(view, volumes))
    return 0


def whole_ledger(client: Client, machine: str, point: str, against: str) -> LedgerView:
    """Return all pages of a ledger as one."""
    view = client.call("ledger", LedgerView, machine=machine, point=point, against=against)
    while view.next is not None:
        page = client.call(
            "ledger",
            LedgerView,
            machine=machine,
            point=view.id,
            against=view.against,
            first=view.next,
        )
        view.entries += page.entries
        view.differences += page.differences
        view.next = page.next
    return view


def _volumes(client: Client, view: LedgerView) -> Sequence[VolumeView]:
    return client.call("guest", GuestView, machine=view.machine, point=view.id).volumes


def _as_json(view: LedgerView) -> dict[str, object]:
    told: dict[str, object] = {
        "machine": view.machine,
        "point": view.id,
        "data_as_of": view.data_as_of,
    }
    if view.against:
        told |= {"against": view.against, "against_as_of": view.against_as_of}
        return told | {"items": view.differences}
    return told | {
        "backend": view.backend,
        "seconds": view.seconds,
        "bytes_written": view.bytes_written,
        "check": view.check,
        "warnings": view.warnings,
        "items": view.entries,
    }


def _export(context: Context, view: LedgerView, file: Path) -> int:
    from engine.guests.ledger import export_ledger

    if view.against:
        text = json.dumps(plain(_as_json(view)), ensure_ascii=False, indent=1) + "\n"
    else:
        text = export_ledger(_ledger(view))
    file.write_text(text, encoding="utf-8")
    cut = sum(one.cut for one in view.entries)
    if cut:
        note(f"{cut} changes are too long for the line to the engine: their texts are left out.")
    count = view.total
    if context.output.as_json:
        context.output.object(machine=view.machine, point=view.id, file=str(file), count=count)
    else:
        what = "differences" if view.against else "changes"
        context.output.say(f"The ledger of {view.id} is in {file} ({count} {what}).")
    return 0


def _ledger(view: LedgerView) -> Ledger:
    return Ledger(
        entries=tuple(_entry(one) for one in view.entries),
        backend=view.backend,
        seconds=view.seconds,
        bytes_written=view.bytes_written,
        warnings=tuple(view.warnings),
        check=view.check,
    )


def _entry(one: ChangeView) -> LedgerEntry:
    return LedgerEntry(
        volume=VolumeId(one.volume),
        path=one.path,
        action=Action(one.action),
        reason=one.reason,
        before=one.before,
        after=one.after,
        before_digest=one.before_digest,
        after_digest=one.after_digest,
        after_size=one.after_size,
    )


# --- convert --------------------------------------------------------------------------------


def convert(
    context: Context, *, machine: str, point: str, again: bool, wait: bool, dry_run: bool
) -> int:
    """Convert a boot point, or say what that would change."""
    named = point_id(point)
    if dry_run:
        return _dry_run(context, machine, named)
    if not again:
        with context.client() as client:
            _refuse_converted(client, machine, named)
    return act(context, "convert", machine=machine, point=named, wait=wait)


def _dry_run(context: Context, machine: str, point: str) -> int:
    if not context.output.as_json:
        note("Looking at the guest; this takes seconds ..")
    with context.client(timeout_s=DRY_RUN_S) as client:
        view = client.call("conversion.plan", ConversionView, machine=machine, point=point)
        now = client.hello.now
    if context.output.as_json:
        context.output.object(dry_run=True, guest=view.guest, ledger=view.ledger)
        return 0
    data = moment(view.guest.data_as_of, now)
    context.output.say(f"DRY RUN for {machine}, boot point {view.guest.id}, data as of {data}", "")
    _say(context, guest_words(view.guest))
    context.output.say("")
    _say(context, ledger_summary(view.ledger, is_dry=True))
    _say(context, ledger_words(view.ledger, view.guest.volumes))
    context.output.say("", "Nothing was changed: this was a dry run.")
    return 0


def _refuse_converted(client: Client, machine: str, point: str) -> None:
    """Refuse to replace a conversion that nobody has asked to replace."""
    points = client.call("machine", MachineView, machine=machine).points
    tried = [one for one in points if one.stage in ("ready", "failed")]
    chosen = [one for one in tried if point in ("", one.id)]
    if not chosen or chosen[-1].stage != "ready":
        return
    name = chosen[-1].id
    try:
        client.call("ledger", LedgerView, machine=machine, point=name)
    except NotFound:
        return
    raise Refused(
        Problem(
            "conversion.done",
            f"Boot point {name} of {machine} is converted already.",
            "Nothing was changed.",
            f"See it: bootpoint ledger {machine} --point {name}. To convert it once more, "
            "from its disks as imaged, add --again.",
        )
    )


def _say(context: Context, lines: Sequence[Words]) -> None:
    for line in printed(lines):
        context.output.say(line)
