"""Facts about which file continues which, and about the check of whole folders."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest

from engine.daemon.clock import ManualClock
from engine.images.bpi.chains import ChainBroken, continues, in_order
from engine.images.bpi.info import info
from engine.images.bpi.layout import FileKind
from engine.images.bpi.opening import OpenedFile, open_file
from engine.images.bpi.verify import Verified, verify_path
from engine.images.export import export
from engine.model.errors import NotFound, Refused
from engine.model.progress import Progress
from engine.ports import NeverCancelled
from tests.formats.bpifiles import GRAIN, NOW, header, print_nothing, uuid, write_file


class Chain:
    """Files of one disk, each a point that continues the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.roots: dict[int, bytes] = {}

    def add(
        self, point: int, parent: int | None, kind: FileKind = FileKind.FULL,
        folded: tuple[int, ...] = (), name: str = "",
    ) -> Path:  # fmt: skip
        """Write point `point`: granule `point` holds the byte of that number."""
        path = self.folder / (name or f"p{point}.bpi")
        if parent is None:
            head = header(8 * GRAIN, point=uuid(point), sequence=point, kind=kind)
            pieces = [(0, bytes([99]) * GRAIN * 8)]
        else:
            head = header(
                8 * GRAIN, point=uuid(point), sequence=point,
                kind=FileKind.INCREMENT if kind is FileKind.FULL else kind,
                parent=uuid(parent), parent_root=self.roots[parent],
            )  # fmt: skip
            pieces = [(n % 8 * GRAIN, bytes([n]) * GRAIN) for n in sorted({*folded, point})]
        replaces: list[tuple[UUID, bytes]] = [(uuid(n), self.roots[n]) for n in folded]
        root = write_file(path, head, pieces, replaces)
        self.roots.setdefault(point, root)
        return path


