"""Targets with more than one datacenter, cluster, pool and host: what a name means there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi import inventory as module
from engine.hypervisors.esxi.answers import Told, ref_id
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.inventory import Inventory, look
from engine.hypervisors.esxi.naming import fits, is_named, listed
from engine.hypervisors.esxi.network import isolation, make_isolated
from engine.hypervisors.esxi.nfs import mount
from engine.hypervisors.esxi.preflight import Wishes, findings
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Refused, WrongUse
from engine.model.machine import Gravity
from engine.ports import Finding
from tests.vcsim.simulator import Certificate, Sim, running

ObjectContent = vmodl.query.PropertyCollector.ObjectContent
WISHES = Wishes("DC1_C1", "LocalDS_0", "VM Network", "bp-isolated", "127.0.0.1", "/srv/bp/.run")
BIG = ("-dc", "2", "-clusters", "2", "-hosts", "2", "-pools", "2", "-apps", "1", "-folders", "1")
BIG += ("-pg", "2", "-nsx", "1", "-autostart=false")


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory, made: Certificate) -> Iterator[Sim]:
    """Yield a vCenter with two datacenters, one of them in folders; both use the same names."""
    with running(tmp_path_factory.mktemp("big"), made, *BIG) as started:
        yield started


@pytest.fixture(scope="module")
def session(big: Sim) -> Session:
    """Return one session for all tests."""
    return big.session()


def _found(session: Session, **changes: str) -> dict[str, Finding]:
    wishes = replace(WISHES, **changes)
    return {one.key: one for one in findings(session, wishes, SystemClock().now)}


def _pool(there: Inventory, session: Session) -> str:
    return str(session.read(there.pool, "name")["name"])


@pytest.mark.parametrize(
    ("place", "pool", "host"),
    [
        ("DC1_C1", "Resources", "DC1_C1_H0"),
        ("DC0_H0", "Resources", "DC0_H0"),
        ("DC1_C0_RP2", "DC1_C0_RP2", "DC1_C0_H0"),
        ("DC0_C0_APP0", "DC0_C0_APP0", "DC0_C0_H0"),
        ("DC1/DC1_C0", "Resources", "DC1_C0_H0"),
        ("DC0_C1/Resources", "Resources", "DC0_C1_H0"),
        ("F0/DC1_C0/DC1_C0_RP1", "DC1_C0_RP1", "DC1_C0_H0"),
        ("/DC0/host/DC0_C0/Resources/DC0_C0_RP1", "DC0_C0_RP1", "DC0_C0_H0"),
    ],
)
def test_a_place_is_a_name_or_a_way(session: Session, place: str, pool: str, host: str) -> None:
    """Clusters, hosts, pools and vApps are found, also in folders, and by any part of the way."""
    there = look(session, place)
    assert (_pool(there, session), there.hosts[0].name) == (pool, host)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("", "there are 6: DC0/DC0_"),
        ("dc0_c0", "is no pool, cluster or host.* there are: DC0/DC0_C0, "),
        ("DC0/DC1_C0", "is no pool, cluster or host"),
        ("/", "is no pool, cluster or host"),
        ("Resources", "is the name of 6: .*more of the way"),
        ("DC1_C0_H1", "is one host of cluster DC1_C0"),
    ],
)
def test_a_place_that_is_not_clear_says_what_there_is(
    session: Session, place: str, says: str
) -> None:
    """The next try is right: near names come first, ways tell those of one name apart."""
    with pytest.raises(WrongUse, match=says) as told:
        look(session, place)
    assert told.value.problem.remedy


def test_what_lies_in_another_datacenter_is_not_used(session: Session) -> None:
    """Both have a datastore and a network of the name; the place's own are meant."""
    first, second = look(session, "DC0_C0"), look(session, "DC1_C1")
    for there in (first, second):
        reached = there.hosts[0]
        store, network = there.datastore("LocalDS_0"), there.network("VM Network")
        assert store is not None
        assert ref_id(store.ref) in reached.datastores
        assert network is not None
        assert ref_id(network.ref) in reached.networks
    assert not {one.name for one in first.networks} & {"DC1_DVPG0"}
    assert (
        "DC0_DVPG0"
        in _found(session, place="DC0_C0", production="DC1_DVPG0")["esxi.production"].text
    )


def test_a_good_place_has_no_error(session: Session) -> None:
    """Nor a warning but for vcsim's old version and the ports of the share."""
    told = [one.key for one in _found(session).values() if one.gravity is not Gravity.NOTE]
    assert [key for key in told if not key.startswith(("esxi.port-", "esxi.api-version"))] == []


