"""The guest backend over a real virtual machine of libguestfs; 20 s to start it without KVM.

The backend contract is run on it: its tests are imported, and get guests in this form.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine.guests.backend import GuestDisk
from engine.guests.backends.appliance import clear
from engine.guests.backends.directory import folder, open_directory
from engine.guests.backends.guestfish import Guestfish, command
from engine.guests.backends.guestfs import GuestfsBackend, open_guestfs
from engine.guests.backends.guestfs_probe import probe_guestfs
from engine.guests.backends.userland import open_userland
from engine.model.errors import Failure, WrongUse
from engine.model.guest import Action, FileSystem, Owner, VolumeId
from tests.contract.guest_disks import ESP, ROOT, START, Place, copy, run, tree_of
from tests.contract.test_guest_backend import (  # noqa: F401 - tests and fixtures of the contract
    EDITS,
    FSTAB,
    edit,
    everything,
    guests,
    test_a_damaged_file_system_is_told,
    test_an_edit_that_does_not_fit_leaves_all_as_it_was,
    test_reading_follows_no_link,
    test_reading_has_limits,
    test_the_same_edits_give_the_same_tree,
    test_what_was_asked_for_is_there,
    with_journal,
)

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint")) / "appliance"
"""Keeps the virtual machine's files from run to run."""


@dataclass(frozen=True, slots=True)
class Appliance(Place):
    """A guest on a raw disk, opened by one virtual machine however often it is asked for."""

    opened: list[GuestfsBackend] = field(default_factory=list)

    def open(self) -> GuestfsBackend:
        """Return the backend on it."""
        if not self.opened:
            self.opened.append(open_guestfs([GuestDisk(self.paths[0], "raw")], cache=CACHE))
        return self.opened[0]


@pytest.fixture(params=["ext4"])
def place(
    request: pytest.FixtureRequest,
    guests: dict[str, Place],  # noqa: F811 - the imported fixture
    tmp_path: Path,
) -> Iterator[Place]:
    """A fresh copy of the contract's guest."""
    made = Appliance("raw", copy(guests[request.param], tmp_path / "copy").paths)
    yield made
    for backend in made.opened:
        backend.close()


@pytest.fixture
def raw(place: Place) -> Place:
    """The same."""
    return place


def test_the_probe_finds_nothing_missing() -> None:
    """This machine was set up for the tests below."""
    assert probe_guestfs([]).missing == ()


def test_guestfish_reads_every_byte_as_it_was_quoted(tmp_path: Path) -> None:
    """All bytes but NUL come back from its `echo`, whatever they mean to a shell or to it."""
    fish = Guestfish(["guestfish"], {"HOME": str(tmp_path)}, tmp_path)
    every = bytes(range(1, 256))
    texts = [every, b"| cat", b"~root", b"# x", b"a\n!touch pwned\n", b"'\"\\", b"<! id", b"$(id)"]

    answers = [fish.do(command("echo", text)) for text in texts]

    assert answers == [text + b"\n" for text in texts]
    assert fish.finish()
    assert list(tmp_path.glob("pwned")) == []


def test_a_command_that_fails_is_told_and_the_next_one_works(tmp_path: Path) -> None:
    """The complaint belongs to its command only."""
    fish = Guestfish(["guestfish"], {"HOME": str(tmp_path)}, tmp_path)

    with pytest.raises(Failure, match="unknown command"):
        fish.do(command("nonsense"))
    assert fish.ask(command("echo", b"still here")) == (b"still here\n", b"")
    fish.close()
    with pytest.raises(Failure, match="ended early"):
        fish.do(command("echo", b"x"))


def test_hostile_names_stay_names(place: Place) -> None:
    """Quotes, newlines, commands, devices and links in names: written, read and removed as such."""
    names = [b"a\n!touch pwned\n", b'q"uo\\te', b"$(id)", b"| cat", b"\xff\xfe", b"-rf", b"~"]
    backend = place.open()
    made = [edit(b"/dev", Action.MKDIR, None)]
    made += [edit(b"/etc/" + name, Action.WRITE, None, name, Owner(0o600, 1, 2)) for name in names]
    made += [edit(b"/dev/sda", Action.WRITE, None, b"no device")]

    backend.replay(made)

    assert set(names) <= set(backend.list(ROOT, b"/etc"))
    assert [backend.read(ROOT, b"/etc/" + name) for name in names] == names
    assert backend.read(ROOT, b"/dev/sda") == b"no device"
    backend.replay([edit(b"/etc/" + name, Action.REMOVE, name) for name in names])
    assert not set(names) & set(backend.list(ROOT, b"/etc"))
    assert backend.check([ROOT]) == "full"


