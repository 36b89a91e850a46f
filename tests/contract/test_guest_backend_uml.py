"""What every backend promises, in a throw-away kernel: ext, xfs, btrfs, FAT, LVM and md.

One kernel takes seconds to start on a busy machine, so that each test asks much of it.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.guests.backend import Backend, GuestDisk, Type
from engine.guests.backends.directory import folder, open_directory
from engine.guests.backends.uml.backend import open_uml
from engine.guests.backends.uml.probe import find_shim
from engine.guests.linux.devices import Devices, Use
from engine.model.errors import Failure, WrongUse
from engine.model.guest import Action, FileSystem, Owner, VolumeId
from tests.contract.guest_disks import ESP, ROOT, START, esp_tree, hurt_fat, plant, run, tree_of
from tests.contract.test_guest_backend import EDITS, FSTAB, MISFITS, edit
from tests.contract.uml_disks import KINDS, files, make, opened, seen

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disks of all kinds of guests, and the same tree as folders; tests work on copies."""
    made = tmp_path_factory.mktemp("uml")
    make(made, made / "work", plant(made / "root"), esp_tree(made / "esp"))
    return made


@pytest.fixture
def work(base: Path) -> Path:
    """The engine's folder; it must hold nothing of any kernel afterwards."""
    return base / "work"


def copies(base: Path, kind: str, to: Path) -> list[Path]:
    """Return copies of a guest's disks."""
    for path in files(base, kind):
        run("cp", "--sparse=always", str(path), str(to))
    return [to / path.name for path in files(base, kind)]


def digests(disks: list[Path]) -> list[str]:
    """Return what tells whether a bit of the disks was changed."""
    result = []
    for disk in disks:
        with disk.open("rb") as file:
            result.append(hashlib.file_digest(file, "sha256").hexdigest())
    return result


