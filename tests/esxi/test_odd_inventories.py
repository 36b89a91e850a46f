"""Inventories that are larger, odder and less well kept than those a product is tried on first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi import inventory
from engine.hypervisors.esxi.answers import Told, ref_id
from engine.hypervisors.esxi.found import Found, chosen, computes, pools
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.inventory import look
from engine.hypervisors.esxi.naming import listed
from engine.hypervisors.esxi.preflight import Wishes, findings
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.errors import Refused, WrongUse
from engine.model.layers import LayerName
from engine.model.machine import Gravity, Network
from engine.ports import Finding
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.stage import SPEC, VM, Stage, staged
from tests.vcsim.standby import hypervisor

WISHES = Wishes("DC0_C0", "LocalDS_0", "VM Network", "bp-isolated", "127.0.0.1", "/srv/bp/.run")
NFC, NFD = normalize("NFC", "Büro-Netz é"), normalize("NFD", "Büro-Netz é")
CALLS = 25
"""Most calls of a boot point's start, of arming it, of a look: docs/ESXI.md."""


@pytest.fixture
def large(tmp_path: Path, made: Certificate) -> Iterator[Sim]:
    """Yield a vCenter with clusters of thirty hosts, and more VMs and port groups than needed."""
    options = ("-hosts", "30", "-clusters", "2", "-vms", "20", "-pg", "20", "-ds", "9")
    with running(tmp_path, made, *options, "-autostart=false") as started:
        yield started


# --- many -------------------------------------------------------------------------------------


def test_calls_do_not_grow_with_the_hosts(large: Sim, xfs: Path, tmp_path: Path) -> None:
    """What is looked at on every host is asked for at once; only what is made, is made on each."""
    session = large.session()
    look(session, "DC0_C0")
    counted = large.proxy.calls

    def taken(since: int) -> Counter[str]:
        return Counter(counted[since:])

    before = len(counted)
    look(session, "DC0_C0")
    assert taken(before).total() <= 2
    before = len(counted)
    findings(session, WISHES, SystemClock().now)
    assert taken(before)["RetrievePropertiesEx"] <= 5
    stage = next(staged(large, xfs, tmp_path))
    layer = _started_once(stage)
    for does in (
        lambda: stage.target.arm(VM, layer),
        lambda: stage.target.power_on(VM, layer, Network.ISOLATED),
        lambda: stage.target.power_off(VM, grace=0),
        lambda: stage.target.delete(VM),
        lambda: stage.target.create(SPEC),
    ):
        before = len(counted)
        does()
        assert len(counted) - before <= CALLS
    stage.store.close()


def _started_once(stage: Stage) -> LayerName:
    """Let share and isolated network be made, with calls that grow by a few for each host."""
    hosts, before, layer = 30, len(stage.sim.proxy.calls), stage.boot_point()
    stage.target.create(SPEC)
    stage.target.power_on(VM, layer, Network.ISOLATED)
    stage.target.power_off(VM, grace=0)
    assert len(stage.sim.proxy.calls) - before <= hosts * 30
    return layer


# --- names ------------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path, made: Certificate) -> Iterator[Sim]:
    """Yield a vCenter with an opaque network and two switches that may have equal port groups."""
    options = ("-hosts", "1", "-opaque", "1", "-pods", "1", "-dc", "1", "-pools", "2")
    with running(tmp_path, made, *options, "-autostart=false") as started:
        yield started


def _switch(sim: Sim, name: str, group: str) -> None:
    """Make a distributed switch with a port group, in a folder, and put all hosts on it."""
    other = sim.foreigner()
    (_, centre), *_ = other.read_all(vim.Datacenter, "networkFolder")
    folder = centre["networkFolder"].CreateFolder(f"of {name}")
    config = vim.DistributedVirtualSwitch.ConfigSpec(name=name)
    wait = TaskWaiter(other).result
    made = wait(
        folder.CreateDVS_Task(vim.DistributedVirtualSwitch.CreateSpec(configSpec=config)),
        "CreateDVS_Task",
        deadline_s=30,
    )
    spec = vim.dvs.DistributedVirtualPortgroup.ConfigSpec(name=group, numPorts=8)
    wait(made.AddDVPortgroup_Task([spec]), "AddDVPortgroup_Task", deadline_s=30)
    members = [
        vim.dvs.HostMember.ConfigSpec(operation="add", host=ref)
        for ref, _ in other.read_all(vim.HostSystem, "name")
    ]
    joined = vim.DistributedVirtualSwitch.ConfigSpec(host=members)
    wait(made.ReconfigureDvs_Task(joined), "ReconfigureDvs_Task", deadline_s=30)


