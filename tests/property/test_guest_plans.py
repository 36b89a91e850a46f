"""Guests with damaged settings, menus and registries: a plan that holds, or a reason in words.

Seeded, so that a failure names its seed; a longer run is `BOOTPOINT_SEEDS=30000`.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from functools import cache

import pytest

from engine.guests.inspect import inspect, tree_of
from engine.guests.menu import asks_network
from engine.guests.plan import plan
from engine.guests.windows import hive as registry
from engine.guests.windows.system import decide
from engine.guests.windows.version import HiveDamaged
from engine.model.errors import Failure
from tests.guests.phony_hive import system_hive
from tests.mutation import mutated
from tests.unit.guests.test_plan import NICS
from tests.unit.guests.trees import (
    ROOT,
    Link,
    MemoryGuest,
    btrfs,
    debian12,
    redhat,
    separate_boot,
    ubuntu,
)

SEEDS = int(os.environ.get("BOOTPOINT_SEEDS", "60"))
_MAC = "aa:bb:cc:00:11:22"
_MORE = {
    "/etc/crypttab": "data /dev/sda3 none luks\nswap /dev/sda2 /dev/urandom swap\n",
    "/etc/NetworkManager/system-connections/eno1.nmconnection": (
        f"[connection]\ntype=ethernet\ninterface-name=eno1\n[ethernet]\nmac-address={_MAC}\n"
    ),
    "/etc/systemd/network/10-lan.network": f"[Match]\nMACAddress={_MAC}\n[Network]\nDHCP=yes\n",
    "/etc/udev/rules.d/70-persistent-net.rules": (
        f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{_MAC}", NAME="eth0"\n'
    ),
    "/boot/extlinux/extlinux.conf": (
        "DEFAULT l\nLABEL l\n LINUX ../vmlinuz-6.1.0-50-amd64\n"
        " INITRD ../initrd.img-6.1.0-50-amd64\n APPEND root=/dev/sda1 ro\n"
    ),
    "/boot/grub/menu.lst": (
        "default 0\ntitle Linux\nkernel /boot/vmlinuz-6.1.0-50-amd64 root=/dev/sda1\n"
        "initrd /boot/initrd.img-6.1.0-50-amd64\n"
    ),
    "/etc/mkinitcpio.conf": "MODULES=(ahci)\nHOOKS=(base)\n",
    "/etc/kernel/cmdline": "root=/dev/sda2 ro\n",
    "/etc/sysconfig/network/ifcfg-eth0": f"BOOTPROTO=static\nLLADDR={_MAC}\n",
}


@cache
def guests() -> Sequence[MemoryGuest]:
    """Return one guest of each kind, most of them with what several stacks leave behind."""
    made = [debian12(), ubuntu(), redhat(), separate_boot(), btrfs()]
    for guest in made[:3]:
        for path, content in _MORE.items():
            guest.put(ROOT, path, content)
    return made


def damaged(guest: MemoryGuest, seed: int) -> MemoryGuest:
    """Return a copy in which one to four files or links are not as they were."""
    chance, copy = random.Random(seed), guest.replay(())
    for number in range(chance.choice((1, 1, 2, 4))):
        files = copy.files[chance.choice(sorted(v for v, tree in copy.files.items() if tree))]
        path = chance.choice(sorted(path for path, content in files.items() if content is not None))
        content = files[path]
        if isinstance(content, Link):
            target = mutated(content.target, seed + number).replace(b"\0", b"x")
            files[path] = Link(target[:4000] or b"x")
        elif content is not None:
            files[path] = mutated(content, seed + number)
    return copy


@pytest.mark.timeout(120 + SEEDS)
def test_a_plan_over_damaged_files_holds_or_says_why_there_is_none() -> None:
    """Its edits fit the guest, and a second plan over what they made has none left."""
    for seed in range(SEEDS):
        disk, said = damaged(guests()[seed % len(guests())], seed), ""
        try:
            guest = inspect(disk)
            made = plan(disk, guest, lambda _: b"overlay", NICS)
        except Failure as failure:
            said = failure.problem.happened
        if said:
            assert said.endswith("."), seed
            continue
        if guest.mounts:
            asks_network(tree_of(disk, guest))
        assert made.edits or made.obstacles, seed
        assert all(o.text.endswith(".") and o.remedy for o in made.obstacles), seed
        if made.edits:
            done = disk.replay(made.edits)
            left = plan(done, inspect(done), lambda _: b"overlay", NICS).edits
            assert not left, (seed, [edit.path for edit in left])


def hive(seed: int) -> bytes:
    """Return a hive whose keys are damaged: here and there, or at one place."""
    whole = system_hive(sets=(1, 2))
    if seed % 3:
        body = mutated(whole[4096:], seed)[: len(whole) - 4096]
        return whole[:4096] + body.ljust(len(whole) - 4096, b"\0")
    chance, body_ = random.Random(seed), bytearray(whole)
    for _ in range(30):
        body_[chance.randrange(4096, len(whole))] = chance.getrandbits(8)
    return bytes(body_)


@pytest.mark.timeout(120 + SEEDS)
def test_a_damaged_registry_is_read_and_edited_or_refused() -> None:
    """Libhivex may end as it likes; here it is an answer, or a hive that is damaged."""
    step = registry.Step(("Select",), "Bootpoint", registry.dword(1))
    wanted = [("Select",), ("*", "Services"), ("*", "Control"), ("Setup",)]
    for seed in range(-(-SEEDS // 6)):
        try:
            decide(registry.read(hive(seed), wanted), frozenset())
            new = registry.edit(hive(seed), [step])
        except HiveDamaged:
            continue
        select = registry.read(new, [("Select",)]).at(("Select",))
        assert select is not None, seed
        assert select.values["bootpoint"].number == 1, seed
