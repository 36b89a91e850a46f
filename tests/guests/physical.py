"""A tiny machine as it stood in a rack: it boots on its own hardware and on no other.

    MBR ─ GRUB ─ sda1 ext4: full Debian kernel, busybox │ sda2 raw swap
    initrd: ahci, sd_mod, ext4 and nothing else; waits for /dev/sda1, then gives up in words

Traits: `root=/dev/sda1` in grub.cfg and fstab, raw swap in fstab, a static address on enp3s0, which
a .link file names by the old card's MAC, a device.map with the old disk's serial number.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.cpio import Archive
from engine.guests.initrd import WANTED
from engine.guests.modules import closure, parse
from engine.local.durable import file_lock, make_folder, move_file, move_folder, remove_tree
from engine.local.tools import run_tool
from engine.model.guest import Kernel
from engine.sample import guest as sample
from engine.sample import packages as debs
from engine.sample.bootloader import install
from engine.sample.packages import Packages, Say, fetch
from tests.guests import texts

MIB = 1 << 20
SIZE = 96 * MIB
ROOT = (MIB, 78 * MIB)
"""Start and size of the partition with the root file system, in bytes on the disk."""
SWAP = (80 * MIB, 15 * MIB)
ROOT_UUID = "6f1d2c3b-0a49-4857-9665-748392a1b0cf"
SWAP_UUID = "0c9a1b2d-3e4f-4a5b-8c6d-7e8f9a0b1c2d"
_OWN = (b"ahci", b"sd_mod", b"ext4", b"crc32c_generic")
_MORE = (b"ext4", b"xfs", b"btrfs", b"dm_mod", b"raid1", b"vfat", b"nls_cp437", b"nls_ascii",
         b"nls_iso8859_1", b"crc32c_generic", b"evdev", b"button")  # fmt: skip
_KERNEL = re.compile(r"\blinux-image-[0-9][^ ,()]*-amd64\b")
_MEMORY = 4 << 30
_APPLETS = ("basename", "cat", "cut", "dirname", "echo", "find", "findfs", "grep", "head", "ip",
            "ls", "modprobe", "mount", "poweroff", "readlink", "sed", "sh", "sleep", "sort", "stat",
            "switch_root", "tail", "umount", "uname", "usleep")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Physical:
    """What the guest is made of: a kernel with the modules it keeps, and packages."""

    kernel: Path
    version: str
    packages: Packages

    @property
    def modules(self) -> Path:
        """Return the folder of the kernel's modules."""
        return self.kernel / "lib/modules" / self.version


@dataclass(frozen=True, slots=True)
class System:
    """What differs from guest to guest.

    Attributes:
        own: The only modules in its initrd.
        texts: Files of the root file system, by path without the first slash.
        initrd_init: The initrd's script.
        programs: Dynamic programs of this machine that its initrd holds, each with its libraries.
    """

    own: Sequence[bytes]
    texts: Mapping[str, str]
    initrd_init: str
    programs: Sequence[Path] = ()


def kernel_of(version: str) -> Kernel:
    """Return where the guest has its kernel."""
    return Kernel(
        version,
        f"/boot/vmlinuz-{version}".encode(),
        f"/boot/initrd.img-{version}".encode(),
        f"/lib/modules/{version}".encode(),
    )


def build_physical(out: Path, cache: Path, say: Say) -> Kernel:
    """Make the guest's disk, a sparse raw file of 96 MiB; return its kernel.

    Args:
        cache: Keeps the downloaded packages and the kernel with the few modules that are used.
    """
    parts = fetch_physical(cache, say)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as made:
        work = Path(made)
        lay_out(work / "root", parts, _plain(parts.version), work)
        disk = work / "disk"
        with disk.open("xb") as file:
            file.truncate(SIZE)
        _root_file_system(disk, work / "root")
        _swap(disk, work / "swap")
        fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(fd, _partition_table(), 440)
            install(fd, parts.packages, work)
        finally:
            os.close(fd)
        sample.check_guest(disk)
        move_file(disk, out)
    return kernel_of(parts.version)


def fetch_physical(cache: Path, say: Say) -> Physical:
    """Download what is not in the cache yet; of the kernel's 4,000 modules keep a few dozen."""
    packages = fetch(cache, say)
    with file_lock(cache / ".physical.lock", wait=True):
        return _fetch(cache, packages, say)