def _found(session: Session, **changes: str) -> dict[str, Finding]:
    wishes = replace(WISHES, **changes)
    return {one.key: one for one in findings(session, wishes, SystemClock().now)}


def test_port_groups_of_one_name_are_told_apart_by_their_switches(odd: Sim) -> None:
    """NSX gives each of its switches a port group of the segment's name; none is guessed."""
    for switch in ("first", "second"):
        _switch(odd, switch, "NSX-web")
    session = odd.session()
    one = _found(session, production="NSX-web")["target.which-port-group"]
    assert one.gravity is Gravity.ERROR
    assert "the name of 2: first/NSX-web, second/NSX-web" in one.text
    for switch in ("first", "second"):
        found = look(session, "DC0_C0").network(f"{switch}/NSX-web")
        assert found is not None
        assert found.way[-2:] == (switch, "NSX-web")
        assert "esxi.production" not in _found(session, production=f"{switch}/NSX-web")


def test_a_card_hangs_on_an_opaque_network_by_its_id(odd: Sim, xfs: Path, tmp_path: Path) -> None:
    """A host knows such a network by no name."""
    stage = next(staged(odd, xfs, tmp_path))
    stage.target = hypervisor(odd, stage.store, tmp_path / "state", production="DC0_NSX0")
    layer = stage.boot_point()
    stage.target.create(SPEC)
    stage.target.power_on(VM, layer, Network.PRODUCTION)
    devices = stage.other.read(stage.ref(), "config.hardware.device")["config.hardware.device"]
    (card,) = [one for one in devices if isinstance(one, vim.vm.device.VirtualVmxnet3)]
    assert card.backing.opaqueNetworkType == "nsx.LogicalSwitch"
    (_, told), *_ = stage.other.read_all(vim.OpaqueNetwork, "summary")
    assert card.backing.opaqueNetworkId == told["summary"].opaqueNetworkId
    isolated = _found(odd.session(), isolated="DC0_NSX0")["esxi.isolated"]
    assert "no switch whose uplinks" in isolated.text
    stage.store.close()


@pytest.mark.parametrize(
    ("stored", "on_host", "wished"),
    [
        ("DMZ %2f test", "DMZ / test", "DMZ %2f test"),
        ("DMZ %2f test", "DMZ / test", "DMZ / test"),
        ("50%25 [a]", "50% [a]", "50%25 [a]"),
        (NFD, NFD, NFC),
        (NFC, NFC, NFD),
        (" at the ends ", " at the ends ", " at the ends "),
        ('"quoted" 日本', '"quoted" 日本', '"quoted" 日本'),
        ("n" * 80, "n" * 80, "n" * 80),
    ],
)
def test_a_way_out_is_seen_however_the_name_is_written(
    odd: Sim, stored: str, on_host: str, wished: str
) -> None:
    """A vCenter escapes a name that its host does not; both are looked for."""
    other = odd.foreigner()
    (host, _), *_ = (
        pair for pair in other.read_all(vim.HostSystem, "name") if pair[1]["name"] == "DC0_C0_H0"
    )
    networking = other.read(host, "configManager.networkSystem")["configManager.networkSystem"]
    group = vim.host.PortGroup.Specification(
        name=on_host, vlanId=0, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
    )
    networking.AddPortGroup(group)
    (made,) = [ref for ref, one in other.read_all(vim.Network, "name") if one["name"] == on_host]
    odd.set(made, "name", stored)
    session = odd.session()
    assert "uplink" in _found(session, isolated=wished)["esxi.isolated"].text
    assert "esxi.production" not in _found(session, production=wished)
    ground = Ground(session, replace(WISHES, isolated=wished), "bp-esx-01")
    with pytest.raises(Refused, match="uplink"):
        ground.isolated(ground.look())


def test_a_wrong_name_in_a_large_inventory_has_a_short_answer(large: Sim) -> None:
    """The likeliest names come first, and not all of hundreds; ends with spaces are seen."""
    session = large.session()
    told = _found(session, production="DC0_DVPG17 ", datastore="localds_7")
    assert 'no port group "DC0_DVPG17 ". Port groups: DC0_DVPG17, ' in told["esxi.production"].text
    assert "and 14 more" in told["esxi.production"].text
    assert "Datastores: LocalDS_7, " in told["esxi.datastore"].text


