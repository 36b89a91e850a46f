"""Finds out what is in the disks of one layer: system, kernels, boot loader, obstacles.

    volumes ─► root ─► fstab ─► mounts ─► tree ─► release, kernels, boot loader, networks

Only reads, through a backend's verbs, a few dozen small files. Damage in one volume does not end
the inspection; it is told when the system could not be found without that volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from engine.guests import obstacles as words
from engine.guests.backend import Reading, Subvolumes
from engine.guests.bootdisk import boot_disk
from engine.guests.bootloader import LIMIT, find_boot_loader, too_long
from engine.guests.efi import has_any, loaded_esp, only_32_bit
from engine.guests.layouts import of_layout, without_files
from engine.guests.linux import fstab
from engine.guests.linux.devices import Devices, Fits, Use
from engine.guests.linux.discover import by_table, mount_units
from engine.guests.linux.kernels import find_kernels
from engine.guests.linux.known import KNOWN
from engine.guests.linux.network import STACKS
from engine.guests.linux.release import read_release
from engine.guests.members import further, partial
from engine.guests.tree import Tree
from engine.guests.windows.inspect import (
    Installation,
    find_installations,
    firmware_of,
    inspect_windows,
    is_locked,
)
from engine.model.errors import Failure
from engine.model.guest import Family, FileSystem, Guest, Mount, Obstacle, Volume, VolumeId
from engine.model.machine import Firmware

LINUX = frozenset((FileSystem.EXT, FileSystem.XFS, FileSystem.BTRFS))
FSTAB = 1 << 20
"""Longest fstab in bytes that is read."""
MOUNTS = 64
SUBVOLUMES = (b"", b"@", b"@rootfs", b"root", b"@/.snapshots/1/snapshot")
"""Where distributions put the root of the system in btrfs."""
OTHERS = 16
"""Other folders in the top of a btrfs that may be the root: users name subvolumes as they like."""
_OS_RELEASE = (b"/etc/os-release", b"/usr/lib/os-release", b"/etc/redhat-release",
               b"/etc/debian_version")  # fmt: skip
_NAMED = 16
"""Score of a volume that its own fstab calls `/`, above all else: no copy of another system."""


@dataclass(frozen=True, slots=True)
class Root:
    """A volume with a system on it; the highest score is the system that boots."""

    volume: Volume
    subvolume: bytes
    score: int


def inspect(reading: Reading) -> Guest:
    """Return what the disks hold, with every obstacle that can be told from the volumes."""
    volumes = tuple(reading.volumes())
    damage: list[Obstacle] = []
    roots = _roots(reading, volumes, damage)
    windows = find_installations(reading, volumes, [] if roots else damage)
    linux = _best(reading, volumes, roots, damage) if roots else None
    if linux is not None and not (linux.obstacles and windows):
        return replace(linux, others=_others(linux, roots, windows))
    other = _windows(reading, volumes, windows, linux)
    if other is not None:
        return replace(other, others=_others(other, roots, windows))
    if linux is not None:
        return replace(linux, others=_others(linux, roots, windows))
    return _nothing(reading, volumes, damage)


def _best(
    reading: Reading, volumes: Sequence[Volume], roots: Sequence[Root], damage: list[Obstacle]
) -> Guest | None:
    """Return the Linux that boots; None when it cannot be read, which `damage` is told."""
    best = _likeliest(roots)
    try:
        return _linux(reading, volumes, best)
    except Failure as failure:
        damage.append(words.unreadable(best.volume, failure))
        return None


def _likeliest(roots: Sequence[Root]) -> Root:
    """Return the system that boots: of several that name themselves, the one that ran last."""
    named = [root for root in roots if root.score >= _NAMED]
    if named and all(root.volume.kind is FileSystem.EXT for root in named):
        return max(named, key=lambda root: (root.volume.started, root.score))
    return max(roots, key=lambda root: root.score)


def _windows(
    reading: Reading,
    volumes: Sequence[Volume],
    found: Sequence[Installation],
    linux: Guest | None,
) -> Guest | None:
    """Return the Windows, if there is one; beside a Linux only one that can be converted."""
    if not found:
        return None
    try:
        guest = inspect_windows(reading, volumes, found)
    except Failure:
        if linux is None:
            raise
        return None
    return guest if linux is None or not guest.obstacles else None


def _others(
    guest: Guest, roots: Sequence[Root], windows: Sequence[Installation]
) -> Sequence[VolumeId]:
    """Return the volumes with systems that are not this guest's."""
    ids = {one.volume.id for one in roots if one.score >= _NAMED}
    ids |= {one.volume.id for one in windows}
    return tuple(sorted(ids - {mount.volume for mount in guest.mounts}))


