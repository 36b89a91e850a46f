"""The sample guest's partition table."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from engine.sample.bootloader import partition_table


def test_the_distribution_s_tool_reads_the_table(tmp_path: Path) -> None:
    """One active Linux partition lies where it was put."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(440) + partition_table(2048, 4096) + bytes(6144 * 512 - 512))
    told = subprocess.run(
        ["sfdisk", "--dump", str(disk)], check=True, capture_output=True, text=True
    ).stdout
    assert "start=        2048, size=        4096, type=83, bootable" in told


def test_the_table_fills_the_sector() -> None:
    """Code and table make up exactly the first sector, with its mark at the end."""
    table = partition_table(2048, 4096)
    assert len(table) == 512 - 440
    assert struct.unpack("<H", table[-2:]) == (0xAA55,)
