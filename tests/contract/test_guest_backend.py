"""What every backend promises: the same edits give the same tree, or nothing at all."""

import hashlib
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guests.backend import Parts, Type
from engine.guests.backends.cage import caged
from engine.guests.backends.directory import DirectoryBackend, folder
from engine.guests.backends.ext import ExtVolume
from engine.guests.backends.fat import FatVolume
from engine.guests.backends.probe import probe_userland
from engine.guests.backends.userland import open_userland
from engine.guests.backends.verify import confirm, fit
from engine.guests.signatures import fat_shape
from engine.local.tools import run_tool
from engine.model.errors import Failure, WrongUse
from engine.model.guest import Action, FileEdit, FileSystem, Owner, VolumeId
from tests.contract.guest_disks import (
    ESP,
    ESP_START,
    ROOT,
    START,
    Place,
    bits,
    copy,
    esp_tree,
    hurt_fat,
    plant,
    raw_disk,
    run,
    tree_of,
)

FORMS = ["directory", "ext2", "ext3", "ext4"]
FSTAB = b"/dev/sda1 / ext4 defaults 0 1\n"
GRUB = b"linux /vmlinuz root=/dev/sda1\n"
LOADER = b"MZ loader" * 999


def sha(content: bytes) -> str:
    """Return what the plan's `before` holds."""
    return hashlib.sha256(content).hexdigest()


def edit(
    path: bytes,
    action: Action,
    before: bytes | None,
    after: bytes = b"",
    owner: Owner = Owner(),  # noqa: B008 - frozen
    volume: VolumeId = ROOT,
) -> FileEdit:
    """Return one change."""
    digest = None if before is None else sha(before)
    return FileEdit(volume, path, action, digest, after, owner, "For the test.")


EDITS = [
    edit(b"/EFI/BOOT", Action.MKDIR, None, volume=ESP),
    edit(b"/EFI/BOOT/BOOTX64.EFI", Action.WRITE, None, LOADER, volume=ESP),
    edit(b"/EFI/debian/grubx64.efi", Action.WRITE, LOADER, b"MZ new" * 5000, volume=ESP),
    edit(b"/boot/grub/grub.cfg", Action.WRITE, GRUB, b"linux root=UUID=x\n", Owner(0o600)),
    edit(b"/boot/overlay.img", Action.WRITE, None, os.urandom(300_000), Owner(0o644, 7, 70_000)),
    edit(b"/etc/fstab", Action.RENAME, FSTAB, b"/etc/fstab.old"),
    edit(b"/etc/fstab", Action.WRITE, None, b"UUID=x / ext4\n"),
    edit(b"/etc/new folder", Action.MKDIR, None, b"", Owner(0o2750, 1, 2)),
    edit(b"/etc/new folder/\xc3\xbc x", Action.WRITE, None, b"", Owner(0o4755, 9, 9)),
    edit(b"/etc/shadow", Action.REMOVE, b"root:*:1:\n"),
    edit(b"/etc/smartd.service", Action.SYMLINK, None, b"/dev/null"),
    edit(b"/lib", Action.SYMLINK, b"usr/lib", b"some where/" * 20, Owner(0o777, 3, 3)),
    edit(b"/var/empty", Action.REMOVE, b""),
]


@pytest.fixture(scope="module")
def guests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Place]:
    """The same guest in every form; tests work on copies."""
    base = tmp_path_factory.mktemp("guests")
    tree, esp = plant(base / "root"), esp_tree(base / "esp")
    raw = {
        kind: Place("raw", [raw_disk(base / f"{kind}.img", tree, esp, kind)]) for kind in FORMS[1:]
    }
    return {"directory": Place("directory", [tree, esp]), **raw}


@pytest.fixture(params=FORMS)
def place(request: pytest.FixtureRequest, guests: dict[str, Place], tmp_path: Path) -> Place:
    """A fresh copy of the guest in each form."""
    return copy(guests[request.param], tmp_path / "copy")


