"""What stands in the way of a target, each with its fix; and nothing is changed by looking."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi import faults, preflight
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.inventory import look
from engine.hypervisors.esxi.network import isolation, make_isolated
from engine.hypervisors.esxi.preflight import Wishes, findings
from engine.hypervisors.esxi.privileges import NEEDED
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.trust import Trust, certificate
from engine.hypervisors.esxi.validity import validity
from engine.model.errors import Refused, WrongUse
from engine.model.machine import Gravity
from engine.ports import Finding
from tests.vcsim.simulator import Sim
from tests.vcsim.steps import Drop, Fault

WISHES = Wishes("", "LocalDS_0", "VM Network", "bp-isolated", "127.0.0.1", "/srv/bp/.run")
READS = {
    "RetrieveServiceContent",
    "RetrievePropertiesEx",
    "Login",
    "CurrentTime",
    "CreateContainerView",
    "HasPrivilegeOnEntities",
}


def _wishes(session: Session) -> Wishes:
    return replace(WISHES, place="DC0_C0") if session.is_vcenter else WISHES


def _found(session: Session, wishes: Wishes) -> dict[str, Finding]:
    return {one.key: one for one in findings(session, wishes, SystemClock().now)}


def test_a_good_target_has_no_error(each: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only remarks are left; the inventory is read once, and no call changes anything."""
    session, asked = each.session(), []
    real = session.read_many
    monkeypatch.setattr(session, "read_many", lambda wanted: asked.append(wanted) or real(wanted))
    found = _found(session, _wishes(session))
    assert [one for one in found.values() if one.gravity is Gravity.ERROR] == []
    assert set(each.proxy.calls) <= READS
    assert len(asked) == 1
    assert preflight.VERIFIED in found["esxi.version"].text


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"datastore": "gone"}, "esxi.datastore", "LocalDS_0, LocalDS_1"),
        ({"datastore": ""}, "esxi.datastore", "several"),
        ({"production": "gone"}, "esxi.production", "VM Network"),
        ({"isolated": "VM Network"}, "esxi.isolated", "uplink"),
        ({"server": ""}, "esxi.no-server", "hosts reach this appliance"),
        ({"place": "gone"}, "target.place", "gone"),
    ],
)
def test_each_wrong_wish_is_an_error_with_a_fix(
    each: Sim, changes: dict[str, str], key: str, says: str
) -> None:
    """The finding says what there is instead, and what to configure."""
    session = each.session()
    one = _found(session, replace(_wishes(session), **changes))[key]
    assert one.gravity is Gravity.ERROR
    assert says in one.text
    assert one.remedy


def test_a_place_must_be_named_where_there_are_several(each: Sim) -> None:
    """A vCenter with a host and a cluster does not say by itself where VMs go."""
    session = each.session()
    if session.is_vcenter:
        with pytest.raises(WrongUse, match="DC0_C0"):
            look(session, "")
        assert [host.name for host in look(session, "DC0_C0").hosts] == ["DC0_C0_H0"]
        assert [host.name for host in look(session, "DC0_H0").hosts] == ["DC0_H0"]
    else:
        assert len(look(session, "").hosts) == 1


def test_clocks_that_differ_are_told(sim: Sim) -> None:
    """More than a minute is a warning; guests take their time from the host."""
    late = {
        one.key: one
        for one in findings(
            sim.session(), WISHES, lambda: SystemClock().now() - timedelta(seconds=90)
        )
    }
    assert "90 s ahead" in late["esxi.clock"].text
    assert "esxi.clock" not in _found(sim.session(), WISHES)


@pytest.mark.parametrize(
    ("days", "key", "says"),
    [
        (40, "esxi.certificate-expired", "it has expired"),
        (10, "", ""),
        (-1, "esxi.certificate-early", "not yet"),
    ],
)
def test_a_pinned_certificate_is_told_by_its_dates(
    sim: Sim, days: int, key: str, says: str
) -> None:
    """Each look warns of it, not the first contact alone; a valid one is not spoken of."""
    moment = SystemClock().now() + timedelta(days=days)
    shown = certificate(sim.account().host, sim.account().port, 5)
    assert shown.begins is not None
    assert shown.ends is not None
    every = findings(sim.session(), WISHES, lambda: moment)
    found = {one.key: one for one in every if one.key.startswith("esxi.certificate")}
    assert list(found) == [key] * bool(key)
    for one in found.values():
        assert one.gravity is Gravity.WARNING
        assert f"from {shown.begins:%Y-%m-%d} to {shown.ends:%Y-%m-%d}" in one.text
        assert says in one.text
        assert one.remedy


