"""The overlay initrd: what is in it, what it may not do to the first one, hostile guests."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from engine.guests import initrd as under_test
from engine.guests.cpio import Archive, Damaged
from engine.guests.initrd import RECIPE, WANTED, Overlay, overlay
from engine.guests.initrd_cache import KEPT, OverlayCache
from engine.guests.initrd_facts import read_facts
from engine.guests.linux import lvm
from engine.guests.module_index import dependency_index
from engine.guests.modules import closure, parse
from engine.model.errors import Failure
from engine.model.guest import Kernel

V = "6.1.0-50-amd64"
HOME = f"/lib/modules/{V}".encode()
KERNEL = Kernel(V, b"/boot/vmlinuz", b"/boot/initrd.img", HOME)
DEP = b"""kernel/drivers/ata/ahci.ko: kernel/drivers/ata/libahci.ko kernel/drivers/ata/libata.ko
kernel/drivers/ata/ata_piix.ko: kernel/drivers/ata/libata.ko
kernel/drivers/ata/libahci.ko: kernel/drivers/ata/libata.ko
kernel/drivers/ata/libata.ko:
kernel/drivers/block/virtio_blk.ko:
kernel/drivers/virtio/virtio-pci.ko: kernel/drivers/virtio/virtio_pci_legacy.ko
kernel/drivers/virtio/virtio_pci_legacy.ko:
kernel/fs/xfs.ko:
"""
BUILT_IN = b"kernel/drivers/scsi/sd_mod.ko\n"
CARRIED = ("ahci", "ata_piix", "libahci", "libata", "virtio-pci", "virtio_blk", "virtio_pci_legacy")
LINKED = {b"usr": None, b"usr/lib": None, b"lib": b"usr/lib", b"etc": None}
PLAIN = {b"lib": None, b"lib/modules": None, b"etc": None}


class Dict:
    """A guest's tree in memory."""

    def __init__(self, files: Mapping[bytes, bytes]) -> None:
        """Hold files by path."""
        self.files = dict(files)

    def ahead(self, paths: Sequence[bytes]) -> None:
        """Learn nothing: everything is here."""

    def read(self, path: bytes, limit: int) -> bytes | None:
        """Return a file's content, never more than is allowed."""
        content = self.files.get(path)
        assert content is None or len(content) <= limit
        return content

    def has(self, path: bytes) -> bool:
        """Return whether a file is there."""
        return path in self.files


def archive_of(names: Mapping[bytes, bytes | None], files: Mapping[bytes, bytes] = {}) -> bytes:
    """Return an archive: folders (None), links (target), files."""
    made = Archive()
    for path, target in names.items():
        if target is None:
            made.folder(path)
        else:
            made.link(path, target)
    for path, content in files.items():
        made.file(path, content)
    return made.finish()


def guest(
    names: Mapping[bytes, bytes | None] = LINKED,
    dep: bytes = DEP,
    more: Mapping[bytes, bytes] = {},
    pack: Callable[[bytes], bytes] = gzip.compress,
) -> Dict:
    """Return a small guest whose initrd holds `names`; modules contain their own paths."""
    paths = [line.split(b":")[0] for line in dep.splitlines()]
    return Dict(
        {
            KERNEL.initrd: pack(archive_of(names)),
            HOME + b"/modules.dep": dep,
            HOME + b"/modules.builtin": BUILT_IN,
            HOME + b"/modules.alias": b"alias pci:* ahci\n",
            **{HOME + b"/" + path: b"module " + path for path in paths},
            **more,
        }
    )


def unpacked(made: Overlay, onto: Path) -> dict[str, bytes]:
    """Unpack an overlay by the distribution's tool; return its files by path."""
    plain = zlib.decompress(made.archive.strip(b"\0") + bytes(8), 31)
    onto.mkdir(exist_ok=True)
    tool = ["busybox", "cpio", "-i", "-d"]
    subprocess.run(tool, cwd=onto, input=plain, check=True, capture_output=True)
    return {str(p.relative_to(onto)): p.read_bytes() for p in onto.rglob("*") if p.is_file()}


