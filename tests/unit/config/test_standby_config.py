"""standbys.d: written, read back, and wrong in one file only."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.standby import (
    StandbyFolder,
    dump_standby,
    load_standby,
    load_standbys,
    remove_standby,
    write_standby,
)
from engine.model.errors import Failure, WrongUse
from engine.model.machine import DiskBus, Firmware
from engine.model.retention import Retention
from engine.model.standby import Standby, Trigger, TriggerKind

FULL = Standby(
    name="erp",
    images="/srv/replica/erp",
    machine='ERP "main" \\ Zürich',
    target="kvm-01",
    trigger=Trigger(TriggerKind.DAILY, at=time(22, 5)),
    keep=3,
    retention=Retention(90, 1, 0, 4, 12, 10, 5, '3 of 4 blocks changed: \\ " held'),
    rpo_s=3600,
    memory=2 << 30,
    cpus=4,
    firmware=Firmware.UEFI,
    bus=DiskBus.SATA,
    held="mo: move\nsecond line",
    created_at=datetime(2026, 1, 31, 22, tzinfo=UTC),
)


@pytest.mark.parametrize("standby", [FULL, Standby("web", "/srv/replica/web")])
def test_a_written_standby_is_read_back_equal(tmp_path: Path, standby: Standby) -> None:
    """Every field survives, quotes and line breaks included."""
    path = write_standby(tmp_path / "standbys.d", standby)
    assert load_standby(path) == standby
    assert load_standbys(tmp_path / "standbys.d") == ({standby.name: standby}, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.integers(1, 10000),
    st.one_of(st.none(), st.integers(1, 10**9)),
)
def test_any_text_survives(note: str, keep: int, rpo_s: int | None) -> None:
    """Whatever an operator types as a reason comes back as typed."""
    from tempfile import TemporaryDirectory

    standby = Standby("erp", "/x", held=note, keep=keep, rpo_s=rpo_s)
    with TemporaryDirectory() as folder:
        assert load_standby(write_standby(Path(folder), standby)) == standby


def test_defaults_are_left_out_of_the_file() -> None:
    """A file says what was chosen, not everything there is."""
    text = dump_standby(Standby("web", "/srv/replica/web"))
    assert text.splitlines() == [
        'images = "/srv/replica/web"',
        'target = "local"',
        'trigger = "immediate"',
        "keep = 24",
    ]


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    """Each problem names its file; drafts and other files are passed over."""
    write_standby(tmp_path, FULL)
    (tmp_path / "web.toml").write_text('images = "/x"\nkeeep = 3\n')
    (tmp_path / "Bad Name.toml").write_text('images = "/x"\n')
    (tmp_path / "dir.toml").mkdir()
    (tmp_path / ".erp.toml.123.tmp").write_text("rubbish")
    (tmp_path / "erp.toml.removed").write_text("rubbish")

    found, problems = load_standbys(tmp_path)

    assert found == {"erp": FULL}
    told = " ".join(str(problem) for problem in problems.values())
    assert len(problems) == 3
    assert all(name in told for name in ("web.toml", "Bad Name.toml", "dir.toml"))


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("", "images", "missing"),
        ("images = 'relative/x'", "images", "absolute path"),
        ("images = '/x'\ntrigger = 'hourly'", "trigger", "daily@HH:MM"),
        ("images = '/x'\ntrigger = 'daily@24:00'", "trigger", "every:N"),
        ("images = '/x'\nkeep = 0", "keep", ">= 1"),
        ("images = '/x'\nkeep = 1.5", "keep", "whole number"),
        ("images = '/x'\n[retention]\nfloor = 0", "retention.floor", ">= 1"),
        ("images = '/x'\n[retention]\ndaily = -1", "retention.daily", ">= 0"),
        ("images = '/x'\n[retention]\ndayly = 7", "retention.dayly", "not known"),
        ("images = '/x'\nfirmware = 'efi'", "firmware", "bios, uefi"),
        ("images = '/x'\nbus = 'ide'", "bus", "virtio, scsi, pvscsi, sata"),
        ("images = '/x'\nrpo_s = -1", "rpo_s", ">= 1"),
        ("images = '/x'\ncreated_at = 2026-01-01T00:00:00", "created_at", "with its zone"),
    ],
)
def test_a_wrong_value_is_told_with_key_and_expectation(
    tmp_path: Path, text: str, key: str, expected: str
) -> None:
    """The message names file, key, and what would be right."""
    file = tmp_path / "erp.toml"
    file.write_text(text)
    with pytest.raises(WrongUse) as told:
        load_standby(file)
    problem = told.value.problem
    assert problem.facts["key"] == key
    assert expected in problem.happened
    assert str(file) in problem.happened


def test_times_of_other_zones_are_read_as_utc(tmp_path: Path) -> None:
    """A moment is the same however it was written."""
    file = tmp_path / "erp.toml"
    file.write_text('images = "/x/../y/"\ncreated_at = 2026-01-31T23:00:00+01:00\n')
    standby = load_standby(file)
    moment = datetime(2026, 1, 31, 23, tzinfo=timezone(timedelta(hours=1)))
    assert (standby.created_at, standby.images) == (moment, "/y")


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    """The old file stays when a new definition is wrong."""
    write_standby(tmp_path, FULL)
    with pytest.raises(WrongUse):
        write_standby(tmp_path, Standby("erp", "relative"))
    with pytest.raises(WrongUse):
        write_standby(tmp_path, Standby("../erp", "/x"))
    assert load_standbys(tmp_path)[0] == {"erp": FULL}


def test_a_removed_standby_is_moved_aside(tmp_path: Path) -> None:
    """Its file is kept under another name; removing it twice is no error."""
    path = write_standby(tmp_path, FULL)
    text = path.read_text()
    for _ in range(2):
        remove_standby(tmp_path, "erp")
    assert load_standbys(tmp_path) == ({}, {})
    assert (tmp_path / "erp.toml.removed").read_text() == text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where the folder should be gives words, and nothing is lost."""
    (tmp_path / "standbys.d").write_text("no folder")
    with pytest.raises(Failure) as told:
        write_standby(tmp_path / "standbys.d", FULL)
    assert told.value.problem.key == "config.write"


def test_the_folder_is_what_the_engine_uses(tmp_path: Path) -> None:
    """Load, write, remove and path work on one folder, which need not exist yet."""
    folder = StandbyFolder(tmp_path / "standbys.d")
    assert folder.load() == ({}, {})
    assert folder.write(FULL) == folder.path("erp")
    assert folder.load() == ({"erp": FULL}, {})
    folder.remove("erp")
    assert folder.load() == ({}, {})
