"""Defining, changing and editing standbys on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.daemon.service import Reloaded
from engine.local.drafts import Draft, Drafts
from engine.model.errors import Problem
from tests.scripted import ScriptedService
from tests.unit.cli.program import Program


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drafts:
    """Return this test's own folder of drafts."""
    folder = tmp_path / "drafts"
    monkeypatch.setattr("engine.cli.editing.drafts_folder", lambda: folder)
    return Drafts(folder)


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file: what an editor makes of the text is what its shell lines say, on `$1`."""
    script = tmp_path / "editor"
    monkeypatch.setenv("VISUAL", f"sh {script}")
    return script


def test_a_dry_run_of_a_new_standby_shows_the_review(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Images, space, time and the text that would be written; nothing is asked to change."""
    words = (
        "standby add spare --images /mnt/replica/erp --keep 7 --bus sata --set retention.daily=3"
    )
    ran = bootpoint(*words.split(), "--dry-run")
    assert ran.code == 0, ran
    assert "spare: a new standby" in ran.out
    assert "1 full and 3 increments, 4.0 GiB" in ran.out
    assert "about 1.2 GiB for the first boot point, about" in ran.out
    assert "unknown until the first seed" in ran.out
    assert "! Also         erp is made of these images too" in ran.out
    assert '  bus = "sata"' in ran.out
    assert "  daily = 3" in ran.out
    assert service.calls == []
    view = bootpoint(*words.split(), "--dry-run", "--json").told["review"]
    assert view["first_bytes"] == int(1.3 * 2**30)
    assert view["new"] is True


def test_a_dry_run_tells_everything_that_is_wrong(bootpoint: Program) -> None:
    """Every wrong key is named with what was found and what is expected; exit code 2."""
    ran = bootpoint(
        "standby",
        "add",
        "x",
        "--images",
        "/r",
        "--trigger",
        "soon",
        "--blackouts",
        "x",
        "--dry-run",
    )
    assert ran.code == 2
    assert "trigger: found 'soon', expected immediate, daily@HH:MM" in ran.err
    assert "Also: /etc/bootpoint/standbys.d/x.toml: blackouts: found ['x']" in ran.err


