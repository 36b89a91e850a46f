"""Systems that files laid over the disks do not change as meant: told, not converted wrongly.

    OSTree      the system's files are in a store, by their hashes; entries name a deployment
    NixOS       the same, made from one configuration; nothing in /boot or /etc is kept
    /etc        laid over a read-only root: what is written below it is not what is read
    other CPU   drivers can be added, and no virtual machine on x86 starts it

Source: libostree, "Anatomy of an OSTree repository" and "Atomic Upgrades"; NixOS manual, "Building
a NixOS"; transactional-update(8), "/etc"; System V ABI, "ELF Header" (`e_machine`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from engine.guests.backend import Reading
from engine.guests.linux import fstab
from engine.guests.obstacles import foreign_processor
from engine.guests.tree import Tree
from engine.model.errors import Failure
from engine.model.guest import FileSystem, Mount, Obstacle, Volume

_TOPS = (b"", b"root", b"@", b"nixos", b"@root")
"""Where in a btrfs such systems have their top."""
_PROGRAMS = (b"/sbin/init", b"/bin/sh", b"/usr/bin/env")
_MACHINES = {
    2: "SPARC", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "S/390", 40: "ARM, 32 bit",
    43: "SPARC 64", 183: "ARM, 64 bit (aarch64)", 243: "RISC-V", 258: "LoongArch",
}  # fmt: skip
OSTREE = Obstacle(
    "guest.ostree",
    "The system is deployed by OSTree (Fedora Silverblue, CoreOS, bootc and others): its files are "
    "in a store that may not be changed file by file.",
    "Add the drivers for virtual machines to the initrd on the source machine (rpm-ostree "
    'initramfs --enable), and set conversion = "none" for this standby.',
)
NIXOS = Obstacle(
    "guest.nixos",
    "The system is NixOS: its kernels, initrds and settings are in /nix/store, made from its "
    "configuration, and nothing else that is changed is kept.",
    "Add the drivers for virtual machines to boot.initrd.availableKernelModules on the source "
    'machine, run nixos-rebuild boot, and set conversion = "none" for this standby.',
)
OVER_ETC = Obstacle(
    "guest.etc_overlay",
    "The system lays another folder over /etc (a read-only root, as openSUSE MicroOS has it): "
    "settings that are changed on the root are not those that it reads.",
    "Add the drivers for virtual machines to the initrd on the source machine, and set "
    'conversion = "none" for this standby.',
)


def of_layout(tree: Tree, lines: Sequence[fstab.Line]) -> Iterator[Obstacle]:
    """Yield why a system whose root was found is not one that a plan can be made for."""
    name = _machine(tree)
    if name:
        yield foreign_processor(name)
    if tree.has(b"/etc/NIXOS"):
        yield NIXOS
    if any(line.path == b"/etc" and line.type == b"overlay" for line in lines):
        yield OVER_ETC


def _machine(tree: Tree) -> str:
    """Return for which foreign processor the system's programs are; empty: none, or untold."""
    for path in _PROGRAMS:
        head = tree.part(path, 0, 20)
        if len(head) == 20 and head[:4] == b"\x7fELF":
            order: Literal["big", "little"] = "big" if head[5] == 2 else "little"
            return _MACHINES.get(int.from_bytes(head[18:20], order), "")
    return ""


def without_files(reading: Reading, volumes: Sequence[Volume]) -> Iterator[Obstacle]:
    """Yield of which such layout disks are on which no root of the usual kind was found."""
    found: dict[str, Obstacle] = {}
    for volume in volumes:
        if volume.kind not in (FileSystem.EXT, FileSystem.XFS, FileSystem.BTRFS):
            continue
        for top in _TOPS if volume.kind is FileSystem.BTRFS else (b"",):
            tree = Tree(reading, (Mount(b"/", volume.id, top),))
            try:
                if tree.has_folder(b"/ostree/repo"):
                    found[OSTREE.key] = OSTREE
                elif tree.has(b"/etc/NIXOS") or tree.has_folder(b"/nix/store"):
                    found[NIXOS.key] = NIXOS
            except Failure:
                break  # told by the inspection already
    yield from found.values()
