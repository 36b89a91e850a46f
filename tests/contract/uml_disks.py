"""Disks for the uml backend, made inside a throw-away kernel so that nothing is mounted here."""

import os
from collections.abc import Sequence
from pathlib import Path

from engine.guests.backend import Backend, GuestDisk, Type
from engine.guests.backends.directory import folder, open_directory
from engine.guests.backends.uml.backend import UmlBackend, open_uml
from engine.guests.backends.uml.kernel import Kernel
from engine.guests.backends.uml.probe import find_shim
from engine.model.guest import Action, FileEdit, VolumeId
from tests.contract.guest_disks import ESP, ESP_START, ROOT, run, tree_of

KINDS = ["ext4", "xfs", "btrfs", "lvm", "md"]
_SIZE = 330 << 20
_TABLE = """label: gpt
start=2048, size=12288, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=16384, size=650000
"""
_MAKE = {
    "ext4": ["mkfs.ext4 -q -U {id} {a}"],
    "xfs": ["mkfs.xfs -q -m uuid={id} {a}"],
    "btrfs": ["mkfs.btrfs -q -U {id} {a}", "mkdir /run/b", "busybox mount {a} /run/b",
              "btrfs subvolume create /run/b/@rootfs", "busybox umount /run/b"],
    "lvm": ["lvm pvcreate -y {a} {b}", "lvm vgcreate my-vg {a} {b}",
            "lvm lvcreate -y -Wn -Zn -n root -L 400M my-vg",
            "mkfs.xfs -q -m uuid={id} /dev/my-vg/root"],
    "md": [("mdadm --create /dev/md0 --run --metadata=1.2 --level=1 --raid-devices=2 "
            "--assume-clean --homehost=old --name=root {a} {b}"), "mkfs.ext4 -q -U {id} /dev/md0"],
}  # fmt: skip


def files(base: Path, kind: str) -> Sequence[Path]:
    """Return the disks of one kind of guest, the second one only where there are two."""
    return [base / f"{kind}{n}.img" for n in range(2 if kind in ("lvm", "md") else 1)]


def make(base: Path, work: Path, tree: Path, esp: Path) -> None:
    """Make the disks of all kinds: an EFI partition and the same tree on each."""
    disks = [path for kind in KINDS for path in files(base, kind)]
    for path in disks:
        path.touch()
        os.truncate(path, _SIZE)
        run("sfdisk", "-q", "--no-tell-kernel", str(path), feed=_TABLE)
    for kind in KINDS:
        image = f"{files(base, kind)[0]}@@{ESP_START}"
        run("mformat", "-i", image, "-N", "CAFE0815", "-T", "12288", "-h", "16", "-s", "32", "::")
        run("mcopy", "-s", "-i", image, str(esp / "EFI"), "::/")
        _format(kind, files(base, kind), work)
        with opened(files(base, kind), work) as backend:
            backend.replay(_planted(tree))


def _format(kind: str, disks: Sequence[Path], work: Path) -> None:
    kernel = Kernel(_raw(disks), work, is_writing=True, shim=find_shim(work))
    kernel.ask("inner", raid=True, lvm=True, writing=True)
    for line in _MAKE[kind]:
        argv = line.format(id=ROOT, a="/dev/vda2", b="/dev/vdb2").split()
        answer = kernel.ask("run", argv=argv, check_s=60)
        assert answer.value == 0, (argv, answer.content)
    kernel.finish()


def opened(disks: Sequence[Path], work: Path, *, is_writing: bool = True) -> UmlBackend:
    """Return a backend on raw disks."""
    return open_uml(_raw(disks), work=work, is_writing=is_writing, shim=find_shim(work))


def seen(backend: Backend, *, is_btrfs: bool = False) -> list[tuple[object, ...]]:
    """Return both volumes' trees; FAT keeps no modes and owners, so they do not count there."""
    on_esp = [
        (row[0], row[1], row[-1] if row[1] == Type.FILE else b"") for row in tree_of(backend, ESP)
    ]
    rows = tree_of(backend, ROOT)
    return [*on_esp, *(row for row in rows if not (is_btrfs and row[0] == b"/@rootfs"))]


def _raw(disks: Sequence[Path]) -> Sequence[GuestDisk]:
    return [GuestDisk(path, "raw") for path in disks]


def _planted(tree: Path) -> Sequence[FileEdit]:
    """Return the edits that make a tree on an empty file system."""
    source = open_directory([folder(ROOT, tree)])
    edits = []
    for path in _paths(source, ROOT, b""):
        stat = source.stat(ROOT, path)
        assert stat is not None
        match stat.type:
            case Type.FOLDER:
                action, after = Action.MKDIR, b""
            case Type.LINK:
                action, after = Action.SYMLINK, source.link(ROOT, path)
            case _:
                action, after = Action.WRITE, source.read(ROOT, path)
        edits.append(FileEdit(ROOT, path, action, None, after, stat.owner, "For the test."))
    return edits


def _paths(source: Backend, volume: VolumeId, above: bytes) -> list[bytes]:
    found = []
    for name in source.list(volume, above or b"/"):
        here = above + b"/" + name
        found.append(here)
        stat = source.stat(volume, here)
        if stat is not None and stat.type == Type.FOLDER:
            found += _paths(source, volume, here)
    return found
