"""Archives that a kernel unpacks."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from engine.sample.cpio import Archive


def test_the_distribution_s_tool_reads_what_we_write(tmp_path: Path) -> None:
    """Folders, files of odd length, links and device nodes come out as they went in."""
    archive = Archive()
    archive.folder("dev")
    archive.device("dev/console", 5, 1)
    archive.file("init", b"#!/bin/sh\n", 0o755)
    archive.file("odd", b"12345")
    archive.file("empty", b"")
    archive.link("sh", "busybox")
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
