"""Boot loader configurations: each kernel's entry gets its overlay as second initrd.

Text in, text out; what is not changed stays byte for byte, and what is there already is not added
twice. A path in such a file is seen from the volume it lies on (`/vmlinuz-V` with a separate
`/boot`, `/@rootfs/boot/vmlinuz-V` on btrfs), so it is matched by volume, not by guest path.

Source: GRUB manual, "Shell-like scripting" (words, quotes, comments); Boot Loader Specification;
Syslinux wiki, "Config".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from engine.guests.backend import Reading
from engine.guests.tree import Tree
from engine.model.guest import Kernel, Mount, VolumeId

LIMIT = 2 << 20
"""Longest configuration in bytes that is read; menus with a hundred snapshots have a fifth."""
WORDS = 1000
"""Words of one command that are looked at."""
LOOKUPS = 1000
"""Different paths of kernels in configurations for which links are followed."""
_ESP = (b"/boot/efi", b"/efi", b"/boot")
_GRUB = (b"/boot/grub/grub.cfg", b"/boot/grub2/grub.cfg", b"/boot/grub/custom.cfg",
         b"/boot/grub2/custom.cfg")  # fmt: skip
_EXTLINUX = (b"/boot/extlinux.conf", b"/boot/extlinux/extlinux.conf",
             b"/boot/syslinux/syslinux.cfg", b"/boot/syslinux/extlinux.conf")  # fmt: skip
GRUB_LEGACY = "grub-legacy"
_LEGACY = (b"/boot/grub/menu.lst", b"/boot/grub/grub.conf")
_PLAIN = re.compile(rb"[A-Za-z0-9._+~/@-]+")
_DEVICE = re.compile(rb"(\([^()]{0,64}\))?(.*)", re.DOTALL)
_TOKEN = re.compile(
    rb"(?P<gap>(?:[ \t\r]|\\\r?\n)++)|(?P<end>[\n;{}]|&&?|\|\|?)|(?P<comment>#[^\n]*+)"
    rb"|(?P<word>(?:'[^']*+'|\"(?:\\.|[^\"\\])*+\"|\\.|\$\{[^}\n]{0,256}+\}|[^\s;{}'\"\\&|])++)"
    rb"|(?P<odd>.)",
    re.DOTALL,
)
LINUX = frozenset((b"linux", b"linux16", b"linuxefi"))
_INITRD = frozenset((b"initrd", b"initrd16", b"initrdefi"))
_OPTIONS = (b"kernelopts=", b"default_kernelopts=")
_ARGUMENT = re.compile(
    rb"(?<![^\s\"'=])((?:real_)?(?:root|resume))=([\"']?)"
    rb"(/dev/[^\s\"';]+|(?:[0-9a-fA-F]{3,5}|\d{1,3}:\d{1,3})(?![^\s\"']))\2"
)

_INITRD_ARGUMENT = re.compile(rb"(?<!\S)initrd=(\S+)")

Arguments = Callable[[bytes, bytes], bytes | None]
"""Takes `root` or `resume` (of Gentoo `real_root`, `real_resume`) and a device name; returns the
new argument, None to leave it."""


def grub_files(tree: Tree) -> Sequence[bytes]:
    """Return the guest paths of GRUB 2 configurations."""
    tops = [top + b"/" + name for top in _ESP for name in tree.list(top) if name.lower() == b"efi"]
    vendors = [top + b"/" + name for top in tops for name in tree.list(top)[:64]]
    paths = [*_GRUB, *(vendor + b"/grub.cfg" for vendor in vendors)]
    return [path for path in paths if _is_file(tree, path)]


def environment_files(tree: Tree) -> Sequence[bytes]:
    """Return the guest paths of GRUB's saved variables beside its configurations."""
    paths = [path.rpartition(b"/")[0] + b"/grubenv" for path in grub_files(tree)]
    return [path for path in paths if _is_file(tree, path)]


def entry_files(tree: Tree) -> Sequence[bytes]:
    """Return the guest paths of loader entries (one file for each kernel)."""
    folders = [top + b"/loader/entries" for top in _ESP]
    paths = [f + b"/" + n for f in folders for n in tree.list(f)[:1000] if n.endswith(b".conf")]
    return [path for path in paths if _is_file(tree, path)]


