"""Archives that a kernel unpacks."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from engine.guests.cpio import Archive, Entry, entries
from engine.guests.unpack import Plain


def test_the_distribution_s_tool_reads_what_we_write(tmp_path: Path) -> None:
    """Folders, files of odd length, links and device nodes come out as they went in."""
    archive = Archive()
    archive.folder(b"dev")
    archive.device(b"dev/console", 5, 1)
    archive.file(b"init", b"#!/bin/sh\n", 0o755)
    archive.file(b"odd", b"12345")
    archive.file(b"empty", b"")
    archive.link(b"sh", b"busybox")
    (tmp_path / "a.cpio").write_bytes(archive.finish())
    busybox = ["busybox", "cpio", "-i", "-F", "a.cpio"]
    subprocess.run(busybox, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "init").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "init").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "odd").read_bytes() == b"12345"
    assert (tmp_path / "empty").read_bytes() == b""
    assert (tmp_path / "sh").readlink() == Path("busybox")
    console = (tmp_path / "dev/console").stat()
    assert stat.S_ISCHR(console.st_mode)
    assert console.st_rdev == 5 << 8 | 1


def test_an_archive_lists_as_it_was_written() -> None:
    """Our reader sees the names, kinds and targets that our writer wrote."""
    archive = Archive()
    archive.folder(b"usr/lib")
    archive.link(b"lib", b"usr/lib")
    archive.file(b"./odd", b"12345")
    archive.file(b"after", b"")
    seen = [(e.path, stat.S_IFMT(e.mode), e.target) for e in _entries(archive.finish())]
    assert seen == [
        (b"usr/lib", stat.S_IFDIR, b""),
        (b"lib", stat.S_IFLNK, b"usr/lib"),
        (b"odd", stat.S_IFREG, b""),
        (b"after", stat.S_IFREG, b""),
    ]


def _entries(data: bytes) -> list[Entry]:
    return list(entries(Plain(memoryview(data))))