def listed(made: Overlay) -> list[str]:
    """List an overlay by the distribution's tool, in its order."""
    plain = zlib.decompress(made.archive.lstrip(b"\0"), 31)
    tool = ["busybox", "cpio", "-i", "-t"]
    return (
        subprocess.run(tool, input=plain, check=True, capture_output=True).stdout.decode().split()
    )


def test_an_overlay_brings_the_drivers_with_all_they_need_and_the_indexes(tmp_path: Path) -> None:
    """Wanted drivers and what they need are there byte for byte; other modules are not."""
    made = overlay(guest(), KERNEL)
    files = unpacked(made, tmp_path / "root")
    at = f"usr/lib/modules/{V}/"
    modules = {path: content for path, content in files.items() if path.endswith(".ko")}
    assert sorted(Path(path).stem for path in modules) == sorted(CARRIED)
    assert all(
        content == b"module " + p.removeprefix(at).encode() for p, content in modules.items()
    )
    assert files[f"{at}modules.dep"] == DEP
    assert files[f"{at}modules.builtin"] == BUILT_IN
    assert files[f"{at}modules.alias"] == b"alias pci:* ahci\n"
    assert files["etc/bootpoint-initrd"] == RECIPE


def test_an_overlay_tells_what_the_kernel_has_not() -> None:
    """Drivers are carried, built in or missing; the missing ones are told."""
    made = overlay(guest(), KERNEL)
    assert made.drivers == ["virtio_pci", "virtio_blk", "ahci", "ata_piix"]
    assert made.built_in == ["sd_mod"]
    assert "vmw_pvscsi" in made.missing
    assert len(made.drivers) + len(made.built_in) + len(made.missing) == len(WANTED)
    assert "vmw_pvscsi" in made.notes[0]


@pytest.mark.parametrize(
    ("names", "place"),
    [(LINKED, "usr/lib/modules"), (PLAIN, "lib/modules")],
    ids=["link", "folder"],
)
def test_no_entry_ever_replaces_lib_or_usr(names: Mapping[bytes, bytes | None], place: str) -> None:
    """Modules go where the first initrd has them; it keeps its own folders, `lib` and `usr`."""
    entries = listed(overlay(guest(names), KERNEL))
    assert {"lib", "usr", "etc"}.isdisjoint(entries)
    assert entries[0] == ("usr/lib/modules" if names is LINKED else f"lib/modules/{V}")
    assert all(e.startswith((place, "etc/")) for e in entries)
    folders = [e for e in entries if "." not in Path(e).name or Path(e).name == V]
    assert entries.index(f"{place}/{V}/kernel/drivers/ata/ahci.ko") > len(folders) - 2


def test_the_archive_is_the_same_for_the_same_guest_and_has_no_time_in_it() -> None:
    """Two overlays are equal; gzip has no name and no time; lengths are multiples of 4, 512."""
    one, other = overlay(guest(), KERNEL).archive, overlay(guest(), KERNEL).archive
    assert one == other
    assert one[:8] == bytes(8)
    assert one[11:16] == bytes(5)
    assert len(one) % 4 == 0
    assert len(zlib.decompress(one[8:], 31)) % 512 == 0


def test_the_order_of_modules_dep_does_not_matter_to_the_modules() -> None:
    """Modules are sorted by path, whatever order the guest's list has."""
    lines = DEP.splitlines(keepends=True)
    turned = guest(dep=b"".join(reversed(lines)))
    assert listed(overlay(turned, KERNEL)) == listed(overlay(guest(), KERNEL))


def lz4_legacy(data: bytes) -> bytes:
    """Pack as the kernel's `lz4 -l` does, with the distribution's tool."""
    return subprocess.run(
        ["lz4", "-l", "-9", "-c"], input=data, check=True, capture_output=True
    ).stdout


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstandard.ZstdCompressor(level=3).compress,
    "bzip2": bz2.compress,
    "lz4": lz4_legacy,
}


@pytest.mark.parametrize("how", PACKERS)
def test_every_usual_packing_is_read_behind_microcode(how: str) -> None:
    """Plain microcode, zeros, then the packed archive, then zeros: links and folders are seen."""
    noise = {b"big": bytes(range(256)) * 5000}
    main = archive_of(LINKED, noise | {b"usr/lib/modules/x/kernel/a.ko.xz": b""})
    early = archive_of({b"kernel": None, b"kernel/x86": None}, {b"kernel/x86/intel.bin": b"code"})
    facts = read_facts(early + bytes(2048) + PACKERS[how](main) + bytes(3 if how != "lz4" else 4))
    assert facts.links == {b"lib": b"usr/lib"}
    assert facts.folders == {b"kernel", b"kernel/x86", b"usr", b"usr/lib", b"etc"}
    assert facts.suffixes == {b".ko.xz"}


