"""Guests whose volumes lie in shapes that real machines have, through the uml backend.

What is supported is read and written; what is not is an obstacle with its remedy, found without
writing a bit. The disks are made inside a throw-away kernel: nothing is mounted by this machine.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.guests.backends.uml.backend import UmlBackend
from engine.guests.backends.uml.kernel import Kernel
from engine.guests.backends.uml.probe import find_shim
from engine.guests.backends.userland import open_userland
from engine.guests.convert import GuestConverter
from engine.guests.inspect import inspect
from engine.model.errors import NotBootable
from engine.model.guest import Action, FileSystem, Guest
from engine.ports import DiskFile, NeverCancelled
from tests.contract.guest_disks import ROOT, run
from tests.contract.test_guest_backend import edit
from tests.contract.test_guest_backend_uml import digests
from tests.contract.uml_disks import opened

pytestmark = pytest.mark.timeout(600)

BOOT = "7c3e8a1d-2b4f-4e6a-9d8c-1f2e3d4c5b6a"
MIB = 1 << 20
_TABLE = "label: gpt\nstart=2048, size=65536\nstart=67584\n"
_FSTAB = b"/dev/mapper/rack-root / ext4 defaults 0 1\nUUID=%s /boot ext4 defaults 0 2\n"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine's folder for kernels."""
    return tmp_path_factory.mktemp("work")


def built(
    folder: Path, work: Path, count: int, *lines: str, load: Sequence[str] = ()
) -> list[Path]:
    """Make disks with two partitions each and run programs on them; the first one is vda."""
    disks = [folder / f"disk-{number}.raw" for number in range(count)]
    for disk in disks:
        disk.touch()
        os.truncate(disk, 400 * MIB)
        run("sfdisk", "-q", "--no-tell-kernel", str(disk), feed=_TABLE)
    with_disks(disks, work, *lines, load=load)
    return disks


def with_disks(disks: Sequence[Path], work: Path, *lines: str, load: Sequence[str] = ()) -> None:
    """Run programs inside a throw-away kernel; one whose line begins with `-` may fail."""
    raw = [DiskFile(disk, "raw") for disk in disks]
    kernel = Kernel(raw, work, is_writing=True, shim=find_shim(work))
    kernel.ask("inner", raid=True, lvm=True, writing=True)
    release = kernel.ask("run", argv=["uname", "-r"], check_s=30).content.decode().strip()
    modules = [f"insmod /usr/lib/uml/modules/{release}/kernel/drivers/md/{one}.ko" for one in load]
    for line in [*modules, *lines]:
        may_fail, words = line.startswith("-"), line.removeprefix("-").split(" ")
        answer = kernel.ask("run", argv=words, check_s=90, timeout_s=120)
        assert answer.value == 0 or may_fail, (line, answer.content)
    kernel.finish()


def seen(disks: Sequence[Path], work: Path) -> Guest:
    """Inspect a guest with the backend of this suite; not a bit of its disks changes."""
    before = digests(list(disks))
    with opened(disks, work, is_writing=False) as backend:
        guest = inspect(backend)
    assert digests(list(disks)) == before
    return guest


def refused(disks: Sequence[Path], tmp_path: Path, *, backend: str = "") -> NotBootable:
    """Convert twigs of a guest that cannot be; its trunk stays bit for bit the same."""
    before = digests(list(disks))
    twigs = []
    for number, disk in enumerate(disks):
        twig = tmp_path / f"twig-{number}.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk), str(twig))
        twigs.append(DiskFile(twig, "qcow2"))
    converter = GuestConverter(tmp_path / "conversion", backend)
    with pytest.raises(NotBootable) as caught:
        converter.convert(twigs, [], NeverCancelled(), lambda _: None)
    assert digests(list(disks)) == before
    assert caught.value.problem.remedy
    return caught.value


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_a_journal_that_was_not_replayed_is(tmp_path: Path, work: Path, kind: str) -> None:
    """A machine cut off in the middle: its last files are seen after `recover`, all is whole."""
    make = {"xfs": f"mkfs.xfs -q -f -m uuid={ROOT} /dev/vda2",
            "btrfs": f"mkfs.btrfs -q -f -U {ROOT} /dev/vda2"}[kind]  # fmt: skip
    disks = built(tmp_path, work, 1, make)
    cut_off(disks, work)
    before = digests(disks)

    with opened(disks, work, is_writing=False) as backend:
        assert backend.list(ROOT, b"/") == [b"old"]
    assert digests(disks) == before
    with opened(disks, work) as backend:
        backend.recover()
        assert backend.list(ROOT, b"/") == [b"new", b"old"]
        assert backend.read(ROOT, b"/new") == b"n" * 5000
        backend.replay([edit(b"/new", Action.WRITE, b"n" * 5000, b"changed")])
        assert backend.check([ROOT]) == "full"