def is_clean(work: Path) -> bool:
    """Whether no kernel left a process or a folder."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout
    return not list(work.glob("run-*")) and str(work).encode() not in listed


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_edits_give_the_same_tree(
    base: Path, work: Path, tmp_path: Path, kind: str
) -> None:
    """Contents, modes, owners and links after a replay are those of the plain folder."""
    roots = [
        shutil.copytree(base / name, tmp_path / name, symlinks=True) for name in ("root", "esp")
    ]
    run("chown", "-R", "--reference", str(base / "root/etc/shadow"), str(roots[0] / "etc/shadow"))
    oracle = open_directory([folder(ROOT, roots[0]), folder(ESP, roots[1])])
    oracle.replay(EDITS)
    disks = copies(base, kind, tmp_path)

    with opened(disks, work) as backend:
        backend.recover()
        written = backend.replay(EDITS)

        assert seen(backend, is_btrfs=kind == "btrfs") == seen(oracle)
        assert written == sum(len(e.after) for e in EDITS if e.action == Action.WRITE)
        assert backend.check([ROOT]) == "full"
        assert backend.check([ESP]) == "full"
        with pytest.raises(Failure):
            backend.replay(EDITS)
    with opened(disks, work, is_writing=False) as backend:
        assert seen(backend, is_btrfs=kind == "btrfs") == seen(oracle)
    assert is_clean(work)


def test_edits_that_do_not_fit_leave_all_as_it_was(base: Path, work: Path, tmp_path: Path) -> None:
    """Each misfit comes last of many, and still no bit of the disk was written."""
    disks = copies(base, "ext4", tmp_path)
    before = digests(disks)
    good = [e for e in EDITS if e.path not in (b"/etc/fstab", b"/etc/shadow", b"/lib")]

    with opened(disks, work) as backend:
        for name, misfit in MISFITS.items():
            with pytest.raises(Failure):
                backend.replay([*good, misfit])
            assert backend.machine.kernel.is_running(), name

    assert digests(disks) == before


@pytest.mark.parametrize("kind", ["xfs", "btrfs", "lvm", "md"])
def test_reading_writes_nothing(base: Path, work: Path, kind: str) -> None:
    """Not a bit of any disk changes, LVM and md included, and a replay is refused."""
    disks = list(files(base, kind))
    before = digests(disks)

    with opened(disks, work, is_writing=False) as backend:
        assert backend.read(ROOT, b"/etc/fstab") == FSTAB
        assert backend.list(ROOT, b"/lib") == []
        assert 1 << 20 < (backend.room(ROOT) or 0) < 1 << 40
        assert backend.stat(ROOT, b"/lib/anything") is None
        with pytest.raises(Failure, match=r"179200 bytes long.*at most 1000"):
            backend.read(ROOT, "/etc/with space/ä ü".encode(), 1000)
        with pytest.raises(Failure, match="is not a file but: link"):
            backend.read(ROOT, b"/lib")
        with pytest.raises(WrongUse, match="opened for reading"):
            backend.replay([edit(b"/x", Action.WRITE, None, b"x")])

    assert digests(disks) == before


@pytest.mark.parametrize(
    ("kind", "names"),
    [("lvm", [b"/dev/mapper/my--vg-root", b"/dev/my-vg/root"]), ("md", [b"/dev/md/root"])],
)
def test_names_of_volumes_inside_others_resolve(
    base: Path, work: Path, kind: str, names: list[bytes]
) -> None:
    """What fstab calls a logical volume or an array is the volume with its file system."""
    with opened(list(files(base, kind)), work, is_writing=False) as backend:
        volumes = backend.volumes()

    devices = Devices(volumes, [], lambda _volume, _path: True)
    answers = [devices.find(Use(name, b"/", None)).volume for name in names]
    assert [answer.id if answer else None for answer in answers] == [ROOT] * len(names)


def test_an_array_without_a_member_is_not_opened(base: Path, work: Path) -> None:
    """A mirror of which one half is missing would come apart if the other were written."""
    with opened(list(files(base, "md"))[:1], work) as backend:
        assert ROOT not in [volume.id for volume in backend.volumes()]
        assert FileSystem.RAID in [volume.kind for volume in backend.volumes()]


def test_a_subvolume_is_a_folder_of_the_top_level(base: Path, work: Path, tmp_path: Path) -> None:
    """Paths of btrfs begin at its top level; a file in a subvolume is written and read there."""
    disks = copies(base, "btrfs", tmp_path)

    with opened(disks, work) as backend:
        backend.replay([edit(b"/@rootfs/etc", Action.MKDIR, None),
                        edit(b"/@rootfs/etc/fstab", Action.WRITE, None, b"x")])  # fmt: skip

        assert backend.list(ROOT, b"/@rootfs/etc") == [b"fstab"]
        assert backend.check([ROOT]) == "full"


def test_only_the_twig_is_written(base: Path, work: Path, tmp_path: Path) -> None:
    """A qcow2 twig takes all changes; the raw disk below stays bit for bit the same."""
    [disk] = copies(base, "xfs", tmp_path)
    before = digests([disk])
    twig = tmp_path / "twig, with a comma.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk), str(twig))
    disks = [GuestDisk(twig, "qcow2")]

    with open_uml(disks, work=work, shim=find_shim(work)) as backend:
        backend.replay(EDITS)
    with open_uml(disks, work=work, is_writing=False, shim=find_shim(work)) as backend:
        found = backend.stat(ROOT, b"/boot/overlay.img")

    assert found is not None
    assert (found.size, found.owner) == (300_000, Owner(0o644, 7, 70_000))
    assert digests([disk]) == before
    run("qemu-img", "check", "-q", str(twig))


def test_what_is_learnt_ahead_is_what_is_there(base: Path, work: Path, tmp_path: Path) -> None:
    """Asked in one question or one by one, all is the same, and what was learnt is not asked."""
    disks = copies(base, "xfs", tmp_path)
    many = [edit(b"/var/many", Action.MKDIR, None)]
    many += [edit(b"/var/many/%d" % n, Action.WRITE, None, b"%d" % n) for n in range(400)]
    paths = [b"/", b"/etc", b"/etc/with space/\xc3\xa4 \xc3\xbc", b"/etc/none/at/all", b"/lib/x",
             b"/etc/fstab", b"/etc/fstab/x", b"/var/many/7", b"/var/many/none",
             b"/etc/long"]  # fmt: skip

    with opened(disks, work) as backend:
        backend.replay(many)
        slowly = [every(backend, path) for path in paths]
        backend.machine.forget()
        before = backend.machine.kernel.asked
        backend.ahead(ROOT, paths)
        at_once = [every(backend, path) for path in paths]
        asked = backend.machine.kernel.asked - before
        backend.replay([edit(b"/etc/fstab", Action.WRITE, FSTAB, b"new")])
        assert backend.read(ROOT, b"/etc/fstab") == b"new"

    assert at_once == slowly
    assert asked == 1


def every(backend: Backend, path: bytes) -> tuple[object, ...]:
    """Return all that can be asked of a path, but not the names in a folder that was not meant."""
    stat = backend.stat(ROOT, path)
    kind = stat.type if stat else None
    return (
        stat,
        backend.list(ROOT, path) if kind is not Type.FOLDER or path == b"/etc" else None,
        backend.read(ROOT, path) if kind is Type.FILE else None,
        backend.link(ROOT, path) if kind is Type.LINK else None,
    )


def test_a_hostile_file_system_ends_a_child_only(base: Path, work: Path, tmp_path: Path) -> None:
    """A file system that makes the kernel panic: a failure in words, and nothing is left."""
    [disk] = copies(base, "ext4", tmp_path)
    device = f"{disk}?offset={START}"
    shown = run("debugfs", "-R", "bmap /etc 0", device)
    run("tune2fs", "-e", "panic", device)
    with disk.open("r+b") as file:
        file.seek(START + int(shown.split()[-1]) * 1024 * _block(device))
        file.write(b"\xff" * 1024)

    with opened([disk], work) as backend, pytest.raises(Failure, match=r"Kernel panic"):
        backend.list(ROOT, b"/etc")

    assert is_clean(work)


def _block(device: str) -> int:
    """Return KiB of a block."""
    shown = run("debugfs", "-R", "stats -h", device).decode()
    line = next(line for line in shown.splitlines() if line.startswith("Block size"))
    return int(line.split()[-1]) // 1024


def test_a_killed_kernel_leaves_nothing(base: Path, work: Path, tmp_path: Path) -> None:
    """Killed between two questions: a failure in words, no process; the next one starts."""
    disks = copies(base, "ext4", tmp_path)
    with opened(disks, work) as backend:
        backend.list(ROOT, b"/")
        backend.machine.kernel._uml.kill()
        backend.machine.kernel._uml.wait()
        with pytest.raises(Failure, match="ended early"):
            backend.replay(EDITS)
    assert is_clean(work)

    with opened(disks, work) as backend:
        backend.replay(EDITS)
        assert backend.check([ROOT]) == "full"


def test_labels_are_kept_and_damage_is_told(base: Path, work: Path, tmp_path: Path) -> None:
    """SELinux labels: a new file has its folder's. A wrong count is found by the check."""
    [disk] = copies(base, "ext4", tmp_path)
    device = f"{disk}?offset={START}"
    run("debugfs", "-w", "-f", "-", device,
        feed="ea_set /etc/fstab security.selinux u:r:fstab_t\n"
             "ea_set /etc security.selinux u:r:etc_t\n"
             "sif /etc/empty links_count 9\n")  # fmt: skip

    with opened([disk], work) as backend:
        backend.replay([edit(b"/etc/fstab", Action.WRITE, FSTAB, b"x"),
                        edit(b"/etc/new", Action.WRITE, None, b"x")])  # fmt: skip
        with pytest.raises(Failure, match=r"is damaged: e2fsck said: .*ref count is 9"):
            backend.check([ROOT])

    hurt_fat(disk)
    with (
        opened([disk], work, is_writing=False) as backend,
        pytest.raises(
            Failure, match=r"is damaged: fsck.vfat said: (?i:/efi/debian/grubx64.efi) File"
        ),
    ):
        backend.check([ESP])

    labels = [run("debugfs", "-R", f"ea_get -V {path} security.selinux", device).strip()
              for path in ("/etc/fstab", "/etc/new")]  # fmt: skip
    assert labels == [b"u:r:fstab_t", b"u:r:etc_t"]