@pytest.mark.parametrize("how", [how for how in PACKERS if how not in ("none", "lz4")])
def test_an_archive_behind_a_packed_one_is_read_too(how: str) -> None:
    """What follows a packed archive replaces what was in it, as the kernel does it."""
    data = PACKERS[how](archive_of(LINKED)) + bytes(8) + gzip.compress(archive_of({b"lib": None}))
    facts = read_facts(data)
    assert facts.links == {}
    assert b"lib" in facts.folders


def test_modules_packed_on_disk_and_plain_in_the_initrd_are_brought_plain(tmp_path: Path) -> None:
    """Then the overlay unpacks them, and its indexes name plain files."""
    dep = DEP.replace(b".ko", b".ko.xz")
    paths = [line.split(b":")[0] for line in dep.splitlines()]
    packed = {HOME + b"/" + path: lzma.compress(b"plain " + path) for path in paths}
    held = archive_of(LINKED, {b"usr/lib/modules/%s/kernel/fs/xfs.ko" % V.encode(): b""})
    made = overlay(guest(dep=dep, more={**packed, KERNEL.initrd: held}), KERNEL)
    files = unpacked(made, tmp_path / "root")
    at = f"usr/lib/modules/{V}"
    ahci = files[f"{at}/kernel/drivers/ata/ahci.ko"]
    assert ahci == b"plain kernel/drivers/ata/ahci.ko.xz"
    assert files[f"{at}/modules.dep"] == DEP
    assert not [path for path in files if path.endswith(".xz")]
    assert any("plain" in note for note in made.notes)
    asked = ["modprobe", "-d", str(tmp_path / "root/usr"), "-S", V, "--show-depends", "ahci"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert [Path(line.split()[1]).name for line in told.splitlines()] == [
        "libata.ko", "libahci.ko", "ahci.ko"]  # fmt: skip


def test_modules_packed_alike_on_disk_and_in_the_initrd_stay_packed(tmp_path: Path) -> None:
    """Signed modules are not touched where there is no need."""
    dep = DEP.replace(b".ko", b".ko.xz")
    held = archive_of(LINKED, {b"usr/lib/modules/%s/kernel/fs/xfs.ko.xz" % V.encode(): b""})
    files = unpacked(overlay(guest(dep=dep, more={KERNEL.initrd: held}), KERNEL), tmp_path / "r")
    at = f"usr/lib/modules/{V}/kernel/drivers/ata/ahci.ko.xz"
    assert files[at] == b"module kernel/drivers/ata/ahci.ko.xz"


def test_an_index_made_here_is_read_by_modprobe_for_every_module(tmp_path: Path) -> None:
    """All names are found, those with a common beginning and those within others too."""
    names = ["a", "ab", "abc", "b-c", "bcd", "x1", "x2", "x10"]
    dep = b"".join(b"kernel/%s.ko:\n" % name.encode() for name in names)
    home = tmp_path / "lib/modules" / V
    (home / "kernel").mkdir(parents=True)
    (home / "modules.dep.bin").write_bytes(dependency_index(dep))
    for name in names:
        (home / f"kernel/{name}.ko").write_bytes(b"")
        asked = ["modprobe", "-d", str(tmp_path), "-S", V, "--show-depends", name]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert told.split()[1].endswith(f"kernel/{name}.ko")


@pytest.mark.parametrize(
    "line",
    [
        b"../../../etc/shadow.ko:",
        b"kernel/../../x/virtio_blk.ko:",
        b"/etc/virtio_blk.ko:",
        b"kernel/virtio_blk.ko: ../../etc/passwd.ko",
        b"kernel/./virtio_blk.ko:",
        b"kernel//virtio_blk.ko:",
        b"kernel/a\x1b[31m/virtio_blk.ko:",
        b"kernel/virtio_blk.sh:",
        b"kernel/" + b"a" * 300 + b"/virtio_blk.ko:",
        b"kernel/virtio_blk.ko",
    ],
)
def test_a_module_s_path_never_leads_out_of_the_modules(line: bytes) -> None:
    """Such a line is passed over and counted; nothing is read for it."""
    found = parse(line + b"\n\n" + DEP)
    assert found.odd == 1
    assert found.paths[b"virtio_blk"] == b"kernel/drivers/block/virtio_blk.ko"


def test_modules_that_need_one_another_and_too_many_come_to_an_end() -> None:
    """A circle is walked once; thousands of needed modules are refused."""
    circle = parse(b"kernel/a.ko: kernel/b.ko\nkernel/b.ko: kernel/a.ko\n")
    assert closure(circle, [b"a"]) == [b"kernel/a.ko", b"kernel/b.ko"]
    many = b" ".join(b"kernel/m%d.ko" % n for n in range(1000))
    with pytest.raises(ValueError, match="more than"):
        closure(parse(b"kernel/a.ko: " + many), [b"a"])


def header(
    name_size: int = 2, size: int = 0, mode: int = 0o100644, magic: bytes = b"070701"
) -> bytes:
    """Return the start of an entry with numbers of one's choice."""
    numbers = (1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0)
    return magic + b"".join(b"%08X" % n for n in numbers)


@pytest.mark.parametrize(
    "data",
    [
        header(name_size=0xFFFFFFFF) + b"a\0",
        header(name_size=0) + b"a\0",
        header(size=0xFFFFFFFF) + b"a\0",
        header(mode=0o120777, size=0xFFFFFFFF) + b"a\0",
        header().replace(b"00000002", b"0x000002") + b"a\0",
        header().replace(b"00000002", b"-0000002") + b"a\0",
        header().replace(b"00000002", b"       2") + b"a\0",
        header()[:50],
        header() + b"a\0",
        b"garbage",
        b"\x1f\x8b\x08" + bytes(50),
        gzip.compress(archive_of(LINKED), mtime=0)[:-30],
        gzip.compress(b"no archive", mtime=0),
        lzma.compress(archive_of(LINKED))[:-40],
        zstandard.compress(archive_of(LINKED))[:-5],
        bz2.compress(archive_of(LINKED))[:-5],
        b"\x02\x21\x4c\x18\xff\xff\xff\x7f",
        b"\x02\x21\x4c\x18\x05\0\0\0\x10a\xff\xff\0",
        b"\x02\x21\x4c\x18\x02\0\0\0\xff\xff",
    ],
)
def test_forged_archives_are_refused_in_words(data: bytes) -> None:
    """Whatever lengths and streams say, the answer is a sentence and not an accident."""
    with pytest.raises(Damaged, match=r"\w+ \w+"):
        read_facts(data)
    with pytest.raises(Failure) as caught:
        overlay(guest(more={KERNEL.initrd: data}), KERNEL)
    assert caught.value.problem.key == "guest.initrd-damaged"
    assert "not changed" in caught.value.problem.unchanged


@pytest.mark.parametrize("how", ["gzip", "xz", "zstd", "bzip2", "lz4"])
def test_a_bomb_stops_at_the_limit(how: str) -> None:
    """A stream that unpacks to far more than allowed is refused, not unpacked."""
    bomb = header(size=20 << 20) + b"a\0" + bytes(20 << 20)
    with pytest.raises(Damaged, match="more than 4 MiB"):
        read_facts(PACKERS[how](bomb), limit=4 << 20)


def test_an_archive_of_endless_names_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of entries has a bound."""
    monkeypatch.setattr("engine.guests.initrd_facts._ENTRIES", 100)
    with pytest.raises(Damaged, match="more entries"):
        read_facts(archive_of({b"d%d" % n: None for n in range(101)}))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({b"etc": None}, "no folder /lib"),
        ({b"lib": b"usr/lib", b"etc": None}, "leads nowhere"),
        ({b"lib": b"lib", b"etc": None}, "circle"),
        ({b"a": b"b", b"b": b"a", b"lib": b"/a"}, "circle"),
    ],
)
def test_an_initrd_without_a_usable_lib_is_refused(
    names: Mapping[bytes, bytes | None], said: str
) -> None:
    """Nothing is guessed where the first initrd has no place for modules."""
    with pytest.raises(Failure, match=said):
        overlay(guest(names), KERNEL)


def test_links_of_the_initrd_never_lead_above_its_root() -> None:
    """`..` ends at the root, as it does for the guest's kernel."""
    facts = read_facts(archive_of({b"usr": None, b"usr/lib": None, b"lib": b"../../usr/lib"}))
    assert facts.resolve(b"lib/modules") == b"usr/lib/modules"


@pytest.mark.parametrize("version", ["", "..", "../x", "a/b", "6.1\n", "x" * 200, ".6"])
def test_a_kernel_s_version_is_a_plain_name(version: str) -> None:
    """A version that would lead elsewhere is refused before anything is read."""
    with pytest.raises(Failure, match="no name of a folder"):
        overlay(Dict({}), Kernel(version, b"/v", b"/i", b"/lib/modules/x"))


def test_a_guest_without_its_list_of_modules_is_told(tmp_path: Path) -> None:
    """The missing file is named."""
    bare = guest()
    del bare.files[HOME + b"/modules.dep"]
    with pytest.raises(Failure, match=r"modules\.dep is missing"):
        overlay(bare, KERNEL)


def test_a_cached_archive_is_the_same_and_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second overlay of the same kernel comes from the cache, whichever machine asks."""
    cache = OverlayCache(tmp_path / "state" / "overlays")
    first = overlay(guest(), KERNEL, cache)
    monkeypatch.setattr(under_test, "_gzip", lambda _data: pytest.fail("built again"))
    assert overlay(guest(), KERNEL, cache) == first


@pytest.mark.parametrize(
    "change",
    [
        {HOME + b"/kernel/drivers/ata/ahci.ko": b"another"},
        {HOME + b"/modules.alias": b"another"},
        {KERNEL.initrd: archive_of(PLAIN)},
        {KERNEL.initrd: archive_of({**LINKED, b"usr/lib/modules": None})},
    ],
)
def test_another_guest_never_gets_this_one_s_archive(
    change: Mapping[bytes, bytes], tmp_path: Path
) -> None:
    """Each thing that decides the archive's bytes is part of its name in the cache."""
    cache = OverlayCache(tmp_path)
    overlay(guest(), KERNEL, cache)
    changed = guest(more=change)
    assert overlay(changed, KERNEL, cache).archive == overlay(changed, KERNEL).archive
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_entry_of_the_cache_is_made_anew(tmp_path: Path) -> None:
    """Bytes that are not what was put are not handed out."""
    cache = OverlayCache(tmp_path)
    first = overlay(guest(), KERNEL, cache)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1] + b"x")
    assert overlay(guest(), KERNEL, cache) == first
    assert cache.get(entry.name) == first.archive