def cut_off(disks: Sequence[Path], work: Path) -> None:
    """Write a file that is kept, another one that is in the journal only, and pull the plug."""
    with opened(disks, work) as backend:
        write(backend, b"/old", b"o")
        backend.machine.unmount(ROOT)
        backend.machine.mount(ROOT, is_writing=True)
        backend.write([edit(b"/new", Action.WRITE, None, b"n" * 5000)])  # and fsync
        backend.machine.kernel.close()


def write(backend: UmlBackend, path: bytes, content: bytes) -> None:
    """Make one file."""
    backend.replay([edit(path, Action.WRITE, None, content)])


def test_a_group_without_one_of_its_disks_is_refused_by_its_name(
    tmp_path: Path, work: Path
) -> None:
    """The physical volume that is missing is named as LVM and the source machine call it."""
    disks = built(tmp_path, work, 2, "lvm pvcreate -y /dev/vda2 /dev/vdb2",
                  "lvm vgcreate rack /dev/vda2 /dev/vdb2",
                  "lvm lvcreate -y -Wn -Zn -n root -L 500M rack",
                  f"mkfs.ext4 -q -U {ROOT} /dev/rack/root")  # fmt: skip

    error = refused(disks[:1], tmp_path)

    assert error.problem.key == "guest.lvm_incomplete"
    assert "volume group rack (LVM) has 2 physical volumes, of which 1" in error.problem.happened
    assert "(it was /dev/vdb2)" in error.problem.happened
    assert inspect_keys(disks, work) == ["guest.no_system"], "with both it is opened"


def inspect_keys(disks: Sequence[Path], work: Path) -> list[str]:
    """Return the keys of a guest's obstacles."""
    return [obstacle.key for obstacle in seen(disks, work).obstacles]


def test_a_root_on_a_thin_volume_is_refused(tmp_path: Path, work: Path) -> None:
    """Thin volumes need a pool that is repaired by programs of its own: refused, with the kind."""
    disks = built(tmp_path, work, 1, "lvm pvcreate -y /dev/vda2", "lvm vgcreate rack /dev/vda2",
                  f"lvm lvcreate -y --type thin-pool --config {_NO_CHECK} -L 200M -n pool rack",
                  f"lvm lvcreate -y --config {_NO_CHECK} -V 150M --thinpool pool -n root rack",
                  load=THIN)  # fmt: skip

    error = refused(disks, tmp_path)

    assert error.problem.key == "guest.lvm_kind"
    assert "of the kinds thin, thin-pool" in error.problem.happened


_NO_CHECK = 'global/thin_check_executable=""'
THIN = ("dm-bufio", "persistent-data/dm-persistent-data", "dm-bio-prison", "dm-thin-pool")


@pytest.mark.parametrize(("level", "count"), [(5, 3), (6, 4)])
def test_an_array_of_another_level_is_refused(
    tmp_path: Path, work: Path, level: int, count: int
) -> None:
    """RAID 5 and 6 are named as what they are, with what to do."""
    # This kernel cannot run it; all members are marked all the same.
    disks = built(tmp_path, work, count, "-" + mdadm(level, count, "--assume-clean"))

    error = refused(disks, tmp_path)

    assert error.problem.key == "guest.raid_level"
    assert f"of the level raid{level}" in error.problem.happened


def mdadm(level: int, count: int, *more: str) -> str:
    """Return the line that makes an array of the second partition of each disk."""
    members = [f"/dev/vd{letter}2" for letter in "abcdef"[:count]]
    words = ["mdadm", "--create", "/dev/md0", "--run", "--metadata=1.2", f"--level={level}",
             f"--raid-devices={count}", "--homehost=old", "--name=root", *more,
             *members]  # fmt: skip
    return " ".join(words)


def test_a_mirror_without_a_half_is_refused(tmp_path: Path, work: Path) -> None:
    """One half alone would come apart from the other one when it is written."""
    disks = built(tmp_path, work, 2, mdadm(1, 2, "--assume-clean"),
                  f"mkfs.ext4 -q -U {ROOT} /dev/md0")  # fmt: skip

    error = refused(disks[1:], tmp_path)

    assert error.problem.key == "guest.raid_incomplete"
    assert "has 2 members, of which 1 are in none" in error.problem.happened