def extlinux_files(tree: Tree) -> Sequence[bytes]:
    """Return the guest paths of extlinux configurations."""
    return [path for path in _EXTLINUX if _is_file(tree, path)]


def _menus(tree: Tree) -> Sequence[bytes]:
    return (*grub_files(tree), *extlinux_files(tree), *legacy_files(tree))


def too_long(tree: Tree) -> Sequence[tuple[bytes, int]]:
    """Return the menus that are not read for their length, with their sizes in bytes."""
    places = ((path, tree.locate(path)) for path in _menus(tree))
    sizes = [(path, place.stat.size) for path, place in places if place and place.stat]
    return [(path, size) for path, size in sizes if size > LIMIT]


def legacy_files(tree: Tree) -> Sequence[bytes]:
    """Return the guest paths of configurations of GRUB 0.97; most are one file by two names."""
    places = (tree.locate(path) for path in _LEGACY)
    return list(dict.fromkeys(place.guest for place in places if place and place.is_file))


def find_boot_loader(tree: Tree) -> str:
    """Return `grub`, `grub-bls`, `systemd-boot`, `extlinux`, `grub-legacy`, `lilo` or nothing."""
    has_entries = bool(entry_files(tree))
    if grub_files(tree):
        return "grub-bls" if has_entries else "grub"
    if has_entries:
        return "systemd-boot"
    if extlinux_files(tree):
        return "extlinux"
    if legacy_files(tree):
        return GRUB_LEGACY
    return "lilo" if _is_file(tree, b"/etc/lilo.conf") else ""


def _is_file(tree: Tree, path: bytes) -> bool:
    place = tree.locate(path)
    return place is not None and place.is_file


def overlay_name(kernel: Kernel) -> bytes:
    """Return the file name of a kernel's overlay."""
    return b"bootpoint-" + kernel.version.encode("ascii") + b".img"


def overlay_path(tree: Tree, kernel: Kernel) -> bytes:
    """Return the guest path of a kernel's overlay: beside the kernel, wherever links lead."""
    place = tree.locate(kernel.image)
    image = place.guest if place is not None else kernel.image
    return image.rpartition(b"/")[0] + b"/" + overlay_name(kernel)


@dataclass(frozen=True, slots=True)
class Found:
    """A kernel by the path that a boot loader gives; its overlay's path, empty for none."""

    kernel: Kernel
    overlay: bytes