def test_the_cache_keeps_the_newest_and_no_drafts(tmp_path: Path) -> None:
    """Old archives go when there are too many; other files stay."""
    (tmp_path / "other").write_bytes(b"")
    cache = OverlayCache(tmp_path)
    for n in range(KEPT + 3):
        cache.put(f"{n:064x}", b"%d" % n)
    assert cache.get(f"{0:064x}") is None
    assert cache.get(f"{KEPT + 2:064x}") == b"%d" % (KEPT + 2)
    assert len(list(tmp_path.iterdir())) == KEPT + 1


def test_a_file_that_is_too_long_is_not_called_missing() -> None:
    """The operator looks for what is really wrong."""

    class Long(Dict):
        def read(self, path: bytes, limit: int) -> bytes | None:
            """Return nothing for the initrd, as if it were longer than is read."""
            return None if path == KERNEL.initrd else super().read(path, limit)

    with pytest.raises(Failure, match="is no file, or longer than 512 MiB"):
        overlay(Long(guest().files), KERNEL)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89LZO\0\r\n\x1a\n" + bytes(64), "packed with lzo, which is not supported"),
        (b"\x04\x22\x4d\x18" + bytes(64), "packed with lz4 in a form that no kernel reads"),
    ],
)
def test_an_initrd_of_another_packing_is_refused_with_what_to_choose(data: bytes, why: str) -> None:
    """The remedy is another packing: the same tool would make the same initrd anew."""
    with pytest.raises(Failure, match=why) as raised:
        overlay(guest(pack=lambda _: data), KERNEL)

    assert raised.value.problem.key == "guest.initrd-packing"
    assert "Choose gzip, xz or zstd" in raised.value.problem.remedy