def test_looking_writes_nothing_and_a_reader_cannot_write(place: Place) -> None:
    """Every verb that reads leaves the disk bit for bit, also one with a full journal."""
    with_journal(place)
    before = place.paths[0].read_bytes()
    with open_guestfs([GuestDisk(place.paths[0], "raw")], cache=CACHE, is_writing=False) as backend:
        assert backend.read(ROOT, b"/etc/fstab") == FSTAB
        assert tree_of(backend, ROOT)
        assert tree_of(backend, ESP)
        with pytest.raises(WrongUse, match="opened for reading"):
            backend.replay(EDITS)
    assert place.paths[0].read_bytes() == before


def test_a_journal_is_replayed_before_planning(place: Place) -> None:
    """`recover` brings what the guest wrote last; edits planned without it do not fit."""
    with_journal(place)
    backend = place.open()
    assert backend.read(ROOT, b"/etc/fstab") == FSTAB
    with pytest.raises(Failure, match="another content"):
        backend.replay([edit(b"/etc/fstab", Action.WRITE, FSTAB, b"x")])

    backend.recover()

    seen = backend.read(ROOT, b"/etc/fstab")
    assert b"from-the-journal" in seen
    backend.replay([edit(b"/etc/fstab.new", Action.WRITE, None, seen)])
    assert backend.check([ROOT]) == "full"


def test_a_twig_is_written_and_the_layer_below_is_not(place: Place, tmp_path: Path) -> None:
    """On qcow2 the edits are in the twig; through it userland sees the same tree."""
    disk, twig = place.paths[0], tmp_path / "copy/twig.qcow2"
    before = disk.read_bytes()
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", f"./{disk.name}", str(twig))

    with open_guestfs([GuestDisk(twig, "qcow2")], cache=CACHE) as backend:
        backend.replay(EDITS)
        assert backend.check([ROOT]) == "full"

    assert disk.read_bytes() == before
    flat = tmp_path / "flat"
    run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(twig), str(flat))
    oracle = copy(place, tmp_path / "oracle")
    with open_userland(oracle.paths) as other, open_userland([flat]) as seen:
        other.replay(EDITS)
        assert tree_of(seen, ROOT) == tree_of(other, ROOT)
    run("e2fsck", "-fn", f"{flat}?offset={START}")


def test_labels_of_selinux_go_on(place: Place) -> None:
    """A replaced file keeps its label, a new one gets its folder's."""
    device = f"{place.paths[0]}?offset={START}"
    labels = {"/etc/fstab": "system_u:object_r:etc_t:s0", "/boot": "system_u:object_r:boot_t:s0"}
    for path, label in labels.items():
        run("debugfs", "-w", "-R", f"ea_set {path} security.selinux {label}", device)
    backend = place.open()

    backend.replay(
        [
            edit(b"/boot/new.img", Action.WRITE, None, b"x"),
            edit(b"/etc/fstab", Action.WRITE, FSTAB, b"x"),
        ]
    )
    backend.close()

    for path, label in (("/etc/fstab", "etc_t"), ("/boot/new.img", "boot_t")):
        shown = run("debugfs", "-R", f"ea_get {path} security.selinux", device)
        assert f"object_r:{label}:s0".encode() in shown


def users_of(disk: Path) -> set[str]:
    """Return the processes that have a file open."""
    found = set()
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.path.realpath(fd) == str(disk):
                found.add(fd.parts[2])
    return found


def test_nothing_is_left_behind(place: Place) -> None:
    """Neither process nor folder after a close; after a kill the next question starts anew."""
    backend = place.open()
    assert isinstance(backend, GuestfsBackend)
    machine, disk = backend.machine, place.paths[0].resolve()
    first, users, scratch = machine.fish, users_of(disk), machine.scratch
    assert users
    assert backend.read(ROOT, b"/etc/fstab") == FSTAB

    first.close()
    gone = users_of(disk)
    seen = backend.read(ROOT, b"/etc/fstab")
    again = machine.fish
    backend.close()

    assert (gone, seen) == (set(), FSTAB)
    assert again is not first
    assert users_of(disk) == set()
    assert not scratch.exists()


