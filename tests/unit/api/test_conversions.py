"""What consoles are told of conversions: which boot point, pages, dry runs, what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from engine.api.asks import LedgerAsk, PointAsk
from engine.api.calls import CALLS, Calls
from engine.api.conversion_views import LedgerView
from engine.api.conversions import PAGE, dry_run, guest, ledger
from engine.api.plans import Actor
from engine.api.problems import Denied
from engine.api.roles import Role
from engine.api.views import Done, Plan, StandbyView
from engine.api.wire import MAX_FRAME, raw
from engine.model.conversion import ConversionMode
from engine.model.errors import NotBootable, NotFound, Problem, Refused, WrongUse
from engine.model.guest import Family
from engine.model.points import BootPointId, Stage
from tests.records import ROOT, entry, facts, record
from tests.records import dry_run as dry_record
from tests.scripted import NOW, ScriptedService, boot_point, recovery_point, site

NEWEST, OLDER = BootPointId("bp000004"), BootPointId("bp000003")
OPS = Actor("ops1", Role.OPERATOR)
SEES = Actor("eyes", Role.VIEWER)


@pytest.fixture
def service() -> ScriptedService:
    """Return an engine whose two newest boot points of erp have records."""
    made = ScriptedService(site(2, 4))
    made.records = {
        NEWEST: record(),
        OLDER: record(entry("/etc/fstab", "a\n", "b\n"), entry("/etc/old", "", "x\n")),
    }
    made.dry_runs = {NEWEST: dry_record()}
    return made


def hopeless(service: ScriptedService) -> BootPointId:
    """Put a newest boot point that is NOT BOOTABLE into the picture."""
    image = recovery_point("erp", 5, NOW)
    point = boot_point(
        50,
        image,
        standby="erp",
        stage=Stage.FAILED,
        obstacle="guest.luks",
        has_trunk=True,
        reason="The root is encrypted. Give the passphrase to somebody.",
    )
    service.put(image, point)
    return point.id


Caller = Callable[..., object]


@pytest.fixture
def call(service: ScriptedService) -> Caller:
    """Return what answers a call as the door would."""
    calls = Calls(service, lambda: 0.0)

    def answer(method: str, actor: Actor = OPS, **params: object) -> object:
        return calls.answer(method, msgspec.json.encode(params), actor)

    return answer


# --- guests ---------------------------------------------------------------------------------


def test_a_guest_is_the_newest_record(service: ScriptedService) -> None:
    """Without a point the newest ready one with a record is told, with the time of its data."""
    view = guest(service, PointAsk(machine="erp"))
    assert (view.id, view.source, view.family) == (NEWEST, "record", "debian")
    assert view.data_as_of == service.snapshot().state.boot_points[NEWEST].taken_at
    assert view.volumes[0].mounted == ["/"]
    del service.records[NEWEST]
    assert guest(service, PointAsk(machine="erp")).id == OLDER


def test_a_guest_without_a_record_is_looked_at_now(service: ScriptedService) -> None:
    """A boot point that was made without a conversion is inspected when somebody asks."""
    service.records.clear()
    service.dry_runs[NEWEST] = replace(dry_record(), guest=facts(family=Family.SUSE))
    view = guest(service, PointAsk(machine="erp", point=NEWEST))
    assert (view.source, view.family) == ("now", "suse")


def test_hostile_facts_cannot_steer(service: ScriptedService) -> None:
    """Records lie in files; their texts are made safe again on the way out."""
    evil = "x\x1b[2J\u202e"
    bad = entry("/etc/" + evil, evil + "\n", evil + "\n", reason=evil)
    service.records[NEWEST] = replace(record(bad, warnings=(evil,)), guest=facts(name=evil))
    told = bytes(raw(guest(service, PointAsk(machine="erp")))) + bytes(
        raw(ledger(service, LedgerAsk(machine="erp")))
    )
    assert b"\\u001b" not in told
    assert "\u202e".encode() not in told


# --- ledgers --------------------------------------------------------------------------------


def test_a_ledger_has_every_change_with_before_and_after(service: ScriptedService) -> None:
    """Entries, backend, seconds, bytes, check and warnings come through."""
    view = ledger(service, LedgerAsk(machine="erp"))
    assert (view.id, view.total, view.next, view.against) == (NEWEST, 3, None, "")
    fstab = view.entries[2]
    assert "/dev/sda1 / " in fstab.before
    assert f"UUID={ROOT} / " in fstab.after
    assert (view.backend, view.check, view.bytes_written) == ("userland", "full", 1_490_944)
    assert view.warnings == ["The guest has no serial console."]


@pytest.mark.parametrize(("point", "against"), [(NEWEST, OLDER), (OLDER, NEWEST)])
def test_differences_go_from_older_to_newer_data(
    service: ScriptedService, point: str, against: str
) -> None:
    """However they are named, the newer boot point is the later one."""
    view = ledger(service, LedgerAsk(machine="erp", point=point, against=against))
    assert (view.against, view.id, view.entries) == (OLDER, NEWEST, [])
    found = {one.path: (one.earlier is not None, one.later is not None) for one in view.differences}
    assert found["/etc/fstab"] == (True, True)
    assert found["/etc/old"] == (True, False)
    assert view.total == len(found) == 4


def test_a_boot_point_is_not_compared_with_itself(service: ScriptedService) -> None:
    """That is wrong use, not an empty answer that looks like equality."""
    with pytest.raises(WrongUse, match="with itself"):
        ledger(service, LedgerAsk(machine="erp", point=NEWEST, against=NEWEST))


def test_long_ledgers_come_in_pages_that_fit_a_frame(service: ScriptedService) -> None:
    """Every page fits, and together they hold everything once, in order."""
    long = [entry(f"/etc/{n:03}", 'a"\n' * 9000, "b\\\n" * 9000) for n in range(40)]
    service.records[NEWEST] = record(*long)
    pages, first = [], 0
    while True:
        view = ledger(service, LedgerAsk(machine="erp", first=first))
        assert len(bytes(raw(view))) < MAX_FRAME
        pages.append(view)
        if view.next is None:
            break
        first = view.next
    assert len(pages) > 2
    assert [one.path for view in pages for one in view.entries] == [e.path for e in long]
    assert not any(one.cut for view in pages for one in view.entries)


def test_a_change_longer_than_a_page_loses_its_texts_only(service: ScriptedService) -> None:
    """One monstrous change is still told, by digest and size."""
    service.records[NEWEST] = record(entry("/big", "\\" * PAGE, "x"), entry("/small", "", "y\n"))
    view = ledger(service, LedgerAsk(machine="erp"))
    assert (view.entries[0].cut, view.entries[0].before) == (True, "")
    second = ledger(service, LedgerAsk(machine="erp", first=view.next or 1))
    assert second.entries[-1].after == "y\n"


def test_a_point_without_a_record_says_why(service: ScriptedService) -> None:
    """Unknown, not bootable, made without conversion: three different sentences."""
    bad = hopeless(service)
    told = {}
    for point in ("bp999999", bad, "bp000001"):
        with pytest.raises(NotFound) as raised:
            ledger(service, LedgerAsk(machine="erp", point=point))
        told[point] = raised.value.problem
    assert told["bp999999"].key == "point.unknown"
    assert "NOT BOOTABLE" in told[bad].happened
    assert "passphrase" in told[bad].happened
    assert "without a conversion" in told["bp000001"].happened
    service.records.clear()
    with pytest.raises(NotFound, match="No ready boot point"):
        ledger(service, LedgerAsk(machine="erp"))


# --- dry runs and converting again ----------------------------------------------------------


def test_a_dry_run_tells_guest_and_changes_and_changes_nothing(
    service: ScriptedService, call: Caller
) -> None:
    """A viewer may ask for it; the engine is asked to change nothing."""
    view = call("conversion.plan", SEES, machine="erp")
    assert service.calls == []
    told = msgspec.to_builtins(view)
    assert told["ledger"]["check"] == "skipped(dry run)"
    assert told["guest"]["source"] == "now"
    assert len(told["ledger"]["entries"]) == 3


def test_a_dry_run_fits_a_frame_however_long(service: ScriptedService) -> None:
    """Texts without room are cut, and changes without room are counted by `total`."""
    long = [entry(f"/etc/{n:05}", "a\n" * 30000, "b\n" * 30000) for n in range(60)]
    service.dry_runs[NEWEST] = dry_record(*long)
    view = dry_run(service, PointAsk(machine="erp"))
    assert len(bytes(raw(view))) < MAX_FRAME
    assert view.ledger.total == len(view.ledger.entries) == 60
    assert {one.cut for one in view.ledger.entries} == {True, False}
    many = [entry(f"/{n}" + "x" * 4000, "a\n", "b\n") for n in range(400)]
    service.dry_runs[NEWEST] = dry_record(*many)
    view = dry_run(service, PointAsk(machine="erp"))
    assert len(bytes(raw(view))) < MAX_FRAME
    assert view.ledger.total == 400 > len(view.ledger.entries)


def test_a_dry_run_of_what_cannot_boot_says_why(service: ScriptedService) -> None:
    """The obstacle goes through as it is."""
    problem = Problem("guest.luks", "The root is encrypted.", "", "Decrypt it.")
    service.fails["plan_conversion"] = NotBootable(problem)
    with pytest.raises(NotBootable):
        dry_run(service, PointAsk(machine="erp"))
    with pytest.raises(NotFound, match="no boot point bp000099"):
        dry_run(service, PointAsk(machine="erp", point="bp000099"))


def test_convert_says_what_is_kept_and_what_is_replaced(
    service: ScriptedService, call: Caller
) -> None:
    """Trunk layer and other boot points stay; conversion and ledger are replaced."""
    plan = call("plan", action="convert", machine="erp", point=OLDER)
    assert isinstance(plan, Plan)
    told = " ".join([*(step.text for step in plan.steps), *plan.checks])
    assert plan.point == OLDER
    assert "replace the conversion it has, and its ledger" in told
    assert "trunk layer of bp000003 stays" in told
    assert "3 other ready boot points stay" in told
    done = call("run", plan=plan.plan)
    assert isinstance(done, Done)
    assert done.job == "1"
    assert service.calls == [("convert", "erp", OLDER, "ops1")]


def test_a_failed_one_is_due_at_once(service: ScriptedService, call: Caller) -> None:
    """The newest one with a trunk layer is meant, and there is no job to follow yet."""
    bad = hopeless(service)
    plan = call("plan", action="convert", machine="erp")
    assert isinstance(plan, Plan)
    assert plan.point == bad
    assert f"If it does not work, {bad} stays as it is now, with the reason." in plan.checks
    done = call("run", plan=plan.plan)
    assert isinstance(done, Done)
    assert (done.job, service.calls[0][2]) == ("", bad)


def test_convert_needs_an_operator(service: ScriptedService, call: Caller) -> None:
    """A viewer may look, not convert."""
    with pytest.raises(Denied):
        call("plan", SEES, action="convert", machine="erp")
    assert CALLS["conversion.plan"].role is Role.VIEWER


def test_convert_is_refused_in_use_and_when_switched_off(
    service: ScriptedService, call: Caller
) -> None:
    """A VM that runs from it, or a definition that says none, stands in the way."""
    service.run("erp", NEWEST)
    with pytest.raises(Refused, match="A VM runs from"):
        call("plan", action="convert", machine="erp", point=NEWEST)
    call("plan", action="convert", machine="erp", point=OLDER)
    standby = service.snapshot().standbys["erp"]
    service.put_standby(replace(standby, conversion=ConversionMode.NONE))
    with pytest.raises(Refused, match='conversion = "none"'):
        call("plan", action="convert", machine="erp", point=OLDER)


def test_a_definition_says_whether_it_converts(service: ScriptedService, call: Caller) -> None:
    """`standby.add` takes it, `standby.list` tells it, another word is wrong use."""
    call("standby.add", name="new", images="/r/new", conversion="none")
    found = call("standby.list")
    assert isinstance(found, list)
    told: dict[str, StandbyView] = {one.id: one for one in found}
    assert (told["new"].conversion, told["erp"].conversion) == ("none", "auto")
    with pytest.raises(WrongUse, match="expected auto or none"):
        call("standby.add", name="two", images="/r/new", conversion="maybe")


def test_a_ledger_view_survives_the_wire(service: ScriptedService) -> None:
    """What is sent is what is read."""
    view = ledger(service, LedgerAsk(machine="erp", point=NEWEST, against=OLDER))
    assert msgspec.json.decode(bytes(raw(view)), type=LedgerView) == view