def test_a_distributed_port_group_is_not_isolated_by_its_name(session: Session) -> None:
    """Its switch may have uplinks that the host does not tell: no test boot goes there."""
    one = _found(session, place="DC0_C0", isolated="DC0_DVPG0")["esxi.isolated"]
    assert one.gravity is Gravity.ERROR
    wishes = replace(WISHES, place="DC0_C0", isolated="DC0_DVPG0")
    ground = Ground(session, wishes, "bp-esx-01")
    with pytest.raises(Refused, match="distributed"):
        ground.isolated(ground.look())


def test_a_cluster_with_two_hosts_gets_its_isolated_network(big: Sim, session: Session) -> None:
    """The vCenter says for the second host that the name is taken, by the first one's group."""
    ground = Ground(session, replace(WISHES, isolated="bp/iso é"), "bp-esx-01")
    before = big.proxy.count("AddPortGroup")
    for _ in range(3):
        _, network = ground.isolated(ground.look())
        assert network.name == "bp/iso é"
    assert big.proxy.count("AddPortGroup") - before <= 10  # twice looked for, then never again


def test_a_host_that_is_away_hinders_no_start_on_the_others(big: Sim, session: Session) -> None:
    """It gets port group and share later; its vCenter shows none of its systems meanwhile."""
    there = look(session, "DC1_C0")
    gone = replace(there.hosts[1], connected=False, networking=None, storing=None)
    there = replace(there, hosts=[there.hosts[0], gone])
    assert [one.name for one in there.reached] == ["DC1_C0_H0"]
    assert replace(there, hosts=[gone]).reached == [gone]
    before = big.proxy.count("CreateNasDatastore")
    make_isolated(session, there.reached, "bp-away")
    assert [why for _, why in isolation(session, there, "bp-away")] == ["", ""]
    (big.folder / "bp-away").mkdir()
    mount(session, there, "bp-away", "127.0.0.1", "/srv/away")
    assert big.proxy.count("CreateNasDatastore") == before + 1
    with pytest.raises(faults.NeedsHuman, match="does not show this user"):
        make_isolated(session, [gone], "bp-other")


def _without(seen: Told, path: str) -> Told:
    less = Told(ObjectContent())
    less.update({known: value for known, value in seen.items() if known != path})
    less.untold = {path: vim.fault.NoPermission()} if path in seen else {}
    return less


def test_a_user_who_sees_little_is_told_so(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a role hides is missing from the answers, one property after the other."""
    real = session.collect
    for path in sorted({*module._HOST, *(one for kind in module._WANTED.values() for one in kind)}):

        def collect(*asked: Any, in_part: bool, path: str = path) -> Iterator[tuple[Any, Told]]:
            for ref, seen in real(*asked, in_part=in_part):
                yield ref, _without(seen, path)

        monkeypatch.setattr(session, "collect", collect)
        said = ""
        try:
            assert look(session, "DC1_C1").hosts
        except WrongUse as told:
            said = str(told)
        assert not said or "this user may see" in said, path


@pytest.mark.parametrize(
    ("stored", "wanted", "same"),
    [
        ("a%2fb", "a/b", True),
        ("a%2fb", "a%2fb", True),
        ("50%25", "50%", True),
        ("50%252f", "50%2f", True),
        ("a%5cb", "a\\b", True),
        ("VM Network", "vm network", False),
    ],
)
def test_names_are_as_people_see_them(stored: str, wanted: str, *, same: bool) -> None:
    """A vCenter stores slashes and percent signs escaped; both spellings are understood."""
    assert is_named(stored, wanted) is same


def test_a_whole_way_wins_over_a_name() -> None:
    """A pool inside of a pool of its name can still be meant."""
    outer = ("Datacenters", "D", "host", "C", "Resources", "P")
    inner = (*outer, "P")
    assert fits([outer, inner], "P") == [outer, inner]
    assert fits([outer, inner], "/D/host/C/Resources/P") == [outer]
    assert fits([outer, inner], "P/P") == [inner]
    assert fits([("Datacenters", "x%2fy")], "x/y") == [("Datacenters", "x%2fy")]
    assert listed([outer] * 9) == ", ".join(["D/C/P"] * 8) + " and 1 more"


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [
        ("x/y/R", True),
        ("x%2fy/R", True),
        ("D/x/y/R", True),
        ("/D/host/x/y/R", True),
        ("x/y/p/q", True),
        ("D/p/q", True),
        ("y/R", False),
        ("x/R", False),
        ("y/x/R", False),
        ("R/x/y", False),
    ],
)
def test_a_way_is_understood_with_slashes_in_its_names(wanted: str, *, fitting: bool) -> None:
    """Whoever reads names in the vSphere client sees a slash, where %2f is stored."""
    ways = [("Datacenters", "D", "host", "x%2fy", "R"), ("Datacenters", "D", "x%2fy", "p%2fq")]
    assert bool(fits(ways, wanted)) is fitting
