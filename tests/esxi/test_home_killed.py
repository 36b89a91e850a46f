"""Bringing home with the engine's process killed (SIGKILL) at each of its steps on the host."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.model.machine import Power
from tests.esxi.test_home import hosts
from tests.vcsim.homing import from_share, is_home, mounted
from tests.vcsim.simulator import TOP, Sim
from tests.vcsim.stage import VM, Stage
from tests.vcsim.steps import Delay, Hang

__all__ = ["hosts"]

PLACES = {"esxi": "", "vcenter": "DC1_C0"}
STEPS = {
    "vcenter": [
        ("ReconfigVM_Task", 0),
        ("RelocateVM_Task", 0),
        ("ReconfigVM_Task", 1),
        ("ReconfigVM_Task", 2),
        ("RemoveDatastore", 0),
        ("RemoveDatastore", 1),
    ],
    "esxi": [
        ("ShutdownGuest", 0),
        ("CopyVirtualDisk_Task", 0),
        ("CopyVirtualDisk_Task", 1),
        ("ReconfigVM_Task", 4),
        ("PowerOnVM_Task", 0),
        ("RemoveDatastore", 0),
    ],
}
"""Which call of a method is the last one of the engine's life."""
ALWAYS = {
    ("RelocateVM_Task", 0, True),
    ("RemoveDatastore", 1, False),
    ("CopyVirtualDisk_Task", 1, False),
    ("ReconfigVM_Task", 4, True),
}


def _steps() -> Iterator[Any]:
    """Yield each step before and after its effect; all but a few are nightly."""
    for model, calls in STEPS.items():
        for method, number in calls:
            for is_after in (False, True):
                is_nightly = (method, number, is_after) not in ALWAYS
                yield pytest.param(
                    *(model, method, number, is_after),
                    id=f"{model}-{method}-{number}-{'after' if is_after else 'before'}",
                    marks=pytest.mark.nightly if is_nightly else (),
                )


class Site:
    """A VM that runs from the share, and engines that come and go."""

    def __init__(self, stage: Stage, place: str) -> None:
        self.stage, self._place = stage, place

    @contextmanager
    def engine(self, to: str = "") -> Iterator[subprocess.Popen[str]]:
        """Yield an engine that brings the VM home; it is killed with the block."""
        proxy, run = self.stage.sim.proxy, self.stage.store.path / ".run"
        words = [proxy.url, self.stage.sim.certificate.pin, self.stage.folder / "state", run]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.vcsim.going_home", *map(str, words), self._place, to],
            cwd=TOP,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def brings(self, to: str = "") -> str:
        """Return the last line of an engine that comes to its end."""
        with self.engine(to) as process:
            told, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return told.splitlines()[-1].strip()


@pytest.fixture
def site(
    request: pytest.FixtureRequest, hosts: dict[str, Sim], xfs: Path, tmp_path: Path
) -> Iterator[Site]:
    """Yield it on the model that the test names."""
    place = PLACES[request.param]
    for stage in from_share(hosts[request.param], xfs, tmp_path, place=place):
        yield Site(stage, place)


def _is_whole(site: Site) -> None:
    """Check that the VM is home by one move or one copy a disk, and the share is gone."""
    is_home(site.stage)
    assert mounted(site.stage) == []
    (folder,) = site.stage.on("LocalDS_0").glob(VM)
    assert len(list(folder.glob("*-flat.vmdk"))) == 2


@pytest.mark.parametrize(("site", "method", "number", "is_after"), [*_steps()], indirect=["site"])
def test_an_engine_that_is_killed_is_followed_by_one_that_goes_on(
    site: Site, method: str, number: int, *, is_after: bool
) -> None:
    """Killed before a call has had its effect, or after it, with the answer under way."""
    proxy, reached, over = site.stage.sim.proxy, threading.Event(), threading.Event()
    moved = proxy.effects.get(method, lambda: None)

    def effect() -> None:
        moved()
        if proxy.count(method) == number + 1 and not over.is_set():
            reached.set()
            over.wait(60)

    if is_after:
        proxy.effects[method] = effect
    else:
        proxy.plan(method, *[Delay(0.0)] * number, Hang())
    with site.engine() as process:
        if is_after:
            assert reached.wait(60)
        else:
            _until(lambda: proxy.count(method) > number)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    over.set()
    assert site.brings() == "home LocalDS_0"
    _is_whole(site)
    moves, copies = proxy.count("RelocateVM_Task"), proxy.count("CopyVirtualDisk_Task")
    assert moves <= 1 + (not is_after)
    assert copies <= 2 + (method == "CopyVirtualDisk_Task")


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_so():
            return
        threading.Event().wait(0.1)
    raise AssertionError("it never came so far")


@pytest.mark.parametrize("site", ["vcenter"], indirect=True)
def test_a_move_goes_on_without_the_engine_and_the_next_one_follows_it(site: Site) -> None:
    """Killed at ten percent: the vCenter goes on, and no second move is begun."""
    sim = site.stage.sim
    moved, begun = sim.proxy.effects["RelocateVM_Task"], threading.Event()

    def begin() -> None:
        sim.proxy.running += [10] * 100_000
        begun.set()

    sim.proxy.effects["RelocateVM_Task"] = begin
    with site.engine() as process:
        assert begun.wait(60)
        assert process.stdout is not None
        while "move to LocalDS_0" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    signs = site.stage.target.signs_of_life(VM)
    assert (signs.power, signs.leaving) == (Power.ON, "LocalDS_0")
    with site.engine() as process:
        assert process.stdout is not None
        while "move to LocalDS_0" not in process.stdout.readline():
            pass
        moved()
        sim.proxy.running.clear()
        told, _ = process.communicate(timeout=60)
    assert told.splitlines()[-1].strip() == "home LocalDS_0"
    assert sim.proxy.count("RelocateVM_Task") == 1
    _is_whole(site)
