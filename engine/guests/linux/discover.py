"""What systemd mounts without a line in fstab: by a partition's type, or by a unit.

    GPT ─► ESP: /boot where that is empty, else /efi │ extended boot loader partition: /boot
    /etc/systemd/system/boot.mount ─► What=, Where=

Without these, loader entries and kernels on the EFI system partition would not be seen.

Source: systemd-gpt-auto-generator(8), systemd.mount(5); UAPI group, "Discoverable Partitions
Specification".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from engine.guests.linux.devices import Devices, is_raw
from engine.guests.linux.draft import Draft
from engine.guests.linux.fstab import Line
from engine.guests.linux.network.stack import sections, values
from engine.guests.tree import Tree
from engine.model.guest import FileSystem, Mount, Volume
from engine.model.text import safe

UNITS = b"/etc/systemd/system"
_MOST = 64
"""Units of one guest that are looked at."""
_SNAPS = (b"snap-", b"var-lib-snapd-snap-")
"""Files that snapd mounts, dozens of them on an Ubuntu."""
_EXTENDED_BOOT = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
_BOOTS = frozenset((FileSystem.FAT, FileSystem.EXT, FileSystem.XFS, FileSystem.BTRFS))
_SYSTEMD = (b"/usr/lib/systemd/systemd", b"/lib/systemd/systemd")
_WHAT = re.compile(rb"(?m)^([ \t]*What[ \t]*=)([^\n]*)")
_LINKS = {b"UUID": b"/dev/disk/by-uuid/", b"PARTUUID": b"/dev/disk/by-partuuid/"}


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that mounts a device, as a line of fstab would."""

    path: bytes
    content: bytes
    line: Line


def by_table(
    tree: Tree, root: Volume, volumes: Sequence[Volume], taken: AbstractSet[bytes]
) -> Iterator[Mount]:
    """Yield what is mounted by its type from the disk of the root.

    Args:
        tree: The guest with what fstab and units mount.
        root: What is at `/`.
        volumes: All.
        taken: Where something is mounted already.
    """
    if not root.type or not any(tree.has(path) for path in _SYSTEMD):
        return
    used = {mount.volume for mount in tree.mounts}
    here = [v for v in volumes if v.disk == root.disk and v.type and v.id not in used]
    esp = next((v for v in here if v.is_esp and v.kind is FileSystem.FAT), None)
    boot = next((v for v in here if v.type == _EXTENDED_BOOT and v.kind in _BOOTS), None)
    for volume, path in ((boot, b"/boot"), (esp, b"/boot"), (esp, b"/efi")):
        is_free = path not in taken and tree.has_folder(path) and not tree.list(path)
        if volume is not None and is_free and not (volume is esp and boot and path == b"/boot"):
            yield Mount(path, volume.id)
            if volume is esp:
                return


def mount_units(tree: Tree) -> Sequence[Unit]:
    """Return the administrator's own units that mount devices."""
    names = [name for name in tree.list(UNITS) if name.endswith(b".mount")]
    own = [name for name in names if not name.startswith(_SNAPS)]
    paths = [UNITS + b"/" + name for name in own[:_MOST]]
    found = ((path, tree.read(path)) for path in paths)
    return [unit for path, content in found if content for unit in _unit(path, content)]


def _unit(path: bytes, content: bytes) -> Iterator[Unit]:
    for start, end in sections(content, b"Mount"):
        told = values(content[start:end])
        where, what = told.get(b"where", b""), told.get(b"what", b"")
        options = tuple(told.get(b"options", b"").split(b","))
        if where and what:
            yield Unit(path, content, Line(0, what, where, told.get(b"type", b""), options, ()))


def plan_units(draft: Draft, units: Sequence[Unit], devices: Devices) -> None:
    """Let units name devices by what does not depend on the hardware."""
    for unit in units:
        line = unit.line
        if not line.is_local or not is_raw(line.use.spec):
            continue
        volume = devices.find(line.use).volume
        key, _, value = ((devices.name(volume) if volume else None) or b"").partition(b"=")
        if key not in _LINKS:
            draft.warn(
                f"{safe(unit.path)}: {safe(line.spec)} for {safe(line.path)} is in none of the "
                "image's disks; it keeps its name."
            )
            continue
        new = _named(unit.content, _LINKS[key] + value)
        draft.write(unit.path, new, "It names a device by what depends on the old hardware.")


def _named(content: bytes, name: bytes) -> bytes:
    """Return a unit for another device."""
    return _WHAT.sub(lambda match: match[1] + name + b"\r" * match[2].endswith(b"\r"), content)
