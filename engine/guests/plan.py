"""Decides every change that makes a guest boot on hardware it has never seen.

    Guest ─► overlays ─► boot loader ─► fstab ─► network ─► rebuilds ─► ConversionPlan

Pure: reads through the backend's verbs, writes nothing, asks no clock. The same guest gives the
same plan, byte for byte; planning again on the converted guest gives an empty one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from engine.guests import bootloader, refusals
from engine.guests.backend import Reading, Room
from engine.guests.bootloader import Boot
from engine.guests.efi import efi_volumes
from engine.guests.inspect import FSTAB, LINUX, content_fits, root_volume, tree_of
from engine.guests.linux import crypttab, fstab
from engine.guests.linux.clock import plan_clock
from engine.guests.linux.devices import Devices, Use, is_raw
from engine.guests.linux.discover import mount_units, plan_units
from engine.guests.linux.draft import Draft
from engine.guests.linux.esp import plan_fallback
from engine.guests.linux.lvm import plan_filter
from engine.guests.linux.network.naming import NicChange, plan_network
from engine.guests.linux.rebuild import plan_rebuild
from engine.guests.menu import default_kernel
from engine.guests.tree import Place, Tree
from engine.guests.windows.plan import Choose, plan_windows
from engine.model.errors import Failure
from engine.model.guest import (
    Action,
    ConversionPlan,
    Family,
    FileEdit,
    FileSystem,
    Guest,
    Kernel,
    Mount,
    Obstacle,
    Volume,
    VolumeId,
)
from engine.model.machine import Firmware
from engine.model.text import safe

OVERLAY = 64 << 20
"""Longest overlay in bytes."""
WARNINGS = 200
BLOCK = 4096
"""Bytes in which files take their room."""
SPARE = 64 << 10
"""Bytes of each volume that overlays leave for the other changes."""
_NUMBER = re.compile(rb"[0-9a-fA-F]{3,5}|\d{1,3}:\d{1,3}")
"""A device by its numbers, as LILO and old menus have it: they depend on the hardware too."""
_ENTRY = "The kernel's menu entry loads the overlay with drivers for virtual machines."

Overlay = Callable[[Kernel], bytes]
"""Builds a kernel's overlay; empty when nothing is missing. Failure when it cannot be built."""


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """What a plan depends on besides the guest.

    Attributes:
        nics: The VM's network cards, in the source's order.
        choose: Drivers of the user for a Windows; None: there are none.
    """

    nics: Sequence[NicChange] = ()
    choose: Choose | None = None


