"""The overlay initrd: a second archive with the drivers that a guest's own initrd lacks.

    initrd /boot/initrd.img-V /boot/bootpoint-V.img        the kernel unpacks both, in this order
           └ stays as it is   └ drivers for other hardware, the guest's own indexes

Everything in it comes from the guest's disk, byte for byte where it can; nothing of it is run here.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from blake3 import blake3

from engine.guests.cpio import Archive, Damaged, Unsupported
from engine.guests.initrd_cache import OverlayCache
from engine.guests.initrd_facts import InitrdFacts, may_stop_at_lz4, read_facts
from engine.guests.linux import lvm
from engine.guests.module_index import dependency_index
from engine.guests.modules import (
    builtin_names,
    closure,
    parse,
    plain_text,
    suffix_of,
)
from engine.guests.unpack import Unpacking
from engine.model.errors import Failure, Problem
from engine.model.guest import Kernel
from engine.model.text import safe

RECIPE = b"bootpoint overlay initrd, recipe 4\n"
WANTED = (b"virtio_pci", b"virtio_blk", b"virtio_scsi", b"virtio_net", b"sd_mod", b"ahci",
          b"ata_piix", b"vmw_pvscsi", b"mptspi", b"mptsas", b"nvme", b"vmxnet3", b"e1000",
          b"e1000e")  # fmt: skip
"""Drivers of all hardware that standby VMs have, on KVM and ESXi."""
_CARDS = frozenset({b"virtio_net", b"vmxnet3", b"e1000", b"e1000e"})
"""Needed by an initrd that uses the network only; later the root file system has them."""
_DISKS = frozenset(WANTED) - _CARDS - {b"virtio_pci", b"sd_mod"}
_DEFAULTS = {b"virtio_blk": "virtio (KVM)", b"vmw_pvscsi": "PVSCSI (ESXi)"}
INDEXES = (b"modules.alias", b"modules.alias.bin", b"modules.builtin", b"modules.builtin.alias.bin",
           b"modules.builtin.bin", b"modules.dep", b"modules.dep.bin",
           b"modules.softdep")  # fmt: skip
INITRD = 512 << 20
"""Longest initrd in bytes that is looked into."""
_INDEX = 16 << 20
_MODULE = 32 << 20
_ALL_MODULES = 128 << 20
_VERSION = re.compile(r"[A-Za-z0-9_+~][A-Za-z0-9_+~.-]{0,127}")
_KEPT = frozenset({b"lib", b"usr"})
"""Never in the archive: a folder's entry would delete a link of that name."""
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""gzip: no name, no time, unknown system."""
_ZEROS = bytes(8)
"""Before the archive: behind an lz4 stream the kernel takes four zeros, and what a boot loader
adds to fill the last four bytes, for its end. Without them it takes our gzip for more lz4, says
"Decoding failed" and reads no further (seen with 6.1). Zeros hurt behind no other.
Source: Linux, lib/decompress_unlz4.c, and commit 2c484419efc0, in 5.14."""
_LEVEL = 6
"""Level 9 takes ten times as long for 1 % less."""


class Files(Protocol):
    """The guest's own tree (`engine.guests.tree.Tree`)."""

    def ahead(self, paths: Sequence[bytes]) -> None:
        """Let what is at these paths be learnt at once, before it is read."""

    def read(self, path: bytes, limit: int) -> bytes | None:
        """Return a file's content; None when there is none, or it is longer than `limit`."""

    def has(self, path: bytes) -> bool:
        """Return whether something is at a path."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay initrd, ready to be written.

    Attributes:
        archive: The file's content.
        drivers: Drivers that are modules: in it, in the guest's own initrd, or of cards only.
        built_in: Drivers that are part of the kernel.
        missing: Drivers that this kernel has not.
        notes: What the operator should know, one sentence each.
    """

    archive: bytes
    drivers: Sequence[str]
    built_in: Sequence[str]
    missing: Sequence[str]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Recipe:
    """Everything that decides the archive's bytes.

    Attributes:
        place: Folder for the modules in the archive.
        modules, indexes: What goes into `place`, by path relative to it.
        settings: Files that replace those of the first initrd, by path.
    """

    facts: InitrdFacts
    place: bytes
    modules: Mapping[bytes, bytes]
    indexes: Mapping[bytes, bytes]
    settings: Mapping[bytes, bytes]

    def key(self) -> str:
        """Return the name of the archive in a cache: all that decides it, hashed."""
        digest = hashlib.sha256(RECIPE)
        parts = [self.place, self.facts.device_list, *self._folders()]
        for path, content in (*self.modules.items(), *self.indexes.items(), *self.settings.items()):
            parts += [path, hashlib.sha256(content).digest()]
        for part in parts:
            digest.update(struct.pack("<I", len(part)) + part)
        return digest.hexdigest()

    def build(self) -> bytes:
        """Return the archive, compressed; the same bytes for the same input."""
        archive = Archive()
        for folder in self._folders():
            archive.folder(folder)
        for path, content in (*self.modules.items(), *self.indexes.items()):
            archive.file(self.place + b"/" + path, content)
        if self.facts.device_list:
            # Nothing is at the link's end: LVM then has no list, and looks at all devices.
            archive.link(self.facts.device_list, b"system.devices.bootpoint-old")
        for path, content in self.settings.items():
            archive.file(path, content)
        archive.file(self._marker(), RECIPE)
        return _gzip(archive.finish())

    def _marker(self) -> bytes:
        return self.facts.resolve(b"etc") + b"/bootpoint-initrd"

    def _folders(self) -> Sequence[bytes]:
        """Return the folders that the first initrd lacks, parents first."""
        wanted = {self._marker(), *(self.place + b"/" + path for path in self.modules)}
        wanted |= {self.place + b"/modules.dep", *self.settings}
        found: set[bytes] = set()
        for path in wanted:
            parts = path.split(b"/")
            found.update(b"/".join(parts[:depth]) for depth in range(1, len(parts)))
        lacking = found - self.facts.folders
        if lacking & _KEPT:
            raise Damaged("it has no folder /lib, or a link /lib that leads nowhere")
        return sorted(lacking)


