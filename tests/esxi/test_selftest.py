"""`bootpoint target selftest`: a report of what a host shows, and nothing of it left there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.hypervisors.esxi import selftest
from engine.hypervisors.esxi.unverified import TRIED, by_hand
from engine.hypervisors.owner import owner
from engine.model.selftests import Check, Outcome, redacted
from tests.unit.cli.program import Program
from tests.vcsim.simulator import PASSWORD, USER, Sim
from tests.vcsim.stage import Stage
from tests.vcsim.steps import Fault

ON_VCSIM = {"lock", "serial", "screen"}
"""What the simulator cannot show: it starts nothing, prints nothing and draws nothing."""


def _run(stage: Stage) -> dict[str, Check]:
    test = selftest.SelfTest(
        stage.target._session,
        stage.target._wishes,
        owner(stage.folder / "state"),
        stage.store.path / ".run",
        stage.target._now,
        patience_s=0.0,
    )
    return {check.key: check for check in test.run()}


def test_a_simulated_host_passes_what_it_can(one: Stage) -> None:
    """The host is as before, and what the simulator does not do is told as failed."""
    before, own = one.vms(), one.own_vms()
    found = _run(one)
    failed = {key for key, check in found.items() if check.outcome is Outcome.FAILED}
    told = {key: check.said for key, check in found.items()}
    assert failed == ON_VCSIM | {"replace"}, told  # vcsim appends the same key again
    assert found["item-1"].outcome is Outcome.SKIPPED
    assert found["item-1"].said.startswith("by hand: ")
    assert {number for check in found.values() for number in check.items} == {*range(1, 20), 30}
    assert found["destroy"].outcome is Outcome.PASSED
    assert (one.vms(), one.own_vms()) == (before, own)
    assert list((one.store.path / ".run").iterdir()) == []
    assert not (one.store.path / ".bootpoint-selftest").exists()


def test_what_an_earlier_run_left_is_cleared_and_a_failure_stops_the_rest(one: Stage) -> None:
    """A host that refuses to make a VM fails that check; what needs the VM is not tried."""
    one.sim.proxy.plan("CreateVM_Task", Fault("NoPermission"))
    found = _run(one)
    assert found["create"].outcome is Outcome.FAILED
    assert {found[key].outcome for key in ("hardware", "attach", "power-on", "destroy")} == {
        Outcome.SKIPPED
    }
    one.sim.proxy.plan("PowerOffVM_Task", *[Fault("GenericVmConfigFault")] * 2)
    assert _run(one)["power-off"].outcome is Outcome.FAILED
    assert one.own_vms() == 1
    assert _run(one)["create"].outcome is Outcome.PASSED
    assert one.own_vms() == 0


@pytest.mark.parametrize("transport", TRIED)
def test_every_item_of_the_page_is_tried_or_named(transport: str) -> None:
    """What no check tries is told with how a person does it; the page has no other numbers."""
    page = (Path(__file__).parents[2] / "docs" / "ESXI.md").read_text(encoding="utf-8")
    listed = [int(one) for one in re.findall(r"^(\d+)\. ", page, re.MULTILINE)]
    assert listed == list(range(1, 31))
    tried = {number for numbers in TRIED[transport].values() for number in numbers}
    told = tried | {number for check in by_hand(transport) for number in check.items}
    assert told >= set(range(20, 30) if transport == "hotadd" else [*range(1, 20), 30])


def test_a_report_names_nothing_of_the_site() -> None:
    """The longest name goes first, so that none is left in part."""
    told = redacted("esx-01.example (esx-01) by root", {"esx-01": "T", "esx-01.example": "HOST"})
    assert told == "HOST (T) by root"


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_prints_the_report(
    sim: Sim,
    xfs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    as_json: bool,
) -> None:
    """Text for a person, or JSON to send in; neither holds password, user, address or names."""
    monkeypatch.setattr(selftest, "_PATIENCE_S", 0.0)
    secret, store = tmp_path / "password", xfs / f"selftest-{tmp_path.name}"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    (sim.folder / "bp-esx-01").symlink_to(store / ".run")
    config = tmp_path / "engine.toml"
    config.write_text(
        f'state_dir = "{tmp_path}/state"\n[targets.demo]\nkind = "simulated"\n'
        f'[targets.esx-01]\nkind = "esxi"\nuri = "{sim.proxy.url}"\n'
        f'store = {{ path = "{store}" }}\n[targets.esx-01.esxi]\nuser = "{USER}"\n'
        f'password = "file:{secret}"\npin = "{sim.certificate.pin}"\n'
        'datastore = "LocalDS_0"\nserver = "127.0.0.1"\n'
    )
    words = ["target", "selftest", "esx-01", "--config", str(config)]
    ran = Program(tmp_path / "no.sock", capsys)(*words, *(["--json"] if as_json else []))
    assert ran.code == 1
    for name in (PASSWORD, USER, "127.0.0.", "LocalDS_0", str(store)):
        assert name not in ran.out
    if as_json:
        items = {one["key"]: one for one in json.loads(ran.out)["items"]}
        assert items["atomic"]["outcome"] == "passed"
    else:
        assert "+ power-on: The VM starts" in ran.out
        assert "--json > report.json" in ran.out
    other = Program(tmp_path / "no.sock", capsys)(
        "target", "selftest", "demo", "--config", str(config)
    )
    assert other.code == 2
