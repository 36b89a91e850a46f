"""A site whose engine is the real program, for targets that come and go while it runs."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.api.client import Client
from engine.api.views import AlertView, TargetView
from engine.model.errors import Failure
from tests.contract.doors import until
from tests.unit.cli.program import program
from tests.vcsim.simulator import PASSWORD, USER, Sim


@dataclass
class Site:
    """A site of its own, and the program run on it."""

    config: Path
    state: Path
    secret: Path
    images: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        """Return where the target's own file is, or would be."""
        return self.config.parent / "targets.d" / "esx-01.toml"

    @property
    def store(self) -> Path:
        """Return where its boot points are."""
        return self.state / "store-esx-01"

    def run(self, *words: str, code: int = 0) -> str:
        """Run the program; return what it says, errors too."""
        command = [program(), *words, "--config", str(self.config)]
        ran = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        assert ran.returncode == code, (ran.returncode, ran.stdout, ran.stderr)
        return ran.stdout + ran.stderr

    def told(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run the program; return its JSON."""
        found: dict[str, Any] = json.loads(self.run(*words, "--json", code=code))
        return found

    def add(self, sim: Sim, *more: str, code: int = 0) -> str:
        """Add the simulated host as esx-01."""
        words = ["target", "add", "esx-01", "--url", sim.proxy.url, "--user", USER]
        words += ["--password", f"file:{self.secret}", "--pin", sim.certificate.pin]
        words += ["--datastore", "LocalDS_0", "--server", "127.0.0.1"]
        return self.run(*words, *more, code=code)

    def start(self) -> None:
        """Start the engine, and wait until it answers."""
        command = [program(), "engine", "--config", str(self.config)]
        with (self.config.parent / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: self.is_up(), 60)

    def is_up(self) -> bool:
        """Tell whether the engine answers."""
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            with Client(self.state / "engine.sock"):
                return True
        except Failure:
            return False

    def stop(self) -> None:
        """End the engine."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def log(self) -> str:
        """Return the engine's log."""
        return (self.config.parent / "engine.log").read_text()

    def targets(self) -> dict[str, TargetView]:
        """Return the targets that the engine has."""
        with Client(self.state / "engine.sock") as client:
            return {one.id: one for one in client.call("targets", list[TargetView])}

    def alerts(self) -> list[str]:
        """Return what is wrong now, by its key."""
        with Client(self.state / "engine.sock") as client:
            every = client.call("alerts", list[AlertView])
            return [one.id for one in every if one.cleared_at is None]

    def waits(self, good: Callable[[dict[str, TargetView]], bool]) -> None:
        """Wait until the targets are as they shall be."""
        until(lambda: good(self.targets()), 60)


@pytest.fixture
def site(tmp_path: Path, xfs: Path) -> Iterator[Site]:
    """Yield a site whose engine is not started yet."""
    config, state = tmp_path / "etc" / "engine.toml", xfs / tmp_path.name
    config.parent.mkdir()
    config.write_text(f'state_dir = "{state}"\n[targets.demo]\nkind = "simulated"\n')
    secret, images = tmp_path / "password", tmp_path / "images"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    images.mkdir()
    made = Site(config, state, secret, images)
    yield made
    made.stop()
