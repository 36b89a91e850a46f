"""LVM's filter: a VM's disks are let in where old hardware's names kept all others out."""

from __future__ import annotations

import pytest

from engine.guests.inspect import inspect
from engine.guests.linux import lvm
from engine.guests.plan import plan
from engine.model.guest import FileSystem
from tests.unit.guests.test_plan import NICS, overlay
from tests.unit.guests.trees import BOOT, ROOT, MemoryGuest, debian12, volume

CONF = "/etc/lvm/lvm.conf"
NEW = '"a|^/dev/(sd|vd|nvme)|", '


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"a|/dev/cciss/.*|", ', '"r|.*|"'),
        ('"a|^/dev/sd[a-z]3$|",\n\t\t', '"r/.*/" '),
        ('"r|/dev/sdb|", "a|/dev/disk/by-id/wwn-0x5.*|", ', '"r|/.*|"'),
        ('"a|/dev/mapper/mpath.*|", ', '"r|/dev/sd.*|"'),
        ('"a#/dev/hda#", ', '"r#.*#"'),
    ],
)
@pytest.mark.parametrize("key", ["filter", "\tglobal_filter", "devices/filter"])
def test_disks_of_a_vm_are_let_in_before_all_are_rejected(
    key: str, before: str, after: str
) -> None:
    """What was rejected by its own name stays out; a second time changes nothing."""
    text = f'devices {{\n{key} = [ {before}{after}]\n}}\n# {key} = [ "a|/dev/sda|", "r|.*|" ]\n'

    new = lvm.widened(text.encode())

    assert new.decode() == text.replace(before + after, before + NEW + after, 1)
    assert lvm.widened(new) == new


@pytest.mark.parametrize(
    "inside",
    [
        '"a|.*|"',
        '"a|.*/|"',
        '"r|/dev/cdrom|"',
        '"a|^/dev/drbd|", "r|.*|"',
        '"a|/dev/md|", "r|.*|"',
        '"a|.*|", "r|.*|"',
        '"a|/dev/sda|"',
        '"r|/dev/sda1|", "a|.*|"',
        "",
        '"',
        '"a", "r", "x|y|"',
    ],
)
def test_a_filter_that_keeps_no_disk_out_stays(inside: str) -> None:
    """So does one that lets only in what is made of disks: its parts must not be seen twice."""
    assert lvm.widened(f"filter = [ {inside} ]\n".encode()) == b""


def guest(text: str) -> MemoryGuest:
    """Return a Debian with logical volumes and this filter."""
    made = debian12()
    disk = MemoryGuest([*made.volumes(), volume(BOOT, FileSystem.LVM, disk=1)], {})
    disk.files[ROOT] = dict(made.files[ROOT])
    disk.put(ROOT, CONF, text)
    return disk


def test_the_filter_of_the_guest_is_changed_where_it_has_logical_volumes() -> None:
    """Its own tools make later initrds with it; without LVM nobody reads it."""
    text = 'filter = [ "a|/dev/sda2|", "r|.*|" ]\n'
    disk, plain = guest(text), debian12()
    plain.put(ROOT, CONF, text)

    made = disk.replay(plan(disk, inspect(disk), overlay, NICS).edits)

    assert made.files[ROOT][CONF.encode()] == lvm.widened(text.encode())
    assert plan(made, inspect(made), overlay, NICS).edits == ()
    edits = plan(plain, inspect(plain), overlay, NICS).edits
    assert CONF.encode() not in [edit.path for edit in edits]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "filter = [\n" * 90_000,
        'filter = [ "' * 90_000,
        'filter = [ "a|' + " " * 1_000_000 + 'x" ]\n',
        "filter = [ " + '"a|sd|", ' * 100_000 + '"r|.*|" ]\n',
    ],
)
def test_a_hostile_filter_is_read_in_linear_time(text: str) -> None:
    """Lists that never end, and patterns of a megabyte."""
    lvm.widened(text.encode())