@dataclass(slots=True)
class Boot:
    """What boot loaders are to do: which kernels are ours, which get an overlay.

    Attributes:
        named: Versions whose entry names the overlay, collected while texts are converted.
    """

    reading: Reading
    tree: Tree
    kernels: Sequence[Kernel]
    overlays: frozenset[str]
    arguments: Arguments
    named: set[str] = field(default_factory=set)
    _seen: dict[bytes, Found | None] = field(default_factory=dict)
    _paths: dict[bytes, Kernel] = field(default_factory=dict)
    _trees: list[tuple[Tree, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Learn where kernels lie, seen from their volumes."""
        volumes: dict[VolumeId, Tree] = {}
        for kernel in self.kernels:
            place = self.tree.locate(kernel.image)
            if place is not None:
                self._paths[place.path] = kernel
                volumes[place.volume] = Tree(self.reading, (Mount(b"/", place.volume),))
        for volume, tree in volumes.items():
            inside = {m.subvolume for m in self.tree.mounts if m.volume == volume}
            bases = [b"", *(b"/" + name for name in sorted(inside) if name)]
            self._trees += [(tree, base) for base in bases]

    def find(self, path: bytes, folder: bytes = b"") -> Found | None:
        """Return the kernel that a path in a configuration means; None for foreign ones.

        Args:
            path: As written, quotes included.
            folder: Of the configuration in its volume, for relative paths.
        """
        key = path + b"\0" + folder
        if key not in self._seen:
            self._seen[key] = self._find(path.strip(b"\"'"), folder)
        return self._seen[key]

    def _find(self, path: bytes, folder: bytes) -> Found | None:
        match = _DEVICE.fullmatch(path)
        device, rest = (match[1] or b"", match[2]) if match else (b"", path)
        if not _PLAIN.fullmatch(rest):
            return None
        absolute = rest if rest.startswith(b"/") else folder + b"/" + rest
        for tree, base in self._trees:
            at = self._follow(tree, base + absolute)
            kernel = self._paths.get(at)
            if kernel is not None:
                shown = self._written(at, base, rest, absolute)
                return Found(kernel, device + shown if self._has_overlay(kernel) else b"")
        return None

    def _follow(self, tree: Tree, path: bytes) -> bytes:
        """Return a path without links; most have none, and links are looked up so many times."""
        if path in self._paths or len(self._seen) > LOOKUPS:
            return path
        place = tree.locate(path)
        return place.path if place is not None else path

    def _written(self, kernel: bytes, base: bytes, rest: bytes, absolute: bytes) -> bytes:
        """Return how the overlay beside a kernel is written in that configuration."""
        name = overlay_name(self._paths[kernel])
        if rest != absolute:
            return rest.rpartition(b"/")[0] + b"/" * (b"/" in rest) + name
        return kernel[len(base) :].rpartition(b"/")[0] + b"/" + name

    def _has_overlay(self, kernel: Kernel) -> bool:
        return kernel.version in self.overlays

    def rewrite(self, text: bytes) -> bytes:
        """Return kernel arguments with raw names of root and resume replaced."""

        def replaced(match: re.Match[bytes]) -> bytes:
            new = self.arguments(match[1], match[3])
            return match[0] if new is None else new

        return _ARGUMENT.sub(replaced, text)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command: where it is in the text, and the text itself, quotes included."""

    start: int
    end: int
    text: bytes


def convert_grub(content: bytes, boot: Boot) -> bytes:
    """Return a `grub.cfg` whose entries load the overlay behind their own initrd."""
    out: list[bytes] = []
    done = 0
    found: Found | None = None
    for words in commands(content):
        name = words[0].text
        if name in (b"menuentry", b"submenu"):
            found = None
        if name in LINUX and len(words) > 1:
            found = boot.find(words[1].text)
        start, end, new = _convert_command(content, words, found, boot)
        if new is not None:
            out += [content[done:start], new]
            done = end
    return b"".join((*out, content[done:]))


def _convert_command(
    content: bytes, words: Sequence[Word], found: Found | None, boot: Boot
) -> tuple[int, int, bytes | None]:
    """Return which bytes of a command to replace by what; None to leave it."""
    name, start, end = words[0].text, words[0].end, words[-1].end
    is_options = name == b"set" and len(words) > 1 and words[1].text.startswith(_OPTIONS)
    if is_options or (name in LINUX and found is not None):
        return start, end, boot.rewrite(content[start:end])
    if name in _INITRD and found is not None and found.overlay:
        boot.named.add(found.kernel.version)
        if found.overlay not in [word.text.strip(b"\"'") for word in words[1:]]:
            return end, end, b" " + found.overlay
    return start, end, None


def tokens(content: bytes) -> Iterator[re.Match[bytes]]:
    """Yield a `grub.cfg` piece by piece: each match is a `word`, `end`, `gap`, `comment`, `odd`."""
    return _TOKEN.finditer(content)


def commands(content: bytes) -> Iterator[Sequence[Word]]:
    """Yield the words of each command; quotes may span lines, comments are left out."""
    words: list[Word] = []
    for token in tokens(content):
        if token.lastgroup == "word" and len(words) < WORDS:
            words.append(Word(token.start(), token.end(), token[0]))
        elif token.lastgroup == "end" and words:
            yield words
            words = []
    if words:
        yield words


def convert_entry(content: bytes, boot: Boot, *, own_line: bool) -> bytes:
    """Return a loader entry with the overlay as its last initrd.

    Args:
        content: The entry.
        boot: What is to be done.
        own_line: systemd-boot takes one path a line; GRUB takes several.
    """
    lines = content.split(b"\n")
    keyed = [(line.split(None, 1)[0] if line.split() else b"") for line in lines]
    images = [line.split()[1] for line, key in zip(lines, keyed, strict=True)
              if key == b"linux" and len(line.split()) > 1]  # fmt: skip
    found = boot.find(images[0]) if images else None
    if found is None:
        return content
    initrds = [number for number, key in enumerate(keyed) if key == b"initrd"]
    for number, key in enumerate(keyed):
        if key == b"options":
            lines[number] = boot.rewrite(lines[number])
    if initrds and found.overlay:
        boot.named.add(found.kernel.version)
        if not any(found.overlay in lines[number].split()[1:] for number in initrds):
            last = lines[initrds[-1]].rstrip()
            glue = b"\ninitrd " if own_line else b" "
            lines[initrds[-1]] = last + glue + found.overlay
    return b"\n".join(lines)


def convert_environment(content: bytes, boot: Boot) -> bytes:
    """Return a `grubenv` with `kernelopts` converted: padded to its fixed length with `#`."""
    lines = content.rstrip(b"#").split(b"\n")
    new = [boot.rewrite(line) if line.startswith(_OPTIONS) else line for line in lines]
    if new == lines:
        return content
    block = b"\n".join(new)
    return block.ljust(len(content), b"#") if len(block) <= len(content) else content


def convert_extlinux(content: bytes, boot: Boot, folder: bytes) -> bytes:
    """Return an extlinux configuration whose entries load the overlay as well."""
    lines = content.split(b"\n")
    blocks: list[list[int]] = [[]]
    for number, line in enumerate(lines):
        if line.split()[:1] and line.split()[0].upper() == b"LABEL":
            blocks.append([])
        blocks[-1].append(number)
    for block in blocks:
        _convert_label(lines, block, boot, folder)
    return b"\n".join(lines)


def _convert_label(lines: list[bytes], block: Sequence[int], boot: Boot, folder: bytes) -> None:
    keyed: dict[bytes, int] = {}
    for number in block:
        words = lines[number].split(None, 1)
        if len(words) == 2:
            keyed[words[0].upper()] = number
    kernel = keyed.get(b"LINUX", keyed.get(b"KERNEL"))
    found = boot.find(lines[kernel].split()[1], folder) if kernel is not None else None
    if found is None:
        return
    if b"APPEND" in keyed:
        append = boot.rewrite(lines[keyed[b"APPEND"]])
        lines[keyed[b"APPEND"]] = append if b"INITRD" in keyed else _appended(append, found, boot)
    if b"INITRD" in keyed and found.overlay:
        boot.named.add(found.kernel.version)
        line = lines[keyed[b"INITRD"]].rstrip()
        if found.overlay not in line.split(None, 1)[1].split(b","):
            lines[keyed[b"INITRD"]] = line + b"," + found.overlay


def _appended(line: bytes, found: Found, boot: Boot) -> bytes:
    """Return an APPEND line whose `initrd=`, the older way to name it, names the overlay too."""
    named = _INITRD_ARGUMENT.search(line) if found.overlay else None
    if named is None:
        return line
    boot.named.add(found.kernel.version)
    if found.overlay in named[1].split(b","):
        return line
    return line[: named.end()] + b"," + found.overlay + line[named.end() :]


def convert_legacy(content: bytes, boot: Boot) -> bytes:
    """Return a menu of GRUB 0.97, which loads one initrd: the overlay's file stands for both.

    Source: GRUB Legacy manual, "kernel", "initrd", "Naming convention".
    """
    lines = content.split(b"\n")
    found: Found | None = None
    for number, line in enumerate(lines):
        words = _FIELDS.findall(line)[:2]
        if _KOPT.match(line):
            lines[number] = boot.rewrite(line)
        if words[:1] == [b"title"]:
            found = None
        if len(words) < 2 or words[0] not in (b"kernel", b"initrd"):
            continue
        if words[0] == b"kernel":
            path = next((word for word in line.split()[1:] if not word.startswith(b"--")), b"")
            found = boot.find(path)
            lines[number] = line if found is None else boot.rewrite(line)
        elif found is not None and found.overlay:
            boot.named.add(found.kernel.version)
            lines[number] = line.replace(words[1], found.overlay, 1)
    return b"\n".join(lines)


_FIELDS = re.compile(rb"[^\s=]+")
_KOPT = re.compile(rb"# kopt(?:_\w+)?=")
"""A comment by which Debian's update-grub writes the entries of later kernels (grub-legacy)."""