class _Conversion:
    """One guest on its way to a plan."""

    def __init__(self, reading: Reading, guest: Guest) -> None:
        self.reading = reading
        self.guest = guest
        self.tree = tree_of(reading, guest)
        self.draft = Draft(reading, self.tree)
        self.root: Volume = root_volume(guest)
        self.fstab = self.draft.read(b"/etc/fstab", FSTAB) or b""
        self.units = mount_units(self.tree)
        told = (*fstab.parse(self.fstab), *(unit.line for unit in self.units))
        lines = [line for line in told if line.is_local]
        self.devices = Devices(
            guest.volumes, [line.use for line in lines], content_fits(reading, self.root)
        )
        self.obstacles: list[Obstacle] = []
        self.failed: dict[str, Failure] = {}
        self.room: dict[VolumeId, int | None] = {}

    def overlays(self, overlay: Overlay) -> frozenset[str]:
        """Write each kernel's overlay beside it; return the versions that have one."""
        done: set[str] = set()
        kernels = [kernel for kernel in self.guest.kernels if kernel.initrd]
        for kernel in reversed(kernels):  # where room is short, the newest gets it
            try:
                content = self._whole(kernel, overlay(kernel))
                if content:
                    self._write_overlay(kernel, content)
                    done.add(kernel.version)
            except Failure as failure:
                self.failed[kernel.version] = failure
                self.draft.warn(f"Kernel {kernel.version} gets no overlay. {failure.problem}")
        for kernel in self.guest.kernels:
            if not kernel.initrd:
                self.draft.warn(f"Kernel {kernel.version} has no initrd; it starts as it did.")
        if len(self.failed) == len(kernels):
            self.obstacles.append(refusals.no_overlay(list(self.failed.values())))
        return frozenset(done)

    def _whole(self, kernel: Kernel, content: bytes) -> bytes:
        """Return what a boot loader loads: with one that takes one initrd, both in one file."""
        if not content or self.guest.boot_loader != bootloader.GRUB_LEGACY:
            return content
        own = self.tree.read(kernel.initrd, OVERLAY) or b""
        both = own + bytes(-len(own) % 4) + content
        if not own or len(both) > OVERLAY:
            raise Failure(refusals.too_long(kernel))
        self.draft.warn(
            f"The boot loader GRUB 0.97 loads one initrd: kernel {kernel.version} gets a copy of "
            f"its own with the drivers behind it, {len(both) >> 20} MiB. Make a test start."
        )
        return both

    def _write_overlay(self, kernel: Kernel, content: bytes) -> None:
        """Write an overlay beside its kernel. Failure when something else is in its place."""
        path = bootloader.overlay_path(self.tree, kernel)
        place = self.tree.locate(path)
        if place is None or place.guest != path or (place.stat and not place.is_file):
            raise Failure(refusals.taken(path))
        if self.draft.read(path, OVERLAY) != content:
            self._take_room(place, kernel, len(content))
            reason = f"Brings drivers for virtual machines to kernel {kernel.version}."
            if not self.draft.write(path, content, reason, OVERLAY):
                raise Failure(refusals.taken(path))

    def _take_room(self, place: Place, kernel: Kernel, size: int) -> None:
        """Count what is written to a volume. Failure when it does not fit any more."""
        volume = place.volume
        if volume not in self.room:
            self.room[volume] = room_of(self.reading, volume)
        room = self.room[volume]
        if room is None:
            return
        if whole(size) + SPARE > room:
            raise Failure(refusals.no_room(kernel, place.guest, size, room))
        self.room[volume] = room - whole(size)

    def boot_loader(self, overlays: frozenset[str]) -> None:
        """Let each entry of a kernel load its overlay and name its root by UUID."""
        kernels = [kernel for kernel in self.guest.kernels if kernel.initrd]
        boot = Boot(self.reading, self.tree, kernels, overlays, self.argument)
        on_efi = self.guest.boot_loader == "systemd-boot"
        entry = partial(bootloader.convert_entry, own_line=on_efi)
        for files, convert in (
            (bootloader.grub_files, bootloader.convert_grub),
            (bootloader.environment_files, bootloader.convert_environment),
            (bootloader.entry_files, entry),
            (bootloader.legacy_files, bootloader.convert_legacy),
        ):
            for path in files(self.tree):
                self._convert(path, partial(convert, boot=boot))
        for path in bootloader.extlinux_files(self.tree):
            place = self.tree.locate(path)
            folder = place.path.rpartition(b"/")[0] if place else b""
            self._convert(path, partial(bootloader.convert_extlinux, boot=boot, folder=folder))
        for version in sorted(overlays - boot.named):
            self.draft.warn(f"No menu entry starts kernel {version}; its overlay is not loaded.")
        if overlays and not boot.named:
            self.obstacles.append(refusals.NO_ENTRY)
        elif self.failed and boot.named:
            self._need_default(boot)

    def _need_default(self, boot: Boot) -> None:
        """See to it that the kernel which starts by itself is one that got its drivers."""
        version = default_kernel(self.tree, boot, self.guest.boot_loader)
        if version in self.failed:
            newest = [kernel.version for kernel in boot.kernels if kernel.version in boot.named]
            self.obstacles.append(
                refusals.default_kernel(version, self.failed[version], newest[-1])
            )

    def _convert(self, path: bytes, convert: Callable[[bytes], bytes]) -> None:
        content = self.draft.read(path, bootloader.LIMIT)
        if content is None:
            return
        new = convert(content)
        if new != content:
            self.draft.write(path, new, _ENTRY, bootloader.LIMIT)

    def argument(self, key: bytes, spec: bytes) -> bytes | None:
        """Return the kernel argument that replaces `root=` or `resume=` with a raw name."""
        if not is_raw(spec) and not _NUMBER.fullmatch(spec):
            return None
        if key.endswith(b"resume"):
            name = self.swap(spec)
            return b"noresume" if name == b"none" else key + b"=" + name
        name = self.devices.name(self.root) or b""
        if not name:
            self.draft.warn(f"The root {safe(spec)} has no UUID; it keeps its name.")
        return key + b"=" + name if name else None

    def swap(self, spec: bytes) -> bytes:
        """Return a name that holds for a raw swap device; `none` when there is no swap."""
        if not is_raw(spec) and not _NUMBER.fullmatch(spec):
            return spec
        volume = self.devices.find(Use(spec, b"none", FileSystem.SWAP)).volume
        if volume is None:  # swapping may go to a file: then its volume is named
            there = self.devices.anywhere(spec)
            volume = there if there is not None and there.kind in LINUX else None
        swaps = self.devices.swaps()
        if volume is None and len(swaps) == 1:
            volume = swaps[0]
        return (self.devices.name(volume) if volume else None) or b"none"

    def mounts(self) -> None:
        """Let fstab name volumes by what does not depend on the hardware."""
        converted = fstab.convert(self.fstab, self.devices, self.root, self._encrypted())
        for sentence in converted.warnings[:WARNINGS]:
            self.draft.warn(sentence)
        if converted.content != self.fstab:
            reason = "Names of devices that depend on the old hardware become UUIDs."
            self.draft.write(b"/etc/fstab", converted.content, reason)
        plan_units(self.draft, self.units, self.devices)

    def _encrypted(self) -> frozenset[bytes]:
        """Let crypttab name its volumes likewise; return the names that may not be there."""
        content = self.draft.read(b"/etc/crypttab")
        if content is None:
            return frozenset()
        mapped = crypttab.convert(content, self.devices)
        for sentence in mapped.warnings[:WARNINGS]:
            self.draft.warn(sentence)
        if mapped.content != content:
            reason = "Encrypted volumes are named by what does not depend on the old hardware."
            self.draft.write(b"/etc/crypttab", mapped.content, reason)
        return mapped.unsure

    def rewrite(self, text: bytes) -> bytes:
        """Return kernel arguments of a text with raw names replaced."""
        return Boot(self.reading, self.tree, (), frozenset(), self.argument).rewrite(text)


