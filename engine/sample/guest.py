"""A small real Linux machine as a disk, made from distribution packages without privileges.

    MBR ─ GRUB ─ partition 1, ext4: Debian kernel, busybox, a web service, a counter

It is as a machine in a rack is: its initrd knows its own IDE controller only, its root is
/dev/sda1 by name. On a standby VM it starts because its boot points are converted.

The counter is part of the disk: `grow_guest` raises it together with other changes of the file
system, so that each recovery point's guest shows its own number when it boots.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.local.durable import move_file
from engine.local.tools import run_tool
from engine.model.errors import Failure, Problem
from engine.model.text import safe
from engine.sample.bootloader import SECTOR, install, partition_table
from engine.sample.initrd import LOAD, build_initrd
from engine.sample.modules import keep_modules
from engine.sample.packages import Packages, Say, fetch

SIZE = 192 << 20
FIRST = 2048
"""First sector of the partition: a gap of 1 MiB for the boot loader."""
COUNTER = "/var/lib/sample/counter"
_DATA = "/var/lib/sample/data"
_KEPT = 4
_MEMORY = 1 << 30

_GRUB = """### BEGIN /etc/grub.d/00_header ###
serial --unit=0 --speed=115200
terminal_output console serial
set default=0
set timeout=0
### END /etc/grub.d/00_header ###
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Debian GNU/Linux' --class debian --class os {{
\tlinux\t/boot/vmlinuz-{release} root=/dev/sda1 quiet console=tty1 console=ttyS0,115200 \
net.ifnames=0 panic=10 tsc=reliable no_timer_check random.trust_cpu=on
\tinitrd\t/boot/initrd.img-{release}
}}
### END /etc/grub.d/10_linux ###
"""
_INIT = f"""#!/bin/sh
# Starts everything; then it is init's job to keep the two consoles alive.
export PATH=/bin:/sbin
mount -t tmpfs run /run
{LOAD}load; load
modprobe -q -a button evdev
hostname sample
counter=$(cat /var/lib/sample/counter)
echo "sample guest, counter $counter" > /etc/issue
echo "sample guest, counter $counter" > /srv/index.html
echo "sample guest, counter $counter: starting"
ip link set lo up
for nic in eth0 eth1; do [ -e /sys/class/net/$nic ] && ip link set $nic up; done
ip addr add 192.0.2.20/24 dev eth0
httpd -p 80 -h /srv
acpid
echo "service on port 80: $(wget -q -O - http://127.0.0.1/)"
echo "started $(date -u)" >> /var/log/starts
sync
"""
_INTERFACES = """auto lo
iface lo inet loopback

auto eth0
iface eth0 inet static
    address 192.0.2.20
    netmask 255.255.255.0
