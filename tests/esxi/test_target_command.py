"""`bootpoint target add` and `check` against a simulated host."""

from __future__ import annotations

import contextlib
import io
import socket
import stat
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.api.server import Door
from engine.cli.commands import contact as command
from engine.config.engine import load_engine
from engine.config.targets import digest
from engine.model.errors import Problem
from engine.model.machine import Gravity
from engine.ports import Finding
from engine.stores.probe import open_store
from tests.scripted import ScriptedService, target_status
from tests.unit.cli.program import Program, Ran
from tests.vcsim.simulator import PASSWORD, USER, Sim
from tests.vcsim.steps import Fault

Add = Callable[..., Ran]


@pytest.fixture
def config(tmp_path: Path, xfs: Path) -> Path:
    """Return an engine's configuration with a target of its own, on a disk that stores can use."""
    file = tmp_path / "etc" / "engine.toml"
    file.parent.mkdir()
    file.write_text(f'state_dir = "{xfs}/{tmp_path.name}"\n[targets.demo]\nkind = "simulated"\n')
    return file


@pytest.fixture
def bootpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Program:
    """Return the program; no engine answers."""
    return Program(tmp_path / "no.sock", capsys)


@pytest.fixture
def add(bootpoint: Program, config: Path, sim: Sim, tmp_path: Path) -> Add:
    """Return a call of `target add` with what every test gives."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)

    def run(*more: str, name: str = "esx-01", user: str = USER) -> Ran:
        words = ["target", "add", name, "--url", sim.proxy.url, "--user", user]
        words += ["--password", f"file:{secret}", "--config", str(config)]
        return bootpoint(*words, "--datastore", "LocalDS_0", "--server", "127.0.0.1", *more)

    return run


def test_an_added_target_is_configured_and_can_be_checked(
    add: Add, sim: Sim, bootpoint: Program, config: Path
) -> None:
    """Its file holds the pin and where the password is, never the password."""
    told = add("--pin", sim.certificate.pin.upper())
    assert told.code == 0, told
    file = config.parent / "targets.d" / "esx-01.toml"
    assert PASSWORD not in file.read_text() + told.out + told.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    one = load_engine(config).targets["esx-01"]
    assert one.esxi is not None
    assert (one.kind, one.esxi.pin, one.store.kind) == ("esxi", sim.certificate.pin, "reflink")
    checked = bootpoint("target", "check", "esx-01", "--config", str(config), "--json")
    assert checked.code == 0
    keys = {item["key"] for item in checked.told["items"]}
    assert {"esxi.version", "esxi.no-production"} <= keys


def test_a_check_that_finds_an_error_has_its_exit_code(
    add: Add, sim: Sim, bootpoint: Program, config: Path
) -> None:
    """Monitoring needs no words; nothing wrong is written, unless one says so."""
    wrong = ("--pin", sim.certificate.pin, "--production", "gone")
    refused = add(*wrong)
    assert refused.code == 1
    assert "X There is no port group gone" in refused.out
    assert "nothing was written" in refused.out
    assert not (config.parent / "targets.d" / "esx-01.toml").exists()
    told = add(*wrong, "--json")
    assert (told.code, told.told["file"]) == (1, "")
    assert add(*wrong, "--anyway").code == 0
    checked = bootpoint("target", "check", "esx-01", "--config", str(config))
    assert checked.code == 1
    assert "X There is no port group gone" in checked.out


def test_a_store_that_can_be_none_is_told_where_no_engine_runs(
    add: Add, sim: Sim, bootpoint: Program, config: Path, xfs: Path, tmp_path: Path
) -> None:
    """Before the engine's start fails by it, with what helps for this kind of target."""
    for place in (tmp_path, Path("/dev/shm")):
        refused = add("--pin", sim.certificate.pin, "--store", str(place / "new" / "store"))
        assert refused.code == 1
        assert f"X The file system of {place} cannot share bytes between files." in refused.out
        assert "    Use XFS or btrfs." in refused.out
        assert not (place / "new").exists()
    assert add("--pin", sim.certificate.pin, "--store", str(tmp_path), "--anyway").code == 0
    check = ("target", "check", "esx-01", "--config", str(config), "--json")
    found = {item["key"]: item for item in bootpoint(*check).told["items"]}
    assert found["store.no-reflink"]["gravity"] == "error"
    (other := xfs / f"other-{tmp_path.name}").mkdir()
    open_store(other, "qcow2", "other").close()
    told = add("--pin", sim.certificate.pin, "--store", str(other), "--json", name="esx-02")
    (wrong,) = [item for item in told.told["items"] if item["key"].startswith("store.")]
    assert "was made as qcow2, not as reflink" in wrong["text"]
    assert "Name an empty folder." in wrong["remedy"]


