"""What guestfish is told and what it tells, without a virtual machine."""

from __future__ import annotations

import contextlib
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guests.backend import GuestDisk, Stat, Type
from engine.guests.backends import appliance, choose, guestfs_probe
from engine.guests.backends.guestfish import MAX_LINE, command, quoted
from engine.guests.backends.guestfs_inner import inner_volumes, parse_inner
from engine.guests.backends.guestfs_places import (
    WAYS,
    Place,
    device,
    is_clean,
    label,
    ntfs_obstacle,
    parse_stat,
    places,
)
from engine.guests.linux.devices import Devices, Use
from engine.local.tools import ToolFailed
from engine.model.errors import Failure, WrongUse
from engine.model.guest import FileSystem, Owner, Volume, VolumeId

_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
LISTING = b"diska 0 131072\ndiska1 2048 12288\ndiska2 16384 96000\ndiskb 0 2048\nodd line\n"


@given(st.binary(max_size=300).filter(lambda text: b"\0" not in text))
def test_quoting_hides_every_byte_that_guestfish_could_act_on(text: bytes) -> None:
    """Only letters, digits and four harmless marks stand for themselves; escapes give the rest."""
    word = quoted(text)

    assert re.fullmatch(rb'"([A-Za-z0-9/._-]|\\x[0-9a-f]{2})*"', word)
    assert _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), word[1:-1]) == text


def test_a_command_is_a_verb_with_quoted_arguments() -> None:
    """Numbers stand bare, names are quoted, options follow."""
    line = command("upload", b"/x y\n!rm", 7, format="raw")

    assert line == rb'upload "/x\x20y\x0a\x21rm" 7 format:raw'


