"""virt-v2v-in-place, the peer of a conversion: what it needs and the guest that it accepts.

It wants 50 MB of free space, a package database that names the kernel's package, and `dpkg`,
`update-initramfs` and `update-grub` in the guest, which it runs. The tiny guest has none of these:
it gets room, and programs that answer at once. So the peer is spared what takes it longest with a
whole distribution, rebuilding the initrd; the comparison is to its favour.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.model.guest import Kernel
from tests.guests import physical

PEER = "virt-v2v-in-place"
PACKAGES = ("virt-v2v", "nbdkit", "guestfish", "linux-image-cloud-amd64")
MIB = 1 << 20
_STATUS = """Package: linux-image-{version}
Status: install ok installed
Priority: optional
Section: kernel
Maintainer: nobody
Architecture: amd64
Version: 6.1.1-1
Description: a kernel

"""
_DPKG = """#!/bin/sh
echo /boot/vmlinuz-{version}
echo /lib/modules/{version}
find /usr/lib/modules/{version} | sed 's,^/usr,,'
"""
_FOLDERS = ("/var/lib", "/var/lib/dpkg", "/usr/sbin", "/etc/modprobe.d")
_NOTHING = "#!/bin/sh\nexit 0\n"


def build_guest(disk: Path, cache: Path) -> Kernel:
    """Make the tiny physical guest with 64 MiB more of free space."""
    with _room(64 * MIB):
        return physical.build_physical(disk, cache, print)


def please(disk: Path, kernel: Kernel) -> None:
    """Put into a guest of `build_guest` what the peer looks for."""
    texts = {
        "/var/lib/dpkg/status": (_STATUS, 0o644),
        "/etc/modprobe.d/none.conf": ("# none\n", 0o644),
        "/bin/dpkg": (_DPKG, 0o755),
        "/usr/sbin/update-initramfs": (_NOTHING, 0o755),
        "/usr/sbin/grub-mkconfig": (_NOTHING, 0o755),
        "/usr/sbin/update-grub": (_NOTHING, 0o755),
    }
    commands = [f"mkdir {path}" for path in _FOLDERS]
    with tempfile.TemporaryDirectory() as made, _room(64 * MIB):
        for number, (path, (text, mode)) in enumerate(texts.items()):
            (Path(made) / str(number)).write_text(text.format(version=kernel.version))
            commands += [f"write {number} {path}", f"sif {path} mode 0{0o100000 | mode:o}"]
        physical.debugfs(disk, commands, Path(made))


def is_there() -> bool:
    """Whether the peer is installed, with what it needs."""
    return shutil.which(PEER) is not None and shutil.which("nbdkit") is not None


@contextlib.contextmanager
def _room(more: int) -> Iterator[None]:
    """Let the builder's root partition be larger."""
    size, root, swap = physical.SIZE, physical.ROOT, physical.SWAP
    physical.SIZE, physical.ROOT = size + more, (root[0], root[1] + more)
    physical.SWAP = (swap[0] + more, swap[1])
    try:
        yield
    finally:
        physical.SIZE, physical.ROOT, physical.SWAP = size, root, swap
