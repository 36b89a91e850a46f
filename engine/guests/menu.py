"""Which kernel a guest starts when nobody touches its boot menu.

Asked only when some kernel cannot be converted: if it is this one, the guest would not start by
itself, whatever else is in the menu.

Source: GRUB manual, "default" (number, title or id; `>` leads into a submenu) and "The GRUB
environment block"; Boot Loader Specification, "Sorting"; loader.conf(5); Syslinux wiki, "Config".
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

from engine.guests import bootloader
from engine.guests.bootloader import Boot
from engine.guests.tree import Tree

ENTRIES = 1000
"""Entries of a menu that are looked at."""
_DEPTH = 8
_VARIABLE = re.compile(rb"\$\{?(\w+)\}?")
_NETWORK = re.compile(
    rb"(?<![^\s\"'=])(?:(?:ip|nfsroot|netroot|nfsaddrs|ifname)=[^\s\"']"
    rb"|rd\.neednet(?:=1)?(?![^\s\"'])|boot=nfs\b|root=(?:/dev/nfs|nfs|nbd|iscsi|https?:))"
)
_LOADERS = (b"/boot/efi/loader", b"/efi/loader", b"/boot/loader")


@dataclass(slots=True)
class Entry:
    """One entry of a menu, or a submenu with entries of its own.

    Attributes:
        names: Its title and its id.
        version: Of its kernel; empty for one that is not installed here, or none.
    """

    names: Sequence[bytes]
    version: str = ""
    entries: list[Entry] = field(default_factory=list)

    def starts(self) -> str:
        """Return the version of its kernel; of a submenu, the one on top in it."""
        return self.version or next((v for v in map(Entry.starts, self.entries) if v), "")


def asks_network(tree: Tree) -> bool:
    """Return whether some entry wants the network while the initrd still runs.

    Source: Linux, Documentation/admin-guide/nfs/nfsroot.rst; dracut.cmdline(7), "Network".
    """
    for find in (
        bootloader.grub_files,
        bootloader.environment_files,
        bootloader.entry_files,
        bootloader.extlinux_files,
        bootloader.legacy_files,
    ):
        for path in find(tree):
            if _NETWORK.search(tree.read(path, bootloader.LIMIT) or b""):
                return True
    return False


def default_kernel(tree: Tree, boot: Boot, loader: str) -> str:
    """Return the version of the kernel that starts by default; empty when it cannot be told.

    Args:
        tree: The guest's files.
        boot: Knows which path in a menu means which of the installed kernels.
        loader: The boot loader, as inspection names it.
    """
    if loader == "extlinux":
        found = (_of_extlinux(tree, boot, path) for path in bootloader.extlinux_files(tree))
        return next(filter(None, found), "")
    if loader == "systemd-boot":
        wanted = next(filter(None, (_of_loader(tree, top) for top in _LOADERS)), b"")
        return _of_entries(tree, boot, wanted)
    if loader == bootloader.GRUB_LEGACY:
        old = (_of_legacy(tree, boot, path) for path in bootloader.legacy_files(tree))
        return next(filter(None, old), "")
    for path in bootloader.grub_files(tree):
        content = tree.read(path, bootloader.LIMIT) or b""
        saved = _environment(tree, path)
        menu = read_menu(content, boot)
        wanted = _wanted(content, saved)
        version = _choose(menu, wanted).starts() or Entry((), "", menu).starts()
        if not version and loader == "grub-bls":
            version = _of_entries(tree, boot, saved.get(b"saved_entry", b""))
        if version:
            return version
    return ""


def read_menu(content: bytes, boot: Boot) -> list[Entry]:
    """Return the entries of a `grub.cfg`, submenus with theirs inside."""
    top = Entry(())
    inside: list[Entry | None] = [top]
    count = 0
    for words, end in _pieces(content):
        at = next(entry for entry in reversed(inside) if entry is not None)
        if end == b"{":
            entry = _entry(words) if len(inside) < _DEPTH and count < ENTRIES else None
            inside.append(entry)
            if entry is not None:
                count += 1
                at.entries.append(entry)
        elif len(words) > 1 and words[0] in bootloader.LINUX:
            found = boot.find(words[1])
            at.version = found.kernel.version if found is not None else ""
        if end == b"}" and len(inside) > 1:
            inside.pop()
    return top.entries


def _pieces(content: bytes) -> Iterator[tuple[Sequence[bytes], bytes]]:
    """Yield the words of each command with what ends it: a brace, a newline, a semicolon."""
    words: list[bytes] = []
    for token in bootloader.tokens(content):
        if token.lastgroup == "word":
            words.append(token[0])
        elif token.lastgroup == "end":
            yield words, token[0]
            words = []


def _entry(words: Sequence[bytes]) -> Entry | None:
    """Return the entry that these words before a brace begin; None for another block."""
    if len(words) < 2 or words[0] not in (b"menuentry", b"submenu"):
        return None
    plain = [_unquoted(word) for word in words]
    identities = [
        name
        for option, name in pairwise(plain)
        if option in (b"--id", b"$menuentry_id_option", b"${menuentry_id_option}")
    ]
    return Entry((plain[1], *identities))


def _wanted(content: bytes, saved: Mapping[bytes, bytes]) -> bytes:
    """Return which entry a `grub.cfg` makes the default; `0` when it says nothing."""
    if saved.get(b"next_entry"):
        return saved[b"next_entry"]
    wanted = b"0"
    for words in bootloader.commands(content):
        if words[0].text == b"set" and len(words) > 1 and words[1].text.startswith(b"default="):
            value = _unquoted(words[1].text.partition(b"=")[2])
            value = _VARIABLE.sub(lambda match: saved.get(match[1], b""), value)
            wanted = value or wanted
    return wanted


def _environment(tree: Tree, menu: bytes) -> Mapping[bytes, bytes]:
    """Return GRUB's saved variables beside a menu."""
    content = tree.read(menu.rpartition(b"/")[0] + b"/grubenv", 1 << 16) or b""
    pairs = (line.partition(b"=") for line in content.rstrip(b"#").split(b"\n"))
    return {key: value for key, equals, value in pairs if equals}


