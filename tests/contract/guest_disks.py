"""Small guests for the backend contract: the same tree as a folder and as raw disks."""

import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.backend import Backend, Type
from engine.guests.backends.directory import folder, open_directory
from engine.guests.backends.userland import open_userland
from engine.model.guest import VolumeId

ROOT = VolumeId("5e1d8a52-3c1b-4c7e-9d6f-0a1b2c3d4e5f")
ESP = VolumeId("CAFE-0815")
START = 8 << 20
ESP_START = 1 << 20
SIZE = 64 << 20
_TABLE = """label: gpt
label-id: 11111111-2222-3333-4444-555555555555
start=2048, size=12288, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=16384, size=96000
"""


@dataclass(frozen=True, slots=True)
class Place:
    """One guest in the form a backend opens: `paths` are its disk, or its folders."""

    form: str
    paths: Sequence[Path]

    def open(self) -> Backend:
        """Return a backend on it."""
        if self.form == "directory":
            return open_directory([folder(ROOT, self.paths[0]), folder(ESP, self.paths[1])])
        return open_userland(self.paths)


def plant(root: Path) -> Path:
    """Make the tree of a small guest."""
    for name in ("etc/network", "boot/grub", "usr/lib", "var/empty", "etc/with space"):
        (root / name).mkdir(parents=True)
    (root / "etc/fstab").write_bytes(b"/dev/sda1 / ext4 defaults 0 1\n")
    (root / "etc/shadow").write_bytes(b"root:*:1:\n")
    (root / "etc/shadow").chmod(0o640)
    os.chown(root / "etc/shadow", 0, 42)
    (root / "etc/with space/ä ü").write_bytes(bytes(range(256)) * 700)
    (root / "boot/grub/grub.cfg").write_bytes(b"linux /vmlinuz root=/dev/sda1\n")
    (root / "etc/empty").write_bytes(b"")
    (root / "lib").symlink_to("usr/lib")
    (root / "etc/long").symlink_to("../" + "far/" * 60)
    (root / "etc/quote'd").write_bytes(b"odd")
    return root


def esp_tree(root: Path) -> Path:
    """Make the tree of a small EFI system partition."""
    (root / "EFI/debian").mkdir(parents=True)
    (root / "EFI/debian/grubx64.efi").write_bytes(b"MZ loader" * 999)
    return root


def raw_disk(path: Path, tree: Path, esp: Path, kind: str = "ext4") -> Path:
    """Make a raw GPT disk with a FAT and an ext partition that hold two trees."""
    with path.open("wb") as file:
        file.truncate(SIZE)
    run("sfdisk", "-q", "--no-tell-kernel", str(path), feed=_TABLE)
    options = f"offset={START},hash_seed={ROOT},lazy_itable_init=0"
    ext = ["-q", "-t", kind, "-U", ROOT, "-d", str(tree), "-E", options, str(path), "48000k"]
    run("mke2fs", *ext)
    image = f"{path}@@{ESP_START}"
    run("mformat", "-i", image, "-N", "CAFE0815", "-T", "12288", "-h", "16", "-s", "32", "::")
    run("mcopy", "-s", "-i", image, str(esp / "EFI"), "::/")
    return path


def hurt_fat(disk: Path) -> None:
    """Let a file on the EFI partition claim to be longer than it is."""
    with disk.open("r+b") as file:
        file.seek(ESP_START)
        raw = file.read(START - ESP_START)
        file.seek(ESP_START + raw.index(b"GRUBX64 EFI") + 28)
        file.write(struct.pack("<I", 3 << 20))


def run(*argv: str, feed: str = "") -> bytes:
    """Run a program that must succeed; always with the same time."""
    times = {"E2FSPROGS_FAKE_TIME": "1600000000", "SOURCE_DATE_EPOCH": "1600000000"}
    environment = os.environ | times | {"MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run(
        argv, input=feed.encode(), capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout


def tree_of(backend: Backend, volume: VolumeId, path: bytes = b"") -> list[tuple[object, ...]]:
    """Return everything in a volume: path, type, mode, owner, content or link target."""
    rows: list[tuple[object, ...]] = []
    for name in backend.list(volume, path or b"/"):
        here = path + b"/" + name
        stat = backend.stat(volume, here)
        assert stat is not None
        owner = (stat.owner.uid, stat.owner.gid)
        if here == b"/lost+found":
            continue
        if stat.type == Type.FOLDER:
            rows += [(here, stat.type, stat.owner.mode, owner), *tree_of(backend, volume, here)]
        elif stat.type == Type.LINK:
            rows.append((here, stat.type, owner, backend.link(volume, here)))
        else:
            content = backend.read(volume, here)
            rows.append((here, stat.type, stat.owner.mode, owner, content))
    return rows


def copy(place: Place, to: Path) -> Place:
    """Return a copy of a guest, sparse, with all owners."""
    to.mkdir()
    for path in place.paths:
        run("cp", "-a", "--sparse=always", str(path), str(to))
    return Place(place.form, [to / path.name for path in place.paths])


def bits(place: Place) -> bytes:
    """Return the whole disk of a raw guest."""
    return place.paths[0].read_bytes()