def _fetch(cache: Path, packages: Packages, say: Say) -> Physical:
    folder = cache / "packages"
    deb = debs._cached(folder, "linux-image-[0-9]*[0-9]-amd64")
    if deb is None:
        told = run_tool(["apt-cache", "show", "--no-all-versions", "linux-image-amd64"],
                        cpu_s=60, memory=_MEMORY, timeout_s=60).decode()  # fmt: skip
        depends = "\n".join(line for line in told.splitlines() if line.startswith("Depends:"))
        found = _KERNEL.search(depends)
        assert found is not None, f"linux-image-amd64 stands for no kernel: {depends}"
        debs._download([found[0]], folder)
        deb = debs._cached(folder, found[0])
        assert deb is not None
    place = cache / f"physical-4-{deb.stem}"
    if not place.is_dir():
        say(f"taking modules from {deb.name}")
        _prune(deb, place)
    (kernel,) = (place / "boot").glob("vmlinuz-*")
    return Physical(place, kernel.name.removeprefix("vmlinuz-"), packages)


def _prune(deb: Path, place: Path) -> None:
    """Make a folder with the kernel, the modules that tests need, and their indexes."""
    full, draft = place.with_name(f".{place.name}.full"), place.with_name(f".{place.name}.draft")
    for old in (full, draft):
        remove_tree(old)
    run_tool(["dpkg-deb", "-x", str(deb), str(full)], cpu_s=600, memory=_MEMORY, timeout_s=600)
    if not (full / "lib").exists():
        (full / "lib").symlink_to("usr/lib")
    (image,) = (full / "boot").glob("vmlinuz-*")
    version = image.name.removeprefix("vmlinuz-")
    _depmod(full, version)
    make_folder(draft / "boot")
    shutil.copyfile(image, draft / "boot" / image.name)
    modules = full / "lib/modules" / version
    _copy_modules(modules, draft / "lib/modules" / version, (*WANTED, *_MORE))
    _depmod(draft, version)
    remove_tree(full)
    move_folder(draft, place)


def _copy_modules(source: Path, target: Path, names: Iterable[bytes]) -> None:
    """Copy named modules, what they need, and what depmod wants to know."""
    known = parse((source / "modules.dep").read_bytes())
    paths = [os.fsdecode(path) for path in closure(known, [n for n in names if n in known.paths])]
    for path in (*paths, "modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)


def _depmod(root: Path, version: str) -> None:
    run_tool(["depmod", "-b", str(root), version], cpu_s=120, memory=_MEMORY, timeout_s=300)


def _plain(version: str) -> System:
    menu = texts.grub_cfg(ROOT_UUID, f"/boot/vmlinuz-{version}", "/dev/sda1")
    fstab = "/dev/sda1 / ext4 errors=remount-ro 0 1\n/dev/sda2 none swap sw 0 0\n"
    return System(_OWN, texts.files(menu, fstab), texts.initrd_init("ext4"))


def lay_out(root: Path, parts: Physical, system: System, work: Path) -> None:
    """Fill a folder with what the guest's root file system shall hold."""
    version = parts.version
    for folder in ("bin", "boot/grub/i386-pc", "dev", "etc", "proc", "root", "run", "sbin", "sys",
                   "tmp", "usr/lib/modules", "var/log"):  # fmt: skip
        (root / folder).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    shutil.copyfile(parts.packages.shell, root / "bin/busybox")
    (root / "bin/busybox").chmod(0o755)
    for applet in _APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "sbin/modprobe").symlink_to("../bin/busybox")
    shutil.copytree(parts.modules, root / "usr/lib/modules" / version)
    shutil.copyfile(parts.kernel / f"boot/vmlinuz-{version}", root / f"boot/vmlinuz-{version}")
    (root / f"boot/initrd.img-{version}").write_bytes(_initrd(parts, system, work / "own"))
    grub = parts.packages.grub / "usr/lib/grub/i386-pc"
    for name in ("search.mod", "search_fs_uuid.mod", "search_fs_file.mod", "search_label.mod",
                 "extcmd.mod", "command.lst", "moddep.lst"):  # fmt: skip
        shutil.copyfile(grub / name, root / "boot/grub/i386-pc" / name)
    for path, text in system.texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "sbin/init").chmod(0o755)