def _open(path: Path) -> OpenedFile:
    fd = os.open(path, os.O_RDONLY)
    try:
        return open_file(fd, path.name)
    finally:
        os.close(fd)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Return a chain of four points."""
    made = Chain(tmp_path)
    made.add(1, None)
    for point in (2, 3, 4):
        made.add(point, point - 1)
    return made


def _verify(path: Path) -> Verified:
    return verify_path(path, clock=ManualClock(NOW), cancel=NeverCancelled(), report=print_nothing)


def test_files_are_ordered_by_their_links(chain: Chain) -> None:
    """Names and the order of arguments do not matter."""
    files = [_open(chain.folder / f"p{n}.bpi") for n in (3, 1, 4, 2)]
    assert [one.path for one in in_order(files)] == ["p1.bpi", "p2.bpi", "p3.bpi", "p4.bpi"]


def test_a_gap_is_named(chain: Chain) -> None:
    """The sentence tells which point is missing and what waits for it."""
    files = [_open(chain.folder / f"p{n}.bpi") for n in (1, 2, 4)]
    with pytest.raises(ChainBroken, match=str(uuid(3))) as told:
        in_order(files)
    assert "p4.bpi" in str(told.value)
    with pytest.raises(ChainBroken, match="full"):
        in_order(files[1:])


def test_a_consolidated_file_stands_for_what_was_folded(chain: Chain) -> None:
    """It continues its parent and any folded point but the last; later points continue it."""
    folded = _open(chain.add(3, 1, FileKind.CONSOLIDATED, folded=(2, 3), name="c.bpi"))
    one, two, three, four = (_open(chain.folder / f"p{n}.bpi") for n in (1, 2, 3, 4))
    assert continues(folded, one)
    assert continues(folded, two)
    assert not continues(folded, three)
    assert continues(four, folded)
    assert [f.path for f in in_order([four, folded, one])] == ["p1.bpi", "c.bpi", "p4.bpi"]


def test_another_root_is_another_parent(chain: Chain, tmp_path: Path) -> None:
    """A parent of the same name and UUID with other content is not continued."""
    (tmp_path / "other").mkdir()
    other = Chain(tmp_path / "other")
    head = header(8 * GRAIN, point=uuid(1))
    write_file(other.folder / "p1.bpi", head, [(0, bytes([98]) * GRAIN * 8)])
    assert not continues(_open(chain.folder / "p2.bpi"), _open(other.folder / "p1.bpi"))


def test_a_sound_folder_is_found_sound(chain: Chain) -> None:
    """Everything is read, and progress reaches the size of the files."""
    told: list[Progress] = []
    found = verify_path(
        chain.folder, clock=ManualClock(NOW), cancel=NeverCancelled(), report=told.append
    )
    assert (found.good, found.files, found.points, found.notes) == (True, 4, 0, ())
    size = sum(path.stat().st_size for path in chain.folder.iterdir())
    assert (found.bytes, told[-1].done, told[-1].total) == (size, size, size)


def test_every_damaged_file_is_named(chain: Chain) -> None:
    """Damage in one file does not hide damage in another."""
    for number, at in ((2, 20), (4, 4140)):
        path = chain.folder / f"p{number}.bpi"
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
    found = _verify(chain.folder)
    assert not found.good
    assert {problem.facts["file"] for problem in found.problems} == {"p2.bpi", "p4.bpi"}
    assert found.notes == (f"p3.bpi continues point {uuid(2)}, which is not here.",)


def test_a_child_of_another_version_is_a_problem(chain: Chain) -> None:
    """When the parent was written anew with other content, its child does not fit any more."""
    write_file(
        chain.folder / "p2.bpi",
        header(
            8 * GRAIN, point=uuid(2), sequence=2, kind=FileKind.INCREMENT, parent=uuid(1),
            parent_root=chain.roots[1],
        ),
        [(0, b"x" * GRAIN)],
    )  # fmt: skip
    (problem,) = _verify(chain.folder).problems
    assert problem.key == "image.wrong-parent"


def test_an_empty_place_is_no_sound_one(tmp_path: Path) -> None:
    """Nothing to check is told, not called good."""
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotFound):
            _verify(path)


def test_drafts_and_hidden_folders_are_passed_over(chain: Chain) -> None:
    """What is being written, and the tool's own state, is nobody's image."""
    (chain.folder / "p5.bpi.part").write_bytes(b"half")
    (chain.folder / ".state").mkdir()
    (chain.folder / ".state" / "x.bpi").write_bytes(b"half")
    assert _verify(chain.folder).good


def test_info_tells_what_a_file_is(chain: Chain) -> None:
    """Kind, identity, sizes and parent stand in one answer."""
    told = info(chain.folder / "p3.bpi")
    assert (told.point, told.parent, told.sequence) == (str(uuid(3)), str(uuid(2)), 3)
    assert told.disks[0].kind == "increment"
    assert told.disks[0].data_bytes == GRAIN
    with pytest.raises(NotFound):
        info(chain.folder / "p9.bpi")


def test_export_never_overwrites(chain: Chain) -> None:
    """A file that is there stays, and nothing is left beside it."""
    out = chain.folder / "out.raw"
    out.write_bytes(b"precious")
    with pytest.raises(Refused):
        export(
            [chain.folder / "p1.bpi"], out, format="raw",
            clock=ManualClock(NOW), cancel=NeverCancelled(), report=print_nothing,
        )  # fmt: skip
    assert out.read_bytes() == b"precious"


def test_a_damaged_file_exports_nothing(chain: Chain) -> None:
    """Damage found on the way leaves no disk and no draft."""
    path = chain.folder / "p2.bpi"
    data = bytearray(path.read_bytes())
    data[4200] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"p2\.bpi"):
        export(
            [chain.folder / "p1.bpi", path], chain.folder / "out.raw", format="raw",
            clock=ManualClock(NOW), cancel=NeverCancelled(), report=print_nothing,
        )  # fmt: skip
    assert {one.suffix for one in chain.folder.iterdir()} == {".bpi"}
