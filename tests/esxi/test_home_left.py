"""What a way home could not tidy up at once: tidied up by whoever asks next, and by a stop."""

from __future__ import annotations

from typing import Any

import pytest

from engine.hypervisors.esxi.home import Homeward
from engine.model.errors import HypervisorError, Problem
from engine.model.machine import Power
from engine.ports import NeverCancelled
from tests.esxi.test_home import at, host, hosts, vcenter
from tests.vcsim.homing import is_as_before, is_home, mounted
from tests.vcsim.stage import SPEC, VM, Stage
from tests.vcsim.steps import Delay, Drop, Fault, Step

__all__ = ["at", "host", "hosts", "vcenter"]

NEVER = NeverCancelled()


def _fails_from(stage: Stage, number: int, *steps: Step) -> None:
    """Let the VM's change of this number fail, as often as there are steps."""
    stage.sim.proxy.plan("ReconfigVM_Task", *[Delay(0.0)] * number, *steps)


def test_a_port_that_is_refused_keeps_the_share_until_somebody_asks_again(vcenter: Stage) -> None:
    """The answer says that the VM uses it; asked again, only the port is changed."""
    _fails_from(vcenter, 1, Fault("InvalidState"), Delay(0.0), Fault("InvalidState"))
    came = vcenter.target.bring_home(VM, "", NEVER)
    assert came.stays == "it is used by web01"
    vcenter.sim.proxy.calls.clear()
    came = vcenter.target.bring_home(VM, "", NEVER)
    assert (came.was_there, came.stays) == (True, "")
    assert vcenter.sim.proxy.calls.count("ReconfigVM_Task") == 1
    assert not mounted(vcenter)
    is_home(vcenter)
    vcenter.sim.proxy.calls.clear()
    vcenter.target.bring_home(VM, "", NEVER)
    assert "ReconfigVM_Task" not in vcenter.sim.proxy.calls


@pytest.mark.parametrize("step", [Fault("TaskInProgress"), Drop(), Drop(after=True)])
def test_a_port_is_tried_again_at_once(
    vcenter: Stage, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another task works on the VM, or when a reply is lost."""
    monkeypatch.setattr(vcenter.target._machines, "_busy", lambda _seconds: None)
    _fails_from(vcenter, 1, step)
    came = vcenter.target.bring_home(VM, "", NEVER)
    assert came.stays == ""
    assert vcenter.sim.proxy.left() == {}
    is_home(vcenter)


@pytest.mark.parametrize("step", [Fault("TaskInProgress"), Drop(), Drop(after=True)])
def test_a_copy_that_cannot_be_deleted_at_once_is_deleted_all_the_same(
    host: Stage, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way that is given up leaves nothing that is as large as a disk."""
    monkeypatch.setattr(host.target._homecoming._homeward, "_busy", lambda _seconds: None)
    host.sim.proxy.plan("CopyVirtualDisk_Task", Delay(0.0), Fault("NoDiskSpace"))
    # The first two make sure that no half copy is in the way.
    host.sim.proxy.plan("DeleteVirtualDisk_Task", *[Delay(0.0)] * 2, step, step)
    with pytest.raises(HypervisorError, match="no room"):
        host.target.bring_home(VM, "LocalDS_1", NEVER)
    assert host.sim.proxy.left() == {}
    assert not list(host.on("LocalDS_1").glob("bootpoint-*"))
    is_as_before(host)


@pytest.mark.parametrize("to", ["LocalDS_0", "LocalDS_1"])
def test_a_stop_in_the_middle_takes_the_copies_along(
    host: Stage, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine died with one disk copied and the second half: they go with the VM."""
    real, tries = Homeward._copy_one, iter(range(9))

    def dies(self: Homeward, *args: Any) -> None:
        real(self, *args)
        if next(tries):
            raise HypervisorError(Problem("test", "killed"))

    monkeypatch.setattr(Homeward, "_give_up", lambda _self, there: there)
    monkeypatch.setattr(Homeward, "_copy_one", dies)
    with pytest.raises(HypervisorError, match="killed"):
        host.target.bring_home(VM, to, NEVER)
    monkeypatch.undo()
    place = host.on(to)
    assert len(list(place.rglob("bootpoint-*-flat.vmdk"))) == 2
    host.target.power_off(VM, grace=0)
    host.target.delete(VM, home=True)
    assert not list(place.rglob("bootpoint-*"))
    assert not list(place.rglob("web01*"))
    assert host.own_vms() == 0
    host.target.create(SPEC)


def test_a_way_that_could_not_be_given_up_whole_begins_anew(host: Stage) -> None:
    """Its copies were gone, and the VM did not start: the next try copies every disk again."""
    host.sim.proxy.plan("CopyVirtualDisk_Task", Delay(0.0), Fault("NoDiskSpace"))
    host.sim.proxy.plan("PowerOnVM_Task", Fault("InvalidState"))
    with pytest.raises(HypervisorError, match="no room"):
        host.target.bring_home(VM, "", NEVER)
    signs = host.target.signs_of_life(VM)
    assert (signs.power, signs.leaving) == (Power.OFF, "LocalDS_0")
    assert not list(host.on("LocalDS_0").rglob("bootpoint-*"))
    host.target.bring_home(VM, "", NEVER)
    assert host.sim.proxy.count("CopyVirtualDisk_Task") == 4
    is_home(host)
