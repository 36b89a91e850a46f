"""Targets that come and go while an engine runs: the real program, and simulated hosts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from engine.api.client import Client
from engine.api.views import Done
from engine.model.errors import NotFound, Refused
from tests.contract.doors import until
from tests.esxi.living import Site, site
from tests.esxi.test_preflight import READS
from tests.vcsim.simulator import USER, Sim

__all__ = ["site"]


def test_a_target_comes_and_goes_while_the_engine_runs(site: Site, sim: Sim) -> None:
    """Added: known, logged in to, usable by a standby. Removed: logged out, its store is free."""
    site.start()
    assert "The running engine has taken it up." in site.add(sim)
    site.waits(lambda there: there["esx-01"].state == "ready")
    assert site.targets()["esx-01"].store == "reflink"
    pid = site.process.pid if site.process else 0
    site.run("target", "check", "esx-01")
    site.run("standby", "add", "erp", "--images", str(site.images), "--target", "esx-01")

    refused = site.run("target", "remove", "esx-01", "--yes-i-mean", "esx-01", code=4)
    assert "Standbys are configured for target esx-01: erp." in refused
    assert "bootpoint standby remove erp" in refused
    assert site.file.exists()

    site.run("standby", "remove", "erp", "--yes-i-mean", "erp")
    sim.proxy.calls.clear()
    told = site.told("target", "remove", "esx-01", "--yes-i-mean", "esx-01")
    assert told["removed"] is True
    assert (told["file"], told["store"]) == (str(site.file), str(site.store))
    assert not site.file.exists()
    assert Path(told["aside"]).exists()
    assert "esx-01" not in site.targets()
    assert set(sim.proxy.calls) <= READS | {"Logout"}
    assert "Logout" in sim.proxy.calls
    assert (site.store / "store.json").exists()
    assert any("datastore bp-esx-01" in text for text in told["stays"])

    assert "taken it up" in site.add(sim)
    site.waits(lambda there: there["esx-01"].state == "ready")
    assert "added target esx-01" in site.run("journal")
    assert "removed target esx-01" in site.run("journal")
    assert site.process is not None
    assert site.process.pid == pid
    assert "Traceback" not in site.log()


def move(site: Site, url: str) -> None:
    """Put the removed target's file back, with another address, and let the engine know."""
    text = Path(f"{site.file}.removed").read_text()
    kept = [line for line in text.splitlines() if not line.startswith("uri")]
    site.file.write_text("\n".join([f'uri = "{url}"', *kept]))
    with Client(site.state / "engine.sock") as client:
        client.call("target.take", Done, target="esx-01")


def test_a_host_that_is_away_is_taken_up_and_let_go_of_all_the_same(site: Site, sim: Sim) -> None:
    """One that refuses, one that says nothing: known at once, with its alert, gone at once."""
    assert "No engine answers here" in site.add(sim)
    going = site.told("target", "remove", "esx-01", "--dry-run")
    assert (going["removed"], site.file.exists()) == (False, True)
    site.run("target", "remove", "esx-01", code=4)
    site.run("target", "remove", "esx-01", "--yes-i-mean", "esx-02", code=4)
    assert "No engine answers here" in site.run(
        "target", "remove", "esx-01", "--yes-i-mean", "esx-01"
    )
    site.start()
    move(site, "https://127.0.0.2:1/")
    site.waits(lambda there: there["esx-01"].state == "lost")
    until(lambda: "target:esx-01" in site.alerts(), 60)
    site.run("target", "remove", "esx-01", "--yes-i-mean", "esx-01")
    assert "esx-01" not in site.targets()
    with socket.create_server(("127.0.0.2", 0)) as silent:
        move(site, f"https://127.0.0.2:{silent.getsockname()[1]}/")
        assert "esx-01" in site.targets()
        site.waits(lambda there: there["demo"].state == "ready")
        site.run("target", "remove", "esx-01", "--yes-i-mean", "esx-01")
        assert "esx-01" not in site.targets()
    assert "Traceback" not in site.log()


def test_a_definition_that_changed_waits_for_the_next_start(site: Site, sim: Sim) -> None:
    """Jobs work by the known one; a target of another configuration is none of this engine's.

    A standby that was there before its target has it from then on.
    """
    early = site.config.parent / "standbys.d" / "early.toml"
    early.parent.mkdir()
    early.write_text(f'images = "{site.images}"\ntarget = "esx-01"\n')
    site.start()
    site.add(sim)
    assert site.targets()["esx-01"].standbys == 1
    site.waits(lambda there: there["esx-01"].state == "ready")
    assert "early" in site.run("target", "remove", "esx-01", "--yes-i-mean", "esx-01", code=4)
    site.run("standby", "remove", "early", "--yes-i-mean", "early")
    site.file.write_text(site.file.read_text().replace("LocalDS_0", "LocalDS_1"))
    with Client(site.state / "engine.sock") as client:
        with pytest.raises(Refused, match="started with another definition"):
            client.call("target.take", Done, target="esx-01")
        with pytest.raises(NotFound, match="has no such target"):
            client.call("target.take", Done, target="esx-02")
    site.file.unlink()
    site.run("target", "remove", "esx-01", "--yes-i-mean", "esx-01")
    assert "esx-01" not in site.targets()


def test_one_with_boot_points_on_the_host_comes_and_goes_too(site: Site, sim: Sim) -> None:
    """Its papers' folder is let go of with the session, so that it can be added again."""
    site.start()
    words = ["target", "add", "esx-01", "--url", sim.proxy.url, "--user", USER, "--anyway"]
    words += ["--password", f"file:{site.secret}", "--pin", sim.certificate.pin]
    words += ["--datastore", "LocalDS_0", "--transport", "hotadd"]
    for _ in range(2):
        assert "The running engine has taken it up." in site.run(*words)
        site.waits(lambda there: there["esx-01"].state == "ready")
        assert site.targets()["esx-01"].store == "hotadd"
        sim.proxy.calls.clear()
        told = site.run("target", "remove", "esx-01", "--yes-i-mean", "esx-01")
        assert "datastore bp-" not in told
        assert "Logout" in sim.proxy.calls
        assert set(site.targets()) == {"demo"}
    assert "Traceback" not in site.log()
