"""Builds vcsim once, and runs it for a test behind the proxy."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.hypervisors.esxi.session import Account, Refusals, Session
from engine.hypervisors.esxi.trust import Trust
from engine.local.durable import file_lock
from tests.vcsim import proxy

TOP = Path(__file__).parents[2]
USER, PASSWORD = "operator", "s3cret-of-the-tests"
SOURCES = "/usr/share/gocode"


def build() -> Path:
    """Return the program, built when its source is newer; the first time takes a minute."""
    place, owner = TOP / "build", TOP.stat()
    if not place.exists():
        place.mkdir()
        # The tests run as root; what they leave in a user's work tree is the user's.
        os.chown(place, owner.st_uid, owner.st_gid)
    newest = max(one.stat().st_mtime for one in Path(__file__).parent.glob("*.go"))
    program = place / "vcsim"
    with file_lock(place / ".lock", wait=True):
        if not program.exists() or program.stat().st_mtime < newest:
            go = {"GO111MODULE": "off", "GOPATH": SOURCES, "CGO_ENABLED": "0"}
            cache = {"GOCACHE": str(place / "gocache"), "GOFLAGS": "-buildvcs=false"}
            command = ["go", "build", "-o", str(program), "./tests/vcsim"]
            as_owner = {"user": owner.st_uid, "group": owner.st_gid}
            subprocess.run(command, cwd=TOP, env=os.environ | go | cache, check=True, **as_owner)
    return program


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate, its key, and the SHA-256 of its DER form."""

    cert: Path
    key: Path
    pin: str


def certificate(folder: Path, name: str, *, issuer: Certificate | None = None) -> Certificate:
    """Make a certificate for 127.0.0.2, signed by itself or by an authority."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    wanted = ["-subj", f"/CN={name}", "-days", "30", "-nodes", "-newkey", "rsa:2048"]
    names = ["-addext", "subjectAltName=IP:127.0.0.2"] if issuer or name != "authority" else []
    signed = ["-CA", str(issuer.cert), "-CAkey", str(issuer.key)] if issuer else []
    _openssl("req", "-x509", *wanted, *names, *signed, "-keyout", str(key), "-out", str(cert))
    told = _openssl("x509", "-in", str(cert), "-noout", "-fingerprint", "-sha256")
    return Certificate(cert, key, told.split("=")[1].strip().replace(":", "").lower())


def _openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout


@dataclass
class Sim:
    """A running vcsim and the proxy before it.

    Attributes:
        direct: Address without the proxy, for whoever plays the foreigner.
        folder: Its working directory: relative paths of NFS mounts begin here.
        is_plain: Nobody goes through the proxy, which knows some calls that vcsim does not.
    """

    direct: str
    control: str
    folder: Path
    proxy: proxy.Proxy
    certificate: Certificate
    opened: list[Session] = field(default_factory=list)
    is_plain: bool = False

    def account(
        self, *, target: str = "esx-01", past_proxy: bool = False, **changes: str
    ) -> Account:
        """Return how to log in."""
        pin, password = changes.get("pin", self.certificate.pin), changes.get("password", PASSWORD)
        url = f"https://{self.direct}/" if past_proxy or self.is_plain else self.proxy.url
        return Account(target, url, changes.get("user", USER), lambda: password, Trust(pin))

    def session(self, *, timeout_s: float = 20, **changes: str) -> Session:
        """Log in through the proxy."""
        return self._open(self.account(**changes), timeout_s)

    def foreigner(self) -> Session:
        """Log in past the proxy: somebody else with a vSphere client."""
        return self._open(self.account(past_proxy=True), 20)

    def _open(self, account: Account, timeout_s: float) -> Session:
        self.opened.append(Session(account, timeout_s=timeout_s, refusals=Refusals()))
        return self.opened[-1]

    def close(self) -> None:
        """Let go of all sessions."""
        for session in self.opened:
            session.drop_connections()

    def expire_sessions(self) -> None:
        """Let sessions begun from now on expire after a second without a call."""
        self._order("idle?seconds=1")

    def moved(self) -> None:
        """Let the files of each VM that was relocated go where it was told to."""
        self._order("moved")

    def _order(self, what: str) -> None:
        request = urllib.request.Request(f"http://{self.control}/{what}", method="POST", data=b"")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def set(self, ref: Any, path: str, value: object) -> None:
        """Let a property of an object be so, where the API has no way to make it."""
        words = {"kind": type(ref).__name__.rpartition(".")[2], "id": ref._moId, "path": path}
        url = f"http://{self.control}/set?{urllib.parse.urlencode(words)}"
        request = urllib.request.Request(url, method="POST", data=json.dumps(value).encode())
        with urllib.request.urlopen(request, timeout=10):
            pass


@contextmanager
def running(folder: Path, made: Certificate, *options: str) -> Iterator[Sim]:
    """Run vcsim with the proxy before it.

    Args:
        options: Of the program, such as `-esx`.
    """
    words = ["-username", USER, "-password", PASSWORD, "-tlscert", str(made.cert)]
    process = subprocess.Popen(
        [str(build()), *words, "-tlskey", str(made.key), *options],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        control = process.stdout.readline().split()[1]
        direct = process.stdout.readline().split()[1]
        with proxy.running(direct, made.cert, made.key) as before:
            before.control = control
            sim = Sim(direct, control, folder, before, made)
            try:
                yield sim
            finally:
                sim.close()
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(timeout=20)


Start = Callable[..., Sim]
