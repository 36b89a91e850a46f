"""Bringing a started VM home: moved once, whatever gets lost; never half; nothing else touched."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi import destination, faults
from engine.hypervisors.esxi.home import Homeward
from engine.hypervisors.esxi.homing import HOME, Homing, needed, read_homing
from engine.model.errors import Cancelled, HypervisorError, Problem, Refused, WrongUse
from engine.model.machine import Network, Power
from engine.model.progress import Progress
from engine.ports import CancelFlag, NeverCancelled
from tests.vcsim.homing import (
    anothers_share,
    disks,
    from_share,
    is_as_before,
    is_home,
    mounted,
    stores,
)
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.stage import SPEC, VM, Stage
from tests.vcsim.steps import Code, Delay, Drop, Fault, Late, Step

NEVER = NeverCancelled()
GIB = 1 << 30
TWO = ("-dc", "2", "-hosts", "2", "-alone", "0", "-folders", "1")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory, made: Certificate) -> Iterator[dict[str, Sim]]:
    """Yield a simulated ESXi host and a vCenter for all tests here.

    The vCenter has two datacenters with the same names of datastores. In one of them another
    appliance has a share of our name.
    """
    with contextlib.ExitStack() as stack:
        options = {"esxi": ("-esx",), "vcenter": TWO}
        found = {
            name: stack.enter_context(running(tmp_path_factory.mktemp(name), made, *told))
            for name, told in options.items()
        }
        anothers_share(found["vcenter"], "DC0")
        yield found


def _at(hosts: dict[str, Sim], model: str, xfs: Path, folder: Path) -> Iterator[Stage]:
    place = {"vcenter": {"place": "DC1_C0"}}.get(model, {})
    yield from from_share(hosts[model], xfs, folder, **place)


@pytest.fixture(params=["esxi", "vcenter"])
def at(
    request: pytest.FixtureRequest, hosts: dict[str, Sim], xfs: Path, tmp_path: Path
) -> Iterator[Stage]:
    """Yield a target on each kind of host with a VM that runs from the share."""
    yield from _at(hosts, request.param, xfs, tmp_path)


@pytest.fixture
def host(hosts: dict[str, Sim], xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield the same on a single ESXi host."""
    yield from _at(hosts, "esxi", xfs, tmp_path)


