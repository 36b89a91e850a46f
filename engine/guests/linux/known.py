"""What is read in every Linux guest, so that a backend can learn it in one question.

Nothing depends on this list: what is missing from it is asked for when it is needed.
"""

from __future__ import annotations

from engine.guests.linux.clock import CLOCKS
from engine.guests.linux.network import STACKS

KNOWN = (
    *(b"/etc/os-release", b"/usr/lib/os-release", b"/etc/fstab", b"/sbin/init", b"/lib/modules"),
    *(b"/usr/lib/modules", b"/boot", b"/boot/grub", b"/boot/grub2", b"/boot/extlinux"),
    *(b"/boot/syslinux", b"/boot/loader/entries", b"/boot/grub/grub.cfg", b"/boot/grub2/grub.cfg"),
    *(b"/boot/efi/loader/entries", b"/efi/loader/entries", b"/boot/efi/EFI", b"/efi/EFI"),
    *(b"/boot/EFI/Linux", b"/boot/efi/EFI/Linux", b"/efi/EFI/Linux", b"/etc/default/grub"),
    *(b"/etc/initramfs-tools", b"/etc/initramfs-tools/conf.d", b"/etc/dracut.conf.d"),
    *(b"/usr/lib/dracut/modules.d", b"/etc/mkinitcpio.conf.d"),
    *(b"/etc/lvm/devices/system.devices", b"/etc/lvm"),
    *(b"/etc/systemd/system", b"/efi"),
    *(b"/etc/cloud/cloud.cfg.d", b"/usr/lib/systemd/systemd", b"/lib/systemd/systemd"),
    *(b"/etc/crypttab", b"/etc/mkinitfs", b"/etc/default/grub.d", b"/etc/kernel/cmdline"),
    *(b"/etc/update-extlinux.conf", b"/var/lib/connman", b"/boot/grub/grubenv"),
    *CLOCKS,
    *(folder for stack in STACKS for folder, _ in stack.folders),
    *(path for stack in STACKS for path in stack.exact),
)
"""Folders are learnt with their names and their small files; what is not there costs nothing."""
