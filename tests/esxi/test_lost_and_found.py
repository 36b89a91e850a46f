"""VMs that vanish, that a host has lost, or that are registered anew, in the middle of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi import faults, layers
from engine.hypervisors.esxi.answers import ref_id
from engine.model.errors import Refused
from engine.model.machine import Network, Power
from tests.vcsim.stage import SPEC, VM, Stage

_KEPT = ("config.uuid", "config.extraConfig", "config.hardware.device", "config.files.vmPathName")


def _anew(stage: Stage) -> str:
    """Register the VM anew; return its id. vcsim reads no .vmx, so what that says is told it."""
    ref = stage.ref()
    told = stage.other.read(ref, *_KEPT, "parent", "resourcePool", "runtime.host")
    ref.UnregisterVM()
    path = told["config.files.vmPathName"]
    task = told["parent"].RegisterVM_Task(
        path, VM, False, told["resourcePool"], told["runtime.host"]
    )
    again = stage.do(task)
    change = vim.vm.device.VirtualDeviceSpec
    has = stage.other.read(again, "config.hardware.device")["config.hardware.device"]
    known = {one.key for one in has}
    spec = vim.vm.ConfigSpec(
        uuid=told["config.uuid"],
        extraConfig=told["config.extraConfig"],
        deviceChange=[
            change(operation="add", device=one)
            for one in told["config.hardware.device"]
            if one.key not in known
        ],
    )
    stage.do(again.ReconfigVM_Task(spec))
    return ref_id(again)


def _once(stage: Stage, ids: list[str]) -> Callable[[], None]:
    def change() -> None:
        if not ids:
            ids.append(_anew(stage))

    return change


@pytest.mark.parametrize("method", ["CreateNasDatastore", "ReconfigVM_Task"])
def test_a_start_goes_on_with_the_same_vm(stage: Stage, method: str) -> None:
    """It has another id, and the same UUID and marks: one VM, which runs."""
    layer, ids = stage.boot_point(), list[str]()
    stage.target.create(SPEC)
    stage.sim.proxy.effects[method] = _once(stage, ids)
    stage.target.power_on(VM, layer, Network.ISOLATED)
    assert ids == [ref_id(stage.ref())]
    assert stage.target.signs_of_life(VM).power is Power.ON
    stage.target.power_off(VM, grace=0)
    stage.target.delete(VM)
    assert stage.own_vms() == 0


def _lose(stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str = VM) -> None:
    """Let the host have lost the VM: it tells neither configuration nor files of it."""
    session, me = stage.target._session, ref_id(stage.ref())
    real = session.collect

    def collect(*asked: Any, **changes: Any) -> Iterator[tuple[Any, Any]]:
        for ref, told in real(*asked, **changes):
            if isinstance(ref, vim.VirtualMachine) and ref_id(ref) == me:
                for path in [one for one in told if one.startswith(("config", "layout"))]:
                    del told[path]
                told |= {"runtime.connectionState": "inaccessible", "name": name}
            yield ref, told

    monkeypatch.setattr(session, "collect", collect)


@pytest.mark.parametrize("known", [True, False], ids=["known", "first seen"])
def test_a_vm_that_the_host_has_lost_is_neither_off_nor_foreign(
    one: Stage, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    """It may run: nothing of it is taken away, and nobody is told to rename it."""
    layer = one.boot_point()
    one.target.create(SPEC)
    one.target.power_on(VM, layer, Network.ISOLATED)
    files = sorted((one.store.path / ".run").rglob("*"))
    before = len(one.sim.proxy.calls)
    with monkeypatch.context() as lost:
        _lose(one, lost)
        if not known:
            one.target._machines._refs.clear()
        for step in (
            lambda: one.target.signs_of_life(VM),
            lambda: one.target.create(SPEC),
            lambda: one.target.power_on(VM, layer, Network.ISOLATED),
            lambda: one.target.arm(VM, layer),
            lambda: one.target.power_off(VM, grace=0),
            lambda: one.target.delete(VM),
        ):
            with pytest.raises(faults.HostFailure, match="has lost VM web01"):
                step()
    assert not any(call.endswith("_Task") for call in one.sim.proxy.calls[before:])
    assert sorted((one.store.path / ".run").rglob("*")) == files
    assert one.target.signs_of_life(VM).power is Power.ON


@pytest.mark.parametrize("name", [VM, f"/vmfs/volumes/5f1/{VM}/{VM}.vmx"])
def test_a_lost_vm_that_is_not_found_by_its_id_either_is_not_gone(
    one: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An engine that was started anew knows it by its name alone: a stop and a deletion wait."""
    layer = one.boot_point()
    one.target.create(SPEC)
    one.target.power_on(VM, layer, Network.ISOLATED)
    files = sorted((one.store.path / ".run").rglob("*"))
    with monkeypatch.context() as lost:
        _lose(one, lost, name)
        lost.setattr(one.target._machines, "searched", lambda _: None)
        one.target._machines._refs.clear()
        for step in (
            lambda: one.target.signs_of_life(VM),
            lambda: one.target.power_off(VM, grace=0),
            lambda: one.target.delete(VM),
        ):
            with pytest.raises(faults.HostFailure, match="has lost VM web01"):
                step()
    assert sorted((one.store.path / ".run").rglob("*")) == files
    assert one.target.signs_of_life(VM).power is Power.ON


def test_a_lost_vm_that_has_been_registered_elsewhere_is_found(
    one: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vCenter keeps the orphan beside it: the one with our id and marks is ours."""
    layer = one.boot_point()
    one.target.create(SPEC)
    stale = one.ref()
    one.target.delete(VM)
    one.target.create(SPEC)
    one.target._machines._refs[VM] = stale
    real = one.target._machines.look

    def look(ref: Any) -> Any:
        if ref_id(ref) != ref_id(stale):
            return real(ref)
        there = real(one.ref())
        seen = replace(there.seen, connected=False, uuid="", engine="", vm="")
        return replace(there, ref=stale, seen=seen)

    monkeypatch.setattr(one.target._machines, "look", look)
    one.target.power_on(VM, layer, Network.ISOLATED)
    monkeypatch.undo()
    assert one.target.signs_of_life(VM).power is Power.ON


def test_a_namesake_that_goes_meanwhile_is_in_nobodys_way(one: Stage) -> None:
    """It is listed, and gone when it is looked at: the VM is made. One that stays is left alone."""
    one.target.create(SPEC)
    foreign = one.ref()
    spec = vim.vm.ConfigSpec(uuid=str(UUID(int=7)), extraConfig=_without_marks())
    one.do(foreign.ReconfigVM_Task(spec))
    with pytest.raises(Refused, match="did not create"):
        one.target.create(SPEC)
    machines, real = one.target._machines, one.target._machines.marked

    def goes(ref: Any) -> Any:
        machines.marked = real  # type: ignore[method-assign]
        one.do(ref.Destroy_Task())
        return real(ref)

    machines.marked = goes  # type: ignore[method-assign]
    one.target.create(SPEC)
    assert (one.own_vms(), one.vms().count(VM)) == (1, 1)


def _without_marks() -> list[Any]:
    return [vim.option.OptionValue(key=key, value="") for key in (layers.ENGINE, layers.VM)]
