"""A machine whose system is not on its first disk, through the engine to a guest that runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine.sample.guest import build_guest
from tests.guests.laying import new_disk
from tests.site import BOOTPOINT, MIB, Site, make_site, wait_for

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
pytestmark = [pytest.mark.timeout(600)]


def run(site: Site, *words: str) -> str:
    """Run the command against the site's engine; return what it printed."""
    command = [BOOTPOINT, *words, "--socket", site.folder / "state/engine.sock"]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_the_disk_with_the_boot_loader_is_started(tmp_path: Path) -> None:
    """Disk 1 has data and a table that a BIOS takes for bootable; disk 2 has the system."""
    site = make_site(tmp_path, "libvirt", "auto")
    build_guest(site.disk, CACHE, print)
    data = new_disk(tmp_path / "data.raw", 16 * MIB, "label: dos\nstart=2048, type=83\n")
    create = [BOOTPOINT, "image", "create", "--machine", "erp", "--to", site.images]
    told = subprocess.run([*create, data, site.disk], check=False, capture_output=True)
    assert told.returncode == 0, told.stderr.decode()
    site.copy(*(path for path in site.images.rglob("*") if path.is_file()))
    with site.engine():
        site.wait_ready(1, seconds=120)
        run(site, "start", "erp", "--wait")
        wait_for(lambda: "sample login:" in run(site, "serial", "erp"), 120, site.log)
        run(site, "stop", "erp", "--wait")