@pytest.mark.parametrize(
    ("version", "is_doubted"),
    [
        ("5.4.0-42-generic", True),
        ("5.4.0-216-generic", False),
        ("5.8.0-63-generic", True),
        ("5.13.0-52-generic", False),
        ("5.10.0-8-amd64", True),
        ("5.10.51-0-lts", True),
        ("5.10.52-0-lts", False),
        ("5.13.2", True),
        ("5.11.22", True),
        ("5.14.0-70.el9.x86_64", False),
        ("4.18.0-553.el8.x86_64", True),
        ("5.15.0-91-generic", False),
        ("6", False),
    ],
)
@pytest.mark.parametrize("pack", [lz4_legacy, gzip.compress])
def test_lz4_under_an_old_kernel_is_doubted(
    version: str, pack: Callable[[bytes], bytes], *, is_doubted: bool
) -> None:
    """Kernels of before July 2021 may read nothing behind an lz4 initrd; Ubuntu mended its own."""
    disk = guest(pack=pack)
    kernel = replace(KERNEL, version=version)

    notes = " ".join(overlay(disk, kernel).notes)

    assert ("packed with lz4" in notes) == (pack is lz4_legacy and is_doubted)


def test_lz4_is_no_doubt_where_all_drivers_are_in_the_initrd(tmp_path: Path) -> None:
    """What may not be read is not needed: Ubuntu 20.04 puts most modules into its initrds."""
    kernel = replace(KERNEL, version="5.4.0-42-generic")
    own = {
        path.replace(V, kernel.version).encode(): content
        for path, content in unpacked(overlay(guest(), KERNEL), tmp_path / "root").items()
        if path.endswith(".ko")
    }
    held = lz4_legacy(archive_of(LINKED, own))

    made = overlay(guest(more={KERNEL.initrd: held}), kernel)

    assert not any("packed with lz4" in note for note in made.notes)