@pytest.mark.parametrize("level", [0, 10])
def test_a_striped_array_is_opened(tmp_path: Path, work: Path, level: int) -> None:
    """With all its members it is read, written and checked like a single disk."""
    more = ("--assume-clean",) if level == 10 else ()
    disks = built(tmp_path, work, 2, mdadm(level, 2, *more), f"mkfs.ext4 -q -U {ROOT} /dev/md0")

    with opened(disks, work) as backend:
        write(backend, b"/x", b"striped" * 100_000)
        assert backend.read(ROOT, b"/x") == b"striped" * 100_000
        assert backend.check([ROOT]) == "full"
    with opened(disks, work, is_writing=False) as backend:
        assert backend.read(ROOT, b"/x") == b"striped" * 100_000


def test_a_root_in_lvm_with_a_boot_partition_beside(tmp_path: Path, work: Path) -> None:
    """Both are one tree; a file below /boot lies on the partition."""
    disks = built(tmp_path, work, 1, f"mkfs.ext4 -q -U {BOOT} /dev/vda1",
                  "lvm pvcreate -y /dev/vda2", "lvm vgcreate rack /dev/vda2",
                  "lvm lvcreate -y -Wn -Zn -n root -L 200M rack",
                  f"mkfs.ext4 -q -U {ROOT} /dev/rack/root")  # fmt: skip
    with opened(disks, work) as backend:
        planted(backend, b"", _FSTAB % BOOT.encode())

    guest = seen(disks, work)

    assert {(mount.path, mount.volume) for mount in guest.mounts} == {
        (b"/", ROOT), (b"/boot", BOOT)}  # fmt: skip
    assert FileSystem.LVM in {volume.kind for volume in guest.volumes}


def planted(backend: UmlBackend, top: bytes, fstab: bytes) -> None:
    """Make the little that a system is known by, in a folder of the root volume."""
    folders = [top + path for path in (b"/etc", b"/boot", b"/home", b"/usr", b"/usr/lib",
                                       b"/usr/lib/modules", b"/usr/lib/modules/6.1")]  # fmt: skip
    edits = [edit(path, Action.MKDIR, None) for path in folders]
    edits += [edit(top + b"/etc/fstab", Action.WRITE, None, fstab),
              edit(top + b"/etc/os-release", Action.WRITE, None, b"ID=debian\n"),
              edit(top + b"/lib", Action.SYMLINK, None, b"usr/lib")]  # fmt: skip
    backend.replay(edits)


def test_subvolumes_for_root_and_home(tmp_path: Path, work: Path) -> None:
    """The system in `@`, `@home` beside: each is mounted where fstab says."""
    disks = built(tmp_path, work, 1, f"mkfs.btrfs -q -f -U {ROOT} /dev/vda2", "mkdir /run/b",
                  "busybox mount /dev/vda2 /run/b", "btrfs subvolume create /run/b/@",
                  "btrfs subvolume create /run/b/@home", "busybox umount /run/b")  # fmt: skip
    line = f"UUID={ROOT} %s btrfs defaults,subvol=%s 0 0\n"
    fstab = (line % ("/", "@") + line % ("/home", "/@home")).encode()
    with opened(disks, work) as backend:
        planted(backend, b"/@", fstab)

    guest = seen(disks, work)

    assert {(mount.path, mount.subvolume) for mount in guest.mounts} == {
        (b"/", b"@"), (b"/home", b"@home")}  # fmt: skip


@pytest.mark.nightly
def test_a_btrfs_mirror_with_a_snapshot_for_root(tmp_path: Path, work: Path) -> None:
    """Two devices, and the root where no name tells: read and written; one alone is refused."""
    disks = built(
        tmp_path, work, 2,
        f"mkfs.btrfs -q -f -U {ROOT} -d raid1 -m raid1 /dev/vda2 /dev/vdb2", "mkdir /run/b",
        "busybox mount /dev/vda2 /run/b -o device=/dev/vdb2", "btrfs subvolume create /run/b/@",
        "btrfs subvolume create /run/b/@/7", "btrfs subvolume set-default /run/b/@/7",
        "busybox umount /run/b",
    )  # fmt: skip
    with opened(disks, work) as backend:
        assert backend.default_subvolume(ROOT) == b"@/7"
        planted(backend, b"/@/7", f"UUID={ROOT} / btrfs defaults 0 0\n".encode())
        assert backend.check([ROOT]) == "full"

    assert [mount.subvolume for mount in seen(disks, work).mounts] == [b"@/7"]
    assert refused(disks[:1], tmp_path).problem.key == "guest.btrfs_incomplete"