@pytest.fixture
def raw(guests: dict[str, Place], tmp_path: Path) -> Place:
    """A fresh copy of the guest on a raw disk with ext4."""
    return copy(guests["ext4"], tmp_path / "copy")


def everything(place: Place) -> list[tuple[object, ...]]:
    """Return both volumes' trees; FAT keeps no modes and owners, so they do not count there."""
    backend = place.open()
    on_esp = [
        (row[0], row[1], row[-1] if row[1] == Type.FILE else b"") for row in tree_of(backend, ESP)
    ]
    return [*on_esp, *tree_of(backend, ROOT)]


def test_the_same_edits_give_the_same_tree(
    place: Place, guests: dict[str, Place], tmp_path: Path
) -> None:
    """Contents, modes, owners and links after a replay are those of the plain folder."""
    oracle = copy(guests["directory"], tmp_path / "oracle")
    oracle.open().replay(EDITS)

    written = place.open().replay(EDITS)

    assert everything(place) == everything(oracle)
    assert written == sum(len(e.after) for e in EDITS if e.action == Action.WRITE)


def test_what_was_asked_for_is_there(place: Place) -> None:
    """The tree holds the new files with their owners, and not the removed ones."""
    backend = place.open()
    backend.replay(EDITS)

    overlay = backend.stat(ROOT, b"/boot/overlay.img")

    assert overlay is not None
    assert (overlay.size, overlay.owner) == (300_000, Owner(0o644, 7, 70_000))
    assert backend.read(ROOT, b"/etc/fstab.old") == FSTAB
    assert backend.read(ROOT, b"/etc/fstab") == b"UUID=x / ext4\n"
    assert backend.link(ROOT, b"/lib") == b"some where/" * 20
    assert backend.stat(ROOT, b"/var/empty") is None
    assert backend.list(ESP, b"/EFI") == [b"BOOT", b"debian"]
    assert backend.read(ESP, b"/EFI/BOOT/BOOTX64.EFI") == LOADER


MISFITS = {
    "another content": edit(b"/etc/fstab", Action.WRITE, b"other", b"x"),
    "there already": edit(b"/etc/fstab", Action.WRITE, None, b"x"),
    "not there": edit(b"/etc/nothing", Action.WRITE, b"", b"x"),
    "no folder above": edit(b"/etc/nothing/x", Action.WRITE, None, b"x"),
    "a link above": edit(b"/lib/x", Action.WRITE, None, b"x"),
    "a file above": edit(b"/etc/fstab/x", Action.WRITE, None, b"x"),
    "a folder": edit(b"/etc/network", Action.WRITE, b"", b"x"),
    "dots": edit(b"/etc/../x", Action.WRITE, None, b"x"),
    "relative": edit(b"etc/x", Action.WRITE, None, b"x"),
    "not empty": edit(b"/etc", Action.REMOVE, b""),
    "target there": edit(b"/etc/shadow", Action.RENAME, b"root:*:1:\n", b"/etc/fstab"),
    "no digest": edit(b"/etc/shadow", Action.REMOVE, None),
    "unknown volume": edit(b"/x", Action.WRITE, None, b"x", volume=VolumeId("nobody")),
    "file on the ESP": edit(b"/EFI/debian/grubx64.efi", Action.WRITE, b"", b"x", volume=ESP),
}


@pytest.mark.parametrize("name", MISFITS)
def test_an_edit_that_does_not_fit_leaves_all_as_it_was(place: Place, name: str) -> None:
    """The misfit comes last of many, and still nothing was written: not a tree, not a bit."""
    before = everything(place)
    image = bits(place) if place.form == "raw" else b""
    good = [e for e in EDITS if e.path not in (b"/etc/fstab", b"/etc/shadow", b"/lib")]

    with pytest.raises(Failure):
        place.open().replay([*good, MISFITS[name]])

    assert everything(place) == before
    assert image == (bits(place) if place.form == "raw" else b"")


