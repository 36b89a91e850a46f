"""What each call of the door that changes something does, leaves alone and refuses.

Each test runs on the scripted engine and on a real one: what consoles are tested with behaves like
what they meet.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api.problems import Denied
from engine.api.roles import Role
from engine.model.errors import Failure, FormatError, NotFound, Refused, WrongUse
from tests.contract.houses import POINTS, House, lived_in, scripted


@pytest.fixture(params=["scripted", "running"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Return an engine of each kind, with the machine erp and its boot points."""
    if request.param == "scripted":
        yield scripted(tmp_path)
    else:
        with lived_in(tmp_path) as one:
            yield one


@pytest.fixture(scope="module", params=["scripted", "running"])
def same(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Return an engine of each kind that all tests share which change nothing."""
    folder = tmp_path_factory.mktemp("same")
    if request.param == "scripted":
        yield scripted(folder)
    else:
        with lived_in(folder) as one:
            yield one


# --- standbys ---------------------------------------------------------------------------------


def test_a_standby_added_is_listed_as_it_was_asked_for(house: House) -> None:
    """`standby.add` says the file; `standby.list` tells the values; once a name is enough."""
    wish = {"name": "new", "images": house.images, "machine": "web", "trigger": "every:4"}
    done = house.ask("standby.add", **wish, keep=7, rpo_s=3600, conversion="none", key="k")
    assert "standbys.d/new.toml" in done.text
    assert house.ask("standby.add", **wish, key="k") == done
    with pytest.raises(Refused, match="already") as told:
        house.ask("standby.add", **wish, key="l")
    assert told.value.problem.remedy
    view = next(one for one in house.ask("standby.list") if one.id == "new")
    assert (view.images, view.machine, view.trigger) == (house.images, "web", "every:4")
    assert (view.keep, view.rpo_s, view.conversion) == (7, 3600, "none")
    assert house.names() == ["erp", "new"]
    assert house.kept() in ([], ["erp.toml", "new.toml"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"trigger": "weekly"}, "daily@HH:MM"),
        ({"firmware": "coreboot"}, "bios or uefi"),
        ({"conversion": "maybe"}, "auto or none"),
        ({"backlog": "oldest"}, "every or newest"),
        ({"keep": 0}, "keep"),
        ({"cpus": 10**6}, "cpus"),
        ({"memory": 5}, "memory"),
        ({"name": ""}, "name"),
        ({"images": ""}, "images"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_a_wrong_value_adds_nothing(same: House, wrong: dict[str, object], words: str) -> None:
    """The value or what is expected is named, and nothing is written."""
    before = same.kept()
    with pytest.raises(WrongUse, match=words):
        same.ask("standby.add", **{"name": "new", "images": same.images, **wrong})
    assert (same.names(), same.kept()) == (["erp"], before)


def test_a_text_is_read_back_as_it_was_written(house: House) -> None:
    """`standby.put` keeps comments; `standby.text` gives text, digest and file; then it changes."""
    text = f'# ours\nimages = "{house.images}"\nmachine = "web"\n'
    assert "was added" in house.ask("standby.put", name="new", text=text).text
    view = house.ask("standby.text", name="new")
    assert view.text == text
    assert view.file.endswith("standbys.d/new.toml")
    changed = text + "keep = 9\n"
    done = house.ask("standby.put", name="new", text=changed, base=view.digest)
    assert "was changed" in done.text
    assert next(one.keep for one in house.ask("standby.list") if one.id == "new") == 9
    with pytest.raises(Refused, match="meanwhile"):
        house.ask("standby.put", name="new", text=text, base=view.digest)
    assert house.ask("standby.text", name="new").text == changed


@pytest.mark.parametrize("name", ["x/erp", "../standbys.d/erp", "/erp", "erp/", "./erp", "new/.."])
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
def test_a_path_is_no_name(same: House, name: str, role: Role) -> None:
    """A name with a slash never becomes the standby of its last part, for whoever asks."""
    before, kept = same.ask("standby.text", name="erp").text, same.kept()
    text = f'images = "{same.images}"\nkeep = 1\n'
    with pytest.raises(WrongUse, match="cannot be a standby's name"):
        same.ask("standby.put", role, name=name, text=text)
    assert same.ask("standby.check", role, name=name, text=text).wrong[0].key == "name"
    with pytest.raises(WrongUse):
        same.ask("standby.add", name=name, images=same.images)
    assert same.ask("standby.text", name="erp").text == before
    assert (same.names(), same.kept()) == (["erp"], kept)


def test_a_put_without_a_base_never_replaces(same: House) -> None:
    """Whoever means a new standby does not overwrite one of that name."""
    before = same.ask("standby.text", name="erp").text
    with pytest.raises(Refused, match="already"):
        same.ask("standby.put", name="erp", text=f'images = "{same.images}"\nkeep = 3\n')
    assert same.ask("standby.text", name="erp").text == before


@pytest.mark.parametrize("method", ["standby.text", "standby.remove"])
def test_an_unknown_standby_is_named_with_those_there_are(same: House, method: str) -> None:
    """The answer says the name, and which there are."""
    with pytest.raises(NotFound, match="no standby nope") as told:
        same.ask(method, name="nope", confirm="nope")
    assert "erp" in told.value.problem.remedy


def test_a_check_changes_nothing_and_names_every_mistake(same: House) -> None:
    """`standby.check` tells all that is wrong by key, and writes nothing."""
    bad = f'images = "{same.images}"\ntrigger = "soon"\nkeep = 0\ncolour = 1\n'
    view = same.ask("standby.check", Role.VIEWER, name="new", text=bad, new=True)
    assert {"trigger", "keep", "colour"} <= {one.key for one in view.wrong}
    assert all(one.text for one in view.wrong)
    taken = same.ask("standby.check", Role.VIEWER, name="erp", text=bad, new=True)
    assert "already" in taken.wrong[0].text
    torn = same.ask("standby.check", Role.VIEWER, name="new", text="images = [")
    assert torn.wrong
    with pytest.raises(WrongUse):
        same.ask("standby.put", name="new", text=bad)
    assert same.names() == ["erp"]


def test_a_check_tells_what_a_change_means(same: House) -> None:
    """Each changed key with before and after, the points that go by it, and who may do it."""
    text = _with(same, "keep = 1\n\n[retention]\nfloor = 1\n")
    view = same.ask("standby.check", Role.VIEWER, name="erp", text=text)
    assert not view.wrong
    assert any(one.startswith("keep: ") and "1" in one for one in view.changes)
    assert len(view.losing) == POINTS - 1
    assert view.role == "admin"
    assert {one.label for one in view.facts} >= {"Images", "Target", "Keeps", "Space", "Lost"}


def test_fewer_boot_points_need_an_admin_and_the_typed_name(house: House) -> None:
    """An operator is refused, an admin without the name is refused, then it is done."""
    text = _with(house, "keep = 1\n\n[retention]\nfloor = 1\n")
    base = house.ask("standby.text", name="erp").digest
    wish = {"name": "erp", "text": text, "base": base}
    with pytest.raises(Denied, match="admin"):
        house.ask("standby.put", Role.OPERATOR, **wish, confirm="erp")
    with pytest.raises(Refused, match="does not match"):
        house.ask("standby.put", **wish, confirm="er")
    assert house.ask("standby.text", name="erp").digest == base
    done = house.ask("standby.put", **wish, confirm="erp")
    assert f"{POINTS - 1} boot points that stayed will go" in done.text


def test_keys_that_commands_write_are_not_set_by_hand(same: House) -> None:
    """A pause cannot be smuggled in: the key and the command that writes it are named."""
    told = same.ask("standby.text", name="erp")
    text = _with(same, 'held = "me: moving"\n')
    with pytest.raises(WrongUse, match="bootpoint pause") as caught:
        same.ask("standby.put", name="erp", text=text, base=told.digest)
    assert caught.value.problem.facts["key"] == "held"
    assert same.ask("standby.text", name="erp").text == told.text


def test_a_standby_removed_is_gone_once(house: House) -> None:
    """The typed name is compared; the same key gives the same answer; another finds nothing."""
    with pytest.raises(Refused, match="does not match"):
        house.ask("standby.remove", name="erp", confirm="Erp")
    assert house.names() == ["erp"]
    done = house.ask("standby.remove", name="erp", confirm=" erp ", key="k")
    assert "quarantine" in done.text
    assert house.names() == []
    assert house.ask("standby.remove", name="erp", confirm="erp", key="k") == done
    with pytest.raises(NotFound):
        house.ask("standby.remove", name="erp", confirm="erp", key="l")


# --- retention --------------------------------------------------------------------------------


def test_retention_set_is_what_retention_then_tells(house: House) -> None:
    """More than there was needs no name; what was not set stays as it was."""
    before = house.ask("retention", machine="erp").settings
    done = house.ask("retention.set", machine="erp", settings={"keep": 30, "daily": 7}, key="k")
    assert "no boot point goes by it" in done.text
    view = house.ask("retention", machine="erp")
    assert view.settings == {**before, "keep": 30, "daily": 7}
    assert {"keep", "daily"} <= set(view.own)
    assert house.ask("retention.set", machine="erp", settings={"keep": 1}, key="k") == done
    house.ask("retention.set", machine="erp", settings={"daily": None})
    assert house.ask("retention", machine="erp").settings["daily"] == before["daily"]
    assert "daily" not in house.ask("retention", machine="erp").own


def test_a_preview_of_other_settings_sets_nothing(same: House) -> None:
    """`retention` with settings tells what would go, and leaves those in force."""
    before = same.ask("retention", machine="erp")
    view = same.ask("retention", Role.VIEWER, machine="erp", settings={"keep": 1, "floor": 1})
    assert view.proposed
    assert (view.stay, view.go) == (1, POINTS - 1)
    assert same.ask("retention", machine="erp").settings == before.settings


def test_retention_that_costs_points_needs_the_typed_name(house: House) -> None:
    """Without the name nothing changes; with it the answer says how many go."""
    wish = {"machine": "erp", "settings": {"keep": 1, "floor": 1}}
    before = house.ask("retention", machine="erp").settings
    with pytest.raises(Refused, match="Type erp"):
        house.ask("retention.set", **wish)
    assert house.ask("retention", machine="erp").settings == before
    done = house.ask("retention.set", **wish, confirm="erp")
    assert f"{POINTS - 1} boot points that stayed will go" in done.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "No setting"),
        ({"colour": 1}, "no setting colour"),
        ({"keep": 0}, "from 1 to"),
        ({"keep": None}, "found nothing"),
        ({"daily": 10**9}, "from 0 to"),
        ({"floor": -1}, "from 1 to"),
        ({"\x1b[31mred": 1}, "no setting"),
    ],
)
def test_a_wrong_setting_sets_nothing(same: House, settings: dict[str, object], words: str) -> None:
    """It is named with what is expected, and without its control characters."""
    before = same.ask("retention", machine="erp").settings
    with pytest.raises(WrongUse, match=words) as told:
        same.ask("retention.set", machine="erp", settings=settings, confirm="erp")
    assert "\x1b" not in str(told.value)
    assert same.ask("retention", machine="erp").settings == before


# --- targets ----------------------------------------------------------------------------------


def test_a_target_is_looked_at_when_it_is_asked_for(same: House) -> None:
    """`target.check` answers the target as it is after the look."""
    view = same.ask("target.check", Role.OPERATOR, target="local")
    assert (view.id, view.state, view.standbys) == ("local", "ready", 1)
    assert view.free
    if same.kind == "running":
        assert view.looked_at is not None
        assert view.latency_s is not None


@pytest.mark.parametrize("name", ["nas", "../local", "\x1b[2Jlocal", "LOCAL"])
def test_a_target_that_is_not_there_is_named(same: House, name: str) -> None:
    """Another name is not found, told without its control characters."""
    with pytest.raises(NotFound) as told:
        same.ask("target.check", target=name)
    assert "\x1b" not in str(told.value)


# --- reports of guests ------------------------------------------------------------------------


def _report(**more: object) -> str:
    told = {
        "version": 1,
        "family": "linux",
        "system": "Debian 12",
        "kernel": "6.1.0",
        "product": "KVM",
        "cards": [{"name": "eth0", "mac": "52:54:00:00:00:01", "addresses": "10.0.0.5"}],
        **more,
    }
    return base64.b64encode(json.dumps(told).encode()).decode()


def test_a_report_is_kept_with_its_boot_point(house: House) -> None:
    """`guest.report` shows it judged; `guest` shows it afterwards, with whoever gave it."""
    newest = house.service.snapshot().state.ready("erp")[-1].id
    assert house.ask("guest", machine="erp").report is None
    view = house.ask("guest.report", Role.OPERATOR, machine="erp", report=_report())
    assert view.id == newest
    assert view.report.actor == "ada"
    assert any("Debian 12 6.1.0 started on KVM" in fact for fact in view.report.facts)
    assert house.ask("guest", Role.VIEWER, machine="erp").report == view.report
    again = _report(system="Debian\x1b[31m 13")
    later = house.ask("guest.report", machine="erp", point=newest, report=again)
    assert "Debian" in later.report.facts[0]
    assert "\x1b" not in later.report.facts[0]
    assert house.ask("guest", machine="erp").report == later.report


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        ("no base 64!", WrongUse),
        (base64.b64encode(b"{").decode(), FormatError),
        (base64.b64encode(b"[" * 5000).decode(), FormatError),
        (base64.b64encode(b"[]").decode(), FormatError),
        (_report(version=2), FormatError),
        (_report(family="windows"), WrongUse),
        ("A" * (600 << 10), WrongUse),
        (base64.b64encode(b" " * (300 << 10)).decode(), FormatError),
    ],
    ids=["no base64", "torn", "deep", "list", "version", "other", "very long", "long"],
)
def test_what_is_no_report_of_this_guest_is_not_kept(
    same: House, report: str, kind: type[Failure]
) -> None:
    """It is refused by kind, and an earlier report stays."""
    first = same.ask("guest.report", machine="erp", report=_report())
    with pytest.raises(kind):
        same.ask("guest.report", machine="erp", report=report)
    assert same.ask("guest", machine="erp").report == first.report


def test_a_report_for_a_point_there_is_none_of_is_refused(same: House) -> None:
    """An unknown boot point is said so."""
    with pytest.raises(NotFound):
        same.ask("guest.report", machine="erp", point="bp999999", report=_report())


# --- alerts -----------------------------------------------------------------------------------


def test_a_test_goes_out_by_each_way_and_tells_how_it_went(same: House) -> None:
    """`alert.test` answers each way once, in order, with its problem where it has one."""
    told = same.ask("alert.test", Role.OPERATOR)
    assert [(one.name, one.where) for one in told] == [
        ("mail", "nowhere:mail"),
        ("hook", "nowhere:hook"),
    ]
    assert told[0].problem == ""
    assert "It is broken." in told[1].problem
    only = same.ask("alert.test", way="mail")
    assert [one.name for one in only] == ["mail"]


def test_a_way_that_is_not_configured_is_named_with_those_that_are(same: House) -> None:
    """Nothing is sent by another way instead."""
    with pytest.raises(NotFound, match="no way pager") as told:
        same.ask("alert.test", way="pager")
    assert "mail, hook" in str(told.value)


def _with(house: House, more: str) -> str:
    """Return erp's text with more at its end."""
    text: str = house.ask("standby.text", name="erp").text
    lines = [line for line in text.splitlines() if not line.startswith("keep")]
    return "\n".join([*lines, more])
