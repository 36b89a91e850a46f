"""Retention, pins and holds on the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.errors import Failure, Problem
from engine.model.points import BootPointId
from engine.model.retention import Retention, Rules
from engine.model.upkeep import Upkeep
from tests.scripted import ScriptedService, site
from tests.unit.cli.program import Program

SECOND = BootPointId("bp000002")


@pytest.fixture
def service() -> ScriptedService:
    """Four boot points each, and a floor that lets the count be seen."""
    told = ScriptedService(site())
    low = Retention(floor=1)
    for name, standby in told.snapshot().standbys.items():
        told.put_standby(replace(standby, retention=low))
        care = Upkeep(Rules(floor=1))
        told.show(upkeep={**told.snapshot().upkeep, name: care})
    return told


def test_retention_says_what_stays_and_why(bootpoint: Program) -> None:
    """One line a boot point, the settings above, what comes back below."""
    lines = bootpoint("retention", "erp").out.splitlines()
    assert lines[0] == "RETENTION of erp: 4 stay, 0 go"
    assert lines[1] == "Judged by: keep 24, floor 1"
    assert "bp000004" in lines[3]
    assert lines[3].endswith("stays  newest ready boot point")
    assert lines[-2] == "Nothing goes, so no room comes back."
    assert lines[-1].startswith("Next to go: bp000001, after 21 more boot points (about 2026-")
    assert lines[-1].endswith(" UTC): 24 newer ones are ready; about 1.0 GiB come back.")


def test_a_chain_that_will_be_full_is_told_beforehand(
    bootpoint: Program, service: ScriptedService
) -> None:
    """With all on hold the end is in sight; and where nothing ever goes, that is said."""
    erp = service.snapshot().standbys["erp"]
    service.put_standby(replace(erp, retention=Retention(floor=1, hold="audit")))
    held = Rules(floor=1, most=6, hold="audit")
    names = [point.replica for point in service.snapshot().state.points_of("erp")]
    depths = {name: place for place, name in enumerate(names, 1)}
    service.show(upkeep={"erp": Upkeep(held, depths=depths)})
    told = bootpoint("retention", "erp").out
    assert "can hold 6 boot points of one chain; 4 are there." in told
    assert "After 2 more boot points (about 2026-" in told
    assert "the chain is full, and no further one is made: none may go." in told
    view = bootpoint("retention", "erp", "--json").told["retention"]["next"]
    assert (view["point"], view["after"], view["depth"]) == ("", 2, 4)
    service.show(upkeep={"erp": Upkeep(Rules(floor=1, hold="audit"))})
    assert "None of them goes as more come" in bootpoint("retention", "erp").out


def test_a_preview_shows_other_settings_and_changes_nothing(
    bootpoint: Program, service: ScriptedService
) -> None:
    """What would go is marked, with its reason and the room; the engine was only asked."""
    told = bootpoint("retention", "erp", "--preview", "--keep", "2", "--yearly", "1")
    lines = told.out.splitlines()
    assert lines[0] == "RETENTION of erp: 3 stay, 1 go with these settings (1 that stay now)"
    assert lines[1] == "Judged by: keep 2, yearly 1, floor 1"
    (line,) = [line for line in lines if " bp000002 " in line]
    assert line.startswith("-")
    assert line.endswith("goes*  2 newer ones are ready and it fills no slot")
    assert lines[-2] == "1.0 GiB come back."
    assert lines[-1].startswith("Nothing was changed")
    assert service.calls == []

    view = bootpoint("retention", "erp", "--keep", "2", "--json").told
    assert [one["id"] for one in view["items"] if not one["keep"]] == ["bp000001", "bp000002"]
    assert view["items"][0]["rules"] == ["count"]
    assert (view["retention"]["bytes"], view["retention"]["exact"]) == (2 << 30, True)
    assert view["retention"]["settings"]["keep"] == 2


def test_a_preview_without_settings_shows_only_what_goes(
    bootpoint: Program, service: ScriptedService
) -> None:
    """As things are: the table is empty when nothing goes."""
    assert "  bp0000" not in bootpoint("retention", "erp", "--preview").out
    service.put_standby(replace(service.snapshot().standbys["erp"], keep=3))
    service.show(upkeep={"erp": Upkeep(Rules(keep=3, floor=1))})
    told = bootpoint("retention", "erp", "--preview").out
    assert "bp000001" in told
    assert "bp000002" not in told


def test_settings_that_cost_boot_points_want_the_name(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Without it nothing is written and the exit code is 4; what costs nothing is just set."""
    refused = bootpoint("retention", "erp", "--set", "keep=2")
    assert (refused.code, service.calls) == (4, [])
    assert (
        "2 boot points of erp that stay now will be taken away: bp000001, bp000002" in refused.err
    )
    assert bootpoint("retention", "erp", "--set", "keep=2", "--yes-i-mean", "web").code == 4
    assert service.calls == []
    told = bootpoint("retention", "erp", "--set", "keep=2", "daily=7", "--yes-i-mean", "erp")
    assert told.code == 0
    assert "2 boot points that stayed will go" not in told.out, "the day's first stays"
    standby = service.snapshot().standbys["erp"]
    assert (standby.keep, standby.retention.daily, standby.retention.floor) == (2, 7, 1)
    assert bootpoint("retention", "erp", "--set", "daily=usual", "keep=50").code == 0
    assert service.snapshot().standbys["erp"].retention.daily is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--set", "keep=0"), 2, "from 1 to 10000"),
        (("--set", "floor=0"), 2, "from 1 to 1000"),
        (("--set", "dayly=3"), 2, "no setting dayly"),
        (("--set", "keep"), 2, "such as keep=10"),
        (("--set", "keep=usual"), 2, "found nothing"),
        (("--keep", "0"), 2, "at least 1"),
        (("--hold", "x", "--release"), 2, "one of"),
        (("--release",), 4, "not on hold"),
    ],
)
def test_wrong_use_is_told(
    bootpoint: Program, service: ScriptedService, words: tuple[str, ...], code: int, said: str
) -> None:
    """Each message says what is expected, and nothing is changed."""
    told = bootpoint("retention", "erp", *words)
    assert (told.code, service.calls) == (code, [])
    assert said in told.err


