"""One session per host: expiry, lost replies, silence, refused logins."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.session import Refusals, Session, clock_skew
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.local.secret import read_secret
from engine.model.errors import WrongUse
from tests.vcsim.simulator import Sim
from tests.vcsim.steps import Code, Delay, Drop, Fault, Hang, Trickle


def _make_folder(session: Session, name: str) -> None:
    """Do something that changes the host."""
    session.content.fileManager.MakeDirectory(f"[LocalDS_0] {name}", None, False)


def test_a_view_is_made_once_and_again_when_it_is_gone(each: Sim) -> None:
    """What goes later is not in it; a session that expired takes its views along."""
    session = each.session()
    (gone, _), *others = session.read_all(vim.VirtualMachine, "name")
    TaskWaiter(session).result(gone.PowerOffVM_Task(), "PowerOffVM_Task", deadline_s=20)
    gone.UnregisterVM()

    def seen() -> list[str]:
        return [ref_id(ref) for ref, _ in session.read_all(vim.VirtualMachine, "name")]

    assert seen() == [ref_id(ref) for ref, _ in others]
    assert each.proxy.count("CreateContainerView") == 1
    each.proxy.plan("RetrievePropertiesEx", Fault("ManagedObjectNotFound"))
    assert len(seen()) == len(others)
    session._stub.SetSessionId(None)
    assert len(seen()) == len(others)
    assert 3 <= each.proxy.count("CreateContainerView") <= 4
    each.proxy.plan("RetrievePropertiesEx", *[Fault("ManagedObjectNotFound")] * 2)
    with pytest.raises(faults.Gone):
        seen()
    assert len(seen()) == len(others)


def test_what_is_unset_is_missing_and_nothing_breaks(each: Sim) -> None:
    """A VM without snapshots has no such property; the rest of the answer is there."""
    session = each.session()
    for _vm, seen in session.read_all(vim.VirtualMachine, "name", "snapshot"):
        assert "snapshot" not in seen
        assert seen["name"]


def test_a_list_longer_than_a_page_is_whole(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects come in pages; each is returned once."""
    monkeypatch.setattr("engine.hypervisors.esxi.session._PAGE", 1)
    names = [seen["name"] for _, seen in sim.session().read_all(vim.Datastore, "name")]
    assert sorted(names) == ["LocalDS_0", "LocalDS_1"]


@pytest.mark.parametrize("fault", ["HostCommunication", "SystemError"])
@pytest.mark.parametrize("ask", ["RetrievePropertiesEx", "FindByUuid"])
def test_a_question_that_a_host_has_no_answer_to_now_is_asked_again(
    sim: Sim, ask: str, fault: str
) -> None:
    """An operator's step does not end by it; what lasts is told, and a change is not repeated."""
    session = sim.session()

    def question() -> object:
        if ask == "FindByUuid":
            return session.content.searchIndex.FindByUuid(None, "no", True, False)
        return session.read_all(vim.Datastore, "name")

    sim.proxy.plan(ask, Fault(fault), Fault(fault))
    question()
    sim.proxy.plan(ask, *[Fault(fault)] * 3)
    with pytest.raises(faults.HostFailure, match=f"refused {ask}"):
        question()
    sim.proxy.plan("MakeDirectory", Fault(fault))
    with pytest.raises(faults.HostFailure):
        _make_folder(session, "once")
    assert sim.proxy.count("MakeDirectory") == 1


def test_an_expired_session_is_renewed_once(sim: Sim) -> None:
    """The call that met the expiry is made again after one login."""
    session = sim.session()
    sim.proxy.plan("MakeDirectory", Fault("NotAuthenticated"))
    _make_folder(session, "renewed")
    assert sim.proxy.count("Login") == 2
    assert sim.proxy.count("MakeDirectory") == 2


