"""A host with a new certificate: nothing is sent to it before a person compared and pinned that."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from engine.cli.commands import contact
from engine.hypervisors.esxi.trust import shown_pin
from tests.esxi.living import Site, site
from tests.unit.cli.program import Program
from tests.vcsim.simulator import USER, Certificate, Sim, certificate

__all__ = ["site"]

REMARK = "# the old one was ours\n"


@pytest.fixture
def new(tmp_path: Path) -> Certificate:
    """Return another certificate for the same host."""
    (folder := tmp_path / "new").mkdir()
    return certificate(folder, "renewed")


def test_a_running_engine_goes_by_the_new_pin_at_once(
    site: Site, sim: Sim, new: Certificate
) -> None:
    """The target says what to do; after that it works in the same process, and the file tells."""
    site.start()
    site.add(sim)
    site.waits(lambda there: there["esx-01"].state == "ready")
    site.file.write_text(REMARK + site.file.read_text())
    before, pid = site.file.read_text(), site.process.pid if site.process else 0
    sim.proxy.certify(new.cert, new.key)
    sim.proxy.calls.clear()

    lost = site.run("target", "check", "esx-01", code=1)
    assert "shows another certificate than the pinned one" in lost
    assert "bootpoint target trust esx-01" in lost
    refused = site.told("target", "trust", "esx-01", code=4)["error"]
    facts = refused["facts"]
    assert (facts["sha256"], facts["pinned"]) == (new.pin, sim.certificate.pin)
    assert shown_pin(sim.certificate.pin) in refused["message"]
    wrong = site.run("target", "trust", "esx-01", "--pin", "ab" * 32, code=4)
    assert f"shows a certificate with the SHA-256 {shown_pin(new.pin)}, not AB:AB" in wrong
    assert "no password either" in wrong
    assert sim.proxy.calls == []
    assert site.file.read_text() == before

    done = site.run("target", "trust", "esx-01", "--pin", shown_pin(new.pin))
    assert "The running engine goes by it." in done
    assert "Nothing stands in the way of target esx-01." in done
    assert site.file.read_text() == before.replace(sim.certificate.pin, new.pin)
    assert site.file.read_text().startswith(REMARK)
    assert site.targets()["esx-01"].state == "ready"
    assert site.process is not None
    assert site.process.pid == pid
    assert f"trusts the new certificate of target esx-01: SHA-256 {new.pin}" in site.run("journal")
    again = site.run("target", "trust", "esx-01")
    assert "shows the certificate that is pinned" in again
    told = site.told("target", "trust", "esx-01")
    assert (told["pinned"], told["known"], told["file"]) == (new.pin, True, str(site.file))
    site.stop()
    site.start()
    site.waits(lambda there: there["esx-01"].state == "ready")
    assert "Traceback" not in site.log()


def test_one_with_boot_points_on_the_host_goes_by_it_too(
    site: Site, sim: Sim, new: Certificate
) -> None:
    """Its store and its VMs share one connection."""
    site.start()
    words = ["target", "add", "esx-01", "--url", sim.proxy.url, "--user", USER, "--anyway"]
    words += ["--password", f"file:{site.secret}", "--pin", sim.certificate.pin]
    site.run(*words, "--datastore", "LocalDS_0", "--transport", "hotadd")
    sim.proxy.certify(new.cert, new.key)
    site.run("target", "check", "esx-01", code=1)
    sim.proxy.calls.clear()
    site.run("target", "trust", "esx-01", "--pin", new.pin, code=1)  # this is no VM of the host
    assert sim.proxy.calls != []


def test_what_else_changed_waits_for_the_next_start_and_is_told(
    site: Site, sim: Sim, new: Certificate
) -> None:
    """The pin is written all the same; why the engine does not go by it is said."""
    site.start()
    site.add(sim)
    site.file.write_text(site.file.read_text().replace("LocalDS_0", "gone"))
    sim.proxy.certify(new.cert, new.key)
    done = site.run("target", "trust", "esx-01", "--pin", new.pin, code=1)
    assert "was pinned for target esx-01" in done
    assert "after its next start" in done
    assert "started with another definition" in done
    assert new.pin in site.file.read_text()


def test_without_an_engine_this_program_pins_it(site: Site, sim: Sim, new: Certificate) -> None:
    """Whoever starts next goes by it; a host that is away is told as such."""
    site.add(sim)
    sim.proxy.certify(new.cert, new.key)
    site.run("target", "check", "esx-01", code=1)
    site.run("target", "trust", "esx-01", "--pin", "12", code=2)
    told = site.run("target", "trust", "esx-01", "--pin", new.pin)
    assert "No engine answers here" in told
    assert new.pin in site.file.read_text()
    site.file.write_text(site.file.read_text().replace(str(sim.proxy.port), "1"))
    away = site.run("target", "trust", "esx-01", "--pin", new.pin, code=1)
    assert "Its pin was left as it was; nothing was sent to the host" in away
    site.run("target", "trust", "esx-02", code=2)


def test_one_of_engine_toml_is_told_what_to_write(site: Site, sim: Sim, new: Certificate) -> None:
    """No command writes that file; once it was written, the same words let the engine know."""
    site.add(sim)
    own = "\n".join(
        line if "=" in line or not line else line.replace("[", "[targets.esx-01.")
        for line in site.file.read_text().splitlines()
    )
    site.file.unlink()
    site.config.write_text(f"{site.config.read_text()}[targets.esx-01]\n{own}\n")
    site.start()
    site.waits(lambda there: there["esx-01"].state == "ready")
    sim.proxy.certify(new.cert, new.key)
    refused = site.run("target", "trust", "esx-01", "--pin", new.pin, code=4)
    assert f'pin = "{new.pin}"' in refused
    assert "no command writes it" in refused
    site.config.write_text(site.config.read_text().replace(sim.certificate.pin, new.pin))
    told = site.run("target", "trust", "esx-01")
    assert "The running engine goes by it." in told
    assert site.targets()["esx-01"].state == "ready"


def test_only_a_pinned_target_takes_another_pin(site: Site, sim: Sim, tmp_path: Path) -> None:
    """A simulated one has no certificate; an authority is another way to trust."""
    told = site.run("target", "trust", "demo", "--pin", "ab" * 32, code=4)
    assert "Target demo is simulated: no certificate is pinned for it." in told
    site.add(sim)
    text = site.file.read_text().replace(f'pin = "{sim.certificate.pin}"', 'authority = "/ca.pem"')
    site.file.write_text(text)
    told = site.run("target", "trust", "esx-01", "--pin", "ab" * 32, code=4)
    assert "it trusts who signed it: /ca.pem." in told
    assert "signed so" in told


@pytest.mark.parametrize(("typed", "code"), [("yes\n", 0), ("y\n", 4), ("", 4)])
def test_a_person_compares_the_new_one_with_the_pinned_one_beside_it(
    site: Site,
    sim: Sim,
    new: Certificate,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
) -> None:
    """Only a whole yes pins it."""
    site.add(sim)
    sim.proxy.certify(new.cert, new.key)
    sim.proxy.calls.clear()
    terminal = io.StringIO(typed)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(contact.sys, "stdin", terminal)
    monkeypatch.setattr(contact.sys.stderr, "isatty", lambda: True, raising=False)
    program = Program(site.state / "engine.sock", capsys)
    told = program("target", "trust", "esx-01", "--config", str(site.config))
    assert told.code == code, told
    assert shown_pin(sim.certificate.pin) in told.err
    assert shown_pin(new.pin) in told.err
    assert "issued to renewed by renewed\n" in told.err
    assert ("Login" in sim.proxy.calls, new.pin in site.file.read_text()) == (code == 0,) * 2
