"""The self-test of transport `hotadd`: passes where a host does as documented, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.hypervisors.esxi.branches import Standing
from engine.hypervisors.esxi.hotaddtest import NAME, HotaddSelfTest
from engine.hypervisors.esxi.tree import Mark
from engine.model.selftests import Check, Outcome
from tests.contract.disk_chains import Lab
from tests.esxi.conftest import MODELS
from tests.esxi.test_hotadd_chain import lab, plugged, shadow
from tests.esxi.test_hotadd_host import placed
from tests.vcsim.shadow import Shadow
from tests.vcsim.simulator import Certificate, running

__all__ = ["lab", "plugged", "shadow"]


def _run(lab: Lab) -> dict[str, Check]:
    test = HotaddSelfTest(lab.store, None, None)  # type: ignore[arg-type]  # it is one
    return {check.key: check for check in test.run()}


def test_a_host_that_keeps_bytes_passes_and_keeps_nothing_of_it(lab: Lab, shadow: Shadow) -> None:
    """Every step of the layers passes, and slot, unit and name are told."""
    found = _run(lab)
    assert {check.outcome for key, check in found.items() if not key.startswith("item-")} == {
        Outcome.PASSED
    }, found
    assert "slot 192, unit 3, wwn 6000c29" in found["seed"].said
    assert not shadow.vms
    assert lab.store.standbys() == []


def test_a_host_that_loses_bytes_is_found_out(
    lab: Lab, shadow: Shadow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that freezes other bytes fails, and what needs it is not tried."""
    snapshot = shadow.snapshot

    def spoils(there: Standing, mark: Mark) -> Standing:
        after = snapshot(there, mark)
        for file in shadow.vms[NAME].frozen[str(after.tree.current)]:
            with file.open("r+b") as disk:
                disk.write(b"other")
        return after

    monkeypatch.setattr(shadow, "snapshot", spoils)
    found = _run(lab)
    assert found["seal"].outcome is Outcome.FAILED
    assert "lies something else" in found["seal"].said
    assert found["retire"].outcome is Outcome.SKIPPED
    assert not shadow.vms


def test_a_host_without_a_data_plane_says_what_is_missing(
    tmp_path: Path, made: Certificate
) -> None:
    """On the simulator no disk appears: it is told as that, and nothing is left."""
    with running(tmp_path, made, *MODELS["esxi"]) as sim:
        for place in placed(sim, tmp_path):
            test = HotaddSelfTest(place.store, place.link, place.target)
            found = {check.key: check for check in test.run()}
            assert found["version"].outcome is Outcome.PASSED
            assert found["seed"].outcome is Outcome.FAILED
            assert "is not found for certain" in found["seed"].said
            assert found["start"].outcome is Outcome.SKIPPED
            assert place.link.connect().branches.look(NAME) is None
