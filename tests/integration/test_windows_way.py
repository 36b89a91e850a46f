"""A phony Windows on real NTFS, converted the whole way."""

from __future__ import annotations

from pathlib import Path

from engine.guests.backend import GuestDisk
from engine.guests.convert import GuestConverter
from engine.model.cards import CardChange
from tests.guests.phony_hive import system_hive
from tests.guests.phony_windows import CONFIG, Recipe, build


def test_a_phony_windows_is_converted_on_ntfs(tmp_path: Path) -> None:
    """The registry on the disk says what the plan said; converting again has nothing to do."""
    recipe = Recipe(files={CONFIG + b"SYSTEM": system_hive()})
    disk = GuestDisk(build(tmp_path / "disk.raw", recipe), "raw")
    converter = GuestConverter(tmp_path / "state")
    cards = (CardChange("00:50:56:11:22:33"),)
    converted = converter.convert([disk], cards, _Never(), lambda _progress: None)

    (entry,) = converted.record.ledger.entries
    changed = {detail.key for detail in entry.details}
    assert r"ControlSet001\Services\storahci\StartOverride" in changed
    assert not [w for w in converted.record.ledger.warnings if "once more" in w]
    assert converter.plan([disk], cards).ledger.entries == ()
    assert converted.record.ledger.bytes_written <= 10 * 4096


class _Never:
    def check(self) -> None:
        """Go on."""
