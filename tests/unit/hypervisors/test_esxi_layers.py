"""What a VM says about itself, and what counts as somebody else's change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.hypervisors.esxi.layers import Disk, Seen, State, drift, identity, read_state, shape
from engine.model.machine import Asked, Firmware, Power, VMSpec

FOLDER = "[bp-esx] web"
STATE = State("0a" * 16, "bp000001-scratch", "isolated")
OURS = Seen(
    name="web",
    engine="e",
    vm="web",
    shape="s",
    state=STATE,
    power=Power.OFF,
    connected=True,
    home="[local] web",
    disks=(Disk(2000, f"{FOLDER}/{STATE.operation}/disk0.vmdk"),),
)


def test_a_vm_as_the_last_step_left_it_is_not_drifted() -> None:
    """With the disks of its last step, or without any before its first, all is well."""
    assert drift(OURS, FOLDER) == ""
    assert drift(replace(OURS, state=State(), disks=()), FOLDER) == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"connected": False}, "host has lost it"),
        ({"question": Asked("7", "moved or copied?")}, "moved or copied?"),
        ({"consolidate": True}, "consolidation"),
        ({"busy": True}, "a task"),
        ({"snapshots": True}, "a snapshot"),
        ({"state": None}, "mark"),
        ({"state": State()}, "the disk"),
        ({"state": replace(STATE, operation="0b" * 16)}, "the disk"),
        ({"disks": (*OURS.disks, Disk(2001, "[local] web/web.vmdk"))}, "[local] web/web.vmdk"),
        ({"disks": (Disk(2000, f"{FOLDER}2/{STATE.operation}/disk0.vmdk"),)}, "the disk"),
        ({"disks": (Disk(2000, ""),)}, "the disk"),
    ],
)
def test_each_foreign_change_is_named(change: dict[str, Any], says: str) -> None:
    """Every single difference stops the engine, and the reason says which it is."""
    assert says in drift(replace(OURS, **change), FOLDER)


def test_disks_elsewhere_are_never_the_vms_own() -> None:
    """A host deletes attached disks with the VM: all outside its folder are taken out first."""
    own, near = Disk(1, "[local] web/web.vmdk"), Disk(2, "[local] web2/x.vmdk")
    there = replace(OURS, disks=(own, near, *OURS.disks, Disk(3, "")))
    assert there.outside() == [near, *OURS.disks, Disk(3, "")]


def test_a_state_is_read_back_and_nothing_else_is_taken_for_one() -> None:
    """What anybody may have written into the VM's settings is no state."""
    assert read_state(str(STATE)) == STATE
    assert read_state("") == State()
    for odd in ("{}", "[]", "null", "x", '"' * 3, "[" * 100000, '{"operation": 1}'):
        assert read_state(odd) is None


def test_ids_differ_by_engine_and_standby_and_by_nothing_else() -> None:
    """A retry finds what it left; another engine on the same host does not find it."""
    assert identity("e", "web") == identity("e", "web")
    assert len({identity("e", "web"), identity("f", "web"), identity("e", "web2")}) == 3
    spec = VMSpec("web", Firmware.BIOS, 1, 1 << 30, ())
    assert shape(spec) == shape(replace(spec))
    assert shape(spec) != shape(replace(spec, cpus=2))