@pytest.fixture
def vcenter(hosts: dict[str, Sim], xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield the same on a vCenter."""
    yield from _at(hosts, "vcenter", xfs, tmp_path)


def test_a_started_vm_comes_home_and_the_share_goes(at: Stage) -> None:
    """Its disks lie on the host, it runs, the share is unmounted, and its bytes came along."""
    (run,) = (at.store.path / ".run" / "web01").iterdir()
    before = (run / "disk0-flat.vmdk").read_bytes()
    told: list[Progress] = []
    came = at.target.bring_home(VM, "", NEVER, told.append)
    assert (came.datastore, came.was_there, came.stays) == ("LocalDS_0", False, "")
    is_home(at)
    assert not mounted(at)
    (first, _second) = [one.backing.fileName.partition("] ")[2] for one in disks(at)]
    flat = (at.on("LocalDS_0") / first).with_suffix("")
    assert flat.with_name(flat.name + "-flat.vmdk").read_bytes() == before
    assert "LocalDS_0" in told[-1].step
    calls = at.sim.proxy.calls
    assert calls.count("ShutdownGuest") == (0 if at.target.capabilities.homing == "live" else 1)


def test_a_vm_that_is_home_is_said_to_be_home(at: Stage) -> None:
    """A second asking moves, copies and stops nothing."""
    at.target.bring_home(VM, "", NEVER)
    at.sim.proxy.calls.clear()
    came = at.target.bring_home(VM, "LocalDS_1", NEVER)
    assert (came.datastore, came.was_there) == ("LocalDS_0", True)
    assert not set(at.sim.proxy.calls) & {
        "RelocateVM_Task", "CopyVirtualDisk_Task", "ReconfigVM_Task", "PowerOffVM_Task"
    }  # fmt: skip
    is_home(at)


def test_a_vm_that_is_home_and_off_is_nobodys_to_start_again(at: Stage) -> None:
    """Another shape or boot point of its name is refused: its disks are the only copy."""
    other = at.boot_point(2)
    at.target.bring_home(VM, "", NEVER)
    at.do(at.ref().PowerOffVM_Task())
    for reuse in (
        lambda: at.target.create(replace(SPEC, memory=SPEC.memory * 2)),
        lambda: at.target.power_on(VM, other, Network.NONE),
        lambda: at.target.arm(VM, other),
        lambda: at.target.delete(VM),
    ):
        with pytest.raises(Refused, match="nowhere else") as told:
            reuse()
        assert told.value.problem.key == "vm.home"
    assert stores(at) == {"LocalDS_0"}
    assert at.own_vms() == 1


def test_another_datastore_can_be_named(at: Stage) -> None:
    """The VM goes where the operator says, and its disks go with it when it is thrown away."""
    came = at.target.bring_home(VM, "LocalDS_1", NEVER)
    assert came.datastore == "LocalDS_1"
    is_home(at, "LocalDS_1")
    files = [at.on("LocalDS_1") / one.backing.fileName[12:] for one in disks(at)]
    assert [one.exists() for one in files] == [True, True]
    with pytest.raises(Refused, match="nowhere else"):
        at.target.delete(VM)
    is_home(at, "LocalDS_1")


def test_a_cluster_has_no_share_left(made: Certificate, xfs: Path, tmp_path: Path) -> None:
    """It goes from each host; with the last one that has it, it is gone for the others as well."""
    with running(tmp_path, made, "-hosts", "3", "-alone", "0") as sim:
        for stage in from_share(sim, xfs, tmp_path):
            came = stage.target.bring_home(VM, "", NEVER)
            assert (came.datastore, came.stays) == ("LocalDS_0", "")
            assert not mounted(stage)
            is_home(stage)


@pytest.mark.parametrize("foreign", ["", "notes.txt", ".hidden"])
def test_the_folder_of_copies_goes_with_the_vm(host: Stage, foreign: str) -> None:
    """Once it is empty; with something of somebody else in it, it stays as it is."""
    host.target.bring_home(VM, "LocalDS_1", NEVER)
    there = host.on("LocalDS_1")
    (folder,) = there.glob("bootpoint-web01-*")
    other = there / "bootpoint-web01-of-another"
    other.mkdir()
    if foreign:
        (folder / foreign).write_text("his")
    host.target.delete(VM, home=True)
    assert [one.name for one in folder.parent.glob("bootpoint-*/*")] == [foreign] * bool(foreign)
    assert (folder.exists(), other.exists()) == (bool(foreign), True)
    for left in there.glob("bootpoint-*"):
        shutil.rmtree(left)
    host.target.create(SPEC)


def test_a_folder_that_cannot_be_looked_into_stays(host: Stage) -> None:
    """A role without Datastore.Browse there deletes the VM all the same."""
    host.target.bring_home(VM, "LocalDS_1", NEVER)
    (folder,) = host.on("LocalDS_1").glob("bootpoint-web01-*")
    host.sim.proxy.plan("SearchDatastore_Task", Fault("NoPermission"))
    host.target.delete(VM, home=True)
    assert folder.exists()
    assert host.own_vms() == 0
    folder.rmdir()
    host.target.create(SPEC)


def test_a_way_that_is_given_up_leaves_no_folder(host: Stage) -> None:
    """It was made for copies, and none is left."""
    host.sim.proxy.plan("CopyVirtualDisk_Task", Fault("NoDiskSpace"))
    with pytest.raises(faults.HostFailure, match="no room"):
        host.target.bring_home(VM, "LocalDS_1", NEVER)
    assert host.sim.proxy.count("MakeDirectory") == 1
    assert not list(host.on("LocalDS_1").glob("bootpoint-*"))
    is_as_before(host)


CHANGES = {
    "esxi": [
        "ReconfigVM_Task",
        "ShutdownGuest",
        "CopyVirtualDisk_Task",
        "DeleteVirtualDisk_Task",
        "PowerOnVM_Task",
        "RemoveDatastore",
    ],
    "vcenter": ["ReconfigVM_Task", "RelocateVM_Task", "RemoveDatastore"],
}


@pytest.mark.parametrize(
    "step",
    [Drop(), Drop(after=True), Fault("NotAuthenticated")],
    ids=["before", "after", "expired"],
)
def test_lost_replies_move_nothing_twice(at: Stage, step: Step) -> None:
    """Every change loses its first reply, and the VM is home by one move or one copy a disk."""
    is_live = at.target.capabilities.homing == "live"
    for method in CHANGES["vcenter" if is_live else "esxi"]:
        at.sim.proxy.plan(method, step)
    _bring(at)
    assert at.sim.proxy.left() == {}
    is_home(at)
    assert not mounted(at)
    extra = step != Drop(after=True)
    moves = at.sim.proxy.count("RelocateVM_Task"), at.sim.proxy.count("CopyVirtualDisk_Task")
    assert moves == ((1 + extra, 0) if is_live else (0, 2 + extra))


def _bring(stage: Stage) -> None:
    """Bring home, and again where a step may be told as failed: the next try goes on."""
    for _ in range(3):
        with contextlib.suppress(faults.HostFailure):
            stage.target.bring_home(VM, "", NEVER)
            return
    raise AssertionError("it never came home")


REFUSALS = [
    *(Fault(name) for name in ("NoDiskSpace", "NoPermission", "InvalidState", "InvalidDatastore")),
    *(Fault(name) for name in ("VmConfigFault", "RestrictedVersion", "FileFault")),
    Code(503),
]


@pytest.mark.parametrize("step", REFUSALS, ids=lambda step: getattr(step, "name", "HTTP 503"))
def test_a_refused_move_leaves_the_vm_running_where_it_was(vcenter: Stage, step: Step) -> None:
    """It is told in words, and nothing else is left of it."""
    vcenter.sim.proxy.plan("RelocateVM_Task", *[step] * 3)
    with pytest.raises(faults.HostFailure) as told:
        vcenter.target.bring_home(VM, "", NEVER)
    assert told.value.problem.remedy
    is_as_before(vcenter)


@pytest.mark.parametrize("number", [0, 1])
def test_a_refused_copy_leaves_the_vm_running_and_no_copy(host: Stage, number: int) -> None:
    """Also of the second disk; the VM has power again, and the next try brings it home."""
    host.sim.proxy.plan("CopyVirtualDisk_Task", *[Delay(0.0)] * number, Fault("NoDiskSpace"))
    with pytest.raises(faults.HostFailure, match="no room") as told:
        host.target.bring_home(VM, "", NEVER)
    assert told.value.problem.remedy
    is_as_before(host)
    assert not list(host.on("LocalDS_0").rglob("bootpoint-*"))
    host.target.bring_home(VM, "", NEVER)
    is_home(host)


def test_a_host_that_is_busy_is_asked_again(at: Stage) -> None:
    """Another task on the VM is waited for."""
    for method in ("RelocateVM_Task", "CopyVirtualDisk_Task"):
        at.sim.proxy.plan(method, Fault("TaskInProgress"))
    at.target.bring_home(VM, "", NEVER)
    is_home(at)


def test_progress_is_the_hosts(at: Stage) -> None:
    """The host's own percentages become bytes of what is moved."""
    told: list[Progress] = []
    (run,) = (at.store.path / ".run" / "web01").iterdir()
    size = sum(one.stat().st_blocks * 512 for one in run.glob("*-flat.vmdk"))
    begin = at.target._homecoming._homeward._follow

    def follow(*args: Any) -> None:
        at.sim.proxy.running += [25, 75]
        begin(*args)

    at.target._homecoming._homeward._follow = follow  # type: ignore[method-assign]
    at.target.bring_home(VM, "", NEVER, told.append)
    assert all(one.total == size for one in told)
    assert len({one.done for one in told}) >= 3
    is_home(at)


@pytest.mark.parametrize("hears", [True, False], ids=["in time", "too late"])
def test_a_cancelled_move_is_where_the_host_says(vcenter: Stage, *, hears: bool) -> None:
    """A move that ends before it is done leaves the VM on the share; one that is done is done."""
    flag = CancelFlag()
    proxy = vcenter.sim.proxy
    proxy.cancels, moved = hears, proxy.effects.pop("RelocateVM_Task")

    def begun() -> None:
        proxy.running += [10] * 200
        flag.set()
        if not hears:
            moved()

    proxy.effects["RelocateVM_Task"] = begun
    if hears:
        with pytest.raises(Cancelled):
            vcenter.target.bring_home(VM, "", flag)
        proxy.forget()
        is_as_before(vcenter)
        proxy.effects["RelocateVM_Task"] = moved
        vcenter.target.bring_home(VM, "", NEVER)
    else:
        vcenter.target.bring_home(VM, "", flag)
    assert proxy.count("CancelTask") == 1
    is_home(vcenter)


def test_a_cancelled_copy_leaves_the_vm_running_and_no_copy(host: Stage) -> None:
    """Between two disks as well: what was copied is deleted, and the VM has power again."""
    flag = CancelFlag()
    host.sim.proxy.effects["CopyVirtualDisk_Task"] = flag.set
    with pytest.raises(Cancelled):
        host.target.bring_home(VM, "", flag)
    is_as_before(host)
    assert not list(host.on("LocalDS_0").rglob("bootpoint-*"))


def test_a_move_that_outlived_the_engine_is_followed(
    vcenter: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine that comes next finds the host's task and begins no second one."""
    proxy = vcenter.sim.proxy
    monkeypatch.setattr(Homeward, "_give_up", lambda _self, there: there)
    monkeypatch.setattr(Homeward, "_follow", _killed)
    with pytest.raises(HypervisorError, match="killed"):
        vcenter.target.bring_home(VM, "", NEVER)
    monkeypatch.undo()
    assert vcenter.target.signs_of_life(VM).leaving == "LocalDS_0"
    came = vcenter.target.bring_home(VM, "", NEVER)
    assert proxy.count("RelocateVM_Task") == 1
    assert came.datastore == "LocalDS_0"
    is_home(vcenter)


def _killed(*_args: object) -> None:
    raise HypervisorError(Problem("test", "killed"))


def test_a_copy_that_outlived_the_engine_is_gone_on_with(
    host: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disks that are copied whole are not copied again, and the VM runs in the end."""
    real, tries = Homeward._copy_one, iter(range(9))

    def dies(self: Homeward, *args: Any) -> None:
        real(self, *args) if next(tries) == 0 else _killed()

    monkeypatch.setattr(Homeward, "_give_up", lambda _self, there: there)
    monkeypatch.setattr(Homeward, "_copy_one", dies)
    with pytest.raises(HypervisorError, match="killed"):
        host.target.bring_home(VM, "", NEVER)
    monkeypatch.undo()
    signs = host.target.signs_of_life(VM)
    assert (signs.power, signs.leaving) == (Power.OFF, "LocalDS_0")
    host.target.bring_home(VM, "", NEVER)
    assert host.sim.proxy.count("CopyVirtualDisk_Task") == 2
    is_home(host)


def test_a_vm_that_ran_while_it_was_copied_is_not_repointed(host: Stage) -> None:
    """What its guest wrote meanwhile is in no copy, so the copies go and the VM stays."""
    (run,) = (host.store.path / ".run" / "web01").iterdir()

    def written() -> None:
        with (run / "disk1-flat.vmdk").open("r+b") as guest:
            guest.write(b"meanwhile")

    host.sim.proxy.effects["CopyVirtualDisk_Task"] = written
    with pytest.raises(Refused, match="started it while"):
        host.target.bring_home(VM, "", NEVER)
    is_as_before(host)


def test_a_lost_call_that_is_carried_out_late_moves_once(vcenter: Stage) -> None:
    """The host begins only after the connection broke; a look after a pause finds it moved."""
    proxy = vcenter.sim.proxy
    proxy.plan("RelocateVM_Task", Late(0.0))

    def until_late(_seconds: float) -> None:
        for _ in range(500):
            if proxy.late:
                return
            threading.Event().wait(0.02)

    proxy.late = 0
    vcenter.target._homecoming._homeward._busy = until_late
    vcenter.target.bring_home(VM, "", NEVER)
    assert proxy.count("RelocateVM_Task") == 1
    is_home(vcenter)


# --- what hinders it --------------------------------------------------------------------------


def test_room_privileges_and_names_are_looked_at_first(
    at: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told with what to do, and nothing was changed."""
    with pytest.raises(WrongUse, match="own share") as told:
        at.target.bring_home(VM, "bp-esx-01", NEVER)
    with pytest.raises(WrongUse, match="not among") as told:
        at.target.bring_home(VM, "LocalDS_9%2f", NEVER)
    assert "LocalDS_0, LocalDS_1" in told.value.problem.remedy
    monkeypatch.setattr(destination, "needed", lambda _held, _room: 1 << 60)
    with pytest.raises(HypervisorError, match="free; bringing web01 home takes"):
        at.target.bring_home(VM, "", NEVER)
    monkeypatch.undo()
    monkeypatch.setattr(destination, "missing", lambda _s, _e, wanted, _k: wanted)
    with pytest.raises(faults.NeedsHuman, match=r"Datastore\.AllocateSpace"):
        at.target.bring_home(VM, "", NEVER)
    writes = {"ReconfigVM_Task", "RelocateVM_Task", "CopyVirtualDisk_Task", "PowerOffVM_Task"}
    assert not set(at.sim.proxy.calls) & writes
    is_as_before(at)


def test_a_datastore_is_known_by_its_whole_name(
    host: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name may hold what ends a name in a path: it is one that the VM uses, or none is."""
    store = next(
        ref for ref, one in host.other.read_all(vim.Datastore, "name") if one["name"] == "LocalDS_0"
    )
    home = host.other.read(host.ref(), "config.files")["config.files"].vmPathName
    monkeypatch.setattr(destination, "needed", lambda _held, _room: 1 << 60)
    host.sim.set(host.ref(), "config.files.vmPathName", home.replace("LocalDS_0]", "gold] fast]"))
    try:
        with pytest.raises(HypervisorError, match="nobody can tell on which datastore"):
            host.target.bring_home(VM, "", NEVER)
        host.sim.set(store, "name", "gold] fast")
        with pytest.raises(HypervisorError, match=r"^Datastore gold\] fast has .* free"):
            host.target.bring_home(VM, "", NEVER)
    finally:
        host.sim.set(store, "name", "LocalDS_0")
        host.sim.set(host.ref(), "config.files.vmPathName", home)
    is_as_before(host)


def test_a_vm_with_somebodys_snapshot_stays(at: Stage) -> None:
    """Its chain is his; where it lies is not ours to change."""
    at.do(at.ref().CreateSnapshot_Task("by hand", "", False, False))
    with pytest.raises(Refused, match="snapshot"):
        at.target.bring_home(VM, "", NEVER)
    is_as_before(at)
    at.do(at.ref().RemoveAllSnapshots_Task())


def test_the_share_stays_while_another_vm_needs_it(host: Stage) -> None:
    """An armed VM of another standby keeps it, and the answer names that VM."""
    other = host.store.path / ".run" / "erp" / ("e" * 32)
    other.mkdir(parents=True)
    came = host.target.bring_home(VM, "", NEVER)
    assert came.stays == "disks of erp lie on it"
    assert mounted(host)
    other.rmdir()
    other.parent.rmdir()


def test_a_share_that_a_host_keeps_is_told(host: Stage) -> None:
    """A host that refuses to let go is believed: something uses the share."""
    host.sim.proxy.plan("RemoveDatastore", *[Fault("ResourceInUse")] * 3)
    came = host.target.bring_home(VM, "", NEVER)
    assert "something else uses it" in came.stays
    assert mounted(host)
    is_home(host)


def test_a_vm_that_is_off_comes_home_and_stays_off(at: Stage) -> None:
    """Its guest was shut down by hand; nobody starts it again."""
    at.do(at.ref().PowerOffVM_Task())
    came = at.target.bring_home(VM, "", NEVER)
    assert came.datastore == "LocalDS_0"
    signs = at.target.signs_of_life(VM)
    assert (signs.power, signs.home) == (Power.OFF, "LocalDS_0")
    with pytest.raises(Refused):
        at.target.arm(VM, at.boot_point(2))


def test_a_mark_of_somebody_else_is_no_way_home() -> None:
    """What is no mark of ours is none; a reserve is kept, and it is bounded."""
    way = Homing("a1", "ds", "[ds] web", copied=1)
    assert read_homing(str(way)) == way
    for text in (
        "",
        "{}",
        "[1]",
        "x",
        str(way).replace("a1", "../x"),
        str(way).replace("[ds]", "[o]"),
    ):
        assert read_homing(text) is None
    assert HOME.startswith("bootpoint.")
    assert needed(10 * GIB, 100 * GIB) == 23 * GIB
    assert needed(0, 10_000 * GIB) == 50 * GIB
