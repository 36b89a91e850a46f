"""Installed kernels: what in `/boot` belongs to which folder of modules.

An image says its version by its name (`vmlinuz-6.1.0-50-amd64`), by a name that its modules bear as
well (`vmlinuz-lts`), or inside: people and some distributions name images as they like.

Source: Linux, Documentation/arch/x86/boot.rst (`HdrS`, `kernel_version`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from engine.guests.tree import Tree
from engine.model.guest import Kernel

KERNELS = 64
"""Kernels that are converted, newest first."""
NAMES = 256
"""Images and folders of modules that are looked at."""
_VERSION = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}")
_IMAGE = re.compile(rb"(?:vmlinuz|vmlinux|kernel|linux)(?:-(.+))?")
_INITRDS = (b"initrd.img-%s", b"initramfs-%s.img", b"initrd-%s", b"initrd-%s.img", b"initramfs-%s",
            b"initramfs-linux-%s.img")  # fmt: skip
_BARE_INITRDS = (b"initrd.img", b"initramfs.img", b"initrd", b"initramfs")
_STATED = 8
"""Images that are opened for their version."""
_TEXT, _HEADER = 0x210, 0x200 + (1 << 16) + 128
"""Where what is looked at ends; where the text that the header points to ends, at most."""
_MACHINE = re.compile(rb"[0-9a-f]{32}")


def find_kernels(tree: Tree) -> Sequence[Kernel]:
    """Return the kernels that have an image and modules, oldest first."""
    names = set(tree.list(b"/boot"))
    images = list(_images(names))
    modules = _modules(tree, {flavour for _, flavour in images})
    images.sort(key=lambda image: image[1] not in modules)
    by_flavour = any(flavour and flavour not in modules for _, flavour in images)
    bases = _bases(tree, modules) if by_flavour else {}
    found: dict[bytes, Kernel] = {}
    unnamed = 0
    for name, flavour in images[:NAMES]:
        version = _version(bases, flavour, modules)
        if version is None and unnamed < _STATED:
            unnamed += 1
            version = _stated(tree, b"/boot/" + name, modules)
        if version is None or version in found:
            continue
        initrd = _initrd(names, flavour, version)
        found[version] = _kernel(version, b"/boot/" + name, initrd and b"/boot/" + initrd)
    for kernel in _from_folders(tree, modules):
        found.setdefault(kernel.version.encode(), kernel)
    return tuple(found[version] for version in sorted(found, key=_age)[-KERNELS:])


def _modules(tree: Tree, flavours: AbstractSet[bytes]) -> Sequence[bytes]:
    """Return the folders of modules, oldest first; of too many, those that an image names."""
    names = [name for name in tree.list(b"/lib/modules") if _VERSION.fullmatch(name)]
    if len(names) > NAMES:
        names = [name for name in names if name in flavours]
    newest = sorted(names, key=_age)[-NAMES:]
    return [name for name in newest if tree.has_folder(b"/lib/modules/" + name)]


def _bases(tree: Tree, modules: Sequence[bytes]) -> Mapping[bytes, bytes]:
    """Return the versions by what Arch writes into `pkgbase` beside the modules; newest win."""
    read = {v: tree.read(b"/lib/modules/" + v + b"/pkgbase", 1 << 12) for v in modules}
    return {base.strip(): version for version, base in read.items() if base is not None}


def _kernel(version: bytes, image: bytes, initrd: bytes) -> Kernel:
    return Kernel(version.decode("ascii"), image, initrd, b"/lib/modules/" + version)


def _images(names: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield image names with what follows the dash; those that name a version come first."""
    for name in sorted(names, key=lambda name: (b"-" not in name, name)):
        match = _IMAGE.fullmatch(name)
        if match and not name.endswith((b".old", b".bak", b".hmac")):
            yield name, match[1] or b""


def _version(
    bases: Mapping[bytes, bytes], flavour: bytes, modules: Sequence[bytes]
) -> bytes | None:
    """Return the modules that an image goes with: by version, by flavour, or the only ones.

    Arch has the flavour in `pkgbase` beside the modules; Alpine ends versions with it.
    """
    if flavour in modules:
        return flavour
    if not flavour:
        return modules[0] if len(modules) == 1 else None
    if flavour in bases:
        return bases[flavour]
    ending = [version for version in modules if version.endswith(b"-" + flavour)]
    return ending[0] if len(ending) == 1 and b"." not in flavour else None


def _stated(tree: Tree, image: bytes, modules: Sequence[bytes]) -> bytes | None:
    """Return the modules of the version that an image itself states."""
    head = tree.part(image, 0, _HEADER)
    if len(head) < _TEXT or head[0x202:0x206] != b"HdrS":
        return None
    at = 0x200 + struct.unpack_from("<H", head, 0x20E)[0]
    text = head[at : at + 128]
    version = re.split(rb"[ \0]", text, maxsplit=1)[0]
    return version if version in modules else None


def _initrd(names: set[bytes], flavour: bytes, version: bytes) -> bytes:
    keys = (flavour, version) if flavour else (version,)
    candidates = [form % key for key in keys for form in _INITRDS]
    if not flavour:
        candidates += _BARE_INITRDS
    return next((name for name in candidates if name in names), b"")


def _from_folders(tree: Tree, modules: Sequence[bytes]) -> Iterator[Kernel]:
    """Yield what kernel-install lays into `<machine>/<version>/{linux,initrd}`."""
    for top in (b"/efi", b"/boot", b"/boot/efi"):
        for machine in tree.list(top):
            if not _MACHINE.fullmatch(machine):
                continue
            for version in modules:
                folder = top + b"/" + machine + b"/" + version
                names = tree.list(folder)
                if b"linux" in names:
                    initrd = next((n for n in names if n.startswith(b"initrd")), b"")
                    yield _kernel(version, folder + b"/linux", initrd and folder + b"/" + initrd)


def _age(version: bytes) -> tuple[tuple[int, int, bytes], ...]:
    """Return a key that sorts 6.1.0-9 before 6.1.0-10."""
    parts = re.findall(rb"\d+|[^\d]+", version)
    return tuple((0, int(p), b"") if p.isdigit() else (1, 0, p) for p in parts)


def drivers_in(modules_dep: bytes) -> frozenset[str]:
    """Return the names of all modules in a `modules.dep`, with `-` written as `_`."""
    names = set()
    for line in modules_dep.split(b"\n"):
        path = line.partition(b":")[0]
        name = path.rpartition(b"/")[2].partition(b".ko")[0]
        names.add(name.replace(b"-", b"_").decode("ascii", "replace"))
    return frozenset(names - {""})