def test_pools_that_a_user_cannot_tell_apart_are_not_guessed(
    odd: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of one name, in pools that the role hides, look the same."""
    other = odd.foreigner()
    pools = {one["name"]: ref for ref, one in other.read_all(vim.ResourcePool, "name")}
    share = vim.ResourceAllocationInfo(
        reservation=0,
        limit=-1,
        expandableReservation=True,
        shares=vim.SharesInfo(level="normal", shares=4000),
    )
    spec = vim.ResourceConfigSpec(cpuAllocation=share, memoryAllocation=share)
    for name in ("DC0_C0_RP1", "DC0_C0_RP2"):
        pools[name].CreateResourcePool("web", spec)
    session = odd.session()
    with pytest.raises(WrongUse, match=r"the name of 2: .*RP1/web, .*RP2/web.*more of the way"):
        look(session, "web")
    assert look(session, "DC0_C0_RP2/web").pool
    real = session.collect
    hidden = {ref_id(pools[name]) for name in ("DC0_C0_RP1", "DC0_C0_RP2")}

    def collect(*asked: Any, in_part: bool) -> Iterator[tuple[Any, Told]]:
        return (one for one in real(*asked, in_part=in_part) if ref_id(one[0]) not in hidden)

    monkeypatch.setattr(session, "collect", collect)
    with pytest.raises(WrongUse, match=r"DC0_C0/web, DC0/DC0_C0/web.*cannot be told apart"):
        look(session, "web")


def test_what_is_listed_can_be_typed(odd: Sim) -> None:
    """Each way that an answer names is taken for the one it names, whatever else ends like it."""
    root = odd.foreigner().content.rootFolder
    centre = root.CreateFolder("site %2f B").CreateFolder("inner").CreateDatacenter("DC0")
    other = odd.foreigner()
    folder = other.read(centre, "hostFolder")["hostFolder"].CreateFolder(" [labs] ")
    for name in ("DC0_C0", "host-21"):
        folder.CreateClusterEx(name, vim.cluster.ConfigSpecEx())
    session = odd.session()
    found = Found(session.read_many(inventory._WANTED))
    for way, _, pool in (*computes(found), *pools(found)):
        _, meant = chosen(session, listed([way]), found)
        assert ref_id(meant) == ref_id(pool), way
    assert look(session, "DC0/DC0_C0").hosts
    with pytest.raises(WrongUse, match="the name of 2: DC0/DC0_C0, site %2f B/inner/DC0/"):
        look(session, "DC0_C0")


# --- what somebody did with our VM ------------------------------------------------------------


@pytest.fixture
def kept(odd: Sim, xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield a target on that vCenter that has a standby VM."""
    for stage in staged(odd, xfs, tmp_path):
        stage.boot_point()
        stage.target.create(SPEC)
        yield stage


def _named(stage: Stage, kind: Any, name: str) -> Any:
    return next(ref for ref, one in stage.other.read_all(kind, "name") if one["name"] == name)


def _renamed(stage: Stage) -> None:
    stage.do(stage.ref().Rename_Task("somebody's %2f name"))


def _to_folder(stage: Stage) -> None:
    (_, centre), *_ = stage.other.read_all(vim.Datacenter, "vmFolder")
    folder = centre["vmFolder"].CreateFolder("standbys")
    stage.do(folder.MoveIntoFolder_Task([stage.ref()]))


def _to_pool(stage: Stage) -> None:
    pool = _named(stage, vim.ResourcePool, "DC0_C0_RP2")
    stage.do(stage.ref().RelocateVM_Task(vim.vm.RelocateSpec(pool=pool), None))


def _to_host(stage: Stage) -> None:
    host = _named(stage, vim.HostSystem, "DC0_H0")
    stage.do(stage.ref().RelocateVM_Task(vim.vm.RelocateSpec(host=host), None))


def _template(stage: Stage) -> None:
    stage.ref().MarkAsTemplate()


@pytest.mark.parametrize("change", [_renamed, _to_folder, _to_pool])
def test_a_vm_that_was_moved_within_its_place_is_found(kept: Stage, change: Any) -> None:
    """It is known by its id, wherever it is and whatever it is called now."""
    change(kept)
    layer = LayerName("bp000001-scratch")
    kept.target.create(SPEC)
    kept.target.arm(VM, layer)
    kept.target.power_on(VM, layer, Network.ISOLATED)
    kept.target.power_off(VM, grace=0)
    kept.target.delete(VM)
    assert kept.own_vms() == 0


@pytest.mark.parametrize(
    ("change", "says"), [(_to_host, "moved to host DC0_H0"), (_template, "made it a template")]
)
def test_a_vm_that_was_taken_elsewhere_is_left_alone(kept: Stage, change: Any, says: str) -> None:
    """On other hosts the isolated port group's name may lead out; a template is somebody's."""
    change(kept)
    before = len(kept.sim.proxy.calls)
    layer = LayerName("bp000001-scratch")
    for start in (
        lambda: kept.target.arm(VM, layer),
        lambda: kept.target.power_on(VM, layer, Network.ISOLATED),
    ):
        with pytest.raises(Refused, match=says):
            start()
    if change is _template:
        with pytest.raises(Refused, match=says):
            kept.target.delete(VM)
        assert kept.own_vms() == 1
    told = set(kept.sim.proxy.calls[before:])
    assert not told & {"ReconfigVM_Task", "PowerOnVM_Task", "Destroy_Task", "AddPortGroup"}


@pytest.mark.parametrize("template", [False, True])
def test_a_copy_of_our_vm_is_not_ours(kept: Stage, *, template: bool) -> None:
    """It has our marks and another UUID; also when the original is gone and it has its name."""
    (_, centre), *_ = kept.other.read_all(vim.Datacenter, "vmFolder")
    marks = kept.other.read(kept.ref(), "config.extraConfig")["config.extraConfig"]
    spec = vim.vm.CloneSpec(
        location=vim.vm.RelocateSpec(),
        config=vim.vm.ConfigSpec(extraConfig=marks),
        template=template,
        powerOn=False,
    )
    kept.do(kept.ref().CloneVM_Task(centre["vmFolder"], "copy", spec))
    kept.target.delete(VM)
    assert "copy" in kept.vms()
    kept.do(kept.ref("copy").Rename_Task("web01"))
    before = kept.other.read(kept.ref(), "config.extraConfig", "config.hardware.device")
    with pytest.raises(Refused, match="did not create"):
        kept.target.create(SPEC)
    kept.target.delete(VM)
    after = kept.other.read(kept.ref(), "config.extraConfig", "config.hardware.device")
    assert str(after) == str(before)


# --- hosts and datastores that are not as they should be ---------------------------------------

STATES = {
    "esxi.host-away": ("runtime.connectionState", "notResponding"),
    "esxi.maintenance": ("runtime.inMaintenanceMode", True),
    "esxi.standby": ("runtime.powerState", "standBy"),
}


@pytest.mark.parametrize("key", list(STATES))
def test_hosts_that_are_not_there_hinder_the_others_in_nothing(
    large: Sim, xfs: Path, tmp_path: Path, key: str
) -> None:
    """One is a warning, in one line however many they are; all of them are an error."""
    session, (path, value) = large.session(), STATES[key]
    hosts = look(session, "DC0_C0").hosts
    for host in hosts[:12]:
        large.set(host.ref, path, value)
    one = _found(session)[key]
    assert one.gravity is Gravity.WARNING
    assert one.text.endswith("and 4 more.")
    for host in hosts[12:]:
        large.set(host.ref, path, value)
    assert _found(session)[key].gravity is Gravity.ERROR
    assert look(session, "DC0_C0").reached


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ("summary.accessible", False, "esxi.datastore-away"),
        ("summary.maintenanceMode", "inMaintenance", "esxi.datastore-maintenance"),
        ("summary.maintenanceMode", "enteringMaintenance", "esxi.datastore-maintenance"),
        ("summary.freeSpace", 1, "esxi.datastore-full"),
    ],
)
def test_a_datastore_that_takes_no_vm_is_told(odd: Sim, path: str, value: Any, key: str) -> None:
    """Before a VM is made there, not by a fault afterwards."""
    session = odd.session()
    found = look(session, "DC0_C0").datastore("LocalDS_0")
    assert found is not None
    assert key not in _found(session)
    odd.set(found.ref, path, value)
    assert _found(session)[key].remedy