@pytest.mark.parametrize("how", ["lz4", "gzip", "xz", "zstd", "none"])
def test_every_archive_behind_another_one_is_read(how: str) -> None:
    """Microcode, then the main archive, then zeros and an overlay, all in one file."""
    early = archive_of({b"kernel": None}) + bytes(512)
    behind = bytes(8) + gzip.compress(archive_of({b"new": None}))

    facts = read_facts(early + PACKERS[how](archive_of(LINKED)) + behind)

    assert {b"kernel", b"new", b"usr/lib"} <= facts.folders
    assert not facts.is_open
    assert read_facts(PACKERS[how](archive_of(LINKED))).is_open == (how == "lz4")


def test_a_kernel_without_a_driver_for_any_disk_is_refused() -> None:
    """Cards alone start nothing."""
    dep = b"kernel/drivers/net/vmxnet3.ko:\nkernel/drivers/scsi/megaraid_sas.ko:\n"

    with pytest.raises(Failure, match="it has no driver for any disk of a virtual machine"):
        overlay(guest(dep=dep), KERNEL)


def test_what_a_missing_driver_means_is_told() -> None:
    """Not every lack is one: what the VM has by default is told with what to set."""
    notes = overlay(guest(), KERNEL).notes

    assert "would find no disk or no network" in notes[0]
    (told,) = (note for note in notes if 'set bus = "sata"' in note)
    assert told.startswith(f"Kernel {V} cannot read PVSCSI (ESXi) disks, which its VM has")


def test_a_list_of_old_devices_for_lvm_is_hidden() -> None:
    """The old disks' serial numbers in the initrd would keep LVM from the VM's disks."""
    path = b"etc/lvm/devices/system.devices"
    folders = {b"etc/lvm": None, b"etc/lvm/devices": None}
    archive = archive_of(LINKED | folders, {path: b"IDTYPE=sys_wwid IDNAME=naa.5000\n"})

    made = overlay(guest(pack=lambda _: gzip.compress(archive)), KERNEL)
    facts = read_facts(gzip.compress(archive) + made.archive)

    assert facts.links[path] == b"system.devices.bootpoint-old"
    assert any("lists devices of the old hardware for LVM" in note for note in made.notes)
    assert path.decode() not in listed(overlay(guest(), KERNEL))


