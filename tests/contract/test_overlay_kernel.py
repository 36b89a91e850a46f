"""A real kernel reads the overlay behind every packing of a guest's own initrd."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engine.guests.backends.uml.probe import find_shim
from engine.guests.cpio import Archive
from engine.guests.initrd import RECIPE, overlay
from tests.unit.guests.test_initrd import KERNEL, PACKERS, guest

_INIT = b"""#!/bin/busybox sh
/bin/busybox echo "READ: $(/bin/busybox cat /etc/bootpoint-initrd)"
/bin/busybox test -e /etc/lvm/devices/system.devices || /bin/busybox echo "NO LIST"
/bin/busybox poweroff -f
"""


def first() -> bytes:
    """Return a guest's initrd, not packed: busybox and a script that shows the overlay's mark."""
    archive = Archive()
    for folder in (b"bin", b"dev", b"etc", b"etc/lvm", b"etc/lvm/devices", b"usr", b"usr/lib"):
        archive.folder(folder)
    archive.link(b"lib", b"usr/lib")
    archive.file(b"etc/lvm/devices/system.devices", b"IDTYPE=sys_wwid IDNAME=naa.5000\n")
    archive.file(b"bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
    archive.file(b"init", _INIT, 0o755)
    return archive.finish()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["lz4", "gzip"])
def test_a_kernel_gets_to_the_overlay(tmp_path: Path, how: str) -> None:
    """An lz4 stream has no end of its own: without zeros behind it the kernel reads no further."""
    main = PACKERS[how](first())
    behind = overlay(guest(pack=lambda _: main), KERNEL).archive
    padded = main + bytes(-len(main) % 4)  # as GRUB does it
    (tmp_path / "initrd").write_bytes(padded + behind)
    shim = find_shim(tmp_path / "work")
    environment = {**os.environ, **({"LD_PRELOAD": str(shim)} if shim else {})}

    done = subprocess.run(
        ["linux.uml", "mem=128M", "initrd=initrd", "rdinit=/init", "con=null", "con0=fd:0,fd:1"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=False,
    )

    assert b"READ: " + RECIPE.strip() in done.stdout
    assert b"NO LIST" in done.stdout, "a link to nowhere has taken the place of the file"