def test_a_file_system_that_panics_its_kernel_ends_only_the_virtual_machine(place: Place) -> None:
    """A damaged folder, and errors are a panic: it is told, and the next question works."""
    device = f"{place.paths[0]}?offset={START}"
    block = int(run("debugfs", "-R", "bmap /etc 0", device).split()[-1])
    run("debugfs", "-w", "-R", "ssv errors 3", device)
    with place.paths[0].open("r+b") as disk:
        disk.seek(START + block * 1024)
        disk.write(b"\xff" * 1024)
    backend = place.open()
    assert backend.list(ESP, b"/EFI") == [b"debian"]

    with pytest.raises(Failure, match="guestfish"):
        backend.list(ROOT, b"/etc")

    assert backend.list(ESP, b"/EFI") == [b"debian"]
    assert backend.read(ROOT, b"/boot/grub/grub.cfg").startswith(b"linux")


KILLED = """
import sys, time
from pathlib import Path
from engine.guests.backend import GuestDisk
from engine.guests.backends.guestfs import open_guestfs
backend = open_guestfs([GuestDisk(Path(sys.argv[1]), "raw")], cache=Path(sys.argv[2]))
backend.machine.mount(backend.volumes()[1].id, is_writing=True)
print("mounted", flush=True)
time.sleep(600)
"""