def test_a_filter_for_old_devices_is_replaced_in_the_initrd_too() -> None:
    """LVM in the initrd goes by a copy of its own; one that serves a VM stays as it is."""
    path, old = b"etc/lvm/lvm.conf", b'devices {\n filter = [ "a|/dev/cciss/.*|", "r|.*|" ]\n}\n'
    initrd = gzip.compress(archive_of(LINKED | {b"etc/lvm": None}, {path: old}))

    def made(content: bytes) -> tuple[bytes, bool]:
        files = guest(pack=lambda _: initrd, more={b"/" + path: content})
        got = overlay(files, KERNEL)
        return got.archive, any("lets LVM look at devices" in note for note in got.notes)

    archive, is_told = made(old)
    assert is_told
    assert lvm.widened(old) in zlib.decompress(archive.strip(b"\0") + bytes(8), 31)
    assert made(lvm.widened(old)) == (archive, True)
    assert made(b'devices {\n filter = [ "a|.*|" ]\n}\n') == made(b"")
    assert made(b"") == (overlay(guest(pack=lambda _: initrd), KERNEL).archive, False)


HELD = f"usr/lib/modules/{V}/kernel/drivers/ata/".encode()
CARD = b"kernel/drivers/net/e1000.ko"


def test_a_module_that_the_initrd_has_is_not_brought_again(tmp_path: Path) -> None:
    """Each byte counts: only one of another content than the disk's is another build."""
    same = b"module kernel/drivers/ata/libata.ko"
    other = b"MODULE kernel/drivers/ata/ata_piix.ko"
    files_held = {b"libata.ko": same, b"libahci.ko": b"older", b"ata_piix.ko": other}
    held = archive_of(LINKED, {HELD + name: content for name, content in files_held.items()})

    made = overlay(guest(more={KERNEL.initrd: gzip.compress(held)}), KERNEL)
    files = unpacked(made, tmp_path / "root")

    brought = {Path(path).stem for path in files if path.endswith(".ko")}
    assert brought == set(CARRIED) - {"libata"}
    assert made.drivers == overlay(guest(), KERNEL).drivers


@pytest.mark.parametrize(
    ("own", "uses"),
    [("drivers/net/tg3.ko", True), ("updates/dkms/tg3.ko", True), ("drivers/md/raid1.ko", False)],
)
def test_cards_are_for_an_initrd_that_uses_the_network(
    tmp_path: Path, own: str, *, uses: bool
) -> None:
    """Where it brings none of its own, the root file system has them in time."""
    held = {f"usr/lib/modules/{V}/kernel/{own}".encode(): b"tg3"}
    disk = guest(dep=DEP + CARD + b":\n", more={KERNEL.initrd: archive_of(LINKED, held)})

    made = overlay(disk, KERNEL)

    assert any(path.endswith("e1000.ko") for path in unpacked(made, tmp_path / "root")) == uses
    assert "e1000" in made.drivers


@pytest.mark.parametrize(
    ("tool", "uses"),
    [
        (b"usr/lib/net-lib.sh", True),
        (b"usr/sbin/dropbear", True),
        (b"usr/lib/systemd/systemd-networkd", True),
        (b"usr/bin/ipconfig", False),
        (b"scripts/nfs", False),
    ],
)
def test_an_initrd_for_the_network_whose_card_is_built_in_gets_cards(
    tool: bytes, *, uses: bool
) -> None:
    """Without a module of a card, its tools tell; those that are in every initrd do not."""
    held = gzip.compress(archive_of(LINKED, {tool: b"#!/bin/sh"}))
    disk = guest(dep=DEP + CARD + b":\n", more={KERNEL.initrd: held})

    assert any(path.endswith("e1000.ko") for path in listed(overlay(disk, KERNEL))) == uses


def test_a_menu_that_asks_for_the_network_brings_cards() -> None:
    """With what initramfs-tools puts into every initrd, `ip=` is enough for a network."""
    disk = guest(dep=DEP + CARD + b":\n")

    made = overlay(disk, KERNEL, asks_network=lambda: True)

    assert any(path.endswith("e1000.ko") for path in listed(made))
