"""One full scan after another of a folder in which things happen."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.images.watching import scan as scanning
from engine.local.safedir import mark_of
from engine.model.errors import Cancelled
from engine.model.images import Arrival, ImagePart
from engine.ports import CancelFlag
from tests.arrivals import SIZE, JsonFormat, chain, encode, said, shot, write
from tests.unit.watching.conftest import Folder, points, told


def test_a_point_is_complete_after_two_scans_and_the_quiet_time(folder: Folder) -> None:
    """Neither one scan nor half the time is enough."""
    shot(1).write(folder.path)
    assert [p.arrival for p in points(folder.scan())] == [Arrival.ARRIVING]
    assert folder.scanner.due == 30
    assert [p.arrival for p in points(folder.scan(29))] == [Arrival.ARRIVING]
    assert [p.arrival for p in points(folder.scan(1))] == [Arrival.COMPLETE]
    assert folder.scanner.due is None


def test_one_scan_a_year_later_is_not_two(tmp_path: Path) -> None:
    """Even without a quiet time a file must be seen twice."""
    folder = Folder(tmp_path / "replica", quiet_s=0)
    shot(1).write(folder.path)
    assert points(folder.scan())[0].arrival is Arrival.ARRIVING
    assert points(folder.scan())[0].arrival is Arrival.COMPLETE


def test_any_arrival_in_steps_ends_the_same(tmp_path: Path) -> None:
    """Files in any order, scanned at any moment, some of them twice: the same sets in the end."""
    shots = chain(4, disks=2)
    parts = [part for one in shots for part in one.parts]
    results = []
    for seed in range(6):
        rng = random.Random(seed)
        folder = Folder(tmp_path / "replica")
        for part in rng.sample(parts, len(parts)):
            write(part, folder.path, f"erp/{part.path}")
            if rng.random() < 0.3:
                write(part, folder.path, f"zz/{rng.randrange(3)}-{part.path}")
            folder.scan(rng.choice([0, 10, 40]))
        view = folder.settle()
        results.append([[(p.id, p.arrival, [d.path for d in p.disks]) for p in points(view)]])
        shutil.rmtree(folder.path)
    assert all(result == results[0] for result in results)
    assert said(points(view)) == [(one.id, "complete") for one in shots]


def test_a_slow_copy_is_not_ready_before_it_ends(folder: Folder) -> None:
    """A file that grows in place with pauses is waiting, never damaged, until it is whole."""
    one = shot(1)
    write(one.manifest, folder.path)
    whole = encode(one.disks[0])
    path = folder.path / one.disks[0].path
    for end in range(0, SIZE, 256):
        path.write_bytes(whole[:end])
        view = folder.scan(20)
        assert points(view)[0].arrival is Arrival.ARRIVING
        assert told(view) == [(path.name, "image.truncated", True)]
    path.write_bytes(whole)
    view = folder.scan(20)
    assert (told(view), points(view)[0].arrival) == ([], Arrival.ARRIVING)
    assert points(folder.scan(30))[0].arrival is Arrival.COMPLETE


def test_a_truncated_file_is_told_once_it_stopped_growing(folder: Folder) -> None:
    """A cut file under its final name is bad after the quiet time; the whole one repairs it."""
    one = shot(1)
    write(one.manifest, folder.path)
    path = folder.path / one.disks[0].path
    path.write_bytes(encode(one.disks[0])[:-1])
    view = folder.settle()
    assert told(view) == [(path.name, "image.truncated", False)]
    assert view.bad[0].remedy
    assert said(points(view)) == [(one.id, "arriving")]
    write(one.disks[0], folder.path)
    view = folder.settle()
    assert (told(view), said(points(view))) == ([], [(one.id, "complete")])


def test_a_file_that_changes_in_its_last_moment_is_looked_at_again(folder: Folder) -> None:
    """Content that came without any visible change of the mark is seen when the file settles."""
    one = shot(1)
    write(one.manifest, folder.path)
    path = folder.path / one.disks[0].path
    path.write_bytes(b"x" * SIZE)
    found = path.stat()
    assert told(folder.scan()) == [(path.name, "image.truncated", True)]

    class Sleepy(JsonFormat):
        """Sees other bytes at the second look."""

    folder.scanner._formats = (Sleepy(),)
    write(one.disks[0], folder.path)
    file = folder.scanner._tree.files[path.name]
    file.seen = replace(file.seen, mark=mark_of(path.stat()))
    assert found.st_size == SIZE
    assert said(points(folder.scan(60))) == [(one.id, "complete")]


def test_temporary_files_are_not_there(folder: Folder) -> None:
    """What copiers have not named yet is neither opened nor told; a rename makes it appear."""
    one = shot(1)
    write(one.manifest, folder.path)
    part = write(one.disks[0], folder.path, f"{one.disks[0].path}.part")
    write(one.disks[0], folder.path, f".~tmp~/{one.disks[0].path}")
    view = folder.settle()
    assert (told(view), view.files) == ([], 1)
    part.rename(folder.path / one.disks[0].path)
    assert said(points(folder.settle())) == [(one.id, "complete")]


def test_a_replaced_file_settles_again(folder: Folder) -> None:
    """The same name with new content is resolved anew."""
    one, two = chain(2)
    one.write(folder.path)
    assert said(points(folder.settle())) == [(one.id, "complete")]
    write(two.disks[0], folder.path, one.disks[0].path)
    assert said(points(folder.scan(1)))[0] == (one.id, "arriving")
    two.write(folder.path)
    one.write(folder.path)
    assert said(points(folder.settle())) == [(one.id, "complete"), (two.id, "complete")]


def test_an_unchanged_folder_costs_only_the_walk(folder: Folder) -> None:
    """Nothing is opened again, and the view holds the very same objects."""
    for one in chain(20):
        one.write(folder.path)
    before = folder.settle()
    looked = folder.format.described
    again = folder.scan(60)
    assert folder.format.described == looked
    assert again.sets is before.sets
    assert again.bad is before.bad
    assert again.scanned_at > before.scanned_at


def test_only_new_files_are_opened(folder: Folder) -> None:
    """A point that joins twenty others costs two looks."""
    shots = chain(21)
    for one in shots[:-1]:
        one.write(folder.path)
    folder.settle()
    looked = folder.format.described
    shots[-1].write(folder.path)
    assert len(points(folder.settle())) == 21
    assert folder.format.described == looked + 2


def test_only_a_changed_set_is_put_together_again(folder: Folder) -> None:
    """A point that joins one machine's set leaves the other machine's as it is."""
    erp, web = chain(3), chain(2, set_id="set-2", machine="web")
    for one in erp[:-1]:
        one.write(folder.path)
    for one in web:
        one.write(folder.path / "web")
    before = folder.settle()
    erp[-1].write(folder.path)
    after = folder.settle()
    assert [(s.machine_name, len(s.points)) for s in after.sets] == [("erp", 3), ("web", 2)]
    assert after.sets[1] is before.sets[1]
    (folder.path / "web" / web[1].disks[0].path).unlink()
    assert said(after.sets[0].points) == said(folder.scan(1).sets[0].points)
    assert [p.arrival for p in folder.scan(1).sets[1].points] == ["complete", "arriving"]


def test_an_unplugged_folder_keeps_its_view(folder: Folder) -> None:
    """A folder that goes away takes no point with it, and comes back as it was."""
    for one in chain(3):
        one.write(folder.path)
    before = folder.settle()
    away = folder.path.rename(folder.path.with_name("away"))
    gone = folder.scan(60)
    assert (gone.online, gone.reason) == (False, "There is no such folder.")
    assert gone.sets is before.sets
    away.rename(folder.path)
    looked = folder.format.described
    back = folder.scan(60)
    assert back.online
    assert said(points(back)) == said(points(before))
    assert folder.format.described == looked


def test_an_empty_mount_point_is_no_empty_share(folder: Folder) -> None:
    """Another folder in the same place is told as offline, until the right one is back."""
    one, two = chain(2)
    one.write(folder.path)
    before = folder.settle()
    away = folder.path.rename(folder.path.with_name("away"))
    folder.path.mkdir()
    gone = folder.scan(60)
    assert not gone.online
    assert "a share may not be mounted" in gone.reason
    assert gone.sets is before.sets
    folder.path.rmdir()
    two.write(away)
    away.rename(folder.path)
    assert said(points(folder.settle())) == [(one.id, "complete"), (two.id, "complete")]


def test_a_share_that_comes_back_with_other_numbers_is_the_same(folder: Folder) -> None:
    """A folder copied anew is accepted, since it holds images of the machine that was there."""
    shots = chain(2)
    for one in shots:
        one.write(folder.path)
    folder.settle()
    folder.path.rename(folder.path.with_name("before"))
    folder.path.mkdir()
    assert not folder.scan(1).online
    shots[1].write(folder.path)
    assert folder.scan(1).online
    assert said(points(folder.scan(60))) == [(shots[1].id, "complete")]


def test_images_of_strangers_do_not_take_a_folder_over(folder: Folder) -> None:
    """A folder that holds only images of other machines is not the watched one."""
    shot(1).write(folder.path)
    before = folder.settle()
    folder.path.rename(folder.path.with_name("before"))
    folder.path.mkdir()
    shot(1, machine="web", set_id="set-9").write(folder.path)
    assert not folder.scan(1).online
    looked = folder.format.described
    view = folder.scan(60)
    assert (view.online, view.sets) == (False, before.sets)
    assert folder.format.described == looked


def test_a_sentinel_decides(folder: Folder) -> None:
    """Where an operator put an id file, it alone tells whether the folder is the right one."""
    (folder.path / scanning.SENTINEL).write_text("north\n")
    shot(1).write(folder.path)
    folder.settle()
    folder.path.rename(folder.path.with_name("before"))
    folder.path.mkdir()
    shot(1).write(folder.path)
    (folder.path / scanning.SENTINEL).write_text("south\n")
    assert not folder.scan(1).online
    (folder.path / scanning.SENTINEL).write_text("north\n")
    assert folder.scan(1).online


def test_foreign_images_are_named_and_never_read(folder: Folder) -> None:
    """Each product is told once per folder, with number, newest date and what to do."""
    for name in ("sql.vbk", "sql1.vib", "sql2.vib"):
        (folder.path / name).write_bytes(b'{"test-image"')
    (folder.path / "aip").mkdir()
    (folder.path / "aip/0f3b_1.aii").write_bytes(b'{"test-image"')
    os.utime(folder.path / "sql2.vib", (0, 1767225600 + 86400))
    for path in ("sql.vbk", "sql1.vib"):
        os.utime(folder.path / path, (0, 1767225600))
    view = folder.settle()
    assert told(view) == [("", "image.foreign", False), ("aip", "image.foreign", False)]
    assert view.bad[0].reason == (
        "3 images of Veeam in the watched folder, the newest of 2026-01-02 00:00 UTC. "
        "bootpoint does not read this format."
    )
    assert view.bad[0].remedy == (
        "Open the point with Veeam's own mount tool and add the disk as a raw source."
    )
    assert "ActiveImage Protector in aip" in view.bad[1].reason
    assert folder.format.described == 0


def test_other_files_are_told_once_per_folder(folder: Folder) -> None:
    """Notes and lists beside images give one quiet line; checksums beside files give none."""
    for number in range(5):
        (folder.path / f"notes{number}.txt").write_text("hello")
    (folder.path / "sub").mkdir()
    (folder.path / "sub/readme").write_text("hello")
    (folder.path / "sub/x.img.sha256").write_text("00")
    assert told(folder.scan()) == []
    view = folder.scan(60)
    assert told(view) == [("", "image.unknown", False), ("sub", "image.unknown", False)]
    assert "5 files in the watched folder are no known images" in view.bad[0].reason
    assert "1 file in sub is no known image: readme." in view.bad[1].reason


def test_hostile_names_and_kinds_do_no_harm(folder: Folder) -> None:
    """FIFOs, sockets, links and names that steer terminals: seen, safe, never opened."""
    root = os.fsencode(folder.path)
    one = shot(1)
    os.mkfifo(root + b"/fifo.img")
    (folder.path / "link.img").symlink_to("/etc/passwd")
    (folder.path / "loop").symlink_to(".")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder.path / "socket.img"))
    for name in (
        b"\xff\xfe.img",
        b"a\nb\x1b]52;c;x\x07.img",
        b"\xe2\x80\xae.img",
        b"n" * 251 + b".img",
    ):
        with open(root + b"/" + name, "wb") as file:
            file.write(encode(one.disks[0]))
    write(one.manifest, folder.path)
    view = folder.settle()
    assert said(points(view)) == [(one.id, "complete")]
    texts = [text for bad in view.bad for text in (bad.reason, bad.remedy)]
    assert all(text.isprintable() for text in texts)
    assert [bad.key for bad in view.bad].count("image.duplicate") == 3
    assert "4 files in the watched folder are no known images" in "".join(texts)
    assert points(view)[0].reason.isprintable()


def test_a_parser_that_fails_does_not_end_the_scan(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a hostile file does to a parser, the file is bad and the others are read."""

    class Fragile(JsonFormat):
        """Trips over one file."""

        def describe(self, fd: int, path: str) -> ImagePart:
            """Fail in a way no format may."""
            if path == "evil.img":
                raise RecursionError("too deep")
            return super().describe(fd, path)

    folder.scanner._formats = (Fragile(),)
    shot(1).write(folder.path)
    (folder.path / "evil.img").write_bytes(b"x")
    view = folder.settle()
    assert said(points(view)) == [("set-1-000001", "complete")]
    assert told(view) == [("evil.img", "image.damaged", False)]
    assert "too deep" in caplog.text