def plan(
    reading: Reading, guest: Guest, overlay: Overlay, options: ConversionOptions
) -> ConversionPlan:
    """Return every change, before anything is written.

    Args:
        reading: The guest's volumes.
        guest: What inspection found in them.
        overlay: Builds the archive of missing drivers for one kernel.
        options: The VM's network cards, and drivers of the user.

    Returns:
        A plan without edits when an obstacle stands in the way.

    Raises:
        Failure: A volume is damaged where the plan must look, or a tool is missing.
    """
    if guest.obstacles:
        return ConversionPlan((), (), guest.obstacles)
    if guest.family is Family.WINDOWS:
        efi = efi_volumes(reading, guest.volumes)
        made = plan_windows(reading, guest, efi, options.nics, options.choose)
        return replace(made, warnings=(*made.warnings, *_of_others(guest)))
    conversion = _Conversion(reading, guest)
    overlays = conversion.overlays(overlay)
    conversion.boot_loader(overlays)
    conversion.mounts()
    draft = conversion.draft
    for sentence in _of_others(guest):
        draft.warn(sentence)
    plan_network(draft, options.nics)
    plan_clock(draft)
    plan_filter(draft, guest.volumes)
    plan_rebuild(draft, guest.kernels, conversion.rewrite, conversion.swap)
    is_uefi = guest.firmware is Firmware.UEFI
    loaders = _fallback_loaders(reading, guest, draft) if is_uefi else ()
    warnings = tuple(draft.warnings[:WARNINGS])
    if conversion.obstacles:
        return ConversionPlan((), warnings, tuple(conversion.obstacles))
    edits = sorted((*draft.edits(), *loaders), key=lambda edit: (edit.volume, edit.path))
    full = tuple(_full(reading, guest, edits))
    return ConversionPlan((), warnings, full) if full else ConversionPlan(tuple(edits), warnings)


def room_of(reading: Reading, volume: VolumeId) -> int | None:
    """Return the free bytes of a volume; None when the backend cannot tell."""
    return reading.room(volume) if isinstance(reading, Room) else None


def whole(size: int) -> int:
    """Return the bytes that a file takes on a volume."""
    return -(-size // BLOCK) * BLOCK


def _full(reading: Reading, guest: Guest, edits: Sequence[FileEdit]) -> Iterator[Obstacle]:
    """Yield each volume that has too little room for what is written to it."""
    paths = {mount.volume: mount.path for mount in reversed(guest.mounts)}
    needed: dict[VolumeId, int] = {}
    for edit in edits:
        if edit.action in (Action.WRITE, Action.MKDIR):
            needed[edit.volume] = needed.get(edit.volume, 0) + max(BLOCK, whole(len(edit.after)))
    for volume, size in needed.items():
        room = room_of(reading, volume)
        if room is not None and size > room:
            yield Obstacle(
                "guest.no_room",
                f"The volume at {safe(paths.get(volume, b'?'))} ({safe(volume)}) has "
                f"{room >> 10} KiB free, and {size >> 10} KiB are to be written to it.",
                "Free some room on it on the source machine, then let the next increment arrive.",
            )


def _of_others(guest: Guest) -> Sequence[str]:
    """Return a sentence for each further system on the disks."""
    by_id = {volume.id: volume for volume in guest.volumes}
    there = [by_id[other] for other in guest.others[:WARNINGS] if other in by_id]
    return [
        f"Another system ({_system(volume)}) is on volume {safe(volume.id)} of disk "
        f"{volume.disk + 1}; it is left as it is and may not start on the standby VM. The boot "
        "menu's default should be the system that was converted."
        for volume in there
    ]


def _system(volume: Volume) -> str:
    return "Linux" if volume.kind in LINUX else "Windows"


def _fallback_loaders(reading: Reading, guest: Guest, draft: Draft) -> Sequence[FileEdit]:
    """Return the copies in each EFI system partition, mounted by fstab or not."""
    edits: list[FileEdit] = []
    kinds = {volume.id: volume.kind for volume in guest.volumes}
    own = [m.volume.encode() for m in guest.mounts if kinds[m.volume] is not FileSystem.FAT]
    for volume in efi_volumes(reading, guest.volumes):
        esp = Draft(reading, Tree(reading, (Mount(b"/", volume.id),)))
        plan_fallback(esp, own=own)
        for sentence in esp.warnings:
            draft.warn(sentence)
        edits += esp.edits()
    return edits