"""
_INITTAB = """::sysinit:/etc/init.d/rcS
ttyS0::respawn:/bin/getty -L 115200 ttyS0 vt100
tty1::respawn:/bin/getty 38400 tty1 linux
::ctrlaltdel:/sbin/poweroff
::shutdown:/bin/umount -a -r
"""
_MOTD = "This is Bootpoint's sample guest. Whatever you change here is gone after a stop.\n"
_APPLETS = ("acpid", "ash", "cat", "date", "df", "dmesg", "echo", "find", "free", "getty", "grep",
            "hostname", "httpd", "ip", "kill", "less", "ln", "login", "ls", "mkdir", "modprobe",
            "mount", "mv", "ping", "ps", "rm", "sh", "sleep", "sort", "sync", "tail", "top",
            "umount", "uptime", "vi", "wget")  # fmt: skip


def build_guest(out: Path, cache: Path, report: Say, size: int = SIZE) -> None:
    """Make the guest's disk, a sparse raw file with counter 1.

    Args:
        out: The file to make; replaced when it exists.
        cache: Folder that keeps the downloaded packages.
        report: Told what is being done now.

    Raises:
        Failure: A package or a program is missing; `out` is as it was.
    """
    packages = fetch(cache, report)
    report("making the guest's disk")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as made:
        work = Path(made)
        _lay_out(work / "root", packages, work)
        disk = work / "disk"
        _sparse(disk, size)
        _file_system(disk, work / "root", "sample-root", FIRST * SECTOR)
        fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(fd, partition_table(FIRST, size // SECTOR - FIRST), 440)
            install(fd, packages, work)
            os.fsync(fd)
        finally:
            os.close(fd)
        check_guest(disk)
        move_file(disk, out)


def counter_of(disk: Path) -> int:
    """Return the counter that a guest booted from this disk shows.

    Raises:
        Failure: The disk is not a sample guest's, or its file system is damaged.
    """
    told = run_tool(
        ["debugfs", "-R", f"cat {COUNTER}", _partition(disk)],
        cpu_s=60, memory=_MEMORY, timeout_s=60,
    )  # fmt: skip
    try:
        return int(told)
    except ValueError:
        raise Failure(_not_a_guest(disk)) from None


def grow_guest(disk: Path, fresh: int = 4 << 20) -> int:
    """Change the guest's file system as a day of use would, and raise its counter.

    The oldest data goes, new text and new data that does not compress come, of `fresh` bytes
    together.

    Returns:
        The new counter.

    Raises:
        Failure: The file system is not as it should be, before or after; see its words.
    """
    counter = counter_of(disk) + 1
    with tempfile.TemporaryDirectory(dir=disk.parent, prefix=f".{disk.name}.") as made:
        work = Path(made)
        # Changed in a copy: a program that dies half-way must not leave a damaged source behind.
        grown = work / "disk"
        copy = ["cp", "--sparse=always", "--reflink=auto", "--", str(disk), str(grown)]
        run_tool(copy, cpu_s=600, memory=_MEMORY, timeout_s=600)
        check_guest(grown)
        (work / "counter").write_text(f"{counter}\n")
        _text(work / "text", counter, fresh // 2)
        (work / "noise").write_bytes(os.urandom(fresh - fresh // 2))
        _debugfs(_partition(grown), list(_growth(counter)), work)
        check_guest(grown)
        if counter_of(grown) != counter:
            raise Failure(_not_grown(disk, counter))
        move_file(grown, disk)
    return counter


def _growth(counter: int) -> Iterator[str]:
    """Yield the changes that lead to a counter, as debugfs reads them, in the folder of drafts."""
    yield f"rm {COUNTER}"
    yield f"write counter {COUNTER}"
    yield from _owned_by_root([COUNTER])
    for kind in ("text", "noise"):
        if counter > _KEPT + 1:
            yield f"rm {_DATA}/{counter - _KEPT:06d}.{kind}"
        new = f"{_DATA}/{counter:06d}.{kind}"
        yield f"write {kind} {new}"
        yield from _owned_by_root([new])


def check_guest(disk: Path) -> None:
    """Look the guest's file system through, changing nothing.

    Raises:
        Failure: It is not clean; with the checker's own words.
    """
    run_tool(["e2fsck", "-f", "-n", _partition(disk)], cpu_s=120, memory=_MEMORY, timeout_s=120)


def _lay_out(root: Path, packages: Packages, work: Path) -> None:
    """Fill a folder with what the guest's root file system shall hold."""
    for folder in ("bin", "boot/grub", "dev", "etc/init.d", "etc/acpi/PWRF", "proc", "root",
                   "run", "sbin", "srv", "sys", "tmp", "var/log", _DATA[1:]):  # fmt: skip
        (root / folder).mkdir(parents=True)
    shutil.copyfile(packages.shell, root / "bin/busybox")
    (root / "bin/busybox").chmod(0o755)
    for applet in _APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    for applet in ("init", "poweroff", "reboot", "halt"):
        (root / "sbin" / applet).symlink_to("../bin/busybox")
    (root / "sbin/modprobe").symlink_to("../bin/busybox")
    release = packages.release
    kernel = f"boot/vmlinuz-{release}"
    shutil.copyfile(packages.kernel / kernel, root / kernel)
    (root / f"boot/initrd.img-{release}").write_bytes(build_initrd(packages, work))
    keep_modules(packages, root)
    for path, text in {
        "boot/grub/grub.cfg": _GRUB.format(release=release),
        "etc/default/grub": "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISABLE_LINUX_UUID=true\n",
        "etc/debian_version": "12\n",
        "etc/initramfs-tools/modules": "# List of modules that you want to include.\n",
        "etc/network/interfaces": _INTERFACES,
        "etc/os-release": 'NAME="Sample guest"\nVERSION_ID="1"\nID=debian\n',
        "etc/init.d/rcS": _INIT,
        "etc/inittab": _INITTAB,
        "etc/passwd": "root::0:0:root:/root:/bin/sh\n",
        "etc/group": "root:x:0:\n",
        "etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n",
        "etc/hostname": "sample\n",
        "etc/motd": _MOTD,
        "etc/acpi/PWRF/00000080": "#!/bin/sh\nexec /sbin/poweroff\n",
        COUNTER[1:]: "1\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for script in ("etc/init.d/rcS", "etc/acpi/PWRF/00000080"):
        (root / script).chmod(0o755)


def _sparse(path: Path, size: int) -> None:
    with path.open("xb") as file:
        file.truncate(size)


def _file_system(disk: Path, root: Path, label: str, offset: int) -> None:
    """Make an ext4 file system, from `offset` to the disk's end, with what a folder holds."""
    # The two features are defaults of newer e2fsprogs that Debian's GRUB cannot read.
    blocks = (disk.stat().st_size - offset) // 4096
    run_tool(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", label,
         "-O", "^metadata_csum_seed,^orphan_file", "-E", f"offset={offset},root_owner=0:0",
         "-d", str(root), str(disk), str(blocks)],
        cpu_s=120, memory=_MEMORY, timeout_s=120,
    )  # fmt: skip
    if os.geteuid() != 0:
        paths = [f"/{path.relative_to(root)}" for path in sorted(root.rglob("*"))]
        _debugfs(f"{disk}?offset={offset}", list(_owned_by_root(paths)), root.parent)