def root_volume(guest: Guest) -> Volume:
    """Return the volume at `/`."""
    root = next(mount.volume for mount in guest.mounts if mount.path == b"/")
    return next(volume for volume in guest.volumes if volume.id == root)


def tree_of(reading: Reading, guest: Guest) -> Tree:
    """Return the guest's own tree."""
    return Tree(reading, guest.mounts)


def content_fits(reading: Reading, root: Volume) -> Fits:
    """Return a test that looks into a volume where a mount path demands certain content."""
    seen: dict[tuple[str, bytes], bool] = {}

    def fits(volume: Volume, path: bytes) -> bool:
        key = (volume.id, path)
        if path == b"/" or volume.id == root.id:
            # Only btrfs is mounted at several places, by its subvolumes.
            return volume.id == root.id and (path == b"/" or volume.kind is FileSystem.BTRFS)
        if path not in _WANTED:
            return True
        if key not in seen:
            seen[key] = has_any(reading, volume, _WANTED[path])
        return seen[key]

    return fits


_WANTED: dict[bytes, Callable[[bytes], bool]] = {
    b"/boot": lambda name: name.startswith((b"vmlinu", b"grub", b"initr", b"loader")),
    b"/usr": lambda name: name in (b"bin", b"lib"),
    b"/var": lambda name: name in (b"lib", b"log"),
    b"/boot/efi": lambda name: name.upper() == b"EFI",
    b"/efi": lambda name: name.upper() == b"EFI",
}


def _roots(reading: Reading, volumes: Sequence[Volume], damage: list[Obstacle]) -> list[Root]:
    roots: list[Root] = []
    others = further(volumes) | partial(volumes)
    for volume in volumes:
        if volume.kind not in LINUX or volume.id in others:
            continue
        if volume.outside:
            damage.append(words.outside(volume))
            continue
        try:
            roots += list(_roots_in(reading, volume, volumes))
        except Failure as failure:
            damage.append(words.unreadable(volume, failure))
    return roots


def _roots_in(reading: Reading, volume: Volume, volumes: Sequence[Volume]) -> Iterator[Root]:
    names = set(reading.list(volume.id, b"/"))
    default, places = _subvolumes(reading, volume, names)
    for subvolume in places:
        if subvolume and subvolume.split(b"/")[0] not in names:
            continue
        tree = Tree(reading, (Mount(b"/", volume.id, subvolume),))
        if subvolume or b"etc" in names:
            tree.ahead(KNOWN)
        has_release = any(tree.has(path) for path in _OS_RELEASE)
        has_fstab = tree.has(b"/etc/fstab")
        has_modules = bool(tree.list(b"/lib/modules"))
        if not (has_release or has_fstab):
            continue
        named = has_fstab and _names_itself(tree, volume, volumes, subvolume)
        score = _NAMED * named + 2 * (2 * has_modules + has_release + has_fstab)
        score += volume.kind is FileSystem.BTRFS and subvolume == default
        if score > 3 or tree.has(b"/sbin/init") or tree.has(b"/boot"):
            yield Root(volume, subvolume, score)


def _subvolumes(
    reading: Reading, volume: Volume, names: AbstractSet[bytes]
) -> tuple[bytes, Sequence[bytes]]:
    """Return the subvolume that is mounted without a name, and all that may hold the root."""
    if volume.kind is not FileSystem.BTRFS:
        return b"", (b"",)
    default = reading.default_subvolume(volume.id) if isinstance(reading, Subvolumes) else b""
    system = {b"etc", b"usr", b"boot"}
    others = () if system <= names else tuple(sorted(names))[:OTHERS]
    return default, tuple(dict.fromkeys((default, *SUBVOLUMES, *others)))


def _names_itself(tree: Tree, volume: Volume, volumes: Sequence[Volume], subvolume: bytes) -> bool:
    """Return whether fstab calls this volume `/`: a copy of a system names the original."""
    content = tree.read(b"/etc/fstab", FSTAB) or b""
    for line in fstab.parse(content):
        if line.path == b"/":
            devices = Devices(volumes, [line.use], lambda _volume, _path: True)
            found = devices.find(line.use).volume
            is_here = not line.subvolume or line.subvolume == subvolume
            return found is not None and found.id == volume.id and is_here
    return False