def test_reading_follows_no_link(place: Place) -> None:
    """A path through a link is not there, and a link is not read as the file it points to."""
    backend = place.open()

    assert backend.stat(ROOT, b"/lib/anything") is None
    assert backend.list(ROOT, b"/lib") == []
    with pytest.raises(Failure, match="is not a file but: link"):
        backend.read(ROOT, b"/lib")
    with pytest.raises(Failure, match="is no symbolic link"):
        backend.link(ROOT, b"/etc/fstab")


def test_reading_has_limits(place: Place) -> None:
    """A file longer than the limit is refused with both sizes, a missing one in words."""
    backend = place.open()

    with pytest.raises(Failure, match=r"179200 bytes long.*at most 1000"):
        backend.read(ROOT, "/etc/with space/ä ü".encode(), 1000)
    with pytest.raises(Failure, match="is not there"):
        backend.read(ROOT, b"/etc/nothing")
    assert backend.read(ROOT, b"/etc/empty") == b""
    assert backend.list(ROOT, b"/nothing") == []


def test_a_part_of_a_long_file_is_read(place: Place) -> None:
    """A kernel is longer than what is read of a file by default; its header is enough."""
    backend = place.open()
    content = bytes(3 << 20) + b"HdrS"
    backend.replay([edit(b"/etc/vmlinuz", Action.WRITE, None, content)])
    assert isinstance(backend, Parts) == (place.form != "directory")
    if isinstance(backend, Parts):
        assert backend.part(ROOT, b"/etc/vmlinuz", (3 << 20) - 4, 100) == bytes(4) + b"HdrS"
        with pytest.raises(Failure, match="is not there"):
            backend.part(ROOT, b"/etc/nothing", 0, 10)


def test_repeated_runs_give_the_same_bits(guests: dict[str, Place], tmp_path: Path) -> None:
    """The same plan on the same disk leaves the same disk, bit for bit, whatever the time is."""
    runs = [copy(guests["ext4"], tmp_path / name) for name in ("a", "b")]
    for guest in runs:
        guest.open().replay(EDITS)

    assert bits(runs[0]) == bits(runs[1])
    assert bits(runs[0]) != bits(guests["ext4"])


def test_the_file_system_is_clean_afterwards(raw: Place) -> None:
    """`e2fsck -fn` finds nothing, run by the backend and by us."""
    backend = raw.open()
    backend.replay(EDITS)

    assert backend.check([ROOT]) == "full"
    run("e2fsck", "-fn", f"{raw.paths[0]}?offset={START}")


def test_a_damaged_efi_partition_is_told(raw: Place) -> None:
    """FAT is checked like the others; that it was in use when it was backed up is no damage."""
    with raw.paths[0].open("r+b") as file:
        file.seek(ESP_START + 37)  # of FAT12 and FAT16
        file.write(b"\1")
    assert raw.open().check([ESP, ROOT]) == "full"

    hurt_fat(raw.paths[0])

    with pytest.raises(
        Failure, match=r"is damaged: fsck.vfat said: (?i:/efi/debian/grubx64.efi) File"
    ):
        raw.open().check([ESP])


def test_a_damaged_file_system_is_told(raw: Place) -> None:
    """A check of a file system with a wrong count fails with what the checker said."""
    run("debugfs", "-w", "-R", "sif /etc/fstab links_count 9", f"{raw.paths[0]}?offset={START}")

    with pytest.raises(Failure, match=r"is damaged: e2fsck said: .*ref count is 9"):
        raw.open().check([ROOT])


def with_journal(place: Place) -> None:
    """Leave a change in the journal: a copy of one block, as after a power cut."""
    device = f"{place.paths[0]}?offset={START}"
    block = place.paths[0].parent / "block"
    shown = run("debugfs", "-R", "bmap /etc/fstab 0", device)
    number = int(shown.split()[-1])
    block.write_bytes(b"/dev/from-the-journal / ext4 ok".ljust(1024, b"\0"))
    run("debugfs", "-w", "-f", "-", device, feed=f"jo\njw -b {number} {block}\njc\n")
    block.unlink()