@pytest.mark.nightly
def test_a_mirror_whose_superblock_may_be_the_disk_s_is_opened(tmp_path: Path, work: Path) -> None:
    """Metadata 0.90 of a last partition is where that of the whole disk would be: no confusion."""
    disks = [tmp_path / f"disk-{number}.raw" for number in range(2)]
    for disk in disks:
        disk.touch()
        os.truncate(disk, 120 * MIB)
        run("sfdisk", "-q", "--no-tell-kernel", str(disk), feed="label: dos\nstart=2048\n")
    make = ("mdadm --create /dev/md0 --run --metadata=0.90 --level=1 --raid-devices=2 "
            "--assume-clean /dev/vda1 /dev/vdb1")  # fmt: skip
    with_disks(disks, work, make, f"mkfs.ext4 -q -F -U {ROOT} /dev/md0")

    with opened(disks, work, is_writing=False) as backend:
        assert ROOT in [volume.id for volume in backend.volumes()]


@pytest.mark.parametrize("feature", ["quota", "mmp"])
def test_what_no_tool_of_user_space_can_keep_is_left_to_a_kernel(
    tmp_path: Path, work: Path, feature: str
) -> None:
    """Books of quotas, and the mark of who has it mounted: a kernel writes, the check is clean."""
    disks = built(tmp_path, work, 1, f"mkfs.ext4 -q -U {ROOT} -O {feature} /dev/vda2")
    with open_userland(disks) as userland:
        [sentence] = userland.unable(userland.volumes())
        assert f"ext4 with {feature}" in sentence
    with opened(disks, work) as backend:
        backend.replay([edit(b"/new", Action.WRITE, None, b"n" * 5000)])
        assert backend.check([ROOT]) == "full"


def test_an_encrypted_root_is_refused(tmp_path: Path, work: Path) -> None:
    """LUKS beside a plain /boot: nothing can be read without the key, and that is said."""
    disks = built(tmp_path, work, 1, f"mkfs.ext4 -q -U {BOOT} /dev/vda1")
    header = b"LUKS\xba\xbe" + struct.pack(">HQ", 2, 16384)  # LUKS2 on-disk format, 2.1
    with disks[0].open("r+b") as file:
        file.seek(67584 * 512)
        file.write(header.ljust(168, b"\0") + b"3c1f2b6a-0000-4000-8000-00000000000a")

    for backend in ("", "uml"):
        folder = tmp_path / f"by-{backend}"
        folder.mkdir()
        error = refused(disks, folder, backend=backend)
        assert error.problem.key == "guest.luks"
        assert "encrypted volume (LUKS)" in error.problem.happened


def test_what_is_read_only_or_frozen_is_written_and_stays_so(tmp_path: Path, work: Path) -> None:
    """The root of transactional systems (openSUSE MicroOS), and what somebody froze by chattr."""
    mount = ("mkdir /run/b", "busybox mount /dev/vda2 /run/b")
    disks = built(tmp_path, work, 1, f"mkfs.btrfs -q -f -U {ROOT} /dev/vda2", *mount,
                  "btrfs subvolume create /run/b/snapshot", "mkdir /run/b/snapshot/etc",
                  "btrfs property set -ts /run/b/snapshot ro true",
                  "busybox mkdir /run/b/etc", "busybox touch /run/b/etc/fstab",
                  "chattr +i /run/b/etc/fstab", "chattr +i /run/b/etc")  # fmt: skip

    with opened(disks, work) as backend:
        backend.replay(
            [
                edit(b"/snapshot/etc/one", Action.WRITE, None, b"1"),
                edit(b"/snapshot/etc/two", Action.WRITE, None, b"2"),
                edit(b"/etc/fstab", Action.WRITE, b"", b"3"),
            ]
        )
        point = backend.machine.point(ROOT)
        for asked, told in (
            (["btrfs", "property", "get", "-ts", f"{point}/snapshot"], b"ro=true"),
            (["lsattr", "-d", f"{point}/etc"], b"----i"),
            (["lsattr", "-d", f"{point}/etc/fstab"], b"----i"),
        ):
            assert told in backend.machine.kernel.ask("run", argv=asked, check_s=30).content
        assert backend.read(ROOT, b"/snapshot/etc/two") == b"2"
        assert backend.check([ROOT]) == "full"
