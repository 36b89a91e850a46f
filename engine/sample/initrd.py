"""The sample guest's own initrd: drivers of its own hardware only, and a shell that finds the root.

It was made for the machine that the guest stood on, as `MODULES=dep` makes it: on other hardware it
gives up, in words. Conversion has to bring what is missing.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.guests.cpio import Archive
from engine.sample.modules import OWN, keep_modules
from engine.sample.packages import Packages

LOAD = """load() {
    modprobe -q -a $(find /sys/devices -name modalias -exec cat {} + | sort -u) 2>/dev/null
}
"""
_INIT = f"""#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
{LOAD}
for word in $(cat /proc/cmdline); do
    case $word in root=*) root=${{word#root=}} ;; esac
done
tries=0
while [ $tries -lt 40 ]; do
    load
    case $root in
        UUID=*) device=$(findfs $root 2>/dev/null) ;;
        *) device=$root ;;
    esac
    if [ -b "$device" ] && mount -t ext4 -o rw $device /root; then
        for place in dev proc sys; do mount --move /$place /root/$place; done
        exec switch_root /root /sbin/init
    fi
    tries=$((tries + 1))
    usleep 250000
done
echo "Gave up waiting for root device $root: it does not exist."
exec sh
"""
_APPLETS = ("cat", "echo", "find", "findfs", "modprobe", "mount", "sh", "sort", "switch_root",
            "usleep")  # fmt: skip


def build_initrd(packages: Packages, work: Path) -> bytes:
    """Return the archive that the boot loader hands to the kernel. `work`: folder for drafts."""
    home = work / "own"
    keep_modules(packages, home, OWN)
    archive = Archive()
    for folder in (b"bin", b"dev", b"lib", b"proc", b"root", b"sys"):
        archive.folder(folder)
    archive.link(b"sbin", b"bin")  # The kernel itself calls /sbin/modprobe.
    archive.device(b"dev/console", 5, 1)
    archive.file(b"bin/busybox", packages.shell.read_bytes(), 0o755)
    for applet in _APPLETS:
        archive.link(f"bin/{applet}".encode(), b"busybox")
    for path in sorted((home / "lib").rglob("*")):
        name = os.fsencode(path.relative_to(home))
        if path.is_dir():
            archive.folder(name)
        else:
            archive.file(name, path.read_bytes())
    archive.file(b"init", _INIT.encode(), 0o755)
    return archive.finish()
