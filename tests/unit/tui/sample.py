"""A picture with everything in it, for the pure screens; names may be as hostile as you like."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from engine.api.changes import Kind, Words
from engine.api.contact_views import AddedView, ContactView, FoundView, RemovalView
from engine.api.definition import changed
from engine.api.definition_views import CheckView, FactView, WrongView
from engine.api.guest_views import PictureView, QuestionView
from engine.api.keeping_views import RetentionView, VerdictView
from engine.api.review_views import (
    ChoiceView,
    MissingView,
    ReviewView,
    UsualView,
)
from engine.api.views import (
    AlertView,
    DiskView,
    FindingView,
    FleetView,
    Hello,
    JobView,
    JournalView,
    MachineView,
    Next,
    Plan,
    PointView,
    RunView,
    SetPointView,
    SetView,
    Step,
    TargetView,
)
from engine.api.views import (
    Picture as FleetPicture,
)
from engine.local.drafts import Draft
from tui.conditions import REPORTS
from tui.feed import Down
from tui.look import Form, Kept, Look, Menu, NewTarget, Parts, Picture, Report, Serial, Subject
from tui.screens.target import FIELDS
from tui.state import Fleet, Read, Told, Up, apply
from tui.tones import STATES

NOW = datetime(2026, 11, 22, 4, 42, 7, tzinfo=UTC)
SIZES = ((60, 16), (80, 24), (100, 34), (120, 40), (200, 60))
HOSTILE = (
    "erp-db01",
    "日本語のサーバー名がとても長い場合でも列は揃う",
    "web01[/nope][@click=app.quit]",
    "e" + "\u0301" * 1000,
    "x" * 5000,
    "\x1b[2J\x1b]52;c;aGk=\x07\r\n\t\x00",
    "\u202egnp.exe\u2066",
    "ｅｒｐ－ｄｂ０１",
    "\ud800lone",
    " \u3000 ",
    "",
)


def hello(role: str = "admin", epoch: str = "k3f9") -> Hello:
    """Return what an engine says first."""
    return Hello(
        proto=1,
        engine="0.1.0",
        epoch=epoch,
        role=role,
        user="ops1",
        site="osaka-dr",
        now=NOW,
        up_s=3600.0,
    )


def machine(name: str, state: str = "READY", **more: object) -> FleetView:
    """Return one machine of the fleet."""
    told: dict[str, object] = {
        "can_start": state != "NONE",
        "image_as_of": NOW - timedelta(minutes=2),
        "data_as_of": NOW - timedelta(minutes=47),
        "rpo_s": 3600,
        "next": Next(kind="none"),
        "points": 14,
        "target": "kvm-01",
        "strip": "......oX..>.",
    }
    return FleetView(id=name, state=state, **(told | more))  # type: ignore[arg-type]


def point(number: int, stage: str = "ready", **more: object) -> PointView:
    """Return one boot point."""
    told: dict[str, object] = {
        "sequence": number,
        "data_as_of": NOW - timedelta(hours=40 - number),
        "recovery_point": f"rp{number}",
        "bytes": 3 << 30,
        "used": 1 << 30,
        "ready_at": NOW,
        "kept": "one of the newest 24",
        "images": [f"erp/erp-{number:06d}-d00.bpi"],
    }
    return PointView(id=f"bp{number:06d}", stage=stage, **(told | more))  # type: ignore[arg-type]


def job(number: int, name: str, status: str = "running", **more: object) -> JobView:
    """Return one job."""
    told: dict[str, object] = {
        "kind": "sync",
        "point": "bp000040",
        "step": "apply",
        "done": 3_328_599_654,
        "total": 5_368_709_120,
        "rate": 43e6,
        "eta_s": 100.0,
        "queued_at": NOW,
        "started_at": NOW,
        "target": "kvm-01",
    }
    return JobView(id=str(number), machine=name, status=status, **(told | more))  # type: ignore[arg-type]


def entry(number: int, name: str, text: str, severity: str = "info") -> JournalView:
    """Return one journal entry."""
    return JournalView(
        id=str(number),
        at=NOW - timedelta(hours=40) + timedelta(minutes=number),
        severity=severity,
        machine=name,
        key="point.ready",
        text=text,
        unchanged="Nothing on the host.",
        remedy="Free 21 GiB on ds-02.",
    )


def detail(one: FleetView, points: int = 30) -> MachineView:
    """Return everything about a machine."""
    return MachineView(
        id=one.id,
        fleet=one,
        images=f"/mnt/replica/{one.id}",
        source=one.id,
        set_id="7F3A",
        trigger="immediate",
        keep=24,
        target="kvm-01",
        store="reflink",
        memory=1 << 30,
        cpus=2,
        firmware="bios",
        disks=[DiskView(number=0, size=40 << 30, uuid=one.id)],
        points=[
            point(
                n,
                "failed" if n in (3, 4) else "ready",
                reason=one.id * (n in (3, 4)),
                obstacle="guest.luks" * (n == 4),
            )
            for n in range(points)
        ],
        run=RunView(
            point="bp000002", since=NOW - timedelta(minutes=3), power="on", serial=[one.id] * 40
        ),
        waiting=[f"{one.id} waits"],
        usual=[UsualView(name="power on", seconds=4.0, starts=2)],
        whose="target",
    )


def image_set(name: str, standby: str = "") -> SetView:
    """Return an image set of six points; 4 is missing, 6 is damaged."""
    return SetView(
        id=f"set-{name}",
        machine=name,
        machine_uuid=f"uuid-{name}",
        root=f"/mnt/replica/{name}",
        standby=standby,
        points=[
            SetPointView(
                sequence=n,
                id=f"rp{n}",
                parent="" if n == 1 else f"rp{n - 1}",
                arrival="damaged" if n == 6 else "complete",
                taken_at=NOW - timedelta(days=9 - n),
                size=1 << 30,
                base=n == 1,
                reason=name * (n == 6),
            )
            for n in (1, 2, 3, 5, 6)
        ],
        size=5 << 30,
        newest=NOW,
        missing=[f"{name}-i004.bpi is missing."],
    )


def fleet(names: tuple[str, ...] = HOSTILE, *, role: str = "admin", lost: bool = False) -> Fleet:
    """Return a fleet with one machine per name, in every state, and all else there can be."""
    states = list(STATES)
    machines = [
        machine(
            name or "empty",
            states[at % len(states)],
            alarm=f"{name} could not be made.",
            remedy=name,
            next=Next(kind="waiting", text=name),
            running="bp000002" if states[at % len(states)] == "TEST" else "",
        )
        for at, name in enumerate(names)
    ]
    kinds = ("running", "queued", "failed", "done", "cancelled")
    picture = FleetPicture(
        epoch="k3f9",
        seq=7,
        full=True,
        fleet=machines,
        jobs=[
            job(n, name, kinds[n % len(kinds)], reason=name, step=name)
            for n, name in enumerate(names)
        ],
        sets=[image_set(name, name if n % 2 else "") for n, name in enumerate(names)],
        findings=[
            FindingView(
                id=f"f{n}", gravity="error", subject=name, text=name, remedy=name, since=NOW
            )
            for n, name in enumerate(names)
        ],
        alerts=[
            AlertView(
                id=f"rpo:{number}",
                severity=("error", "warning", "other")[number % 3],
                machine=name,
                title=name,
                text=f"{name} is late.",
                raised_at=NOW - timedelta(hours=number),
                cleared_at=NOW if number == 1 else None,
                acked_by=name if number == 2 else "",
                told=["mail: raised"],
            )
            for number, name in enumerate(names)
        ],
        targets=[
            TargetView(
                id=name or "t",
                kind="libvirt",
                state=name[:20],
                accelerator="tcg",
                store="reflink",
                store_path=name,
                free=1 << 40,
                standbys=4,
                findings=[name],
            )
            for name in names
        ],
        machines=[detail(one) for one in machines],
        journal=len(names),
    )
    told = apply(Fleet(), Up(hello(role), NOW))
    told = apply(told, Told(picture))
    lines = [entry(n + 1, name, name, "error") for n, name in enumerate(names)]
    told = apply(told, Read(lines))
    if lost:
        why = names[-2] if len(names) > 1 else "gone"
        told = apply(told, Down(why, NOW, 4, NOW + timedelta(seconds=4)))
    return told


def plan(name: str) -> Plan:
    """Return a plan of a start."""
    return Plan(
        plan="p1",
        action="start",
        machine=name,
        point="bp000029",
        steps=[Step(text=f"make a layer for {name}", expected_s=12.0), Step(text=name)],
        checks=[name, "All well."],
        lost_s=2827.0,
        expected_s=190.0,
        confirm=name,
        expires=NOW,
    )


def review(name: str) -> Plan:
    """Return a plan of a start with everything there can be in its review."""
    view = ReviewView(
        proposed="bp000028",
        why=f"It is the newest from before {name}.",
        choices=[
            ChoiceView(
                point=f"bp{number:06d}",
                data_as_of=NOW - timedelta(hours=40 - number),
                lost_s=(40 - number) * 3600.0,
                newer=40 - number,
                proven_at=NOW if number == 27 else None,
                suspect=number == 29,
                guard=name if number in (20, 29) else "",
                pin=name if number == 27 else "",
            )
            for number in range(29, 9, -1)
        ],
        hidden=3,
        missing=[
            MissingView(
                sequence=number,
                data_as_of=NOW - timedelta(minutes=number),
                arrived_at=NOW,
                size=3 << 30,
                fate=fate,
                reason=name,
            )
            for number, fate in enumerate(("arriving", "damaged", "made", "failed", "other"))
        ],
        more_missing=2,
        newest=NOW,
        guard=name,
        judged=40,
        odd_since=NOW - timedelta(hours=11),
        usual=[
            UsualView(name=phase, seconds=9.0 * at, starts=3)
            for at, phase in enumerate(("turn", "scratch", "define", "power on", "prompt"))
        ],
        whose="machine",
        starts=3,
        power_s=54.0,
        guest_s=90.0,
    )
    return replace(plan(name), review=view)


def report(name: str) -> Report:
    """Return a page with every kind of line, about one name."""
    lines = tuple(Words(f"   {name}", kind) for kind in Kind)
    return Report(head=lines[:2], lines=lines * 9, asked=True)


def kept(name: str) -> Kept:
    """Return what stays of a machine; one boot point goes."""
    points = [
        VerdictView(
            id=f"bp{n:06d}",
            data_as_of=NOW - timedelta(hours=n),
            stage="ready",
            keep=n != 3,
            now=True,
            reason=name,
        )
        for n in range(6)
    ]
    settings = dict.fromkeys(("keep", "max_age_days", "floor"), 3)
    return Kept(RetentionView(id=name, settings=settings, own=[], points=points, stay=5, go=1))


def form(name: str, step: str = "review") -> Form:
    """Return a definition at a step, with everything that can be said about it."""
    text = changed("", {"images": f"/mnt/{name}", "machine": name, "trigger": "daily@22:00"})
    wrong = WrongView(key="trigger", text=f"trigger: found {name}.", remedy=name)
    facts = [FactView(label=word, text=name, warns=word == "Space") for word in ("Images", "Space")]
    review = CheckView(id=name, new=True, facts=facts, changes=[name], losing=[name], role="admin")
    review.wrong = [wrong] if name.endswith("]") else []
    return Form(Draft(name, text, step=step, why=name), review)


def picture(name: str) -> Picture:
    """Return a screen of 4 by 2 cells, or why there is none."""
    if not name:
        return Picture(failed=Parts("The VM is off.", "", "Start it."))
    pixels = base64.b64encode(bytes(range(0, 240, 5))).decode()
    view = PictureView(digest="d", width=720, height=400, columns=4, rows=2, pixels=pixels)
    return Picture(view, NOW)


def contact(name: str) -> ContactView:
    """Return whose certificate was shown; it has expired."""
    pin = ":".join(["AB"] * 32)
    then = NOW - timedelta(days=400)
    return ContactView(
        id=name, host=name, port=443, sha256=pin, subject=name, issuer=name, begins=then, ends=then
    )


def added(name: str) -> AddedView:
    """Return what was found in a target that was added."""
    found = [
        FoundView(id="esxi.x", gravity=one, text=name, remedy=name)
        for one in ("note", "warning", "error")
    ]
    return AddedView(id=name, found=found, file=name, share=name)


def leaving(name: str) -> RemovalView:
    """Return what removing a target means."""
    return RemovalView(id=name, file=name, aside=name, store=name, stays=[name, name])


def subjects(name: str) -> dict[str, Subject]:
    """Return what each place is about, for one name."""
    return {
        "review": review(name),
        "plan": plan(name),
        "form": form(name),
        "picture": picture(name),
        "run": Serial((name,) * 80, 9, tail=name),
        "menu": Menu((("start", "f", name, name), ("stop", "x", "stop", "stops"))),
        "refused": Parts(name, name, name),
        "answer": QuestionView(id="7", text=name, choices=[name, "I moved it"]),
        "target": NewTarget({**dict.fromkeys(FIELDS, name)}, "name", name),
        "trust": NewTarget({"name": name, "authority": name}, contact=contact(name)),
        "added": NewTarget({"name": name}, added=added(name)),
        "removal": leaving(name),
        "removed": leaving(name),
        "certificate": contact(name),
        "retention": kept(name),
        "guest": report(name),
        "ledger": report(name),
        "dry run": Report(failed=Parts(name, name, name), asked=True),
    }


def look(
    place: str, name: str = "erp-db01", size: tuple[int, int] = (80, 24), **more: object
) -> Look:
    """Return a look at a place that is about `name`."""
    point = f"{name}/bp000029"
    arg = {"set": f"set-{name}", "point": point, "help": "fleet"}.get(place, name)
    arg = point if place in REPORTS else arg
    told: dict[str, object] = {"subject": subjects(name).get(place), "zone": UTC, "socket": name}
    return Look(size[0], size[1], NOW, place, arg, **(told | more))  # type: ignore[arg-type]