def _owned_by_root(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        yield f"set_inode_field {path} uid 0"
        yield f"set_inode_field {path} gid 0"


def _debugfs(partition: str, commands: Sequence[str], work: Path) -> None:
    """Change a file system by debugfs, which tells errors in words only."""
    script = work / "commands"
    script.write_text("\n".join(commands) + "\n")
    command = ["debugfs", "-w", "-f", "commands", partition]
    run_tool(command, cpu_s=120, memory=_MEMORY, timeout_s=120, cwd=work)


def _text(path: Path, seed: int, size: int) -> None:
    """Write text that compresses as logs do."""
    dice = random.Random(seed)  # noqa: S311 - sample text, nothing secret
    with path.open("w") as file:
        while file.tell() < size:
            minute, user, took = dice.randrange(1440), dice.randrange(200), dice.random()
            file.write(
                f"{minute // 60:02d}:{minute % 60:02d} user{user:03d} order "
                f"{dice.randrange(10**6):06d} booked in {took:.3f} s\n"
            )


def _partition(disk: Path) -> str:
    """Return how the e2fs programs name the first partition of a disk."""
    return f"{disk}?offset={FIRST * SECTOR}"


def _not_grown(disk: Path, counter: int) -> Problem:
    return Problem(
        "sample.not-grown",
        f"The counter of {safe(str(disk))} could not be raised to {counter}.",
        "The disk was not changed.",
        "Look whether the disk's file system is full, or build the sample site anew.",
    )


def _not_a_guest(disk: Path) -> Problem:
    return Problem(
        "sample.not-a-guest",
        f"The disk {safe(str(disk))} is no sample guest: its file system has no counter.",
        "It was not changed.",
        "Build the sample site in another folder, or remove this disk first.",
    )
