"""Something else than the host answers: it is never believed, and told in words."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.inventory import look
from engine.hypervisors.esxi.looking import Looking
from engine.hypervisors.esxi.preflight import Wishes, findings
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.machine import Power
from tests.vcsim.looks import ENVELOPE
from tests.vcsim.simulator import PASSWORD, Certificate, Sim, running
from tests.vcsim.stage import SPEC, VM, Stage
from tests.vcsim.steps import Code, Fault, Raw, Says, Step

WISHES = Wishes("", "LocalDS_0", "VM Network", "bp-isolated", "127.0.0.1", "/srv/bp/.run")
OTHER = b'<OtherResponse xmlns="urn:vim25"><returnval>x</returnval></OtherResponse>'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
WRONG: dict[str, Step] = {
    "html": Says(b"<html><body>Sign in<br></body></html>"),
    "xhtml": Says(b"<html><body>Sign in</body></html>"),
    "error page": Says(b"<html><body>Bad gateway</body></html>", status=500),
    "empty": Says(),
    "half": Says(half=True),
    "other": Says(OTHER),
    "bytes": Says(b"\xff\xfe\x00"),
    "entities": Says(b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>'),
    "redirect": Code(302),
    "sign in": Code(401),
    "unavailable": Code(503),
    "too many": Raw(b"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
    "reset": Raw(HEAD + b"Content-Length: 500\r\n\r\n<?xml", reset=True),
    "too short": Raw(HEAD + b"Content-Length: 60\r\n\r\n%b", host=True),
    "half a chunk": Raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n<?xml"),
    "no chunk": Raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n<?xml"),
    "no gzip": Says(b"0123456789", packed=True),
    "half gzip": Says(gzip.compress(OTHER)[:-12], packed=True),
    "encoding": Says(b"<?xml version='1.0' encoding='klingon'?><a/>"),
    "deep": Says(b"<a>" * 50_000),
    "no HTTP": Raw(b"SSH-2.0-OpenSSH_9\r\n"),
}


def _says(body: bytes, status: int = 200) -> Step:
    """Answer with a body in SOAP's envelope."""
    return Says(ENVELOPE.format(body.decode()).encode(), status)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, made: Certificate) -> Iterator[Sim]:
    """Yield one host for all tests."""
    with running(tmp_path_factory.mktemp("wrong"), made, "-esx") as started:
        yield started


@pytest.fixture(scope="module")
def session(host: Sim) -> Session:
    """Return one session for all tests."""
    return host.session()


@pytest.fixture(autouse=True)
def _nothing_planned(host: Sim) -> Iterator[None]:
    yield
    host.proxy.forget()


def _asked(host: Sim, session: Session, method: str) -> Callable[[], object]:
    """Return what asks by a method."""
    return {
        "RetrieveServiceContent": host.session,
        "Login": host.session,
        "RetrievePropertiesEx": lambda: session.read_all(vim.VirtualMachine, "name"),
        "FindByUuid": lambda: session.content.searchIndex.FindByUuid(None, "0" * 32, True, False),
    }[method]


def _make_folder(session: Session, name: str) -> Any:
    centre = session.read_all(vim.Datacenter, "name")[0][0]
    return session.content.fileManager.MakeDirectory(f"[LocalDS_0] {name}", centre, False)


def _ask_all(session: Session, name: str) -> None:
    session.now()
    _make_folder(session, name)
    session.content.searchIndex.FindByUuid(None, "0" * 32, True, False)


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    "method", ["RetrieveServiceContent", "Login", "RetrievePropertiesEx", "FindByUuid"]
)
def test_a_question_is_not_answered_by_somebody_else(
    host: Sim, session: Session, method: str, wrong: str
) -> None:
    """Above all it does not mean that a VM is not there, or that we are logged in."""
    host.proxy.plan(method, *[WRONG[wrong]] * 3)
    with pytest.raises(faults.ReplyLost) as told:
        _asked(host, session, method)()
    problem = told.value.problem
    assert problem.remedy
    assert method in problem.happened
    assert PASSWORD not in str(told.value) + repr(problem.facts)


@pytest.mark.parametrize(
    "method", ["RetrieveServiceContent", "Login", "RetrievePropertiesEx", "FindByUuid"]
)
def test_a_fault_is_one_whatever_its_status(host: Sim, session: Session, method: str) -> None:
    """A gateway that makes 200 of each status lets nobody in, and no VM be a fault."""
    fault = (
        b"<soapenv:Fault><faultcode>x</faultcode><faultstring>boo</faultstring><detail>"
        b'<NoPermissionFault xmlns="urn:vim25" xsi:type="NoPermission">'
        b'<object type="Folder">f</object>'
        b"<privilegeId>System.Read</privilegeId></NoPermissionFault></detail></soapenv:Fault>"
    )
    host.proxy.plan(method, _says(fault))
    with pytest.raises(faults.NeedsHuman, match=r"System\.Read is missing"):
        _asked(host, session, method)()


