"""Whatever gets lost, in whatever order: one VM, no snapshot, and nothing of others changed."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi import faults, specs
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.inventory import look
from engine.hypervisors.esxi.needs import known
from engine.model.machine import Network, Power
from tests.esxi.conftest import seeds
from tests.vcsim.simulator import PASSWORD, Sim
from tests.vcsim.stage import SPEC, VM, Stage, staged
from tests.vcsim.standby import hypervisor
from tests.vcsim.steps import Code, Delay, Drop, Fault, Late, Says, Spoil, Step

CALLS = [
    "AddVirtualSwitch",
    "AddPortGroup",
    "CreateVM_Task",
    "CreateNasDatastore",
    "ReconfigVM_Task",
    "PowerOnVM_Task",
    "PowerOffVM_Task",
    "Destroy_Task",
    "RetrievePropertiesEx",
    "FindAllByUuid",
    "CreateContainerView",
]
READS = CALLS[-4:]
TRIES = 30


def _wrong(rng: random.Random, call: str) -> Step:
    kinds: list[Step] = [Drop(), Drop(after=True), Fault("NotAuthenticated"), Code(503)]
    kinds += [
        Says(),
        Says(half=True),
        Says(b"<html><body/></html>"),
        Fault("ManagedObjectNotFound"),
    ]
    if call not in READS:
        kinds += [Fault("TaskInProgress"), Fault("HostCommunication"), Drop(after=True)]
    if call.endswith("_Task"):
        kinds += [Spoil("SystemError"), Spoil("HostCommunication"), Spoil("RequestCanceled")]
    return rng.choice(kinds)


def _others(stage: Stage) -> str:
    """Return what stands for everything on the host that is not ours."""
    paths = ("name", "config.extraConfig", "config.hardware.device", "runtime.powerState")
    told = [
        f"{ref_id(ref)} {seen}"
        for ref, seen in stage.other.read_all(vim.VirtualMachine, *paths)
        if seen["name"] != VM
    ]
    return hashlib.sha256("".join(sorted(told)).encode()).hexdigest()


def _until_done(step: Callable[[], object], check: Callable[[], None]) -> None:
    """Do a step again and again, as the engine does, and look after each try."""
    for _ in range(TRIES):
        try:
            step()
        except faults.HostFailure:
            check()
        else:
            check()
            return
    raise AssertionError("it never ended well")


@pytest.fixture
def whole(chosen: Sim, xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield an empty target on the chosen kind of host."""
    yield from staged(chosen, xfs, tmp_path)


@pytest.mark.parametrize(("chosen", "seed"), seeds(0, up_to=12), indirect=["chosen"])
def test_any_sequence_of_faults_makes_nothing_twice(whole: Stage, seed: int) -> None:
    """Each step is tried until it succeeds; after every try there is at most one VM."""
    one, rng = whole, random.Random(seed)
    layer, others = one.boot_point(), _others(one)

    def check() -> None:
        assert one.own_vms() <= 1
        assert _others(one) == others
        seen = one.other.read_all(vim.VirtualMachine, "snapshot")
        assert not any("snapshot" in values for _, values in seen)

    steps: list[Callable[[], object]] = [
        lambda: one.target.create(SPEC),
        lambda: one.target.power_on(VM, layer, Network.ISOLATED),
        lambda: one.target.power_off(VM, grace=0),
        lambda: one.target.power_on(VM, layer, Network.PRODUCTION),
        lambda: one.target.delete(VM),
    ]
    for step in steps:
        for call in rng.sample(CALLS, 5):
            one.sim.proxy.plan(call, *[_wrong(rng, call) for _ in range(rng.randint(1, 4))])
        _until_done(step, check)
    one.sim.proxy.forget()
    one.target.delete(VM)
    assert one.own_vms() == 0
    assert list((one.store.path / ".run").iterdir()) == []


def test_a_creation_that_happens_late_leaves_no_second_vm(one: Stage) -> None:
    """The host carries a lost call out only after it was asked again: the twin is deleted."""
    one.sim.proxy.plan("CreateVM_Task", Late(0.0))
    waited = hypervisor(one.sim, one.store, one.folder / "state")
    waited._machines._busy = lambda _seconds: _await(lambda: one.sim.proxy.late == 1)
    waited.create(SPEC)
    assert (one.own_vms(), one.sim.proxy.count("CreateVM_Task")) == (1, 1)
    one.target.delete(VM)
    one.sim.proxy.plan("CreateVM_Task", Late(0.5))
    one.target.create(SPEC)
    _await(lambda: one.sim.proxy.late == 2)
    one.target.delete(VM)
    assert one.own_vms() == 0


