"""A start with the engine's process killed (SIGKILL) at its steps on the host; the next goes on."""

from __future__ import annotations

import json
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from tests.site import BOOTPOINT, MIB, Site, make_site, wait_for
from tests.vcsim.simulator import PASSWORD, USER, Sim
from tests.vcsim.steps import Hang, Queued

_TARGET = """
[targets.esx-01]
kind = "esxi"
uri = "{url}"
store = {{ path = "{store}" }}
[targets.esx-01.esxi]
user = "{user}"
password = "file:{secret}"
pin = "{pin}"
datastore = "LocalDS_0"
isolated = "bp-isolated"
server = "127.0.0.1"
"""


@pytest.fixture
def site(sim: Sim, xfs: Path, tmp_path: Path) -> Iterator[Site]:
    """Give a site with one image, whose standby is kept on a simulated host."""
    made = make_site(tmp_path)
    store, secret = xfs / uuid.uuid4().hex, tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    told = {"url": sim.proxy.url, "pin": sim.certificate.pin, "user": USER}
    with (tmp_path / "engine.toml").open("a") as file:
        file.write(_TARGET.format(store=store, secret=secret, **told))
    with (tmp_path / "standbys.d/erp.toml").open("a") as file:
        file.write('target = "esx-01"\n')
    (sim.folder / "bp-esx-01").symlink_to(store / ".run")
    made.disk.write_bytes(b"data" * (MIB // 2))
    made.copy(*made.image())
    yield made
    sim.proxy.forget()


def ask(site: Site, *words: str) -> dict:
    """Return what the program says to a command, as JSON."""
    socket = site.folder / "state/engine.sock"
    done = subprocess.run(
        [BOOTPOINT, "--socket", socket, *words, "--json"], capture_output=True, check=True
    )
    return json.loads(done.stdout)


def jobs(site: Site, kind: str) -> list[str]:
    """Return how each job of a kind went, oldest first."""
    told = ask(site, "jobs")["items"]
    return [one["status"] for one in reversed(told) if one["kind"] == kind]


def vms(sim: Sim) -> list[str]:
    """Return what each VM of the standby's name does."""
    told = sim.foreigner().read_all(vim.VirtualMachine, "name", "runtime.powerState")
    return [str(one["runtime.powerState"]) for _, one in told if one["name"] == "erp"]


@pytest.mark.parametrize(
    ("method", "is_after"),
    [
        ("ReconfigVM_Task", False),
        pytest.param("ReconfigVM_Task", True, marks=pytest.mark.nightly),
        pytest.param("PowerOnVM_Task", False, marks=pytest.mark.nightly),
        ("PowerOnVM_Task", True),
    ],
)
def test_a_start_is_gone_on_with(site: Site, sim: Sim, method: str, *, is_after: bool) -> None:
    """Killed before a call has had its effect, or after it, with the answer under way."""
    reached, over = threading.Event(), threading.Event()

    def effect() -> None:
        if not over.is_set():
            reached.set()
            over.wait(60)

    engine = site.start()
    try:
        site.wait_ready(1)
        wait_for(lambda: jobs(site, "arm") == ["done"], 60, site.log)
        sim.proxy.calls.clear()
        if is_after:
            sim.proxy.effects[method] = effect
        else:
            sim.proxy.plan(method, Hang())
        ask(site, "start", "erp")
        wait_for(lambda: reached.is_set() if is_after else sim.proxy.count(method), 60, site.log)
    finally:
        engine.kill()
        engine.wait(10)
        over.set()
    with site.engine():
        wait_for(lambda: jobs(site, "start") == ["failed", "done"], 60, site.log)
        assert vms(sim) == ["poweredOn"]
        asked_in_vain = (method, is_after) == ("PowerOnVM_Task", False)
        assert sim.proxy.count("PowerOnVM_Task") == 1 + asked_in_vain
        ask(site, "stop", "erp", "--yes-i-mean", "erp", "--wait")
        assert vms(sim) in ([], ["poweredOff"])


def test_the_next_engine_knows_whether_the_last_one_was_killed(site: Site, sim: Sim) -> None:
    """Then it lets the host settle before it changes a VM; after a goodbye it does not wait."""
    sign = site.folder / "state/targets/esx-01/in-use"
    with site.engine():
        site.wait_ready(1)
        wait_for(lambda: jobs(site, "arm") == ["done"], 60, site.log)
        assert sign.exists()
    assert not sign.exists()
    assert "did not say goodbye" not in site.log()
    engine = site.start()
    wait_for(sign.exists, 60, site.log)
    engine.kill()
    engine.wait(10)
    with site.engine():
        assert "no VM is changed for 5 s" in site.log()
        ask(site, "start", "erp")
        wait_for(lambda: jobs(site, "start") == ["done"], 60, site.log)
        ask(site, "stop", "erp", "--yes-i-mean", "erp", "--wait")
    assert not sign.exists()


@pytest.mark.parametrize(
    "method", [pytest.param("ReconfigVM_Task", marks=pytest.mark.nightly), "PowerOnVM_Task"]
)
def test_a_start_that_its_host_is_still_at_is_waited_for(site: Site, sim: Sim, method: str) -> None:
    """Killed while the host has the task queued: the next engine asks for nothing twice."""
    engine = site.start()
    try:
        site.wait_ready(1)
        wait_for(lambda: jobs(site, "arm") == ["done"], 60, site.log)
        sim.proxy.calls.clear()
        sim.proxy.plan(method, Queued(12))
        ask(site, "start", "erp")
        wait_for(lambda: sim.proxy.count(method), 60, site.log)
    finally:
        engine.kill()
        engine.wait(10)
    with site.engine():
        wait_for(lambda: jobs(site, "start") == ["failed", "done"], 60, site.log)
        assert vms(sim) == ["poweredOn"]
        assert sim.proxy.count("PowerOnVM_Task") == 1
        ask(site, "stop", "erp", "--yes-i-mean", "erp", "--wait")