TYPED = {
    "FindByUuid": b'<returnval xsi:type="xsd:string">vm-1</returnval>',
    "CurrentTime": b'<returnval xsi:type="xsd:int">7</returnval>',
    "RetrievePropertiesEx": b'<returnval xsi:type="xsd:string">vm-1</returnval>',
}


@pytest.mark.parametrize("method", TYPED)
def test_a_result_of_another_type_is_none(host: Sim, session: Session, method: str) -> None:
    """A text is no VM, and a number no time: whoever uses it would fail in words of ours."""
    body = b'<%sResponse xmlns="urn:vim25">%s</%sResponse>'
    host.proxy.plan(method, *[_says(body % (method.encode(), TYPED[method], method.encode()))] * 3)
    ask = session.now if method == "CurrentTime" else _asked(host, session, method)
    with pytest.raises(faults.ReplyLost, match="another type"):
        ask()


@pytest.mark.parametrize(
    "told",
    [
        b'<name>config.hardware.device</name><val xsi:type="xsd:string">abc</val>',
        b'<name>runtime.powerState</name><val xsi:type="VirtualMachinePowerState">later</val>',
        b"<name>runtime.powerState</name>",
    ],
    ids=["devices", "a power state of tomorrow", "no value"],
)
def test_a_property_of_another_type_is_not_told(host: Sim, told: bytes) -> None:
    """A text is no list of devices without a disk, and what nobody knows is not off."""
    session = host.session()
    (ref, seen), *_ = session.read_all(vim.VirtualMachine, "name")
    rest = (
        ("name", "string", seen["name"]),
        ("runtime.connectionState", "string", "connected"),
        ("runtime.powerState", "string", "poweredOff"),
    )
    for name, kind, value in rest:
        if name.encode() not in told:
            val = f"<name>{name}</name><val xsi:type='xsd:{kind}'>{value}</val>"
            told += f"</propSet><propSet>{val}".encode()
    body = b'<objects><obj type="VirtualMachine">%s</obj><propSet>%s</propSet></objects>' % (
        ref_id(ref).encode(),
        told,
    )
    name = b"RetrievePropertiesExResponse"
    answer = b'<%s xmlns="urn:vim25"><returnval>%s</returnval></%s>' % (name, body, name)
    host.proxy.plan("RetrievePropertiesEx", *[_says(answer)] * 3)
    with pytest.raises(faults.ReplyLost):
        Looking(session, TaskWaiter(session), "engine").look(ref)


_DISK = """<VirtualDevice xsi:type="VirtualDisk"><key>2000</key>
<backing xsi:type="VirtualDiskFlatVer2BackingInfo"><fileName>[ds] web/disk0.vmdk</fileName>
<diskMode>persistent</diskMode>%s</backing><capacityInKB>1024</capacityInKB></VirtualDevice>"""
_SHARES = (_DISK % "").replace(
    "</capacityInKB>", "</capacityInKB><shares><shares>1000</shares><level>%s</level></shares>"
)
ODD = {
    "a value of tomorrow": _SHARES % "most",
    "a value with a strange name": _SHARES % "values",
    "an empty value": _SHARES % "",
    "a field of tomorrow": _DISK % "<novelty>1</novelty>",
    "a field with fields": _DISK
    % "<novelty xsi:type='Novelty'><key>1</key><deep><er>x</er></deep></novelty>",
    "a text for a value": _DISK % "<sharing>sharingWithAll</sharing>",
    "an empty item": f"<VirtualDevice xsi:nil='true'><key>1</key></VirtualDevice>{_DISK % ''}",
}