def test_a_name_that_guestfish_cannot_be_given_is_refused() -> None:
    """A NUL, and a line of which guestfish would take the end for another command."""
    with pytest.raises(WrongUse, match="NUL"):
        command("rm", b"/a\0b")
    with pytest.raises(WrongUse, match="bytes long"):
        command("rm", b"/" + b"\xff" * (MAX_LINE // 4))
    assert len(command("rm", b"/" * (MAX_LINE - 6))) == MAX_LINE - 1


def test_disks_are_named_by_letters_as_libguestfs_wants_them() -> None:
    """26 disks have one letter, the next ones two; no two are alike."""
    names = [label(number) for number in range(800)]

    assert names[:2] == ["diska", "diskb"]
    assert names[25:28] == ["diskz", "diskaa", "diskab"]
    assert len(set(names)) == 800
    assert all(name.isalpha() and len(name) <= 20 for name in names)


def volume(number: int, start: int, size: int, disk: int = 0) -> Volume:
    """Return a volume at a place."""
    return Volume(VolumeId("some"), disk, number, start * 512, size * 512, FileSystem.EXT)


def test_a_volume_s_device_is_where_its_table_says() -> None:
    """By disk and partition number, a whole disk without a number."""
    known = places(LISTING)

    assert known["diska1"] == Place(1 << 20, 6 << 20)
    assert device(volume(2, 16384, 96000), known) == "/dev/disk/guestfs/diska2"
    assert device(volume(0, 0, 2048, disk=1), known) == "/dev/disk/guestfs/diskb"


@pytest.mark.parametrize("odd", [volume(2, 16384, 95999), volume(2, 16385, 96000), volume(3, 1, 1)])
def test_a_partition_that_the_kernel_sees_elsewhere_is_not_touched(odd: Volume) -> None:
    """A hostile table that two parsers read differently must not lead a write astray."""
    with pytest.raises(Failure, match="sees the volume some"):
        device(odd, places(LISTING))


def test_properties_of_files_are_read_from_what_guestfish_prints() -> None:
    """Type, size and owner; a file system without owners has fixed ones."""
    shown = b"st_dev: 2050\nst_mode: 35309\nst_uid: 9\nst_gid: 70000\nst_size: 12\nst_spare1: 0\n"

    assert parse_stat(shown, has_owners=True) == Stat(Type.FILE, 12, Owner(0o4755, 9, 70000))
    assert parse_stat(shown, has_owners=False).owner == Owner(0o755, 0, 0)
    assert parse_stat(shown.replace(b"35309", b"4480"), has_owners=True).type is Type.OTHER
    with pytest.raises(ToolFailed, match="something else"):
        parse_stat(b"st_mode: 33188\n", has_owners=True)


def test_looking_at_a_volume_writes_nothing() -> None:
    """Each way to read is read-only and leaves the journal alone."""
    silent = {"ext4": "noload", "xfs": "norecovery", "btrfs": "nologreplay"}
    for way in WAYS.values():
        assert way.read.startswith("ro,")
        assert silent.get(way.type, "") in way.read
        assert not way.write.startswith("ro")


def superblock(at: int = 0, value: int = 0) -> bytes:
    """Return an ext superblock with one number set."""
    raw = bytearray(1024)
    raw[56:58] = b"\x53\xef"
    struct.pack_into("<I", raw, at, value)
    return bytes(raw)


@pytest.mark.parametrize(("at", "value"), [(96, 0x246), (232, 12), (100, 0x10000)])
def test_a_full_journal_and_orphans_make_a_file_system_dirty(at: int, value: int) -> None:
    """Recovery flag, list of orphans, file of orphans; a clean one needs no mount to write."""
    assert not is_clean(superblock(at, value))
    assert is_clean(superblock())
    assert is_clean(superblock(96, 0x242))
    assert not is_clean(b"")


@pytest.mark.parametrize(
    ("code", "key"),
    [(14, "guest.hibernated"), (15, "guest.ntfs_journal"), (12, "guest.ntfs_damaged")],
)
def test_ntfs_that_cannot_be_written_is_told_with_a_remedy(code: int, key: str) -> None:
    """The prober's code becomes the obstacle that userland would tell."""
    told = ntfs_obstacle(volume(1, 2048, 12288), code)

    assert told is not None
    assert (told.key, "some on disk 1" in told.text, bool(told.remedy)) == (key, True, True)
    assert ntfs_obstacle(volume(1, 2048, 12288), 0) is None


def qcow2(path: Path, below: str = "") -> Path:
    """Write the beginning of a qcow2 file."""
    name = below.encode()
    place = 104 if name else 0
    path.write_bytes(
        struct.pack(">4sIQI", b"QFI\xfb", 3, place, len(name)).ljust(104, b"\0") + name
    )
    return path


def test_the_sandbox_holds_the_files_below_a_twig(tmp_path: Path) -> None:
    """All backing files, relative to the file that names them; a raw one ends the chain."""
    (tmp_path / "low").mkdir()
    (tmp_path / "low/base").write_bytes(b"raw")
    qcow2(tmp_path / "low/middle", "base")
    twig = qcow2(tmp_path / "twig", "low/middle")

    assert appliance.chain(twig) == [tmp_path / "low/middle", tmp_path / "low/base"]


def test_a_chain_that_is_a_loop_or_has_a_gap_is_told(tmp_path: Path) -> None:
    """Neither hangs nor is passed on to QEMU."""
    qcow2(tmp_path / "a", "b")
    qcow2(tmp_path / "b", "a")
    gap = qcow2(tmp_path / "gap", "nothing")

    with pytest.raises(Failure, match="is a loop"):
        appliance.chain(tmp_path / "a")
    with pytest.raises(Failure, match="cannot be read"):
        appliance.chain(gap)


def test_the_sandbox_shows_the_twig_and_not_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers below are read-only, the twig only when it is written; KVM only when it is used."""
    monkeypatch.setattr(appliance, "is_available", lambda: True)
    (tmp_path / "base").write_bytes(b"raw")
    twig = qcow2(tmp_path / "twig", "base")

    def shared(accelerator: str, *, is_writing: bool) -> str:
        return " ".join(
            appliance.caged(
                ["guestfish"],
                [GuestDisk(twig, "qcow2")],
                appliance=tmp_path / "app",
                scratch=tmp_path / "work",
                is_writing=is_writing,
                accelerator=accelerator,
            )
        )

    told = shared("tcg", is_writing=True)
    assert f"--ro-bind {tmp_path}/base " in told
    assert f" --bind {twig} " in told
    assert "--unshare-all" in told
    assert "/dev/kvm" not in told
    assert f"--ro-bind {twig} " in shared("tcg", is_writing=False)
    assert "/dev/kvm" in shared("kvm", is_writing=True)


@pytest.mark.parametrize(("found", "setting"), [("tcg", "force_tcg"), ("kvm", "")])
def test_the_virtual_machine_runs_under_what_was_found_out(
    tmp_path: Path, found: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KVM only where the probe of the targets saw a guest make progress under it."""
    told: list[str] = []

    def opened(*_disks: object, accelerator: str, **_more: object) -> object:
        told.append(accelerator)
        return contextlib.nullcontext(object())

    monkeypatch.setattr(choose, "accelerator", lambda _folder: found)
    monkeypatch.setattr(choose, "open_guestfs", opened)
    with choose._guestfs([], tmp_path, is_writing=False):
        pass

    assert told == [found]
    used = appliance.settings(Path("/app"), Path("/work"), found)
    assert used["LIBGUESTFS_BACKEND_SETTINGS"] == setting


def test_a_cache_that_others_may_write_is_refused(tmp_path: Path) -> None:
    """Who can write the appliance can make it do anything to the guest."""
    (tmp_path / "cache").mkdir(mode=0o777)
    (tmp_path / "cache").chmod(0o777)

    with (
        pytest.raises(Failure, match="not a folder of our own"),
        appliance.locked(tmp_path / "cache"),
    ):
        pass


def test_what_is_missing_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Program, library, kernel, the support of xfs, and kinds that nothing opens."""
    monkeypatch.setattr(guestfs_probe.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(guestfs_probe, "kernels", list)
    monkeypatch.setattr(guestfs_probe, "recipe", lambda: None)
    bare = " ".join(guestfs_probe.probe_guestfs([]).missing)
    monkeypatch.setattr(guestfs_probe.shutil, "which", lambda tool, **__: f"/usr/bin/{tool}")
    monkeypatch.setattr(guestfs_probe, "kernels", lambda: [Path("/boot/vmlinuz-1")])
    monkeypatch.setattr(guestfs_probe, "recipe", lambda: tmp_path)
    kinds = [FileSystem.EXT, FileSystem.XFS, FileSystem.LUKS]
    volumes = [Volume(VolumeId(kind.value), 0, 1, 0, 0, kind) for kind in kinds]
    told = guestfs_probe.probe_guestfs(volumes)

    for package in ("guestfish", "supermin", "libguestfs0", "linux-image-cloud-amd64"):
        assert f"install the package {package}." in bare
    assert "libguestfs-xfs" in told.missing[0]
    assert told.missing[1] == "luks cannot be opened by libguestfs."
    assert guestfs_probe.probe_guestfs(volumes[:1]).is_able


def test_folders_of_the_dead_are_cleared_and_those_of_the_living_stay(tmp_path: Path) -> None:
    """A lock tells them apart, which the kernel drops for a process that was killed."""
    cache = tmp_path / "cache"
    alive, closed = appliance.Scratch(cache), appliance.Scratch(cache)
    (cache / "run-dead").mkdir()
    (cache / "run-dead/disk").write_bytes(b"x")
    closed.close()

    appliance.clear(cache)

    assert list(cache.glob("run-*")) == [alive.path]
    alive.close()
    assert list(cache.glob("run-*")) == []
    appliance.clear(tmp_path / "nothing")


A_ROOT = "dm-0|my--vg-root|LVM-" + "a" * 64 + "|4096||\n"
INNER = (
    A_ROOT
    + "dm-1|my--vg-root-real|LVM-" + "a" * 64 + "-real|4096||\n"
    + "dm-2|luks|CRYPT-LUKS2-x|4096||\n"
    + "dm-3|ev il|LVM-" + "b" * 64 + "|4096||\n"
    + "md127|||8192|0|old:3\nmd126|||8192|1|old:4\nmd125|||8192|0|old:data\nmd1|||8192|0|\n"
    + "md9|||8192|0|old:../x\nmd2|||0||old:2\nodd\n"
)  # fmt: skip


def test_logical_volumes_and_whole_arrays_are_found_by_the_guest_s_names() -> None:
    """Hidden parts, other mappings, odd names and arrays without all members are left out."""
    found = parse_inner(INNER.encode())

    assert [(one.device, one.names) for one in found] == [
        ("/dev/mapper/my--vg-root", ("/dev/mapper/my--vg-root", "/dev/my-vg/root")),
        ("/dev/md127", ("/dev/md3", "/dev/md/3")),
        ("/dev/md125", ("/dev/md/data",)),
        ("/dev/md1", ("/dev/md1",)),
    ]


def test_what_is_inside_has_no_partition_and_a_name_of_its_own() -> None:
    """It counts to its holder's disk; without a file system its id is its name."""
    holder = Volume(VolumeId("pv"), 1, 2, 1 << 20, 1 << 30, FileSystem.LVM)
    inner = parse_inner(INNER.encode())
    asked: list[tuple[str, int, int]] = []

    def read(at: str, offset: int, length: int) -> bytes:
        asked.append((at, offset, length))
        return bytes(length)

    ((one, at),) = inner_volumes(inner, [holder], read)

    assert (one.id, one.disk, one.number, one.kind) == (
        "mapper/my--vg-root", 1, -1, FileSystem.UNKNOWN,
    )  # fmt: skip
    assert at == "/dev/mapper/my--vg-root"
    assert all(offset + length <= 4096 * 512 or not length for _, offset, length in asked)
    assert inner_volumes(inner, [replace(holder, id=one.id)], read) == []


def test_a_volume_group_on_an_array_counts_to_the_disk_of_the_array() -> None:
    """The physical volume is no partition: the array is found first, then what its group holds."""
    member = Volume(VolumeId("member"), 1, 2, 1 << 20, 1 << 30, FileSystem.RAID)
    inner = parse_inner(INNER.encode())

    label = b"LABELONE" + struct.pack("<QII8s", 1, 0, 32, b"LVM2 001") + b"x" * 32

    def read(at: str, offset: int, length: int) -> bytes:
        content = bytes(512) + label if at == "/dev/md1" else b""
        return content.ljust(8192 * 512, b"\0")[offset : offset + length]

    found = inner_volumes(inner, [member], read)

    assert [(at, one.kind, one.disk) for one, at in found][-2:] == [
        ("/dev/md1", FileSystem.LVM, 1),
        ("/dev/mapper/my--vg-root", FileSystem.UNKNOWN, 1),
    ]


def test_a_mapped_name_in_fstab_means_the_volume_of_that_name() -> None:
    """Names of LVM and md hold on any hardware: they are found, not changed."""
    names = ("/dev/mapper/vg-root", "/dev/vg/root")
    inside = replace(volume(-1, 0, 9), names=names)
    devices = Devices([volume(1, 1, 1), inside], [], lambda _volume, _path: True)

    found = [devices.find(Use(n.encode(), b"/", None)).volume for n in (*names, "/dev/vg/other")]

    assert found == [inside, inside, None]
