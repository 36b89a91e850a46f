"""Later rebuilds in the guest keep working: its own tools learn the drivers and the UUIDs.

A kernel update in the VM then makes an initrd that boots there without an overlay.

Source: initramfs-tools(7) (`modules`, `conf.d/resume`), dracut.conf(5) (`add_drivers`),
mkinitcpio.conf(5) (drop-ins), GRUB manual, "Simple configuration", kernel-install(8) (cmdline),
mkinitfs(1) (`features.d`, one path or pattern a line), modprobe.d(5) (`blacklist`, `install`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from engine.guests.linux.draft import Draft
from engine.guests.linux.kernels import drivers_in
from engine.model.guest import Kernel
from engine.model.text import safe

DRIVERS = (
    "virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "sd_mod", "ahci", "ata_piix",
    "vmw_pvscsi", "mptspi", "mptsas", "nvme", "vmxnet3", "e1000", "e1000e",
)  # fmt: skip
"""What a standby VM may have for disks and network."""
BEGIN = b"# bootpoint: begin, drivers of virtual machines\n"
END = b"# bootpoint: end\n"
_BLOCK = re.compile(re.escape(BEGIN) + rb".*?" + re.escape(END), re.DOTALL)
_BY_NAME = re.compile(rb"(?m)^([ \t]*GRUB_DISABLE_LINUX_UUID=[\"']?true[^\n]*)$")
_RESUME = re.compile(rb"(?m)^([ \t]*RESUME=)(/dev/[^\s#]+)")
_OLD = b".bootpoint-old"
_FEATURES = re.compile(rb"(?m)^([ \t]*features=[\"']?)([^\"'\n#]*)")
_INDEX = 8 << 20
_MODPROBE = b"/etc/modprobe.d"
_BLACK = re.compile(
    rb"(?m)^[ \t]*(?:blacklist[ \t]+([\w-]+)"
    rb"|install[ \t]+([\w-]+)[ \t]+(?:/usr)?/bin/(?:true|false)\b)"
)
_MORE_DEFAULTS = b"/etc/default/grub.d"
_FILES = 64
_COMMAND_LINES = (b"/etc/kernel/cmdline", b"/etc/update-extlinux.conf")
"""Where kernel-install and Alpine's tool take the arguments of a new kernel's entry from."""

Rewrite = Callable[[bytes], bytes]
"""Replaces raw names in kernel arguments."""
Swap = Callable[[bytes], bytes]
"""Takes a raw name of a swap device; returns a name that holds, or `none`."""


def plan_rebuild(draft: Draft, kernels: Sequence[Kernel], rewrite: Rewrite, swap: Swap) -> None:
    """Collect the changes that keep later rebuilds working."""
    drivers = _drivers(draft, kernels)
    if drivers:
        _initramfs_tools(draft, drivers)
        _dracut(draft, drivers)
        _mkinitcpio(draft, drivers)
        _mkinitfs(draft, drivers, kernels)
    _forbidden(draft)
    _resume(draft, swap)
    _grub_defaults(draft, rewrite)
    for path in (b"/boot/grub/device.map", b"/boot/grub2/device.map"):
        draft.rename(path, _OLD, "It names the disks of the old hardware.")
    draft.rename(
        b"/etc/lvm/devices/system.devices",
        _OLD,
        "It names physical volumes by the serial numbers of the old disks.",
    )


def _drivers(draft: Draft, kernels: Sequence[Kernel]) -> Sequence[str]:
    """Return the wanted drivers that the newest kernel has as modules; all when unknown."""
    for kernel in reversed(kernels):
        content = draft.read(kernel.modules + b"/modules.dep", _INDEX)
        if content:
            known = drivers_in(content)
            return [driver for driver in DRIVERS if driver in known]
    return DRIVERS


def _initramfs_tools(draft: Draft, drivers: Sequence[str]) -> None:
    path = b"/etc/initramfs-tools/modules"
    if not draft.tree.has_folder(b"/etc/initramfs-tools"):
        return
    content = draft.read(path) or b""
    block = BEGIN + "".join(f"{driver}\n" for driver in drivers).encode() + END
    rest = _BLOCK.sub(b"", content)
    if rest and not rest.endswith(b"\n"):
        rest += b"\n"
    if block not in content:
        draft.write(path, rest + block, "Initrds built later get drivers of virtual machines.")


def _dracut(draft: Draft, drivers: Sequence[str]) -> None:
    # The folder above is there without dracut: initramfs-tools uses its `dracut-install`.
    places = (b"/etc/dracut.conf", b"/etc/dracut.conf.d", b"/usr/lib/dracut/modules.d")
    if not any(draft.tree.has(place) for place in places):
        return
    text = f'# bootpoint: drivers of virtual machines\nadd_drivers+=" {" ".join(drivers)} "\n'
    _keep(draft, b"/etc/dracut.conf.d/90-bootpoint.conf", text)


def _mkinitcpio(draft: Draft, drivers: Sequence[str]) -> None:
    if not draft.tree.has(b"/etc/mkinitcpio.conf"):
        return
    text = f"# bootpoint: drivers of virtual machines\nMODULES+=({' '.join(drivers)})\n"
    _keep(draft, b"/etc/mkinitcpio.conf.d/90-bootpoint.conf", text)


def _mkinitfs(draft: Draft, drivers: Sequence[str], kernels: Sequence[Kernel]) -> None:
    """Alpine: a feature of its own, with the paths of the drivers in whatever packing."""
    path = b"/etc/mkinitfs/mkinitfs.conf"
    content = draft.read(path)
    match = _FEATURES.search(content) if content is not None else None
    if content is None or match is None:
        return
    listed = draft.read(kernels[-1].modules + b"/modules.dep", _INDEX) if kernels else None
    paths = [line.partition(b":")[0] for line in (listed or b"").split(b"\n")]
    wanted = frozenset(drivers)
    chosen = sorted(p.partition(b".ko")[0] + b".ko*" for p in paths if drivers_in(p) & wanted)
    if chosen:
        _keep(draft, b"/etc/mkinitfs/features.d/bootpoint.modules",
              b"\n".join((*chosen, b"")).decode("ascii", "replace"))  # fmt: skip
        if b"bootpoint" not in match[2].split():
            new = content[: match.end(2)] + b" bootpoint" + content[match.end(2) :]
            draft.write(path, new, "Initrds built later get drivers of virtual machines.")


def _keep(draft: Draft, path: bytes, text: str) -> None:
    if draft.read(path) != text.encode():
        reason = "Initrds built later get drivers of virtual machines."
        draft.write(path, text.encode(), reason)


def _forbidden(draft: Draft) -> None:
    """Tell which drivers somebody keeps from being loaded, on purpose or for the old hardware."""
    for name in draft.tree.list(_MODPROBE)[:_FILES]:
        path = _MODPROBE + b"/" + name
        content = draft.read(path) if name.endswith(b".conf") else None
        found = {
            (match[1] or match[2]).replace(b"-", b"_").decode("ascii", "replace")
            for match in _BLACK.finditer(content or b"")
        }
        for driver in sorted(found & set(DRIVERS)):
            draft.warn(
                f"{safe(path)} keeps the driver {driver} from being loaded: a VM with such "
                "hardware may find no disk or no network."
            )


def _resume(draft: Draft, swap: Swap) -> None:
    path = b"/etc/initramfs-tools/conf.d/resume"
    content = draft.read(path)
    if content is None:
        return
    new = _RESUME.sub(lambda match: match[1] + swap(match[2]), content)
    draft.write(path, new, "Initrds built later look for the swap by its UUID.")


def _grub_defaults(draft: Draft, rewrite: Rewrite) -> None:
    more = [b"/etc/default/grub.d/" + name for name in draft.tree.list(_MORE_DEFAULTS)[:_FILES]]
    for path in (b"/etc/default/grub", *(path for path in more if path.endswith(b".cfg"))):
        _grub_default(draft, path, rewrite)
    for path in _COMMAND_LINES:
        content = draft.read(path)
        if content is not None and (new := rewrite(content)) != content:
            draft.write(path, new, "Entries of kernels that come later name the root by its UUID.")


def _grub_default(draft: Draft, path: bytes, rewrite: Rewrite) -> None:
    content = draft.read(path)
    if content is None:
        return
    lines = _BY_NAME.sub(rb"# bootpoint: \1", content).split(b"\n")
    new = [
        rewrite(line) if line.lstrip().startswith(b"GRUB_CMDLINE_LINUX") else line for line in lines
    ]
    draft.write(path, b"\n".join(new), "Menus built later name the root by its UUID.")