def test_a_twin_that_is_seen_is_deleted_at_once(one: Stage) -> None:
    """The late call is carried out while the second one runs; one VM is left, and it starts."""
    layer = one.boot_point()
    one.sim.proxy.plan("CreateVM_Task", Drop(after=True))
    one.sim.proxy.plan("FindAllByUuid", *[Fault("HostCommunication")] * 3)
    with pytest.raises(faults.HostFailure):
        one.target.create(SPEC)
    one.target.create(SPEC)
    one.target.power_on(VM, layer, Network.NONE)
    assert (one.own_vms(), one.target.signs_of_life(VM).power) == (1, Power.ON)


def test_an_engine_started_anew_takes_no_empty_twin_for_its_vm(one: Stage) -> None:
    """A host that carries a lost call out late has two VMs of one id: the one that runs is ours."""
    one.target.create(SPEC)
    one.target.power_on(VM, one.boot_point(), Network.NONE)
    make_twin(one)
    for _ in range(6):
        again = hypervisor(one.sim, one.store, one.folder / "state")
        assert again.signs_of_life(VM).power is Power.ON


def make_twin(one: Stage) -> None:
    """Let the host make the VM once more, as a lost call told it to."""
    there = look(one.other, "")
    network = known(there, "VM Network", "esx-01")
    spec = specs.create_spec(SPEC, one.target._engine, "LocalDS_0", network)
    one.do(there.folder.CreateVM_Task(spec, there.pool, there.hosts[0].ref))
    assert one.own_vms() == 2


def _await(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        threading.Event().wait(0.02)


@pytest.mark.parametrize("name", ["NotAuthenticated", "HostCommunication", "RuntimeFault"])
def test_a_question_that_fails_ends_no_wait(one: Stage, name: str) -> None:
    """The task goes on whatever becomes of the question: the host said nothing of it.

    A wait that ended here left the VM to the next step with a task on it, which was refused as
    somebody else's.
    """
    layer = one.boot_point()
    one.target.create(SPEC)
    one.sim.proxy.effects["PowerOnVM_Task"] = lambda: one.sim.proxy.plan(
        "RetrievePropertiesEx", *[Fault(name)] * 4
    )
    one.target.power_on(VM, layer, Network.ISOLATED)
    assert one.sim.proxy.count("PowerOnVM_Task") == 1
    assert one.sim.proxy.left() == {}


def test_a_look_for_questions_that_fails_ends_no_start(one: Stage) -> None:
    """The first reading tells a task that runs; the one for a question fails twice over."""
    layer = one.boot_point()
    one.target.create(SPEC)

    def begun() -> None:
        one.sim.proxy.running += [50, 99]
        one.sim.proxy.plan("RetrievePropertiesEx", Delay(0.0), *[Fault("NotAuthenticated")] * 2)

    one.sim.proxy.effects["PowerOnVM_Task"] = begun
    one.target.power_on(VM, layer, Network.ISOLATED)
    assert (one.sim.proxy.count("PowerOnVM_Task"), one.sim.proxy.left()) == (1, {})


def test_a_vm_is_gone_only_when_it_is_not_found_either(one: Stage) -> None:
    """A host that once says so of a running VM does not let a stop end well without stopping."""
    layer = one.boot_point()
    one.target.create(SPEC)
    one.target.power_on(VM, layer, Network.NONE)
    one.sim.proxy.plan("RetrievePropertiesEx", Fault("ManagedObjectNotFound"))
    one.target.power_off(VM, grace=0)
    assert one.target.signs_of_life(VM).power is Power.OFF
    one.sim.proxy.plan("RetrievePropertiesEx", *[Fault("ManagedObjectNotFound")] * 4)
    with pytest.raises(faults.Gone):
        one.target.delete(VM)
    assert one.own_vms() == 1


def test_no_sequence_shows_the_password(one: Stage) -> None:
    """What a failure says never holds it."""
    one.sim.proxy.plan("CreateVM_Task", *[Code(500)] * 3)
    with pytest.raises(faults.HostFailure) as told:
        one.target.create(SPEC)
    assert PASSWORD not in str(told.value) + repr(told.value.problem.facts)
