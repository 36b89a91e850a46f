"""Targets that the engine adds: first contact, comparison, and the file, over the door's calls."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.api.calls import Calls
from engine.api.plans import Actor
from engine.api.roles import Role
from engine.api.target_views import AddedView, ContactView
from engine.config.engine import load_engine
from engine.esxi import esxi_adding
from engine.hypervisors.esxi.trust import shown_pin
from engine.model.errors import Failure, Refused, WrongUse
from tests.scripted import ScriptedService, site
from tests.vcsim.recorder import recording
from tests.vcsim.simulator import PASSWORD, USER, Sim, certificate

ADA = Actor("ada", Role.ADMIN)


class Asking:
    """Asks the calls of an engine that has one configuration."""

    def __init__(self, folder: Path, state: Path, sim: Sim) -> None:
        service = ScriptedService(site(1))
        self.config = folder / "etc" / "engine.toml"
        self.config.parent.mkdir()
        self.config.write_text(f'state_dir = "{state}"\n')
        service.adding = esxi_adding(self.config)
        self.secret = folder / "password"
        self.secret.write_text(PASSWORD)
        self.secret.chmod(0o600)
        self._calls = Calls(service, lambda: 0.0)
        self.words = {"name": "esx-01", "url": sim.proxy.url, "user": USER}
        self.words |= {"password": f"file:{self.secret}", "server": "127.0.0.1"}
        self.words |= {"datastore": "LocalDS_0"}

    def contact(self, **more: str) -> ContactView:
        """Ask for the certificate."""
        told = self._calls.answer("target.contact", msgspec.json.encode(self.words | more), ADA)
        assert isinstance(told, ContactView)
        return told

    def add(self, **more: object) -> AddedView:
        """Ask for the target."""
        told = self._calls.answer("target.add", msgspec.json.encode(self.words | more), ADA)
        assert isinstance(told, AddedView)
        return told


@pytest.fixture
def asking(tmp_path: Path, xfs: Path, sim: Sim) -> Asking:
    """Return an engine without targets of its own, asked by an admin."""
    return Asking(tmp_path, xfs / tmp_path.name, sim)


def test_the_certificate_is_told_before_anything_is_sent(asking: Asking, sim: Sim) -> None:
    """Fingerprint, names and dates are for a person to compare; nobody logged in."""
    seen = asking.contact()
    assert seen.sha256 == shown_pin(sim.certificate.pin)
    assert (seen.subject, seen.issuer) == ("host", "host")
    assert seen.begins is not None
    assert seen.ends is not None
    assert (seen.ends - seen.begins).days == 30
    assert sim.proxy.calls == []


def test_a_compared_certificate_is_pinned_and_the_target_written(asking: Asking, sim: Sim) -> None:
    """The pin is taken as it was shown; the same key again writes nothing again."""
    seen = asking.contact()
    done = asking.add(pin=seen.sha256, key="k")
    file = asking.config.parent / "targets.d" / "esx-01.toml"
    assert done.file == str(file)
    assert PASSWORD not in file.read_text()
    one = load_engine(asking.config).targets["esx-01"]
    assert one.esxi is not None
    assert one.esxi.pin == sim.certificate.pin
    assert asking.add(pin=seen.sha256, key="k").file == done.file
    with pytest.raises(Refused, match="There is a target esx-01 already"):
        asking.contact()


def test_nothing_is_added_without_a_comparison(asking: Asking, sim: Sim) -> None:
    """A console that forgot to ask gets no login."""
    with pytest.raises(Refused, match="Nobody has compared"):
        asking.add()
    assert sim.proxy.calls == []


def test_a_certificate_that_changed_since_gets_no_byte(asking: Asking, sim: Sim) -> None:
    """Between the page and the yes somebody else answers: the pin ends the handshake."""
    seen = asking.contact()
    with recording(certificate(asking.config.parent, "impostor"), sim.direct) as other:
        with pytest.raises(Failure) as told:
            asking.add(pin=seen.sha256, url=other.url)
        assert other.seen == b""
    assert told.value.problem.key == "target.certificate-changed"
    assert told.value.problem.unchanged.startswith("No target was added.")
    assert not (asking.config.parent / "targets.d").exists()


def test_what_stands_in_the_way_is_told_and_nothing_written(asking: Asking) -> None:
    """An unknown port group is an error; `anyway` writes it all the same."""
    pin = asking.contact().sha256
    done = asking.add(pin=pin, production="gone")
    assert done.file == ""
    assert "There is no port group gone" in " ".join(one.text for one in done.found)
    assert asking.add(pin=pin, production="gone", anyway=True).file


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Esx_01"),
        ("url", "http://esx-01/"),
        ("user", ""),
        ("password", "hunter2"),
        ("transport", "vddk"),
        ("server", "192.0.2.1"),
        ("store", "relative"),
        ("authority", "relative.pem"),
        ("datastore", "x" * 81),
    ],
)
def test_a_wrong_word_is_told_by_its_field(
    asking: Asking, sim: Sim, field: str, value: str
) -> None:
    """The console marks the field; the host was not asked; a password is not echoed."""
    more = {"transport": "hotadd"} if field == "server" else {}
    with pytest.raises(WrongUse) as told:
        asking.contact(**more, **{field: value})
    assert told.value.problem.facts["field"] == field
    assert "hunter2" not in str(told.value)
    assert sim.proxy.calls == []


def test_a_password_that_is_not_there_is_told_first(asking: Asking, sim: Sim) -> None:
    """Nobody compares a fingerprint for nothing."""
    with pytest.raises(WrongUse, match="cannot be read"):
        asking.contact(password="file:/nonexistent")
    assert sim.proxy.calls == []