def test_without_a_terminal_the_first_contact_needs_a_pin(add: Add, sim: Sim, config: Path) -> None:
    """The fingerprint is shown, nothing is sent and nothing is written."""
    told = add("--json")
    assert told.code == 4
    assert told.told["error"]["facts"]["sha256"] == sim.certificate.pin
    assert "Login" not in sim.proxy.calls
    assert not (config.parent / "targets.d").exists()


@pytest.mark.parametrize(("typed", "code"), [("yes\n", 0), ("y\n", 4), ("", 4)])
def test_a_person_compares_the_fingerprint(
    add: Add, sim: Sim, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    """Only a whole yes pins the certificate that was shown."""
    terminal = io.StringIO(typed)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(command.sys, "stdin", terminal)
    monkeypatch.setattr(command.sys.stderr, "isatty", lambda: True, raising=False)
    told = add()
    assert told.code == code, told
    assert sim.certificate.pin[:2].upper() + ":" in told.err
    assert "issued to host by host\n" in told.err
    assert "valid from 20" in told.err
    assert ("Login" in sim.proxy.calls) == (code == 0)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("--pin", "ab" * 32), "target.certificate-changed"),
        (("--pin", "ab"), "use.wrong"),
        (("--authority", "/nonexistent.pem"), "target.authority"),
    ],
)
def test_what_cannot_be_trusted_is_not_added(
    add: Add, sim: Sim, config: Path, words: tuple[str, ...], key: str
) -> None:
    """A wrong pin sends no password and writes no file."""
    told = add(*words, "--json")
    assert told.told["error"]["key"] == key
    assert told.code in (1, 2)
    assert "Login" not in sim.proxy.calls
    assert not (config.parent / "targets.d").exists()


def test_a_wrong_user_is_not_added(add: Add, sim: Sim, config: Path) -> None:
    """A refused login is told before anything is written."""
    told = add("--pin", sim.certificate.pin, "--json", user="nobody")
    assert told.told["error"]["key"] == "target.login"
    assert not (config.parent / "targets.d").exists()


def test_a_name_is_given_once(add: Add, sim: Sim) -> None:
    """A second target of a name is refused, whichever file has the first."""
    pin = ("--pin", sim.certificate.pin)
    assert add(*pin).code == 0
    assert add(*pin).code == 4
    assert add(*pin, name="demo").code == 4
    assert add(*pin, name="No/Name").code == 2


def test_targets_that_cannot_be_checked_say_why(
    bootpoint: Program, config: Path, add: Add, sim: Sim
) -> None:
    """An unknown one is wrong use; one of another kind needs the engine; a lost host is told."""
    words = ("--config", str(config), "--json")
    assert bootpoint("target", "check", "nope", *words).code == 2
    assert bootpoint("target", "check", "demo", *words).code == 3
    add("--pin", sim.certificate.pin)
    sim.proxy.plan("Login", Fault("RestrictedVersion"))
    told = bootpoint("target", "check", "esx-01", *words)
    assert told.code == 1
    assert told.told["error"]["key"] == "target.licence"


def test_the_password_cannot_be_given_itself(bootpoint: Program, config: Path) -> None:
    """A command line is seen by others; only a reference is taken, and the value is not echoed."""
    words = ["target", "add", "x", "--url", "https://h/", "--user", "u", "--password", "hunter2"]
    told = bootpoint(*words, "--pin", "ab" * 32, "--config", str(config))
    assert told.code == 2
    assert "hunter2" not in told.out + told.err


