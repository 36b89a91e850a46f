"""Records of conversions for tests: what one finds and changes, small and true to form."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from engine.model.conversion import GuestFacts, Record, VolumeFacts
from engine.model.guest import Action, Family, Ledger, LedgerEntry, VolumeId
from engine.model.machine import Firmware

ROOT = VolumeId("6c0e0f3e-33a5-4e0c-8d52-30b7a5a3f001")
FSTAB = (
    "# static file systems\n/dev/sda1 / ext4 errors=remount-ro 0 1\n/dev/sda5 none swap sw 0 0\n"
)
FSTAB_AFTER = FSTAB.replace("/dev/sda1", f"UUID={ROOT}")


def entry(path: str, before: str = "", after: str = "", **more: Any) -> LedgerEntry:
    """Return one change of a text; `more` replaces fields."""
    told = LedgerEntry(
        volume=ROOT,
        path=path,
        action=Action.WRITE,
        reason="The name of the disk is another one in the VM.",
        before=before,
        after=after,
        before_digest=digest(before) if before else "",
        after_digest=digest(after),
        after_size=len(after.encode()),
    )
    return replace(told, **more)


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def entries() -> tuple[LedgerEntry, ...]:
    """Return a binary that is new, a text that is changed, a file that is moved."""
    return (
        entry(
            "/boot/bootpoint-6.1.0-50-amd64.img",
            reason="It holds the drivers of the VM's controllers.",
            after_digest="ab" * 32,
            after_size=1_480_704,
        ),
        entry(
            "/boot/grub/device.map",
            action=Action.RENAME,
            after="/boot/grub/device.map.bootpoint-old",
            before_digest="cd" * 32,
            after_digest="cd" * 32,
            after_size=35,
            reason="It names disks of the old machine.",
        ),
        entry("/etc/fstab", FSTAB, FSTAB_AFTER),
    )


def ledger(*told: LedgerEntry, **more: Any) -> Ledger:
    """Return a ledger of these entries, of `entries()` without any."""
    made = Ledger(
        entries=told or entries(),
        backend="userland",
        seconds=0.42,
        bytes_written=1_490_944,
        warnings=("The guest has no serial console.",),
        check="full",
    )
    return replace(made, **more)


def facts(**more: Any) -> GuestFacts:
    """Return what was found in a Debian with a swap partition."""
    told = GuestFacts(
        family=Family.DEBIAN,
        name="Debian GNU/Linux",
        version="12",
        firmware=Firmware.BIOS,
        boot_loader="grub2",
        kernels=("6.1.0-50-amd64",),
        networks=("ifupdown: eth0 static 192.168.10.21/24",),
        volumes=(
            VolumeFacts(ROOT, 0, 1, 1 << 20, 38 << 30, "ext", "root", ("/",)),
            VolumeFacts("disk0-part5", 0, 5, 39 << 30, 1 << 30, "swap"),
        ),
    )
    return replace(told, **more)


def record(*told: LedgerEntry, **more: Any) -> Record:
    """Return a record; `more` replaces fields of its ledger."""
    return Record(facts(), ledger(*told, **more))


def dry_run(*told: LedgerEntry) -> Record:
    """Return what a dry run answers."""
    return record(*told, seconds=0.0, bytes_written=0, check="skipped(dry run)")