def test_a_journal_is_replayed_before_anything_is_written(raw: Place) -> None:
    """A guest that lost power keeps what its journal holds, and the edits as well."""
    with_journal(raw)
    backend = open_userland(raw.paths)
    assert backend.read(ROOT, b"/etc/fstab") == FSTAB

    backend.recover()
    seen = backend.read(ROOT, b"/etc/fstab")
    others = [e for e in EDITS if e.path != b"/etc/fstab"]
    backend.replay([*others, edit(b"/etc/fstab.new", Action.WRITE, None, seen)])

    assert b"from-the-journal" in seen
    assert backend.read(ROOT, b"/etc/fstab.new") == seen
    assert backend.check([ROOT]) == "full"


def test_a_plan_made_without_the_journal_is_refused(raw: Place) -> None:
    """When the journal changes a file that the plan saw, the plan does not fit any more."""
    with_journal(raw)

    with pytest.raises(Failure, match="another content"):
        raw.open().replay([edit(b"/etc/fstab", Action.WRITE, FSTAB, b"x")])

    assert b"from-the-journal" in raw.open().read(ROOT, b"/etc/fstab")


def test_files_deleted_while_open_are_dropped_like_at_a_mount(raw: Place) -> None:
    """A backup of a running guest has orphans; they are gone before edits are made."""
    device = f"{raw.paths[0]}?offset={START}"
    inode = run("debugfs", "-R", "stat /etc/shadow", device).split()[1].decode()
    commands = f"unlink /etc/shadow\nsif <{inode}> links_count 0\nsif <{inode}> dtime @0\n"
    run("debugfs", "-w", "-f", "-", device, feed=f"{commands}ssv last_orphan {inode}\n")
    backend = raw.open()

    backend.replay([edit(b"/etc/new", Action.WRITE, None, b"x")])

    assert backend.check([ROOT]) == "full"


def test_replaying_a_journal_gives_the_same_bits(guests: dict[str, Place], tmp_path: Path) -> None:
    """Recovery is repeatable, bit for bit: no clock of this host gets into the disk."""
    one = copy(guests["ext4"], tmp_path / "one")
    with_journal(one)
    two = copy(one, tmp_path / "two")

    for guest in (one, two):
        open_userland(guest.paths).recover()

    assert bits(one) == bits(two)


ODD = [b'/etc/a"b', b"/etc/quote'd.new", b"/etc/a\\b", b"/etc/a\nb", b"/etc/<12>", b"/etc/-f"]


@pytest.mark.parametrize("path", ODD)
def test_names_that_debugfs_would_misread_are_refused(raw: Place, path: bytes) -> None:
    """Quotes, backslashes, control characters, options and inode numbers go to another backend."""
    before = bits(raw)

    with pytest.raises(Failure, match="another backend can"):
        raw.open().replay([edit(path, Action.WRITE, None, b"x")])

    assert bits(raw) == before


def test_odd_names_can_be_read(place: Place) -> None:
    """Reading names no file to debugfs, so that quotes do no harm."""
    assert place.open().read(ROOT, b"/etc/quote'd") == b"odd"


def test_a_label_of_selinux_stays_on_a_file_and_is_inherited(raw: Place) -> None:
    """A replaced file keeps its security label, a new one takes its folder's."""
    device = f"{raw.paths[0]}?offset={START}"
    commands = (
        "ea_set /etc/fstab security.selinux u:r:fstab_t\nea_set /etc security.selinux u:r:etc_t\n"
    )
    run("debugfs", "-w", "-f", "-", device, feed=commands)
    edits = [
        edit(b"/etc/fstab", Action.WRITE, FSTAB, b"x"),
        edit(b"/etc/new", Action.WRITE, None, b"x"),
        edit(b"/boot/new", Action.WRITE, None, b"x"),
    ]

    raw.open().replay(edits)

    labels = [
        run("debugfs", "-R", f"ea_get -V {path} security.selinux", device)
        for path in ("/etc/fstab", "/etc/new")
    ]
    assert [label.strip() for label in labels] == [b"u:r:fstab_t", b"u:r:etc_t"]
    assert raw.open().check([ROOT]) == "full"