def test_keys_are_set_as_typed_and_taken_out_again(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Spans, sizes, windows and the retention table go in as words; `usual` takes a key out."""
    ran = bootpoint(
        "standby", "set", "erp", "rpo_s=2h", "memory_mib=4G", "retention.daily=7",
        "blackouts=mon-fri 08:00-18:00, sun 00:00-06:00", "trigger=every:4",
    )  # fmt: skip
    assert ran.code == 0, ran
    told = service.snapshot().standbys["erp"]
    assert (told.rpo_s, told.memory, told.retention.daily) == (7200, 4 << 30, 7)
    assert [one.text for one in told.blackouts or ()] == ["mon-fri 08:00-18:00", "sun 00:00-06:00"]
    assert bootpoint("standby", "set", "erp", "rpo_s=usual", "retention.daily=usual").code == 0
    told = service.snapshot().standbys["erp"]
    assert (told.rpo_s, told.retention.daily, str(told.trigger)) == (None, None, "every:4")


def test_numbers_are_read_as_the_file_has_them(
    bootpoint: Program, service: ScriptedService
) -> None:
    """The sample file says `rpo_s = 14400`: the name of the key has the unit."""
    ran = bootpoint("standby", "set", "erp", "rpo_s=14400", "silence_s=0", "memory_mib=4096")
    assert ran.code == 0, ran
    told = service.snapshot().standbys["erp"]
    assert (told.rpo_s, told.silence_s, told.memory) == (14400, 0, 4 << 30)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("keep=none", "keep: found none, expected a number"),
        ("bus=ide", "bus: found ide, expected one of virtio, scsi"),
        ("held=me", "held cannot be set: bootpoint pause and resume write it"),
        ("colour=red", "colour cannot be set: there is no such key"),
    ],
)
def test_a_value_that_cannot_be_set_is_explained(
    bootpoint: Program, service: ScriptedService, word: str, told: str
) -> None:
    """What was found, what is expected; nothing is asked of the engine."""
    ran = bootpoint("standby", "set", "erp", word)
    assert ran.code == 2
    assert told[:1].upper() + told[1:] in ran.err or told in ran.err
    assert "Nothing was changed" in ran.err
    assert service.calls == []


def test_fewer_boot_points_need_the_name(bootpoint: Program, service: ScriptedService) -> None:
    """A smaller `keep` under which boot points go is refused without the name, done with it."""
    bootpoint("standby", "set", "erp", "retention.floor=1")
    ran = bootpoint("standby", "set", "erp", "keep=2", "--dry-run")
    assert "keep: 24 -> 2" in ran.out
    assert "2 boot points that stay now go by this: bp000001, bp000002" in ran.out
    assert "needs the role admin" in ran.out
    assert bootpoint("standby", "set", "erp", "keep=2").code == 4
    assert service.snapshot().standbys["erp"].keep == 24
    ran = bootpoint("standby", "set", "erp", "keep=2", "--yes-i-mean", "erp")
    assert ran.code == 0
    assert "2 boot points that stayed will go" in ran.out


def test_the_target_stays_where_the_boot_points_are(bootpoint: Program) -> None:
    """A standby with boot points cannot be moved by its definition."""
    ran = bootpoint("standby", "set", "erp", "target=other")
    assert ran.code == 2
    assert "the boot points of erp lie there" in ran.err


def test_an_edited_text_is_taken_and_leaves_no_draft(
    bootpoint: Program, service: ScriptedService, drafts: Drafts, types: Path
) -> None:
    """$VISUAL gets the text; what it makes of it is handed in as it is, comments too."""
    types.write_text("sed -i 's/immediate/every:3/; 1i # by hand' \"$1\"")
    ran = bootpoint("standby", "edit", "erp")
    assert ran.code == 0, ran
    assert str(service.snapshot().standbys["erp"].trigger) == "every:3"
    assert service.standby_text("erp").startswith("# by hand\n")
    assert drafts.all() == []


def test_a_refused_text_is_kept_and_offered_again(
    bootpoint: Program, service: ScriptedService, drafts: Drafts, types: Path
) -> None:
    """Wrong text: the reason, exit code 2, nothing changed; the next edit begins with that text."""
    types.write_text("sed -i 's/immediate/soon/' \"$1\"")
    ran = bootpoint("standby", "edit", "erp")
    assert ran.code == 2
    assert "erp.toml: trigger: found 'soon', expected immediate" in ran.err
    assert f"Your text is kept in {drafts.path('erp')}" in ran.err
    assert service.calls == []
    types.write_text('grep -q soon "$1" && sed -i \'s/soon/every:9/\' "$1"')
    ran = bootpoint("standby", "edit", "erp")
    assert "is kept that was not handed in" in ran.err
    assert ran.code == 0, ran
    assert str(service.snapshot().standbys["erp"].trigger) == "every:9"
    assert drafts.all() == []


def test_text_that_cannot_be_handed_in_is_kept_too(
    bootpoint: Program, service: ScriptedService, drafts: Drafts, tmp_path: Path
) -> None:
    """A right text that the engine refuses, here because a name is missing, is kept as well."""
    bootpoint("standby", "set", "erp", "retention.floor=1")
    text = service.standby_text("erp").replace("keep = 24", "keep = 1")
    file = tmp_path / "erp.toml"
    file.write_text(text)
    ran = bootpoint("standby", "edit", "erp", "--file", str(file))
    assert ran.code == 4, ran
    kept = drafts.read("erp")
    assert kept is not None
    assert kept.text == text
    assert not kept.new


def test_an_editor_that_fails_changes_nothing(
    bootpoint: Program, service: ScriptedService, drafts: Drafts, types: Path
) -> None:
    """An editor that ends with an error, as `:cq` does, leaves everything."""
    types.write_text("exit 1")
    ran = bootpoint("standby", "edit", "erp")
    assert ran.code == 2
    assert "Nothing was changed" in ran.err
    assert service.calls == []


def test_drafts_survive_anything_that_lies_in_their_folder(tmp_path: Path) -> None:
    """Foreign files, broken heads, links and names are passed over; what is right is read."""
    drafts = Drafts(tmp_path / "d")
    assert drafts.all() == []
    drafts.keep(Draft("erp", 'images = "/x"\n', step="keep", image_set="s1", why="no"))
    (drafts.folder / "bad.toml").write_bytes(b"# draft {broken\n\xff")
    (drafts.folder / "Not A Name.toml").write_text("x")
    (drafts.folder / "link.toml").symlink_to("/etc/passwd")
    assert [draft.name for draft in drafts.all()] == ["bad", "erp"]
    erp = drafts.read("erp")
    assert erp is not None
    assert (erp.text, erp.step, erp.image_set, erp.why) == ('images = "/x"\n', "keep", "s1", "no")
    with pytest.raises(ValueError, match="small letters"):
        drafts.keep(Draft("../x", ""))
    drafts.drop("erp")
    drafts.drop("erp")
    assert drafts.read("erp") is None


def test_reload_says_what_it_took_up_and_what_is_wrong(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Names, then what was not taken up with what goes on and the remedy; exit code 1."""
    gone = Problem("config.value", "web.toml: keep: found 'x'.", "web goes on.", "Correct keep.")
    service.reloaded = Reloaded(["new"], ["erp"], {"web": gone})
    ran = bootpoint("standby", "reload")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "new: added.",
        "erp: changed.",
        "web: NOT TAKEN UP. web.toml: keep: found 'x'.",
        "  web goes on.",
        "  Correct keep.",
    ]
    told = json.loads(bootpoint("standby", "reload", "--json").out)
    assert (told["added"], told["changed"], told["wrong"][0]["id"]) == (["new"], ["erp"], "web")
