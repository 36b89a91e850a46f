"""Why a plan stops, or leaves a kernel out: in words with a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.errors import Failure, Problem
from engine.model.guest import Kernel, Obstacle
from engine.model.text import safe

NO_ENTRY = Obstacle(
    "guest.no_entry",
    "No entry of the boot loader starts any of the installed kernels with an initrd.",
    "Write the boot menu anew on the source machine (update-grub, grub2-mkconfig), then let the "
    "next increment arrive.",
)


def no_room(kernel: Kernel, path: bytes, size: int, room: int) -> Problem:
    """Return the failure of an overlay that does not fit on its volume."""
    return Problem(
        "guest.no_room",
        f"The file with the drivers of kernel {safe(kernel.version)} has {-(-size >> 10)} KiB, and "
        f"{safe(path.rpartition(b'/')[0], 200)} has {room >> 10} KiB free for it.",
        "The guest was not changed.",
        "Free some room there on the source machine, such as by removing old kernels, then let "
        "the next increment arrive.",
    )


def too_long(kernel: Kernel) -> Problem:
    """Return the failure of an initrd that cannot be copied."""
    return Problem(
        "guest.overlay_too_long",
        f"The initrd of kernel {safe(kernel.version)} is too long to be copied with its drivers, "
        "as the boot loader GRUB 0.97 needs it.",
        "The guest was not changed.",
        "Install GRUB 2 on the source machine, or make its initrd smaller.",
    )


def taken(path: bytes) -> Problem:
    """Return the failure of an overlay whose place is taken."""
    return Problem(
        "guest.overlay_taken",
        f"The file with its drivers, {safe(path, 200)}, cannot be written: something else is in "
        "its place.",
        "The guest was not changed.",
        "Remove what is there on the source machine, then let the next increment arrive.",
    )


def default_kernel(version: str, failure: Failure, other: str) -> Obstacle:
    """Return the obstacle of the kernel that starts by itself."""
    return Obstacle(
        "guest.default_kernel",
        f"The guest starts kernel {safe(version)} by default, which cannot be given drivers for "
        f"virtual machines. {failure.problem.happened}",
        f"{failure.problem.remedy} Or let the boot menu there start kernel {safe(other)} by "
        "default: that one can be converted.",
    )


def no_overlay(failed: Sequence[Failure]) -> Obstacle:
    """Return the obstacle of a guest of which no kernel got drivers."""
    if failed:
        return Obstacle(
            "guest.no_drivers",
            f"No kernel can be given drivers for virtual machines. {failed[0].problem.happened}",
            failed[0].problem.remedy,
        )
    return Obstacle(
        "guest.no_initrd",
        "No installed kernel has an initrd that drivers could be added to.",
        "Build an initrd on the source machine, then let the next increment arrive.",
    )