def test_a_killed_engine_leaves_no_virtual_machine(place: Place, tmp_path: Path) -> None:
    """Its processes die with it, the next engine removes its folder, and the guest is whole."""
    cache, disk = tmp_path / "cache", place.paths[0].resolve()
    argv = [sys.executable, "-c", KILLED, str(disk), str(cache)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"mounted\n"
        child.kill()
    for _ in range(300):
        if not users_of(disk):
            break
        threading.Event().wait(0.1)

    left = list(cache.glob("run-*"))
    clear(cache)

    assert users_of(disk) == set()
    assert (len(left), list(cache.glob("run-*"))) == (1, [])
    backend = place.open()
    backend.replay(EDITS)
    assert backend.check([ROOT]) == "full"


KINDS = {
    "xfs": ["mkfs.xfs", "-q", "-m", "uuid=11111111-1111-4111-8111-111111111111"],
    "btrfs": ["mkfs.btrfs", "-q", "-U", "22222222-2222-4222-8222-222222222222"],
    "ntfs": ["mkntfs", "-F", "-Q", "-q"],
}
"""Whole disks without a table, as they are made."""
FIRST = [
    edit(b"/boot", Action.MKDIR, None, owner=Owner(0o755, 0, 0)),
    edit(b"/boot/old", Action.WRITE, None, b"old", Owner(0o640, 3, 4)),
    edit(b"/etc", Action.MKDIR, None, owner=Owner(0o750, 0, 7)),
    edit(b"/etc/fstab", Action.WRITE, None, FSTAB, Owner(0o644, 0, 0)),
]
SECOND = [
    edit(b"/boot/big", Action.WRITE, None, os.urandom(1_000_000), Owner(0o600, 1, 70_000)),
    edit(b"/boot/old", Action.RENAME, b"old", b"/etc/new"),
    edit(b"/etc/fstab", Action.WRITE, FSTAB, b"UUID=x", Owner(0o4755, 5, 6)),
]
LINKS = [
    edit(b"/boot/link", Action.SYMLINK, None, b"/etc/../x y", Owner(0o777, 8, 9)),
    edit(b"/etc/mask", Action.SYMLINK, None, b"/dev/null"),
]


@pytest.fixture
def others(tmp_path: Path) -> Iterator[GuestfsBackend]:
    """A guest of three disks: xfs, btrfs, NTFS."""
    disks = []
    for name, maker in KINDS.items():
        disk = tmp_path / name
        with disk.open("wb") as file:
            file.truncate(320 << 20)
        run(*maker, str(disk))
        disks.append(GuestDisk(disk, "raw"))
    with open_guestfs(disks, cache=CACHE) as backend:
        yield backend


def test_xfs_btrfs_and_ntfs_hold_the_same_tree(others: GuestfsBackend, tmp_path: Path) -> None:
    """Edits over edits give the tree of a plain folder; the checkers find nothing."""
    xfs, btrfs, ntfs = others.volumes()
    assert [v.kind for v in (xfs, btrfs, ntfs)] == [
        FileSystem.XFS,
        FileSystem.BTRFS,
        FileSystem.NTFS,
    ]
    plain = tmp_path / "plain"
    plain.mkdir()
    oracle = open_directory([folder("plain", plain)])
    for edits in (FIRST, SECOND, LINKS):
        oracle.replay([replace(e, volume=VolumeId("plain")) for e in edits])
        for volume in (xfs, btrfs):
            others.replay([replace(e, volume=volume.id) for e in edits])
    for edits in (FIRST, SECOND):
        others.replay([replace(e, volume=ntfs.id) for e in edits])

    expected = tree_of(oracle, VolumeId("plain"))

    assert tree_of(others, xfs.id) == expected
    assert tree_of(others, btrfs.id) == expected
    for path in (b"/boot/big", b"/etc/fstab", b"/etc/new"):
        assert others.read(ntfs.id, path, 4 << 20) == oracle.read(VolumeId("plain"), path, 4 << 20)
    long = os.urandom(3_000_000)
    others.replay([edit(b"/boot/long", Action.WRITE, None, long, volume=btrfs.id)])
    assert others.read(btrfs.id, b"/boot/long", 4 << 20) == long
    assert others.check([xfs.id, btrfs.id]) == "full"
    assert others.read(ntfs.id, b"/ETC/FsTab") == b"UUID=x"
    others.replay([edit(b"/Etc/FSTAB", Action.WRITE, b"UUID=x", b"y", volume=ntfs.id)])
    assert others.list(ntfs.id, b"/etc") == [b"fstab", b"new"]
    assert others.part(ntfs.id, b"/boot/big", 999_990, 100) == SECOND[0].after[-10:]
    assert others.trouble(ntfs.id) is None
    with pytest.raises(Failure, match="does not know"):
        others.replay([replace(LINKS[0], volume=ntfs.id)])


def test_subvolumes_are_folders_of_the_top_level(others: GuestfsBackend) -> None:
    """A path in btrfs begins at the top level, whatever the default subvolume is."""
    btrfs = others.volumes()[1].id
    machine = others.machine
    machine.mount(btrfs, is_writing=True)
    machine.do("btrfs-subvolume-create", machine.inside(btrfs, b"/@rootfs"))
    shown = machine.do("btrfs-subvolume-list", machine.inside(btrfs, b"/"))
    number = int(re.findall(rb"btrfssubvolume_id: (\d+)", shown)[0])
    machine.do("btrfs-subvolume-set-default", number, machine.inside(btrfs, b"/"))
    machine.unmount(btrfs)

    others.replay([edit(b"/@rootfs/x", Action.WRITE, None, b"in it", volume=btrfs)])

    assert others.list(btrfs, b"/") == [b"@rootfs"]
    assert others.read(btrfs, b"/@rootfs/x") == b"in it"
    assert others.check([btrfs]) == "full"


MAKE_INNER = (
    "set -e; at() { readlink -f /dev/disk/guestfs/disk$1; }; lvm pvcreate -q -y $(at a) $(at b); "
    "lvm vgcreate -q my-vg $(at a) $(at b); lvm lvcreate -q -y -n root -l 100%VG my-vg; "
    "mkfs.ext4 -q /dev/my-vg/root; "
    "mdadm --create /dev/md9 --run -q --homehost=old --name=3 -l1 -n2 -e1.2 $(at c) $(at d); "
    "mkfs.xfs -q /dev/md9; udevadm settle"
)


def test_volumes_in_lvm_and_md_are_those_of_the_guest(tmp_path: Path) -> None:
    """A group over two disks and a mirror: found by their names, written, read again, checked."""
    disks = []
    for name in "abcd":
        with (tmp_path / name).open("wb") as file:
            file.truncate(200 << 20 if name in "ab" else 320 << 20)
        disks.append(GuestDisk(tmp_path / name, "raw"))
    with open_guestfs(disks, cache=CACHE) as backend:
        said, code = backend.machine.shell(f"({MAKE_INNER})", 120)
        assert code == 0, said

    with open_guestfs(disks, cache=CACHE) as backend:
        inner = {volume.names: volume for volume in backend.volumes() if volume.names}
        assert set(inner) == {
            ("/dev/mapper/my--vg-root", "/dev/my-vg/root"),
            ("/dev/md3", "/dev/md/3"),
        }
        logical, mirror = (inner[names] for names in sorted(inner, key=lambda n: "md3" in n[0]))
        assert (logical.kind, logical.disk) == (FileSystem.EXT, 0)
        assert (mirror.kind, mirror.disk) == (FileSystem.XFS, 2)
        assert logical.size > 300 << 20
        edits = [replace(e, volume=v.id) for v in (logical, mirror) for e in (*FIRST, *SECOND)]
        backend.replay(sorted(edits, key=lambda e: e.volume))
        assert backend.check([logical.id, mirror.id]) == "full"

    with open_guestfs(disks[:3], cache=CACHE, is_writing=False) as backend:
        names = [volume.names for volume in backend.volumes() if volume.names]
        assert names == [("/dev/mapper/my--vg-root", "/dev/my-vg/root")], "half a mirror is none"
        assert backend.read(logical.id, b"/etc/fstab") == b"UUID=x"
