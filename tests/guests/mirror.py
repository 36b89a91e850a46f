"""A machine on two mirrored disks, as an installer makes it: md RAID 1 for /boot and for the root.

The loader of a BIOS reads /boot of one disk as if there were no mirror, so its superblock is at the
end. That of the root, or of the physical volume with the root in it, is at the begin. mdadm makes
the superblocks inside a throw-away kernel; what the mirrors hold is laid onto both members from
outside.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

from engine.guests.backends.uml.kernel import Kernel
from engine.guests.backends.uml.probe import find_shim
from engine.ports import DiskFile
from tests.guests import texts
from tests.guests.laying import DISK_A, FIRST, by_libguestfs, ext4, new_disk, run, sparse
from tests.guests.physical import MIB, System

ROOT_UUID = "5b2f6f0e-93c1-4d7f-8a55-0d1c2b3a4f5e"
BOOT_UUID = "7c3e8a1d-2b4f-4e6a-9d8c-1f2e3d4c5b6a"
_ROOT = 64 * MIB
_SIZE = 160 * MIB
_ARRAYS = {0: "11111111:22222222:33333333:44444440", 1: "11111111:22222222:33333333:44444441"}
_MARK = 0xA92B4EFC


def system(own: Sequence[bytes], kernel: str, *, is_lvm: bool) -> System:
    """Return what is in the guest; its initrd starts a mirror that lacks a disk after a while."""
    place = texts.VOLUME if is_lvm else "/dev/md1"
    menu = texts.grub_cfg(BOOT_UUID, kernel.removeprefix("/boot"), place)
    fstab = f"{place} / ext4 errors=remount-ro 0 1\nUUID={BOOT_UUID} /boot ext4 defaults 0 2\n"
    start = "".join(
        f"mdadm -q -A /dev/md{number} --uuid={identity} $any 2>/dev/null; "
        for number, identity in _ARRAYS.items()
    )
    ready = f"[ $tries -gt 5 ] && any=--run; modprobe -q raid1; {start}:"
    found = [shutil.which(name, path="/usr/sbin:/sbin:/usr/bin") for name in ("mdadm", "lvm")]
    programs = [Path(path) for path in found[: 1 + is_lvm] if path]
    own = [*own, b"ext4", b"raid1"]
    if is_lvm:
        ready, own = f"{ready}; {texts.FIND_VOLUMES}", [*own, b"dm_mod"]
    files = {**texts.files(menu, fstab), "etc/mdadm/mdadm.conf": "".join(
        f"ARRAY /dev/md{number} UUID={identity}\n" for number, identity in _ARRAYS.items()
    )}  # fmt: skip
    return System(own, files, texts.initrd_init("ext4", ready=ready), programs)


def build(folder: Path, root: Path, work: Path, *, is_lvm: bool) -> Sequence[Path]:
    """Make both disks, without a boot loader."""
    (root / "boot").rename(work / "boot")
    (root / "boot").mkdir()
    sectors = (_ROOT - FIRST) // 512
    table = ("label: dos\n"
             f"start={FIRST // 512}, size={sectors}, type=fd, bootable\n"
             f"start={_ROOT // 512}, type=fd\n")  # fmt: skip
    disks = [new_disk(folder / f"disk-{number}.raw", _SIZE, table) for number in range(2)]
    _make_arrays(disks, work)
    for disk in disks:
        # A superblock of version 1.0 is at the end: sectors of data are told by it as well.
        end = ((sectors - 16) & ~7) * 512
        start, size = _data(disk, FIRST, end)
        ext4(disk, work / "boot", FIRST + start, size, BOOT_UUID)
        start, size = _data(disk, _ROOT, 4096)
        if is_lvm:
            _lay(_group(root, size, work), disk, _ROOT + start)
        else:
            ext4(disk, root, _ROOT + start, size, ROOT_UUID)
    return disks


def _group(root: Path, size: int, work: Path) -> Path:
    """Make a physical volume of `size` bytes with the root in it, once."""
    member, packed = work / "member.raw", work / "member.tar"
    if not member.exists():
        run("tar", "-C", str(root), "--owner=0", "--group=0", "-cf", str(packed), ".")
        by_libguestfs([sparse(member, size)], [
            f"pvcreate {DISK_A}", f"vgcreate rack {DISK_A}", "lvcreate root rack 80",
            "mkfs ext4 /dev/rack/root", "mount /dev/rack/root /", f"tar-in {packed} /",
        ])  # fmt: skip
    return member


def _lay(part: Path, disk: Path, offset: int) -> None:
    """Copy a partition onto a disk, wherever it begins."""
    run("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={offset}B", "conv=notrunc,sparse",
        "status=none")  # fmt: skip


def _data(disk: Path, part: int, superblock: int) -> tuple[int, int]:
    """Return where a member's data begins in its partition, and the bytes of the mirror."""
    with disk.open("rb") as file:
        file.seek(part + superblock)
        raw = file.read(256)
    assert struct.unpack_from("<I", raw)[0] == _MARK
    return int(struct.unpack_from("<Q", raw, 128)[0]) << 9, int(
        struct.unpack_from("<Q", raw, 80)[0]
    ) << 9


def _make_arrays(disks: Sequence[Path], work: Path) -> None:
    exchange = work / "kernel"
    exchange.mkdir()
    kernel = Kernel([DiskFile(disk, "raw") for disk in disks], exchange, is_writing=True,
                    shim=find_shim(exchange))  # fmt: skip
    kernel.ask("inner", raid=True, lvm=False, writing=True)
    for number, version in ((0, "1.0"), (1, "1.2")):
        words = (f"mdadm --create /dev/md{number} --run --metadata={version} --level=1 "
                 f"--raid-devices=2 --assume-clean --homehost=rack --name={number} "
                 f"--uuid={_ARRAYS[number]} /dev/vda{number + 1} /dev/vdb{number + 1}")  # fmt: skip
        answer = kernel.ask("run", argv=words.split(), check_s=60)
        assert answer.value == 0, answer.content
    kernel.finish()
