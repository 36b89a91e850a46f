"""Bringing home cancelled after a reply was lost: the host's own task is ended, no other one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model.errors import Cancelled
from engine.ports import CancelFlag
from tests.vcsim.homing import disks, from_share, is_as_before
from tests.vcsim.simulator import Sim
from tests.vcsim.stage import VM, Stage
from tests.vcsim.steps import Drop


@pytest.fixture
def copying(sim: Sim, xfs: Path, tmp_path: Path) -> Iterator[tuple[Stage, CancelFlag]]:
    """Yield a VM on a host that copies slowly and loses the reply, and what cancels it then."""
    for stage in from_share(sim, xfs, tmp_path):
        flag = CancelFlag()

        def copies(sim: Sim = sim, flag: CancelFlag = flag) -> None:
            sim.proxy.running += [10] * 12
            flag.set()

        sim.proxy.plan("CopyVirtualDisk_Task", Drop(after=True))
        sim.proxy.effects["CopyVirtualDisk_Task"] = copies
        yield stage, flag


def test_a_copy_whose_reply_was_lost_is_ended(copying: tuple[Stage, CancelFlag]) -> None:
    """Its task is found by whose it is; no copy is left, and the VM runs as before."""
    host, flag = copying
    with pytest.raises(Cancelled):
        host.target.bring_home(VM, "", flag)
    assert host.sim.proxy.count("CancelTask") == 1
    is_as_before(host)
    assert not list(host.on("LocalDS_0").rglob("bootpoint-*"))


def test_a_copy_that_may_be_anothers_is_not_ended(copying: tuple[Stage, CancelFlag]) -> None:
    """Somebody copies at that moment too: neither is ended, and the VM runs as before."""
    host, flag = copying
    begins, (disk, _) = host.sim.proxy.effects["CopyVirtualDisk_Task"], disks(host)
    manager = host.other.content.virtualDiskManager

    def both() -> None:
        manager.CopyVirtualDisk_Task(
            disk.backing.fileName, None, "[LocalDS_0] theirs.vmdk", None, None, False
        )
        begins()

    host.sim.proxy.effects["CopyVirtualDisk_Task"] = both
    with pytest.raises(Cancelled):
        host.target.bring_home(VM, "", flag)
    assert host.sim.proxy.count("CancelTask") == 0
    is_as_before(host)
    theirs = list(host.on("LocalDS_0").glob("theirs*"))
    assert theirs
    for file in theirs:
        file.unlink()
