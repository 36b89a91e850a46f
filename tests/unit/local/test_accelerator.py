"""Which accelerator runs guests here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.local import accelerator as probe


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_known", {})


def test_the_guest_of_512_bytes_comes_to_its_end_in_emulation() -> None:
    """Interrupts, 32-bit and 64-bit mode work in emulation, so the probe's guest is a right one."""
    assert probe.makes_progress("tcg", "qemu64")


def test_a_guest_that_cannot_go_on_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that stands still is no progress, and asking takes no longer than the limit."""
    monkeypatch.setattr(probe, "BOOT_SECTOR", b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa")
    monkeypatch.setattr(probe, "LIMIT_S", 1.0)
    assert not probe.makes_progress("tcg", "qemu64")


def test_an_accelerator_that_does_not_exist_makes_no_progress() -> None:
    """QEMU's refusal is an answer too."""
    assert not probe.makes_progress("no-such-thing", "qemu64")


def test_the_answer_is_kept_for_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start does not run the probe again; another boot of the host does."""
    monkeypatch.setattr(probe, "DEVICE", Path("/dev/null"))
    asked = []

    def progress(accel: str, processor: str) -> bool:
        asked.append((accel, processor))
        return True

    monkeypatch.setattr(probe, "makes_progress", progress)
    assert probe.accelerator(tmp_path) == "kvm"
    monkeypatch.setattr(probe, "_known", {})
    assert probe.accelerator(tmp_path) == "kvm"
    assert asked == [("kvm", "host")]
    kept = tmp_path / "accelerator.json"
    kept.write_text(json.dumps({"host": "another boot", "accelerator": "tcg"}))
    monkeypatch.setattr(probe, "_known", {})
    assert probe.accelerator(tmp_path) == "kvm"
    assert len(asked) == 2


@pytest.mark.parametrize("junk", ["", "[]", '{"host": 1}', "null"])
def test_a_damaged_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, junk: str
) -> None:
    """Junk in the file is no answer and no crash."""
    monkeypatch.setattr(probe, "DEVICE", tmp_path / "no-kvm")
    (tmp_path / "accelerator.json").write_text(junk)
    assert probe.accelerator(tmp_path) == "tcg"