def _initrd(parts: Physical, system: System, work: Path) -> bytes:
    """Return an initrd as `MODULES=dep` made it on the old machine; `lib` is a link in it."""
    home = work / "lib/modules" / parts.version
    _copy_modules(parts.modules, home, system.own)
    _depmod(work, parts.version)
    archive = Archive()
    for folder in (b"bin", b"dev", b"etc", b"proc", b"root", b"run", b"sys", b"usr", b"usr/lib"):
        archive.folder(folder)
    archive.link(b"lib", b"usr/lib")
    archive.link(b"lib64", b"usr/lib")
    archive.link(b"sbin", b"bin")  # The kernel calls /sbin/modprobe for what ext4 asks for.
    archive.device(b"dev/console", 5, 1)
    archive.file(b"bin/busybox", parts.packages.shell.read_bytes(), 0o755)
    for applet in _APPLETS:
        archive.link(f"bin/{applet}".encode(), b"busybox")
    for program in system.programs:
        archive.file(b"bin/" + os.fsencode(program.name), program.read_bytes(), 0o755)
    for library in _libraries(system.programs):
        archive.file(b"usr/lib/" + os.fsencode(library.name), library.read_bytes(), 0o755)
    for path in sorted((work / "lib").rglob("*")):
        name = b"usr/" + os.fsencode(path.relative_to(work))
        if path.is_dir():
            archive.folder(name)
        else:
            archive.file(name, path.read_bytes())
    archive.file(b"init", system.initrd_init.encode(), 0o755)
    return archive.finish()


def _libraries(programs: Sequence[Path]) -> Sequence[Path]:
    """Return what dynamic programs of this machine load, the loader among it."""
    found: dict[Path, None] = {}
    for program in programs:
        told = run_tool(["ldd", str(program)], cpu_s=60, memory=_MEMORY, timeout_s=60).decode()
        words = (word for line in told.splitlines() for word in line.split())
        found |= {Path(word): None for word in words if word.startswith("/")}
    return sorted(found)


def _root_file_system(disk: Path, root: Path) -> None:
    # The two features are defaults of newer e2fsprogs that Debian's GRUB cannot read.
    start, size = ROOT
    run_tool(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-U", ROOT_UUID,
         "-O", "^metadata_csum_seed,^orphan_file",
         "-E", f"offset={start},root_owner=0:0,hash_seed={ROOT_UUID}",
         "-d", str(root), str(disk), str(size // 4096)],
        cpu_s=120, memory=_MEMORY, timeout_s=300,
    )  # fmt: skip
    if os.geteuid() != 0:
        paths = [f"/{path.relative_to(root)}" for path in sorted(root.rglob("*"))]
        debugfs(disk, list(sample._owned_by_root(paths)), root.parent)


def debugfs(disk: Path, commands: Sequence[str], work: Path) -> None:
    """Change the root file system of a guest by debugfs; paths on this side are in `work`."""
    sample._debugfs(f"{disk}?offset={ROOT[0]}", commands, work)


def content(disk: Path, path: bytes) -> bytes:
    """Return a file of the guest's root file system; nothing where there is none."""
    asked = ["debugfs", "-R", f"cat {os.fsdecode(path)}", f"{disk}?offset={ROOT[0]}"]
    return run_tool(asked, cpu_s=60, memory=_MEMORY, timeout_s=60)


def _swap(disk: Path, draft: Path) -> None:
    start, size = SWAP
    with draft.open("xb") as file:
        file.truncate(size)
    command = ["mkswap", "-U", SWAP_UUID, str(draft)]
    run_tool(command, cpu_s=60, memory=_MEMORY, timeout_s=60)
    with disk.open("r+b") as file:
        file.seek(start)
        file.write(draft.read_bytes()[: 1 << 12])


def _partition_table() -> bytes:
    """Return bytes 440 to 511 of the MBR: Linux, active, and swap (LBA values)."""
    entries = b"".join(
        struct.pack(
            "<B3sB3sII", flag, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", start >> 9, size >> 9
        )
        for flag, kind, (start, size) in ((0x80, 0x83, ROOT), (0, 0x82, SWAP))
    )
    return b"\x52\x1c\xa5\x07" + bytes(2) + entries + bytes(32) + b"\x55\xaa"