def test_a_session_that_the_host_itself_ended_is_renewed(sim: Sim) -> None:
    """The same, with the host's own clock instead of a planned fault."""
    sim.expire_sessions()
    session = sim.session()
    threading.Event().wait(2.5)
    _make_folder(session, "later")
    assert sim.proxy.count("Login") == 2


def test_a_session_that_expires_at_once_is_not_renewed_for_ever(sim: Sim) -> None:
    """A second refusal right after the login is told, not tried again."""
    session = sim.session()
    sim.proxy.plan("MakeDirectory", Fault("NotAuthenticated"), Fault("NotAuthenticated"))
    with pytest.raises(faults.LoggedOut):
        _make_folder(session, "never")
    assert sim.proxy.count("Login") == 2


def test_threads_that_meet_the_expiry_together_log_in_once(sim: Sim) -> None:
    """One API session per host, also when it must be renewed."""
    session = sim.session()
    sim.proxy.expired = True
    sim.proxy.plan("Login", Delay(0.5))
    failed: list[Exception] = []

    def ask() -> None:
        try:
            session.now()
        except faults.HostFailure as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sim.proxy.count("Login") == 2
    assert sim.proxy.count("CurrentTime") > 4


def test_a_refused_login_is_not_tried_again(sim: Sim) -> None:
    """Hosts lock accounts: the same wrong password is sent once, a corrected one is tried."""
    refusals = Refusals()
    wrong = sim.account(password="wrong")
    for _ in range(3):
        with pytest.raises(faults.NeedsHuman) as refused:
            Session(wrong, refusals=refusals)
        assert refused.value.problem.key == "target.login"
    assert sim.proxy.count("Login") == 1
    Session(sim.account(), refusals=refusals).close()


def test_a_question_is_asked_again_after_a_lost_reply(sim: Sim) -> None:
    """Reading has no effect, so a dropped connection is no failure."""
    session = sim.session()
    sim.proxy.plan("RetrievePropertiesEx", Drop(), Drop(after=True))
    assert session.read(session.content.rootFolder, "name") == {"name": "ha-folder-root"}


@pytest.mark.parametrize("after", [False, True])
def test_a_change_is_never_repeated_blindly(sim: Sim, *, after: bool) -> None:
    """A lost reply to a change is told as such: the caller looks first."""
    session = sim.session()
    sim.proxy.plan("MakeDirectory", Drop(after=after))
    with pytest.raises(faults.ReplyLost):
        _make_folder(session, "once")
    assert sim.proxy.count("MakeDirectory") == 1
    if after:
        with pytest.raises(faults.HostFailure, match="exists"):
            _make_folder(session, "once")
    else:
        _make_folder(session, "once")


def test_a_silent_host_is_given_up(sim: Sim) -> None:
    """A host that accepts and never answers costs one time-out, not a thread for ever."""
    session = sim.session(timeout_s=0.5)
    sim.proxy.plan("CurrentTime", Hang())
    with pytest.raises(faults.ReplyLost) as lost:
        session.now()
    assert "in time" in str(lost.value)
    assert sim.proxy.count("CurrentTime") == 1
    session.now()


def test_a_host_that_trickles_is_given_up(sim: Sim) -> None:
    """Each byte comes in time and the whole never does: the call has an end of its own."""
    session = sim.session(timeout_s=0.4)
    sim.proxy.plan("CurrentTime", Trickle(0.05))
    with pytest.raises(faults.ReplyLost) as lost:
        session.now()
    assert "in time" in str(lost.value)
    assert sim.proxy.count("CurrentTime") == 1
    session.now()


def test_a_silent_login_is_given_up(sim: Sim) -> None:
    """The time-out holds from the first call on."""
    sim.proxy.plan("Login", Hang())
    with pytest.raises(faults.ReplyLost):
        sim.session(timeout_s=0.5)


def test_http_errors_are_lost_replies(sim: Sim) -> None:
    """A 503 in between is asked again, three in a row are told."""
    session = sim.session()
    sim.proxy.plan("CurrentTime", Code(503), Code(502))
    session.now()
    sim.proxy.plan("CurrentTime", *[Code(503)] * 3)
    with pytest.raises(faults.ReplyLost):
        session.now()