def test_free_room_is_told_as_its_own_tools_tell_it(raw: Place) -> None:
    """What is free is the sum of all groups; of FAT nothing is told."""
    said = run("debugfs", "-R", "stats -h", f"{raw.paths[0]}?offset={START}").decode()
    told = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    free = int(told["Free blocks"]) * int(told["Block size"])

    with open_userland(raw.paths) as backend:
        assert backend.room(ROOT) == free
        assert backend.room(ESP) is None


def test_a_full_file_system_fails_in_words(raw: Place) -> None:
    """Running out of space is a Failure that says so, never a short file; it is not tried again."""
    with pytest.raises(Failure, match="is full: the changes do not fit"):
        raw.open().replay([edit(b"/big", Action.WRITE, None, b"x" * (60 << 20))])


def test_a_file_system_larger_than_its_partition_is_not_written(raw: Place) -> None:
    """A superblock that reaches beyond its partition would let debugfs write into the next one."""
    with raw.paths[0].open("r+b") as file:
        file.seek(START + 1024 + 4)
        file.write(struct.pack("<I", 1 << 30))

    with pytest.raises(Failure, match="claims to be larger"):
        raw.open().replay([edit(b"/x", Action.WRITE, None, b"x")])


def test_many_small_reads_are_fast(raw: Place) -> None:
    """Thousands of questions start one program, not thousands."""
    backend = raw.open()
    [_, volume] = backend.volumes()
    reader = ExtVolume(raw.paths[0], volume)

    answers = {reader.read(b"/etc/fstab", 100) for _ in range(500)}

    assert answers == {FSTAB}
    assert reader._session is not None
    assert reader._session._asked < 510


def test_a_root_folder_that_cannot_be_read_is_a_failure(raw: Place) -> None:
    """A file system without a readable root is damaged, in words."""
    run("debugfs", "-w", "-R", "clri <2>", f"{raw.paths[0]}?offset={START}")

    with pytest.raises(Failure, match="root folder cannot be read"):
        raw.open().stat(ROOT, b"/etc")


def test_links_are_refused_on_fat(raw: Place) -> None:
    """FAT knows no links: such an edit is refused before anything is written."""
    before = bits(raw)

    with pytest.raises(Failure, match="FAT does not know"):
        raw.open().replay([edit(b"/x", Action.SYMLINK, None, b"y", volume=ESP)])

    assert bits(raw) == before


def test_names_on_fat_are_found_in_any_case(raw: Place) -> None:
    """`/efi/DEBIAN` is `/EFI/debian`, as firmware sees it."""
    assert raw.open().list(ESP, b"/efi/DEBIAN") == [b"grubx64.efi"]


def test_a_disk_whose_path_would_be_misread_is_refused(tmp_path: Path) -> None:
    """The programs take offsets behind a question mark; a path with one would move them."""
    with pytest.raises(WrongUse, match="question mark"):
        open_userland([tmp_path / "a?offset=5"])


def test_the_probe_names_what_is_missing(raw: Place) -> None:
    """Volumes of ext and FAT can be written here; xfs needs another backend, and that is said."""
    volumes = raw.open().volumes()

    assert probe_userland(volumes).is_able
    ability = probe_userland([*volumes, replace(volumes[0], kind=FileSystem.XFS)])
    assert list(ability.missing) == ["xfs needs another backend: uml or guestfs."]


class Forgetful(DirectoryBackend):
    """A backend whose tool loses one write without a word, as debugfs may."""

    def _apply(self, edit: FileEdit, above: int, name: bytes) -> None:
        if edit.path != b"/boot/overlay.img":
            super()._apply(edit, above, name)


def test_a_write_that_was_lost_is_seen(guests: dict[str, Place], tmp_path: Path) -> None:
    """Everything is read back: a tool that says nothing and writes nothing is found out."""
    guest = copy(guests["directory"], tmp_path / "copy")
    backend = Forgetful([folder(ROOT, guest.paths[0]), folder(ESP, guest.paths[1])])

    with pytest.raises(Failure, match=r"overlay\.img was changed, but reads back differently"):
        backend.replay(EDITS)