@pytest.mark.parametrize("odd", ODD)
def test_what_nobody_needs_hinders_nothing(host: Sim, odd: str) -> None:
    """A host that is newer than the library, or breaks its schema somewhere, can still be used."""
    session = host.session()
    (ref, _), *_ = session.read_all(vim.VirtualMachine, "name")
    mark = "<OptionValue><key>bootpoint.vm</key><value xsi:type='xsd:%s'>%s</value></OptionValue>"
    told = {
        "name": "<val xsi:type='xsd:string'>web</val>",
        "runtime.connectionState": "<val xsi:type='VirtualMachineConnectionState'>connected</val>",
        "runtime.powerState": "<val xsi:type='VirtualMachinePowerState'>poweredOff</val>",
        "config.hardware.device": f"<val xsi:type='ArrayOfVirtualDevice'>{ODD[odd]}</val>",
        "config.extraConfig": "<val xsi:type='ArrayOfOptionValue'>"
        f"{mark % ('string', 'web')}{(mark % ('long', '7')).replace('.vm', '.boot')}</val>",
    }
    props = "".join(f"<propSet><name>{k}</name>{val}</propSet>" for k, val in told.items())
    body = f'<objects><obj type="VirtualMachine">{ref_id(ref)}</obj>{props}</objects>'
    name = "RetrievePropertiesExResponse"
    answer = f'<{name} xmlns="urn:vim25"><returnval>{body}</returnval></{name}>'
    host.proxy.plan("RetrievePropertiesEx", *[_says(answer.encode())] * 3)
    seen = Looking(session, TaskWaiter(session), "engine").look(ref).seen
    assert (seen.vm, seen.boot, seen.power) == ("web", 7, Power.OFF)
    assert [(disk.key, disk.path) for disk in seen.disks] == [(2000, "[ds] web/disk0.vmdk")]


@pytest.mark.parametrize(
    "told",
    [
        "<VirtualDevice xsi:type='VirtualDiskOfTomorrow'><key>2000</key></VirtualDevice>",
        "<VirtualDevice xsi:type='VirtualDisk'><key>x</key></VirtualDevice>",
        _DISK % "<fileName><novelty>1</novelty></fileName>",
    ],
    ids=["a kind of tomorrow", "no key", "no path"],
)
def test_a_device_that_may_be_a_disk_is_not_passed_over(host: Sim, told: str) -> None:
    """A VM would be deleted with a disk that nobody took out before."""
    session = host.session()
    (ref, _), *_ = session.read_all(vim.VirtualMachine, "name")
    val = f"<name>config.hardware.device</name><val xsi:type='ArrayOfVirtualDevice'>{told}</val>"
    name, obj = "RetrievePropertiesExResponse", f"<obj type='VirtualMachine'>{ref_id(ref)}</obj>"
    body = f"<objects>{obj}<propSet>{val}</propSet></objects>"
    answer = f'<{name} xmlns="urn:vim25"><returnval>{body}</returnval></{name}>'
    host.proxy.plan("RetrievePropertiesEx", *[_says(answer.encode())] * 3)
    with pytest.raises(faults.ReplyLost):
        session.read(ref, "config.hardware.device")


@pytest.mark.parametrize("field", ["objects", "obj", "propSet", "name", "val"])
def test_what_properties_come_in_is_not_passed_over(host: Sim, field: str) -> None:
    """A field of another name there would make what is set unset."""
    session = host.session()
    (ref, _), *_ = session.read_all(vim.VirtualMachine, "name")
    name, obj = "RetrievePropertiesExResponse", f"<obj type='VirtualMachine'>{ref_id(ref)}</obj>"
    val = "<name>name</name><val xsi:type='xsd:string'>web</val>"
    body = f"<objects>{obj}<propSet>{val}</propSet></objects>"
    body = body.replace(f"<{field}", "<odd").replace(f"</{field}>", "</odd>")
    answer = f'<{name} xmlns="urn:vim25"><returnval>{body}</returnval></{name}>'
    host.proxy.plan("RetrievePropertiesEx", *[_says(answer.encode())] * 3)
    with pytest.raises(faults.ReplyLost):
        session.read(ref, "name")


def test_a_time_without_a_zone_is_utc(host: Sim, session: Session) -> None:
    """Hosts tell UTC; a zone that is left out stops no look at the clocks."""
    body = b"<returnval>2026-01-01T00:00:00</returnval></CurrentTimeResponse>"
    host.proxy.plan("CurrentTime", _says(b'<CurrentTimeResponse xmlns="urn:vim25">' + body))
    assert session.now() == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_end_is_given_up(host: Sim, session: Session, *, packed: bool) -> None:
    """Packed, it is a thousand times as long as what came; it is not asked for again."""
    body = b"<l>" + b" " * (20 << 20)
    host.proxy.plan("CurrentTime", Says(gzip.compress(body) if packed else body, packed=packed))
    before = host.proxy.count("CurrentTime")
    with pytest.raises(faults.ReplyLost, match="longer than any should be"):
        session.now()
    assert host.proxy.count("CurrentTime") == before + 1
    session.now()