def test_a_signed_certificate_is_told_before_it_ends(sim: Sim) -> None:
    """Its end is the end of the target; one of somebody else than the pin says is not judged."""
    now = SystemClock().now()
    signed = replace(sim.account(), trust=Trust())
    assert [one.key for one in validity(signed, now + timedelta(days=2))] == [
        "esxi.certificate-ends"
    ]
    assert not list(validity(signed, now - timedelta(days=2)))
    other = replace(sim.account(), trust=Trust("ab" * 32))
    assert not list(validity(other, now + timedelta(days=90)))
    away = replace(sim.account(), url="https://127.0.0.2:1/")
    assert not list(validity(away, now + timedelta(days=90)))


def test_the_free_licence_is_explained(sim: Sim, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with the free licence is found before the first change fails."""
    session = sim.session()
    free = vim.LicenseManager.LicenseInfo(name="vSphere 8 Hypervisor", editionKey="esxBasic")
    real = session.read

    def read(thing: object, *paths: str) -> object:
        return {"licenses": [free]} if paths == ("licenses",) else real(thing, *paths)

    monkeypatch.setattr(session, "read", read)
    one = _found(session, WISHES)["esxi.licence"]
    assert one.gravity is Gravity.WARNING
    assert "paid" in one.remedy


def test_each_missing_privilege_is_named_with_its_purpose(
    each: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A role with nothing gets the whole list; what can be done once by hand is a warning."""
    session = each.session()
    monkeypatch.setattr(preflight, "missing", lambda _s, _e, needed, _k: needed)
    wishes = replace(_wishes(session), isolated="VM Network")
    found = _found(session, wishes)
    for one in (one for one in NEEDED if session.is_vcenter or not one.vcenter):
        finding = found[f"esxi.privilege.{one.id}"]
        assert one.id in finding.text
        assert one.purpose in finding.text
        assert (finding.gravity is Gravity.ERROR) == one.must


def test_a_host_that_goes_away_meanwhile_is_told(sim: Sim) -> None:
    """No finding is made up from a question that was not answered."""
    session = sim.session()
    sim.proxy.plan("HasPrivilegeOnEntities", Drop(), Drop(), Drop())
    with pytest.raises(faults.ReplyLost):
        findings(session, WISHES, SystemClock().now)


@pytest.mark.parametrize("step", [None, Drop(after=True), Fault("NoPermission")])
@pytest.mark.parametrize("method", ["AddVirtualSwitch", "AddPortGroup"])
def test_the_isolated_network_is_made_once(
    each: Sim, method: str, step: Drop | Fault | None
) -> None:
    """It has no uplink; making it again, or after a lost reply, makes no second one."""
    session = each.session()
    hosts = look(session, _wishes(session).place).hosts
    if step is not None:
        each.proxy.plan(method, step)
    if isinstance(step, Fault):
        with pytest.raises(faults.NeedsHuman):
            make_isolated(session, hosts, "bp-isolated")
    make_isolated(session, hosts, "bp-isolated")
    make_isolated(session, hosts, "bp-isolated")
    assert [
        why for _, why in isolation(session, look(session, _wishes(session).place), "bp-isolated")
    ] == [""]
    networks = look(session, _wishes(session).place).networks
    assert [one.name for one in networks].count("bp-isolated") == 1


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        ("bootpoint-isolated", "bootpoint-isolated"),
        ("x" * 31, "x" * 31),
        ("an isolated network of the standby VMs", "an isolated network of-55885a78"),
        ("é" * 16, "é" * 11 + "-05daf54a"),
        ("a" * 21 + "é" * 6, "a" * 21 + "-de1edcbf"),
    ],
)
def test_a_long_name_has_a_switch_of_a_shorter_one(sim: Sim, name: str, switch: str) -> None:
    """Hosts take 31 bytes for a switch; the port group has the whole name and is found by it."""
    session = sim.session()
    ground = Ground(session, replace(WISHES, isolated=name), "bp-esx-01")
    assert ground.isolated(ground.look())[1].name == name
    (host,) = look(session, "").hosts
    told = session.read(host.networking, "networkInfo.portgroup")["networkInfo.portgroup"]
    made = {one.spec.name: one.spec.vswitchName for one in told}
    assert made[name] == switch
    assert len(switch.encode()) <= 31
    assert "esxi.isolated" not in _found(session, replace(WISHES, isolated=name))


def test_nothing_is_made_on_a_switch_of_somebody_else(each: Sim) -> None:
    """A switch that has the name already, and an uplink, leads out: no port group is put on it."""
    session = each.session()
    wishes = replace(_wishes(session), isolated="vSwitch0")
    assert "uplink" in _found(session, wishes)["esxi.isolated"].text
    ground = Ground(session, wishes, "bp-esx-01")
    with pytest.raises(Refused, match="uplink"):
        ground.isolated(ground.look())
    assert not {"AddPortGroup", "AddVirtualSwitch"} & set(each.proxy.calls)
    assert each.proxy.left() == {}
