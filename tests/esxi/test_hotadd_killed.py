"""Engines killed (SIGKILL) anywhere in a whole cycle of `hotadd`; the last one ends as if none was.

before   the call has no effect          queued   its task begins later
after    it has, the answer has not      late     it has it once the next engine has begun
"""

from __future__ import annotations

import functools
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.esxi.conftest import MODELS, seeds
from tests.vcsim.kept import Kept
from tests.vcsim.simulator import TOP, Certificate, Sim, running
from tests.vcsim.steps import Hang, Queued, Step

CHANGES = frozenset(
    {
        *("CreateVM_Task", "ReconfigVM_Task", "Destroy_Task"),
        *("CreateSnapshot_Task", "RevertToSnapshot_Task", "RemoveSnapshot_Task"),
        *("PowerOnVM_Task", "PowerOffVM_Task"),
    }
)
LASTING = frozenset({"CreateVM_Task", "RemoveSnapshot_Task"})
"""Those that the proxy cannot let wait as tasks: they are not a VM's."""
CALLS = 64
"""Changing calls of an undisturbed cycle, about."""
QUIET_S = 4.0
KINDS = ("before", "after", "queued", "late")


@dataclass(frozen=True)
class Kill:
    """The end of a process: at which of its changing calls, and what becomes of the call."""

    number: int
    kind: str
    seconds: float = 0.0


class Lives:
    """A simulated host, and engines that come and go."""

    def __init__(self, sim: Sim, folder: Path) -> None:
        """Have a host without a standby VM."""
        self.sim, self._folder = sim, folder
        self._kept = Kept(sim, folder)
        self.quiet_s = QUIET_S
        self.log: list[str] = []
        self._next = threading.Event()

    def live(self, kill: Kill | None = None) -> Mapping[str, Any] | None:
        """Let an engine live until it is killed, or to its end; return what it tells then."""
        at, reached = 0, threading.Event()
        begun, self._next = self._next, threading.Event()

        def chooses(method: str) -> Step | None:
            nonlocal at
            begun.set()
            if kill is None or method not in CHANGES or reached.is_set():
                return None
            at += 1
            if at <= kill.number:
                return None
            self.log.append(f"{kill.kind} {kill.seconds:.1f} at call {at - 1}, {method}")
            return self._last(kill, method, reached)

        proxy = self.sim.proxy
        proxy.chooses = chooses
        words = [self._folder, proxy.url, f"https://{self.sim.direct}/", self.sim.certificate.pin]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.vcsim.cycling", *map(str, words), str(self.quiet_s)],
            cwd=TOP,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while process.poll() is None and not reached.wait(0.02):
                pass
            if reached.is_set():
                process.kill()
            told, wrong = process.communicate(timeout=180)
        proxy.chooses = None
        if reached.is_set():
            return None
        assert process.returncode == 0, f"{self.log}: {wrong[-3000:]}"
        return json.loads(told)

    def _last(self, kill: Kill, method: str, reached: threading.Event) -> Step:
        """Return what befalls the last call of a life, which ends once that is reached."""
        after = self._next

        def late() -> None:
            after.wait(60)
            self.sim.proxy.rest(kill.seconds)

        if kill.kind == "after":
            return Hang(lambda: threading.Timer(0.15, reached.set).start())
        reached.set()
        if kill.kind == "before":
            return Hang()
        if kill.kind == "queued" and method not in LASTING:
            return Queued(kill.seconds)
        return Hang(late)

    def end(self) -> Mapping[str, Any]:
        """Let an engine live to its end."""
        told = self.live()
        assert told is not None
        return told


@pytest.fixture
def lives(chosen: Sim, tmp_path: Path) -> Iterator[Lives]:
    """Yield a host without a standby VM."""
    yield Lives(chosen, tmp_path)
    chosen.proxy.forget()


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, made: Certificate
) -> Callable[[str], Mapping[str, Any]]:
    """Return what tells how a cycle ends that nobody disturbs, on a model."""

    @functools.cache
    def told(model: str) -> Mapping[str, Any]:
        folder = tmp_path_factory.mktemp(model)
        with running(folder, made, *MODELS[model]) as sim:
            return Lives(sim, folder).end()

    return told


def _kills(seed: int) -> list[Kill]:
    rng = random.Random(seed)
    return [
        Kill(rng.randrange(CALLS >> n), rng.choice(KINDS), rng.uniform(0.1, QUIET_S - 1))
        for n in range(rng.choice((1, 2, 2, 3)))
    ]


@pytest.mark.parametrize(("chosen", "seed"), seeds(0, up_to=5), indirect=["chosen"])
def test_killed_engines_leave_nothing_that_the_next_does_not_mend(
    lives: Lives, undisturbed: Callable[[str], Mapping[str, Any]], seed: int
) -> None:
    """VMs, snapshots, layers and boot points are those of a cycle that nobody disturbed."""
    for kill in _kills(seed):
        lives.live(kill)
    model = "vcenter" if lives.sim.foreigner().is_vcenter else "esxi"
    assert lives.end() == undisturbed(model), lives.log