@pytest.mark.parametrize("wrong", WRONG)
def test_a_change_without_an_answer_says_that_it_may_be_done(
    host: Sim, session: Session, wrong: str
) -> None:
    """It is asked for once, and the words do not promise that nothing happened."""
    before = host.proxy.count("MakeDirectory")
    host.proxy.plan("MakeDirectory", WRONG[wrong])
    with pytest.raises(faults.ReplyLost, match="Nobody knows yet whether it was done"):
        _make_folder(session, wrong.replace(" ", ""))
    assert host.proxy.count("MakeDirectory") == before + 1


def test_a_redirect_is_not_followed(host: Sim, session: Session) -> None:
    """Whoever sends us elsewhere gets no second call there."""
    host.proxy.plan("MakeDirectory", Code(302))
    with pytest.raises(faults.ReplyLost, match="sends us to another address"):
        _make_folder(session, "elsewhere")


@pytest.mark.parametrize(
    "method",
    ["RetrievePropertiesEx", "CreateContainerView", "CurrentTime", "MakeDirectory", "FindByUuid"],
)
def test_each_call_may_lack_a_privilege(host: Sim, method: str) -> None:
    """The privilege is named, the call is not made again."""
    session = host.session()  # one without a view yet
    host.proxy.plan(method, Fault("NoPermission", privilege="System.Read"))
    with pytest.raises(faults.NeedsHuman, match=r"System\.Read is missing") as told:
        _ask_all(session, method)
    assert told.value.problem.remedy


def test_what_may_not_be_asked_hides_no_other_finding(host: Sim, session: Session) -> None:
    """A role without the right to look at privileges still gets the rest of the check."""
    wishes = replace(WISHES, datastore="gone", production="gone")
    host.proxy.plan("HasPrivilegeOnEntities", Fault("NoPermission", privilege="System.Read"))
    keys = {one.key for one in findings(session, wishes, SystemClock().now)}
    assert {"target.privilege", "esxi.datastore", "esxi.production"} <= keys


def test_an_expired_session_names_no_privilege(host: Sim, session: Session) -> None:
    """The fault has one by its type; giving it to the role would mend nothing."""
    host.proxy.plan("CurrentTime", *[Fault("NotAuthenticated")] * 2)
    with pytest.raises(faults.LoggedOut) as told:
        session.now()
    assert "System.View" not in str(told.value)


def test_an_answer_without_its_result_is_none(host: Sim, session: Session) -> None:
    """A task that is not named cannot be waited for: the VM is looked at instead."""
    folder = session.read_all(vim.Datacenter, "vmFolder")[0][1]["vmFolder"]
    host.proxy.plan("CreateFolder", Says(b'<CreateFolderResponse xmlns="urn:vim25"/>'))
    with pytest.raises(faults.ReplyLost, match="the result is missing"):
        folder.CreateFolder("x")


def test_what_has_no_result_or_need_not_have_one_is_an_answer(session: Session) -> None:
    """No VM of that id; a folder that was made."""
    assert session.content.searchIndex.FindByUuid(None, "0" * 32, True, False) is None
    assert _make_folder(session, "fine") is None


def test_properties_that_a_lost_session_leaves_out_are_read_again(one: Stage) -> None:
    """Such an answer succeeds, and has no properties: the VM would be off and without marks."""
    one.target.create(SPEC)
    session, paths = one.target._session, ("name", "config.hardware.device")
    (ref,) = (
        ref for ref, seen in session.read_all(vim.VirtualMachine, "name") if seen["name"] == VM
    )
    logins = one.sim.proxy.count("Login")
    session._stub.SetSessionId(None)
    assert set(session.read(ref, *paths)) == set(paths)
    assert one.sim.proxy.count("Login") == logins + 1


UNTOLD = {
    "NoPermission": (faults.NeedsHuman, "role does not allow"),
    "SystemError": (faults.ReplyLost, "does not tell"),
    "InvalidState": (faults.WrongState, "state it is in"),
    "HostNotConnected": (faults.HostBusy, "not connected"),
}


def test_what_is_always_set_and_is_left_out_is_asked_for_again(host: Sim) -> None:
    """Free space, or the session's own key: no answer is no zero, and no error of ours."""
    session = host.session()
    (store, _), *_ = session.read_all(vim.Datastore, "name")
    assert session.need(store, "summary.freeSpace")
    with pytest.raises(faults.ReplyLost, match="left snapshot out") as told:
        session.need(session.read_all(vim.VirtualMachine, "name")[0][0], "name", "snapshot")
    assert told.value.problem.remedy