def overlay(
    files: Files,
    kernel: Kernel,
    cache: OverlayCache | None = None,
    asks_network: Callable[[], bool] = lambda: False,
) -> Overlay:
    """Make the overlay initrd of one kernel.

    Args:
        files: The guest's tree; `kernel` names paths in it.
        cache: Keeps finished archives; None: made each time.
        asks_network: Whether the boot menu wants the network while the initrd runs; asked where
            the initrd itself does not tell.

    Raises:
        Failure: The guest's initrd or its list of modules cannot be read, or is not to be trusted.
    """
    if not _VERSION.fullmatch(kernel.version):
        raise Failure(_unusable(kernel, "its version is no name of a folder"))
    try:
        files.ahead([kernel.modules + b"/" + name for name in INDEXES])
        facts = read_facts(_needed(files, kernel.initrd, INITRD))
        chosen = _choose(files, kernel, facts.has_network or asks_network())
        recipe = _recipe(files, kernel, facts, chosen)
        archive = _cached(recipe, cache)
    except Unsupported as damage:
        raise Failure(_foreign(kernel, damage)) from damage
    except Damaged as damage:
        raise Failure(_unreadable(kernel, damage)) from damage
    except ValueError as odd:
        raise Failure(_unusable(kernel, str(odd))) from odd
    return Overlay(
        archive,
        _texts(chosen.there),
        _texts(chosen.built_in),
        _texts(chosen.missing),
        list(_notes(kernel, chosen, recipe)),
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which drivers a kernel has, and the paths of the modules that it may need to start."""

    there: Sequence[bytes]
    built_in: Sequence[bytes]
    missing: Sequence[bytes]
    paths: Sequence[bytes]
    odd: int


def _choose(files: Files, kernel: Kernel, has_network: bool) -> _Choice:
    dependencies = parse(_needed(files, kernel.modules + b"/modules.dep", _INDEX))
    built_in = _built_in(files, kernel)
    there = [name for name in WANTED if name in dependencies.paths]
    inside = [name for name in WANTED if name in built_in and name not in there]
    missing = [name for name in WANTED if name not in there and name not in inside]
    if not _DISKS & {*there, *inside}:
        raise ValueError("it has no driver for any disk of a virtual machine")
    carried = [name for name in there if has_network or name not in _CARDS]
    return _Choice(there, inside, missing, closure(dependencies, carried), dependencies.odd)


def _built_in(files: Files, kernel: Kernel) -> frozenset[bytes]:
    return builtin_names(files.read(kernel.modules + b"/modules.builtin", _INDEX) or b"")


def _recipe(files: Files, kernel: Kernel, facts: InitrdFacts, choice: _Choice) -> _Recipe:
    place = facts.resolve(b"lib/modules/" + kernel.version.encode())
    modules = _modules(files, kernel, choice.paths)
    found = {name: files.read(kernel.modules + b"/" + name, _INDEX) for name in INDEXES}
    indexes = {name: content for name, content in found.items() if content is not None}
    if _is_plain_only(facts, choice):
        modules = {_without_packing(path): _plain(path, data) for path, data in modules.items()}
        indexes[b"modules.dep"] = plain_text(indexes[b"modules.dep"])
        indexes[b"modules.dep.bin"] = dependency_index(indexes[b"modules.dep"])
    lacking = {
        path: data
        for path, data in sorted(modules.items())
        if facts.modules.get(place + b"/" + path) != blake3(data).digest()
    }
    settings = {path: _settings(files, path) for path in facts.lvm_settings}
    changed = {path: content for path, content in settings.items() if content}
    return _Recipe(facts, place, lacking, dict(sorted(indexes.items())), changed)


def _settings(files: Files, path: bytes) -> bytes:
    """Return LVM's settings for a VM; empty where those of the old machine serve."""
    return lvm.widened(files.read(lvm.FOLDER + path.rpartition(b"/")[2], lvm.LIMIT) or b"")


def _modules(files: Files, kernel: Kernel, paths: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """Return the modules' contents by path."""
    files.ahead([kernel.modules + b"/" + path for path in paths])
    read: dict[bytes, bytes] = {}
    left = _ALL_MODULES
    for path in paths:
        read[path] = _needed(files, kernel.modules + b"/" + path, min(_MODULE, left))
        left -= len(read[path])
    return read


def _needed(files: Files, path: bytes, limit: int) -> bytes:
    """Return a file's content. ValueError when there is none, or it is too long."""
    content = files.read(path, limit)
    if content is None and files.has(path):
        raise ValueError(f"{safe(path, 200)} is no file, or longer than {limit >> 20} MiB")
    if content is None:
        raise ValueError(f"{safe(path, 200)} is missing")
    return content


def _is_plain_only(facts: InitrdFacts, choice: _Choice) -> bool:
    """Return whether modules are plain in the initrd, but packed on the disk.

    The disk's index would then name files that the first initrd has not: its own drivers were lost.

    Raises:
        ValueError: They are packed in two ways.
    """
    packed = {suffix_of(path) for path in choice.paths} - {b".ko"}
    if not packed or not facts.suffixes or packed & facts.suffixes:
        return False
    if facts.suffixes != {b".ko"}:
        raise ValueError("its initrd packs modules in another way than its disk")
    return True


def _without_packing(path: bytes) -> bytes:
    return path.removesuffix(suffix_of(path)) + b".ko"


def _plain(path: bytes, content: bytes) -> bytes:
    """Return a module's content, unpacked."""
    if path.endswith(b".ko"):
        return content
    return Unpacking(memoryview(content), 0, _MODULE).rest()


def _cached(recipe: _Recipe, cache: OverlayCache | None) -> bytes:
    if cache is None:
        return recipe.build()
    key = recipe.key()
    found = cache.get(key)
    if found is None:
        found = recipe.build()
        cache.put(key, found)
    return found


def _gzip(data: bytes) -> bytes:
    """Compress, padded to 4 bytes as the kernel wants it of what may be followed by more."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = _ZEROS + _HEADER + packer.compress(data) + packer.flush()
    packed += struct.pack("<II", zlib.crc32(data), len(data))
    return packed + bytes(-len(packed) % 4)


def _texts(names: Sequence[bytes]) -> Sequence[str]:
    return [name.decode("ascii") for name in names]


def _notes(kernel: Kernel, choice: _Choice, recipe: _Recipe) -> Iterator[str]:
    """Yield what the operator should know."""
    version, facts = safe(kernel.version), recipe.facts
    if choice.missing:
        yield (
            f"Kernel {version} has no driver {', '.join(_texts(choice.missing))}: with such "
            "hardware only, a VM would find no disk or no network."
        )
    for driver, disks in _DEFAULTS.items():
        if driver in choice.missing:
            yield (
                f"Kernel {version} cannot read {disks} disks, which its VM has by default: set "
                'bus = "sata" in the standby\'s file.'
            )
    if choice.odd:
        yield (
            f"The list of modules of kernel {version} has {choice.odd} lines that name no module "
            "of this kernel; they were passed over."
        )
    needed = bool(recipe.modules or facts.device_list or recipe.settings)
    if needed and facts.is_open and may_stop_at_lz4(kernel.version):
        yield (
            f"The initrd of kernel {version} is packed with lz4, and some kernels before 5.14 read "
            f"nothing behind such a one: its drivers may be missing. Make a test start. {_REPACK}."
        )
    yield from lvm.notes(
        version, has_list=bool(facts.device_list), has_filter=bool(recipe.settings)
    )
    if _is_plain_only(facts, choice):
        yield (
            f"Modules of kernel {version} are packed on the disk and plain in its initrd; the "
            "overlay brings plain ones and an index that fits."
        )


def _foreign(kernel: Kernel, damage: Unsupported) -> Problem:
    path = safe(kernel.initrd, 200)
    return Problem(
        "guest.initrd-packing",
        f"The initrd {path} of kernel {safe(kernel.version)} cannot be read: {damage}.",
        "The guest was not changed.",
        f"{_REPACK}, then let the next increment arrive.",
        {"path": path, "kernel": safe(kernel.version)},
    )


_REPACK = (
    "Choose gzip, xz or zstd on the source machine (COMPRESS in "
    "/etc/initramfs-tools/initramfs.conf, compress in /etc/dracut.conf, COMPRESSION in "
    "/etc/mkinitcpio.conf) and make its initrds anew"
)


def _unreadable(kernel: Kernel, damage: Damaged) -> Problem:
    path = safe(kernel.initrd, 200)
    return Problem(
        "guest.initrd-damaged",
        f"The initrd {path} of kernel {safe(kernel.version)} cannot be read: {damage}.",
        "The guest was not changed.",
        "Make the initrd anew on the source machine, then back it up again.",
        {"path": path, "kernel": safe(kernel.version)},
    )


def _unusable(kernel: Kernel, why: str) -> Problem:
    return Problem(
        "guest.modules-unusable",
        f"No drivers can be taken from kernel {safe(kernel.version)}: {why}.",
        "The guest was not changed.",
        "Install this kernel again on the source machine, or remove it there.",
        {"kernel": safe(kernel.version)},
    )