def test_a_flood_of_broken_files_is_bounded(folder: Folder) -> None:
    """Thousands of bad files are told as some hundreds and a number."""
    for number in range(700):
        (folder.path / f"{number}.img").write_bytes(b"x")
    view = folder.settle()
    assert len(view.bad) == 501
    assert any(bad.reason.startswith("200 more files") for bad in view.bad)


def test_a_file_that_vanishes_during_the_scan_is_gone(folder: Folder) -> None:
    """Between listing and opening files may go; that is no error."""
    one = shot(1)
    one.write(folder.path)
    folder.scanner._formats = (Eater(folder.path / "p000001.json"),)
    view = folder.scan()
    assert view.online
    assert said(points(view)) in ([(one.id, "arriving")], [])


class Eater(JsonFormat):
    """Deletes another file while it is asked."""

    def __init__(self, victim: Path) -> None:
        """Remember whom."""
        super().__init__()
        self.victim = victim

    def recognises(self, name: str, head: bytes) -> bool:
        """Delete, then answer."""
        self.victim.unlink(missing_ok=True)
        return super().recognises(name, head)


def test_a_scan_ends_when_asked(folder: Folder) -> None:
    """A stopping engine does not wait for a long scan, and the next scan is a whole one."""
    shot(1).write(folder.path)
    flag = CancelFlag()
    flag.set()
    with pytest.raises(Cancelled):
        folder.scanner.scan(scanning.datetime.now().astimezone(), flag)
    assert said(points(folder.settle())) == [("set-1-000001", "complete")]


