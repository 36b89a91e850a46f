"""Which disk a machine's firmware starts: not always the first one.

UEFI starts what its entry points at, so the disk with the loader. A BIOS starts what stands in the
first sector of the first disk of its own order, which no image holds: that of the boot loader's
files, where it has the program; GRUB's may stand on another disk than its files.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.guest import BootCode, Volume
from engine.model.machine import Firmware


def boot_disk(volumes: Sequence[Volume], firmware: Firmware, loader: Volume | None) -> int:
    """Return the number of the disk to start.

    Args:
        volumes: All.
        firmware: Of the guest.
        loader: Where the boot loader's files are: the EFI system partition, or the volume with
            `/boot` or Windows' boot manager; None: that is not known.
    """
    here = loader.disk if loader else 0
    if firmware is Firmware.UEFI:
        return here
    codes = {volume.disk: volume.code for volume in volumes if volume.code is not BootCode.NONE}
    with_grub = [disk for disk, code in codes.items() if code is BootCode.GRUB]
    fitting = with_grub or list(codes)
    return here if here in fitting or not fitting else min(fitting)