def _linux(reading: Reading, volumes: Sequence[Volume], root: Root) -> Guest:
    bottom = Mount(b"/", root.volume.id, root.subvolume)
    found: list[Obstacle] = []
    at = Tree(reading, (bottom,)).locate(b"/etc/fstab")
    if at is not None and at.stat is not None and at.stat.size > FSTAB:
        found.append(words.fstab_too_long(at.stat.size))
    content = Tree(reading, (bottom,)).read(b"/etc/fstab", FSTAB) or b""
    lines = [*fstab.parse(content), *(unit.line for unit in mount_units(Tree(reading, (bottom,))))]
    mounts, missing = _mounts(lines, volumes, bottom, content_fits(reading, root.volume))
    tree = Tree(reading, mounts)
    discovered = tuple(by_table(tree, root.volume, volumes, {line.path for line in lines}))
    if discovered:
        mounts = tuple(sorted((*mounts, *discovered), key=lambda mount: mount.path))
        tree = Tree(reading, mounts)
    tree.ahead(KNOWN)
    found += words.of_volumes(volumes, mounts, missing)
    release = read_release(tree)
    kernels = find_kernels(tree)
    loader = find_boot_loader(tree)
    esp = loaded_esp(reading, volumes)
    firmware = Firmware.UEFI if esp else Firmware.BIOS
    odd = tuple(of_layout(tree, lines))
    found += odd or words.of_boot(tree, loader, kernels)
    if esp is not None and not odd and only_32_bit(reading, volumes):
        found.append(words.FIRMWARE_32)
    found += [words.menu_too_long(path, size, LIMIT) for path, size in too_long(tree)]
    return Guest(
        family=release.family,
        name=release.name,
        version=release.version,
        firmware=firmware,
        volumes=volumes,
        mounts=mounts,
        kernels=kernels,
        boot_loader=loader,
        networks=tuple(stack.name for stack in STACKS if stack.files(tree)),
        obstacles=tuple(found),
        boot_disk=boot_disk(volumes, firmware, esp or _boot_volume(volumes, mounts)),
    )


def _boot_volume(volumes: Sequence[Volume], mounts: Sequence[Mount]) -> Volume | None:
    """Return the volume that `/boot` is on."""
    at = {mount.path: mount.volume for mount in mounts}
    wanted = at.get(b"/boot", at[b"/"])
    return next((volume for volume in volumes if volume.id == wanted), None)


def _mounts(
    told: Sequence[fstab.Line], volumes: Sequence[Volume], bottom: Mount, fits: Fits
) -> tuple[Sequence[Mount], Sequence[Use]]:
    """Return what these lines mount, root first, and the uses that no volume fits."""
    lines = [line for line in told if line.is_local and not line.is_swap]
    devices = Devices(volumes, [line.use for line in lines], fits)
    mounts = {b"/": bottom}
    missing = []
    for line in lines:
        path = _clean(line.path)
        if path is None or path in mounts or len(mounts) >= MOUNTS:
            continue
        volume = devices.find(line.use).volume
        if volume is None:
            missing.append(line.use)
        elif volume.kind in LINUX or volume.kind is FileSystem.FAT:
            mounts[path] = Mount(path, volume.id, line.subvolume)
    return tuple(mounts[path] for path in sorted(mounts)), missing


def _clean(path: bytes) -> bytes | None:
    """Return a mount path without double slashes; None when it is no absolute path."""
    parts = [part for part in path.split(b"/") if part]
    if not path.startswith(b"/") or not parts or {b".", b".."} & set(parts):
        return None
    return b"/" + b"/".join(parts)


def _nothing(reading: Reading, volumes: Sequence[Volume], damage: Sequence[Obstacle]) -> Guest:
    """Return a guest that cannot be converted, with every reason that can be seen."""
    is_windows = is_locked(reading, volumes)
    firmware = Firmware.UEFI if loaded_esp(reading, volumes) else Firmware.BIOS
    odd = without_files(reading, volumes)
    reasons = [*odd, *damage, *words.without_root(volumes)] or [words.no_system(volumes)]
    return Guest(
        family=Family.WINDOWS if is_windows else Family.UNKNOWN,
        name="Windows" if is_windows else "",
        version="",
        firmware=firmware_of(reading, volumes) if is_windows else firmware,
        volumes=volumes,
        mounts=(),
        kernels=(),
        boot_loader="",
        networks=(),
        obstacles=tuple(reasons),
    )