def test_a_folder_without_rights_hides_nothing_that_was_known(folder: Folder) -> None:
    """What cannot be read now is told, and the points below stay as they were."""
    shot(1).write(folder.path / "sub")
    before = folder.settle()
    with forbidden(folder.path / "sub"):
        view = folder.scan(60)
        again = folder.scan(60)
    assert view.online
    assert told(view) == [("sub", "image.unreadable", False)]
    assert "the right to read it" in view.bad[0].remedy
    assert said(points(view)) == said(points(before)) == [("set-1-000001", "complete")]
    assert again.sets is view.sets
    assert told(folder.scan(60)) == []


def test_a_file_without_rights_is_tried_again(folder: Folder) -> None:
    """A file that cannot be opened is told, and read as soon as it can be."""
    one = shot(1)
    paths = one.write(folder.path)
    with forbidden(paths[0]):
        view = folder.settle()
        assert told(view) == [(paths[0].name, "image.unreadable", False)]
        assert said(points(view)) == [(one.id, "arriving")]
    assert said(points(folder.settle())) == [(one.id, "complete")]


@contextlib.contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Have this thread not read a path, even as root: it looks with another user's eyes."""
    libc = ctypes.CDLL(None)
    closed = [p for p in path.parents if p.stat().st_mode & 0o055 != 0o055]
    modes = {p: p.stat().st_mode for p in (path, *closed)}
    for parent in closed:
        parent.chmod(modes[parent] | 0o055)
    path.chmod(0)
    user = libc.setfsuid(65534 if os.geteuid() == 0 else os.geteuid())
    try:
        yield
    finally:
        libc.setfsuid(user)
        for one, mode in modes.items():
            one.chmod(mode)


def test_content_that_hides_its_change_is_noticed(folder: Folder) -> None:
    """A file rewritten in place, same size and with its old time put back, settles again."""
    one, other = shot(1), shot(1, tag="x")
    paths = one.write(folder.path)
    folder.settle()
    old = paths[0].stat()
    with paths[0].open("r+b") as file:
        file.write(encode(other.disks[0]))
    os.utime(paths[0], ns=(old.st_atime_ns, old.st_mtime_ns))
    assert said(points(folder.scan(1)))[0] == (one.id, "arriving")