def _choose(menu: list[Entry], wanted: bytes) -> Entry:
    """Return the entry that a default such as `1>0` or `Advanced options>Linux 6.1` means."""
    at = Entry((), "", menu)
    for part in wanted.split(b">")[:_DEPTH]:
        found = next((entry for entry in at.entries if part in entry.names), None)
        if found is None and part.isdigit() and len(part) < 6 and int(part) < len(at.entries):
            found = at.entries[int(part)]
        if found is None:
            return at if at.names else Entry(())
        at = found
    return at


def _of_entries(tree: Tree, boot: Boot, wanted: bytes) -> str:
    """Return the kernel of the loader entry of a name or pattern; else of the newest kernel's."""
    versions: dict[str, list[bytes]] = {}
    for path in islice(bootloader.entry_files(tree), ENTRIES):
        for line in (tree.read(path) or b"").split(b"\n"):
            words = line.split()
            if words[:1] == [b"linux"] and len(words) > 1:
                found = boot.find(words[1])
                if found is not None:
                    versions.setdefault(found.kernel.version, []).append(path.rpartition(b"/")[2])
    pattern = wanted.removesuffix(b".conf").decode("utf-8", "surrogateescape")[:256]
    for version, names in versions.items():
        texts = [_plain(name) for name in names]
        if pattern and any(fnmatch.fnmatchcase(text, pattern) for text in texts):
            return version
    return next((k.version for k in reversed(boot.kernels) if k.version in versions), "")


def _plain(name: bytes) -> str:
    """Return an entry's file name as a pattern is held against it."""
    return name.removesuffix(b".conf").decode("utf-8", "surrogateescape")


def _of_loader(tree: Tree, folder: bytes) -> bytes:
    content = tree.read(folder + b"/loader.conf") or b""
    lines = (line.split(None, 1) for line in content.split(b"\n"))
    named = (line[1].strip() for line in lines if len(line) == 2 and line[0] == b"default")
    return next(named, b"")


def _of_extlinux(tree: Tree, boot: Boot, path: bytes) -> str:
    """Return the kernel of the label that DEFAULT or MENU DEFAULT names, else of the first one."""
    place = tree.locate(path)
    folder = place.path.rpartition(b"/")[0] if place else b""
    wanted = label = b""
    found: dict[bytes, str] = {}
    for line in (tree.read(path, bootloader.LIMIT) or b"").split(b"\n"):
        words = line.split()
        key = words[0].upper() if words else b""
        if key == b"DEFAULT" and len(words) > 1 and not label:
            wanted = words[1]
        elif key == b"LABEL" and len(words) > 1:
            label = words[1]
        elif key == b"MENU" and label and words[1:] and words[1].upper() == b"DEFAULT":
            wanted = label
        elif key in (b"LINUX", b"KERNEL") and len(words) > 1 and len(found) < ENTRIES:
            kernel = boot.find(words[1], folder)
            if kernel is not None:
                found[label] = kernel.kernel.version
    return found.get(wanted, "") or next(iter(found.values()), "")


def _of_legacy(tree: Tree, boot: Boot, path: bytes) -> str:
    """Return the kernel of the entry whose number `default` gives, else of the first one."""
    wanted, titles = 0, 0
    found: dict[int, str] = {}
    for line in (tree.read(path, bootloader.LIMIT) or b"").split(b"\n"):
        words = line.replace(b"=", b" ", 1).split() if line.startswith(b"default") else line.split()
        if words[:1] == [b"default"] and len(words) > 1 and words[1].isdigit():
            wanted = int(words[1][:6])
        elif words[:1] == [b"title"]:
            titles += 1
        elif words[:1] == [b"kernel"] and titles <= ENTRIES:
            kernel = boot.find(words[1]) if len(words) > 1 else None
            found[titles - 1] = kernel.kernel.version if kernel is not None else ""
    return found.get(wanted, "") or next(filter(None, found.values()), "")


def _unquoted(word: bytes) -> bytes:
    return word.replace(b"'", b"").replace(b'"', b"")