@pytest.mark.parametrize(
    ("fault", "kind", "key"),
    [
        ("RestrictedVersion", faults.NeedsHuman, "target.licence"),
        ("NoPermission", faults.NeedsHuman, "target.privilege"),
        ("TaskInProgress", faults.HostBusy, "target.busy"),
        ("HostCommunication", faults.HostBusy, "target.host-away"),
        ("NoDiskSpace", faults.HostFailure, "target.full"),
        ("TooManySnapshotLevels", faults.HostFailure, "target.depth"),
        ("FileLocked", faults.HostBusy, "target.locked"),
        ("ConcurrentAccess", faults.HostBusy, "target.busy"),
        ("Timedout", faults.HostFailure, "target.fault"),
    ],
)
def test_faults_are_told_in_our_words(
    sim: Sim, fault: str, kind: type[faults.HostFailure], key: str
) -> None:
    """Each fault says what it means and how to go on; the host's own name of it is kept."""
    session = sim.session()
    sim.proxy.plan("MakeDirectory", Fault(fault, privilege="Datastore.FileManagement"))
    with pytest.raises(faults.HostFailure) as told:
        _make_folder(session, "x")
    assert type(told.value) is kind
    assert told.value.problem.key == key
    assert told.value.problem.facts["fault"] == fault
    assert ("Datastore.FileManagement" in str(told.value)) == (fault == "NoPermission")


def test_what_a_host_says_cannot_steer_a_terminal(sim: Sim) -> None:
    """Texts of a fault are hostile."""
    session = sim.session()
    sim.proxy.plan("MakeDirectory", Fault("FileLocked", text="&#x9b;31m gone"))
    with pytest.raises(faults.HostFailure) as told:
        _make_folder(session, "x")
    assert "\x9b" not in str(told.value)


def test_clocks_are_compared(sim: Sim) -> None:
    """The simulated host has this machine's clock."""
    skew, took = clock_skew(sim.session(), SystemClock().now)
    assert abs(skew) < 5
    assert took >= 0


def test_a_password_is_named_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that others can read is refused; systemd's credentials are found by name."""
    file = tmp_path / "secret"
    file.write_text("öpen\n")
    file.chmod(0o640)
    with pytest.raises(WrongUse, match="0600"):
        read_secret(f"file:{file}")
    file.chmod(0o600)
    assert read_secret(f"file:{file}") == "öpen"
    with pytest.raises(WrongUse):
        read_secret("credential:secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    assert read_secret("credential:secret") == "öpen"


@pytest.mark.parametrize(
    ("kind", "says"),
    [("folder", "no plain file"), ("link", "a link"), ("empty", "empty"), ("two", "more than one")],
)
def test_each_odd_password_file_is_told_as_what_it_is(tmp_path: Path, kind: str, says: str) -> None:
    """`chmod` mends neither a folder nor a link, so nobody is sent to do that."""
    place = tmp_path / kind
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(tmp_path / "two")
    else:
        place.write_text("" if kind == "empty" else "one\ntwo\n")
        place.chmod(0o600)
    with pytest.raises(WrongUse, match=says):
        read_secret(f"file:{place}")


@pytest.mark.parametrize("password", ["s3cret", "pä<ß>&\"']]>€ %s", " spaces around "])
def test_a_password_comes_through_as_it_is(tmp_path: Path, password: str) -> None:
    """A byte order mark that an editor wrote is not part of it; XML's own characters are."""
    file = tmp_path / "password"
    file.write_bytes(b"\xef\xbb\xbf" + password.encode() + b"\r\n")
    file.chmod(0o600)
    assert read_secret(f"file:{file}") == password
    for odd in ("secret", "file:relative", "credential:../x", "keyring:x", "credential:missing"):
        with pytest.raises(WrongUse):
            read_secret(odd)