def test_the_file_that_is_written_is_plain_toml(add: Add, sim: Sim, config: Path) -> None:
    """An operator can go on editing it."""
    add("--pin", sim.certificate.pin, "--isolated", "bp iso")
    told = tomllib.loads((config.parent / "targets.d" / "esx-01.toml").read_text())
    assert told["esxi"]["isolated"] == "bp iso"
    assert set(told) == {"kind", "uri", "esxi"}


def test_a_target_with_boot_points_on_the_host_is_added_and_tried(
    bootpoint: Program, config: Path, sim: Sim, tmp_path: Path
) -> None:
    """`--transport hotadd` needs no server; check says what is missing; a server is refused."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    words = ["target", "add", "esx-02", "--url", sim.proxy.url, "--user", USER]
    words += ["--password", f"file:{secret}", "--config", str(config), "--datastore", "LocalDS_0"]
    words += ["--pin", sim.certificate.pin, "--transport", "hotadd"]
    refused = bootpoint(*words, "--server", "127.0.0.1")
    assert refused.code == 2
    assert "no share is mounted" in refused.err
    told = bootpoint(*words, "--anyway")
    assert told.code == 0, told
    assert "no VM that is this machine" in told.out
    one = load_engine(config).targets["esx-02"]
    assert (one.store.kind, one.esxi and one.esxi.server) == ("hotadd", "")
    checked = bootpoint("target", "check", "esx-02", "--config", str(config), "--json")
    assert checked.code == 1
    assert '"esxi.appliance"' in checked.out
    assert "esxi.no-server" not in checked.out
    tried = bootpoint("target", "selftest", "esx-02", "--config", str(config))
    assert tried.code == 1
    assert "X seed" in tried.out
    assert not list(one.store.path.glob(".bootpoint-selftest*"))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("esx-01", "Perhaps: --url https://esx-01/"),
        ("http://esx-01/", "Perhaps: --url https://esx-01/"),
        ("https://esx-01:8443/ui/#/login", "Perhaps: --url https://esx-01:8443/"),
        ("https://root:hunter2@esx-01/", "Perhaps: --url https://esx-01/"),
        ("https://esx-01:70000/", "target add --help"),
        ("", "target add --help"),
    ],
)
def test_a_wrong_word_is_told_as_it_was_given(add: Add, config: Path, url: str, says: str) -> None:
    """Nobody wrote a file yet: the option is named, and no password in it is echoed."""
    told = add("--url", url)
    assert told.code == 2
    assert told.err.startswith("bootpoint: --url: found ")
    assert says in told.err
    assert "targets.d" not in told.err
    assert "hunter2" not in told.err
    named = add(name="Esx_01")
    assert "NAME: found 'Esx_01'" in named.err
    assert not (config.parent / "targets.d").exists()


def test_what_is_wrong_on_this_side_is_told_before_the_host_is_asked(
    add: Add, sim: Sim, tmp_path: Path
) -> None:
    """Nobody compares a fingerprint for nothing; two ways to trust are one too many."""
    missing = add("--password", "file:/nonexistent", "--json")
    assert (missing.code, missing.told["error"]["key"]) == (2, "secret.unreadable")
    both = add("--pin", sim.certificate.pin, "--authority", str(sim.certificate.cert))
    assert both.code == 2
    assert "--pin and --authority" in both.err
    assert sim.proxy.calls == []


@pytest.mark.parametrize("word", ["add", "selftest"])
def test_read_only_neither_adds_nor_tries(
    add: Add, sim: Sim, bootpoint: Program, config: Path, word: str
) -> None:
    """What writes a file, or makes a VM, is refused before anything is asked."""
    told = add("--pin", sim.certificate.pin, *(["--read-only"] if word == "add" else []))
    if word == "selftest":
        assert told.code == 0
        sim.proxy.calls.clear()
        words = ("target", "selftest", "esx-01", "--config", str(config))
        told = bootpoint(*words, "--read-only")
    assert told.code == 4
    assert "--read-only" in told.err
    assert sim.proxy.calls == []


def test_where_the_boot_points_lie_is_chosen(
    add: Add, sim: Sim, config: Path, tmp_path: Path, xfs: Path
) -> None:
    """The store of an ESXi target is what its hosts mount, so it is named as one adds it."""
    told = add("--pin", sim.certificate.pin, "--store", str(xfs / f"here-{tmp_path.name}"))
    assert told.code == 0
    assert f"{xfs}/here-{tmp_path.name}/.run" in told.out
    one = load_engine(config).targets["esx-01"]
    assert one.store.path == xfs / f"here-{tmp_path.name}"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://no-such-host.invalid/", "its name cannot be resolved"),
        ("https://127.0.0.2:1/", "refuses connections"),
    ],
)
def test_a_host_that_is_not_there_is_told_in_words(add: Add, url: str, says: str) -> None:
    """Before the first contact, and with a pin, that no target was added."""
    for more in ((), ("--pin", "ab" * 32)):
        told = add("--url", url, *more)
        assert told.code == 1
        assert says in told.err
        assert "No target was added." in told.err


def test_a_host_without_tls_or_with_an_old_one_is_told_apart(add: Add) -> None:
    """A port that speaks plain HTTP, and one that offers TLS 1.1 at most."""
    with answering(plain) as port:
        told = add("--url", f"https://127.0.0.2:{port}/")
    assert (told.code, "without TLS" in told.err) == (1, True), told.err
    with answering(old) as port:
        told = add("--url", f"https://127.0.0.2:{port}/", "--pin", "ab" * 32)
    assert (told.code, "TLS 1.2" in told.err) == (1, True), told.err


def plain(connection: socket.socket) -> None:
    """Answer as a web server without TLS."""
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def old(connection: socket.socket) -> None:
    """Answer as a TLS server that knows no version of the hello: an alert 70."""
    connection.recv(1000)
    connection.sendall(bytes([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 70]))


@contextlib.contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Yield the port of a server that gives each connection one answer."""
    with socket.create_server(("127.0.0.2", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ScriptedService]:
    """Yield what answers as a running engine at the program's socket."""
    service = ScriptedService()
    service.show(targets=(target_status("esx-01"),))
    door = Door(service, tmp_path / "no.sock", view=tmp_path / "view")
    door.start()
    yield service
    door.stop()


def test_one_look_is_enough_while_the_engine_runs(
    add: Add, sim: Sim, bootpoint: Program, config: Path, desk: ScriptedService
) -> None:
    """The engine looks and the command tells it; the host gets no second login."""
    assert add("--pin", sim.certificate.pin).code == 0
    desk.definition = digest(load_engine(config).targets["esx-01"])
    sim.proxy.calls.clear()
    found = Finding(Gravity.WARNING, "esxi.clock", "The clock is late.", "Set it.")
    desk.show(targets=(replace(target_status("esx-01"), findings=(found,)),))
    words = ("target", "check", "esx-01", "--config", str(config))
    told = bootpoint(*words)
    assert (told.code, sim.proxy.calls) == (0, [])
    assert "! The clock is late.\n    Set it.\n" in told.out
    why = Problem("target.login", "It refused.", "", "Correct it.")
    desk.show(targets=(replace(target_status("esx-01", str(why)), trouble=why),))
    told = bootpoint(*words, "--json")
    assert (told.code, told.told["error"]["key"], sim.proxy.calls) == (1, "target.login", [])


def test_this_program_looks_where_the_engine_would_look_at_something_else(
    add: Add, sim: Sim, bootpoint: Program, config: Path, desk: ScriptedService
) -> None:
    """A definition that was edited meanwhile is looked at, and the engine's is told old."""
    assert add("--pin", sim.certificate.pin).code == 0
    words = ("target", "check", "esx-01", "--config", str(config), "--json")
    told = bootpoint(*words)
    assert "Login" in sim.proxy.calls
    keys = [one["key"] for one in told.told["items"]]
    assert (told.code, "target.other-definition" in keys) == (0, True)
    desk.show(targets=())
    assert '"target.not-running"' in bootpoint(*words).out
    desk.definition = digest(load_engine(config).targets["esx-01"])
    why = Problem("store.away", "It is not mounted.", "", "Mount it.")
    lost = replace(target_status("esx-01", str(why)), away=str(why), trouble=why)
    desk.show(targets=(lost,))
    told = bootpoint(*words)
    assert (told.code, told.told["items"][0]["key"]) == (1, "store.away")
    assert "esxi.version" in [one["key"] for one in told.told["items"]]
    assert bootpoint(*words, "--read-only").code == 0