def test_a_full_file_system_fails_in_words(base: Path, work: Path, tmp_path: Path) -> None:
    """Running out of space is the guest's own reason, not tried again, and never a short file."""
    disks = copies(base, "xfs", tmp_path)
    rest = b"x" * (60 << 20)
    edits = [edit(b"/big%d" % n, Action.WRITE, None, rest) for n in range(6)]

    with opened(disks, work) as backend, pytest.raises(Failure, match="is full: the") as raised:
        backend.replay(edits)

    assert raised.value.problem.key == "guest.volume.full"


def test_links_are_refused_on_fat(base: Path, work: Path) -> None:
    """FAT knows no links, and finds names in any case."""
    with opened(list(files(base, "ext4")), work) as backend:
        with pytest.raises(Failure, match="does not know"):
            backend.replay([edit(b"/x", Action.SYMLINK, None, b"y", volume=ESP)])
        assert backend.list(ESP, b"/efi/DEBIAN") == [b"grubx64.efi"]
        assert {row[1] for row in tree_of(backend, ESP)} == {Type.FOLDER, Type.FILE}
        with pytest.raises(Failure, match="has no volume"):
            backend.stat(VolumeId("nobody"), b"/x")


def test_names_in_any_case_are_no_damage(work: Path, tmp_path: Path) -> None:
    """This kernel mounts no ext4 with casefold: another backend is asked for, not the fsck."""
    disk = tmp_path / "disk.img"
    plant(tmp_path / "root")
    run("mke2fs", "-q", "-t", "ext4", "-O", "casefold", "-U", ROOT, "-d", str(tmp_path / "root"),
        str(disk), "16M")  # fmt: skip

    with opened([disk], work, is_writing=False) as backend:
        with pytest.raises(Failure) as caught:
            backend.read(ROOT, b"/etc/fstab")
        assert caught.value.problem.key == "guest.volume.foreign"
        (sentence,) = backend.unable(backend.volumes())
    assert sentence == f"Volume {ROOT} (ext4 with casefold) needs another backend: guestfs."