@pytest.mark.parametrize("change", [Owner(0o600), Owner(0o644, 1), Owner(0o644, 0, 1)])
def test_a_wrong_owner_is_seen(guests: dict[str, Place], tmp_path: Path, change: Owner) -> None:
    """Mode, uid and gid are compared as well as the content."""
    backend = copy(guests["directory"], tmp_path / "copy").open()
    wanted = fit(backend, [edit(b"/etc/new", Action.WRITE, None, b"x")])
    backend.replay([edit(b"/etc/new", Action.WRITE, None, b"x", change)])

    with pytest.raises(Failure, match="reads back differently"):
        confirm(backend, wanted, lambda _: True)


def test_a_caged_program_sees_its_disk_only(raw: Place, tmp_path: Path) -> None:
    """In the sandbox other files of this host are not there; without one the probe says so."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    warnings = probe_userland(raw.open().volumes()).warnings

    run_tool(caged(["cat", str(raw.paths[0])], raw.paths[0]), cpu_s=5, memory=1 << 30, timeout_s=10)
    seen = [
        run_tool(
            caged(["find", str(tmp_path), "-type", "f"], raw.paths[0]),
            cpu_s=5,
            memory=1 << 30,
            timeout_s=10,
        )
    ]

    assert str(raw.paths[0]).encode() in seen[0]
    assert (str(secret).encode() in seen[0]) == bool(warnings)


FATS = {12: ("4000", []), 16: ("65000", ["-c", "2"]), 32: ("140000", ["-F", "-c", "1"])}


@pytest.mark.parametrize("width", FATS)
def test_every_width_of_fat_is_read(tmp_path: Path, width: int) -> None:
    """What mtools copied in is read back: long names, other alphabets, many clusters, folders."""
    tree, disk = tmp_path / "tree", tmp_path / "d.img"
    (tree / "EFI/a folder with a long name").mkdir(parents=True)
    (tree / "EFI/a folder with a long name/Größe.conf").write_bytes(b"x" * 3000)
    (tree / "EFI/BIG.BIN").write_bytes(os.urandom(300_000))
    (tree / "EFI/empty").write_bytes(b"")
    for number in range(70):
        (tree / f"EFI/loader entry {number}.conf").write_bytes(b"%d" % number)
    sectors, options = FATS[width]
    disk.touch()
    os.truncate(disk, int(sectors) * 512)
    run("mformat", "-i", str(disk), "-T", sectors, "-h", "16", "-s", "32", *options, "::")
    run("mcopy", "-s", "-i", str(disk), str(tree / "EFI"), "::/")

    with open_userland([disk]) as backend:
        [volume] = backend.volumes()
        seen = {row[0]: row[-1] for row in tree_of(backend, volume.id) if row[1] == Type.FILE}
        shape = fat_shape(disk.read_bytes()[:512])

    files = [path for path in tree.rglob("*") if path.is_file()]
    assert seen == {bytes(b"/" + bytes(f.relative_to(tree))): f.read_bytes() for f in files}
    assert shape is not None
    assert shape.bits == width


def test_a_loop_of_clusters_ends(raw: Place) -> None:
    """A chain that leads back to itself is damage, not an endless read."""
    with open_userland(raw.paths) as backend, raw.paths[0].open("r+b") as file:
        volume = backend.volumes()[0]
        file.seek(ESP_START)
        shape = fat_shape(file.read(512))
        assert shape is not None
        file.seek(ESP_START + shape.table + 3)
        file.write(b"\x02\x20\x00" * 1000)
        file.flush()

        with pytest.raises(Failure, match="is a loop"):
            FatVolume(raw.paths[0], replace(volume, size=6 << 20)).read(LOADER_PATH, 1 << 20)


LOADER_PATH = b"/EFI/debian/grubx64.efi"