def test_a_hold_is_set_and_released(bootpoint: Program, service: ScriptedService) -> None:
    """While it is held, retention says so and nothing goes."""
    assert bootpoint("retention", "erp", "--hold", "3 of 4 blocks changed").code == 0
    told = bootpoint("retention", "erp", "--keep", "1").out
    assert "ON HOLD, nothing is taken away: " in told
    assert "4 stay, 0 go" in told
    assert "3 of 4 blocks changed" in bootpoint("standby", "show", "erp").out
    assert bootpoint("retention", "erp", "--release").code == 0
    assert [call[0] for call in service.calls] == ["hold_retention", "release_retention"]
    assert "ON HOLD" not in bootpoint("retention", "erp").out


def test_a_pin_keeps_a_boot_point(bootpoint: Program, service: ScriptedService) -> None:
    """By number or id, with a note; then it is its reason to stay, and can be taken off."""
    assert bootpoint("pin", "erp", "2", "--note", "before the upgrade").code == 0
    told = bootpoint("retention", "erp", "--keep", "1").out
    assert "before the upgrade" in next(line for line in told.splitlines() if SECOND in line)
    assert bootpoint("unpin", "erp", "bp000002").code == 0
    assert bootpoint("unpin", "erp", "bp000002").code == 4
    assert bootpoint("pin", "erp", "bp000099").code == 2
    assert bootpoint("pin", "nope", "1").code == 2
    assert [call[:3] for call in service.calls] == [
        ("pin", "erp", SECOND),
        ("unpin", "erp", SECOND),
    ]


def test_room_that_cannot_be_told_is_no_obstacle(
    bootpoint: Program, service: ScriptedService
) -> None:
    """A store that does not answer leaves the verdicts as they are."""
    service.fails["gain"] = Failure(Problem("layer.damaged", "A layer is damaged."))
    told = bootpoint("retention", "erp", "--keep", "1")
    assert told.code == 0
    assert "How much room comes back cannot be told now." in told.out
    assert bootpoint("retention", "erp", "--keep", "1", "--json").told["retention"]["bytes"] is None
