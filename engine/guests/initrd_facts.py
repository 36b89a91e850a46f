"""What a guest's first initrd brings, from the list of its entries alone.

    microcode.cpio │ zeros │ main archive, gzip, xz, zstd, bzip2 or lz4 │ zeros │ …

The kernel unpacks all of them into the same root, one after the other; so does this list.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.guests.cpio import MAGIC, Damaged, Entry, entries
from engine.guests.modules import suffix_of
from engine.guests.recall import by_content
from engine.guests.unpack import UNPACKED, Plain, Unpacking, is_lz4

_ENTRIES = 400_000
_NAMES = 64 << 20
_HOPS = 40
_USUAL = 20_000
"""Folders, links and modules; real initrds have a tenth of that."""
_DEVICE_LIST = b"etc/lvm/devices/system.devices"
_LVM = re.compile(rb"etc/lvm/(?:lvm|lvmlocal)\.conf")
_SETTINGS = 8
_MAY_BE_CARD = re.compile(rb"/drivers/net/|/(?:updates|extra|weak-updates)/")
_NETWORK_TOOL = re.compile(
    rb"(?:.*/)?(?:net-lib\.sh|nm-lib\.sh|NetworkManager|systemd-networkd|connmand|wickedd"
    rb"|dropbear|tinysshd|iscsistart|nbd-client|clevis-decrypt-tang|mandos-client"
    rb"|hooks/net(?:conf)?)"
)
"""What is in an initrd only for the network: of dracut, initramfs-tools, mkinitcpio. Their tools
that are in every initrd (ipconfig, scripts/nfs) are no sign."""
_SOMETHING = re.compile(rb"[^\0]")
_ZEROS_END_LZ4 = (5, 14)
_MENDED: Mapping[tuple[int, ...], int] = {
    (4, 4): 276, (4, 9): 276, (4, 14): 240, (4, 19): 198, (5, 4): 134, (5, 10): 52, (5, 12): 19,
    (5, 13): 4,
}  # fmt: skip
"""The first stable updates with what came in 5.14, of July 2021."""
_UBUNTU = re.compile(r"\d+\.\d+\.0-(\d+)-(?:generic|lowlatency).*")
_UBUNTU_MENDED = 70
"""Ubuntu's kernels have it since January 2021 (says its author; seen with 5.4.0-216-generic):
this build of 5.4 is of March, and lines from 5.11 on are younger."""


@dataclass(frozen=True, slots=True)
class InitrdFacts:
    """What matters of an initrd. Paths have no leading slash.

    Attributes:
        folders: All its folders.
        links: Targets of all its symbolic links, by path.
        modules: Digests (BLAKE3) of its kernel modules, by path.
        device_list: Its list of the devices that LVM may use; empty when it has none.
        lvm_settings: Its files of settings for LVM.
        network_tool: A program that it has for the network only; empty when it has none.
        is_open: It ends with an lz4 stream, whose end only zeros behind it can tell.
    """

    folders: frozenset[bytes]
    links: Mapping[bytes, bytes]
    modules: Mapping[bytes, bytes]
    is_open: bool = False
    device_list: bytes = b""
    network_tool: bytes = b""
    lvm_settings: tuple[bytes, ...] = ()

    @property
    def suffixes(self) -> frozenset[bytes]:
        """Return the endings of its kernel modules: `.ko`, `.ko.xz` and the like."""
        return frozenset(map(suffix_of, self.modules))

    @property
    def has_network(self) -> bool:
        """Return whether it brings drivers of network cards, or tools: then it may need a card.

        A module from elsewhere than the kernel's own tree may be a card's as well. The driver of
        the old card may be part of the kernel: then the tools alone tell.
        """
        return bool(self.network_tool) or any(_MAY_BE_CARD.search(path) for path in self.modules)

    def resolve(self, path: bytes) -> bytes:
        """Return where a path leads when the initrd's links are followed.

        Raises:
            Damaged: The links lead in a circle.
        """
        waiting = path.split(b"/")[::-1]
        real: list[bytes] = []
        hops = 0
        while waiting:
            part = waiting.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                del real[-1:]
                continue
            target = self.links.get(b"/".join([*real, part]))
            if target is None:
                real.append(part)
                continue
            hops += 1
            if hops > _HOPS:
                raise Damaged("its links lead in a circle")
            if target.startswith(b"/"):
                real.clear()
            waiting.extend(target.split(b"/")[::-1])
        return b"/".join(real)


@dataclass(slots=True)
class _Gathering:
    """What was unpacked so far: later entries replace earlier ones."""

    folders: set[bytes] = field(default_factory=set)
    links: dict[bytes, bytes] = field(default_factory=dict)
    modules: dict[bytes, bytes] = field(default_factory=dict)
    is_open: bool = False
    device_list: bytes = b""
    network_tool: bytes = b""
    lvm_settings: tuple[bytes, ...] = ()
    _entries: int = 0
    _bytes: int = 0

    def add(self, entry: Entry) -> None:
        self._entries += 1
        self._bytes += len(entry.path) + len(entry.target)
        if self._entries > _ENTRIES or self._bytes > _NAMES:
            raise Damaged("it has more entries than any real one")
        self.folders.discard(entry.path)
        self.links.pop(entry.path, None)
        self.modules.pop(entry.path, None)
        if stat.S_ISDIR(entry.mode):
            self.folders.add(entry.path)
        elif stat.S_ISLNK(entry.mode):
            self.links[entry.path] = entry.target
        elif entry.path.endswith(_DEVICE_LIST) and stat.S_ISREG(entry.mode):
            self.device_list = entry.path
        elif _LVM.fullmatch(entry.path) and stat.S_ISREG(entry.mode):
            self.lvm_settings = (*self.lvm_settings, entry.path)[-_SETTINGS:]
        elif entry.is_module:
            self.modules[entry.path] = entry.digest
        elif _NETWORK_TOOL.fullmatch(entry.path):
            self.network_tool = entry.path


def _is_usual(facts: InitrdFacts) -> bool:
    return len(facts.folders) + len(facts.links) + len(facts.modules) <= _USUAL


@by_content(_is_usual)
def read_facts(data: bytes, limit: int = UNPACKED) -> InitrdFacts:
    """List an initrd.

    Args:
        limit: Most bytes that may be unpacked of each compressed part.

    Raises:
        Damaged: It cannot be read, in words; the guest's kernel would not get through it either,
            and so never reach an archive behind it.
    """
    found = _Gathering()
    for entry in _walk(data, limit, found):
        found.add(entry)
    folders = frozenset(found.folders)
    return InitrdFacts(
        folders,
        found.links,
        found.modules,
        found.is_open,
        found.device_list,
        found.network_tool,
        tuple(sorted(set(found.lvm_settings))),
    )


def _walk(data: bytes, limit: int, found: _Gathering) -> Iterator[Entry]:
    view = memoryview(data)
    at = 0
    while begins := _SOMETHING.search(data, at):
        found.is_open = is_lz4(view, begins.start())
        if data[begins.start() : begins.start() + 6] in MAGIC:
            plain = Plain(view, begins.start())
            yield from entries(plain)
            at = plain.at
        else:
            packed = Unpacking(view, begins.start(), limit)
            while not packed.is_over():
                yield from entries(packed)
            at = packed.end


def may_stop_at_lz4(version: str) -> bool:
    """Return whether a kernel may be without what finds the end of an lz4 stream by zeros.

    Source: Linux, commit 2c484419efc0, "correctly handle zero-padding around initrds".
    """
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    line, update = tuple(numbers[:2]), numbers[2] if len(numbers) > 2 else 0
    if ubuntu := _UBUNTU.fullmatch(version):
        return line < (5, 11) and (line != (5, 4) or int(ubuntu[1]) < _UBUNTU_MENDED)
    return line < _ZEROS_END_LZ4 and update < _MENDED.get(line, update + 1)