@pytest.mark.parametrize("fault", UNTOLD)
@pytest.mark.parametrize(
    "path",
    ["runtime.powerState", "snapshot", "config.extraConfig", "config.hardware.device", "layoutEx"],
)
def test_what_fails_to_be_told_is_not_unset(host: Sim, fault: str, path: str) -> None:
    """A VM is not off, without snapshot, mark or disk because nobody may or can say."""
    session = host.session()
    looking = Looking(session, TaskWaiter(session), "engine")
    (ref, _), *_ = session.read_all(vim.VirtualMachine, "name")
    host.proxy.untold["VirtualMachine", path] = fault
    kind, says = UNTOLD[fault]
    for ask in (lambda: looking.look(ref), lambda: session.read(ref, path)):
        with pytest.raises(kind, match=says) as told:
            ask()
        assert told.value.problem.remedy
    seen = dict(session.read_all(vim.VirtualMachine, "name", path))[ref]
    assert ("name" in seen, path in seen, list(seen.untold)) == (True, False, [path])


def test_an_object_that_goes_while_it_is_read_is_gone(host: Sim) -> None:
    """It is told so in place of its properties: it is no VM that is off."""
    session = host.session()
    looking = Looking(session, TaskWaiter(session), "engine")
    (ref, _), *_ = session.read_all(vim.VirtualMachine, "name")
    host.proxy.untold["VirtualMachine", "snapshot"] = "ManagedObjectNotFound"
    for ask in (lambda: session.read(ref, "snapshot"), lambda: looking.look(ref)):
        with pytest.raises(faults.HostFailure) as told:
            ask()
        assert isinstance(told.value, faults.Gone | faults.ReplyLost)
    assert session.read_all(vim.VirtualMachine, "snapshot") == []
    assert session.read_each([ref], "snapshot") == []


def test_a_name_that_fails_to_be_told_may_be_ours(host: Sim) -> None:
    """No second VM is made because the name of the first is not told; a hidden one is not ours."""
    session = host.session()
    looking = Looking(session, TaskWaiter(session), "engine")
    folder = session.read_all(vim.Datacenter, "vmFolder")[0][1]["vmFolder"]
    host.proxy.untold["VirtualMachine", "name"] = "SystemError"
    with pytest.raises(faults.ReplyLost, match="does not tell name"):
        looking.named("web01", folder)
    host.proxy.untold["VirtualMachine", "name"] = "NoPermission"
    assert looking.named("web01", folder) == []


@pytest.mark.parametrize(
    "path", ["datastore", "network", "runtime.connectionState", "configManager.networkSystem"]
)
def test_a_host_that_fails_to_be_told_is_asked_again(host: Sim, path: str) -> None:
    """It is neither away nor without datastores; what a role hides is said by the check."""
    session = host.session()
    host.proxy.untold["HostSystem", path] = "SystemError"
    with pytest.raises(faults.ReplyLost, match=path):
        look(session, "")
    host.proxy.untold["HostSystem", path] = "NoPermission"
    keys = {one.key for one in findings(session, WISHES, SystemClock().now)}
    assert "esxi.version" in keys
    assert ("target.hidden" in keys) == (path == "configManager.networkSystem")


def test_hidden_networks_are_no_isolated_ones(host: Sim) -> None:
    """Whoever may not see a host's switches cannot say that they have no uplink."""
    session = host.session()
    host.proxy.untold["HostNetworkSystem", "networkInfo.vswitch"] = "NoPermission"
    keys = {one.key for one in findings(session, WISHES, SystemClock().now)}
    assert "target.privilege" in keys
    ground = Ground(session, WISHES, "bp-esx-01")
    with pytest.raises(faults.NeedsHuman):
        ground.isolated(ground.look())


@pytest.mark.parametrize(
    "left_out",
    ["name", "runtime.powerState", "runtime.connectionState", "config.hardware.device"],
)
def test_a_vm_that_is_told_in_part_is_neither_off_nor_without_disks(
    one: Stage, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """A VM whose disks are not told would be deleted with them."""
    one.target.create(SPEC)
    real = one.target._session.collect

    def collect(*asked: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        for ref, seen in real(*asked):
            yield ref, {path: value for path, value in seen.items() if path != left_out}

    monkeypatch.setattr(one.target._session, "collect", collect)
    with pytest.raises(faults.ReplyLost, match="part of it"):
        one.target.delete(VM)
    monkeypatch.undo()
    assert one.own_vms() == 1
