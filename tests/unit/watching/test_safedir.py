"""A folder below which nothing leads out."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.local import safedir
from engine.local.safedir import SafeDir


@pytest.fixture(params=["openat2", "stepwise"])
def folder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SafeDir]:
    """Yield a folder, opened in both ways the kernel may offer."""
    if request.param == "stepwise":
        monkeypatch.setattr(safedir, "_HAS_OPENAT2", False)
    else:
        assert safedir._HAS_OPENAT2, "this kernel has no openat2"
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    with SafeDir(str(root)) as opened:
        yield opened


def error_of(folder: SafeDir, path: str) -> int | None:
    """Return the errno of opening a path."""
    with pytest.raises(OSError, match=r".") as caught:
        os.close(folder.open(path))
    return caught.value.errno


def open_files() -> int:
    """Return how many descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_file_is_read_by_its_path_below(folder: SafeDir) -> None:
    """A regular file at any depth opens, for reading only."""
    fd = folder.open("a/b/file")
    assert os.read(fd, 99) == b"inside"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    os.close(fd)


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/passwd", "", "a//b", "."])
def test_no_path_leads_out(folder: SafeDir, path: str) -> None:
    """Dots, absolute and empty paths are refused, wherever they would lead."""
    assert error_of(folder, path) in (errno.EXDEV, errno.EINVAL)


def test_no_link_is_followed(folder: SafeDir) -> None:
    """A link as the file or as a folder on the way is refused, even one that stays inside."""
    root = Path(folder.path)
    (root / "to-secret").symlink_to("../secret")
    (root / "to-file").symlink_to("a/b/file")
    (root / "to-folder").symlink_to("a")
    (root / "to-root").symlink_to("/")
    for path in ("to-secret", "to-file", "to-folder/b/file", "to-root/etc/passwd"):
        assert error_of(folder, path) == errno.ELOOP


def test_only_regular_files_open(folder: SafeDir) -> None:
    """FIFOs do not block, folders and sockets are refused, zero bytes are no names."""
    root = Path(folder.path)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        assert error_of(folder, "fifo") == errno.EINVAL
        assert error_of(folder, "a") == errno.EINVAL
        assert error_of(folder, "socket") == errno.ENXIO
    assert error_of(folder, "a\0b") == errno.EINVAL
    assert error_of(folder, "nothing") == errno.ENOENT


def test_nothing_leaks(folder: SafeDir) -> None:
    """Refused paths leave no descriptor behind."""
    Path(folder.path, "link").symlink_to("a")
    before = open_files()
    for path in ("link/b/file", "a/b", "a/b/no", "a/b/file/x"):
        error_of(folder, path)
    assert open_files() == before


def test_the_walk_sees_all_and_follows_nothing(folder: SafeDir) -> None:
    """Links, FIFOs and hostile names are listed, never entered; skipped folders are left out."""
    root = Path(folder.path)
    (root / "link").symlink_to("/")
    os.mkfifo(root / "fifo")
    (root / ".hidden").mkdir()
    (root / ".hidden/file").touch()
    odd = os.fsencode(root) + b"/\xff\xfe\n\x1b[2J"
    os.close(os.open(odd, os.O_CREAT))
    seen = {path for path, _ in folder.walk(lambda name: name == ".hidden", _never)}
    assert seen == {"a/b/file", "link", "fifo", os.fsdecode(b"\xff\xfe\n\x1b[2J")}


def test_a_deep_tree_needs_one_descriptor(folder: SafeDir) -> None:
    """Depth exhausts neither the stack nor descriptors; what no path can name is told."""
    at = os.open(folder.path, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("deep", dir_fd=at)
            below = os.open("deep", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        failed: list[int | None] = []
        seen = [path for path, _ in folder.walk(_no, lambda _, error: failed.append(error.errno))]
    finally:
        os.close(at)
        subprocess.run(["rm", "-rf", f"{folder.path}/deep"], check=True)
    assert seen == ["a/b/file"]
    # Step by step there is no longest path.
    assert failed == ([errno.ENAMETOOLONG] if safedir._HAS_OPENAT2 else [])


def test_identity_tells_folders_apart(tmp_path: Path) -> None:
    """Another folder in the same place, on the same disk, is another one."""
    root = tmp_path / "x"
    root.mkdir()
    with SafeDir(str(root)) as one, SafeDir(str(root)) as again:
        assert one.identity() == again.identity()
        assert not one.identity().is_network
        root.rename(tmp_path / "y")
        root.mkdir()
        with SafeDir(str(root)) as other:
            assert other.identity() != one.identity()
    with SafeDir("/proc") as proc:
        assert proc.identity().file_system == 0x9FA0


def _no(_name: str) -> bool:
    return False


def _never(path: str, error: OSError) -> None:
    raise AssertionError(path) from error
