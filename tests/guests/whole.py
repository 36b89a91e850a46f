"""Whole distributions as they stood in a rack: what guests of each have in common.

A release is made by mmdebstrap, kept as a tar, and becomes a machine that knows its own hardware
only, and tells on the serial line what it runs on before it asks for a login.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.local.durable import file_lock, move_file
from tests.guests import texts
from tests.guests.boot import Hardware
from tests.guests.laying import run
from tests.guests.shapes import Built

SWAP = "swap"
"""Among the mounts of a guest: it uses its swap."""
_REPORT = f"""#!/bin/sh
# Tells what the machine runs on.
echo
say() {{ echo "{texts.ANSWER} $*"; }}
{texts.DRIVERS_OF}
device=$(basename $(readlink -f $(findmnt --noheadings --nofsroot --output SOURCE /)))
say root /dev/$device on $(drivers_of /sys/class/block/$device)
for place in /boot /boot/efi /home; do mountpoint -q $place && say mounted $place; done
grep -q ^/dev /proc/swaps && say mounted {SWAP}
# Nothing waits for systemd-networkd or NetworkManager.
n=0
while [ $n -lt 90 ] && ! ip -4 -o address | grep -q {texts.ADDRESS}; do sleep 1; n=$((n+1)); done
for nic in /sys/class/net/*; do
    name=$(basename $nic)
    [ $name = lo ] && continue
    driver=$(basename $(readlink -f $nic/device/driver))
    address=$(ip -4 -o address show dev $name | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p')
    say nic $name $driver $(cat $nic/address) ${{address:-none}}
done
say units $(systemctl list-units --failed --no-legend --plain | cut -d ' ' -f 1)
"""
_SLOW = """[Manager]
DefaultDeviceTimeoutSec=600
DefaultTimeoutStartSec=600
"""
"""Slow as it is, an emulated machine has its disks before systemd gives up on them; before
version 250 it goes by the second."""
_UNIT = """[Unit]
After=networking.service local-fs.target
Before=serial-getty@ttyS0.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/report
StandardOutput=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a distribution, as far as the files of a new system go.

    Attributes:
        name: Of the tar that is kept; another number where the tar is another one.
        codename: Such as `bookworm`.
        sources: What mmdebstrap takes for them: a file, or lines of a sources.list.
        before: A shell command before most packages are installed; `$1` is the system.
    """

    name: str
    codename: str
    sources: Sequence[str]
    packages: Sequence[str]
    before: str = ":"

    def fetch(self, cache: Path) -> Path:
        """Return a tar of the system, without a password; made when it is not in the cache."""
        place = cache / f"{self.name}.tar"
        cache.mkdir(parents=True, exist_ok=True)
        with file_lock(cache / f".{self.name}.lock", wait=True):
            if not place.exists():
                draft = place.with_name(f".{place.name}")
                run("mmdebstrap", "--variant=minbase", "--mode=root", "--format=tar", "--quiet",
                    f"--include={','.join(self.packages)}", f"--essential-hook={self.before}",
                    # A cache under a user's home is closed to apt's own user.
                    '--aptopt=APT::Sandbox::User "root"',
                    "--customize-hook=chroot \"$1\" passwd -d root",
                    self.codename, str(draft), *self.sources)  # fmt: skip
                move_file(draft, place)
        return place

    def unpack(self, cache: Path, root: Path) -> None:
        """Fill a new folder with the system."""
        packed = self.fetch(cache)
        root.mkdir()
        run("tar", "-C", str(root), "--numeric-owner", "-xpf", str(packed))


@dataclass(frozen=True, slots=True)
class Whole(ABC):
    """A whole distribution on a machine of its own.

    Attributes:
        title: What inspection calls it, at least how that begins.
        own: What its disk hangs on.
        mounts: What is mounted beside the root, in the order of the report.
        card: Name of its network card.
        slot: Where the card sits, in QEMU's words; empty: behind the disk.
    """

    name: str
    title: str
    own: Hardware
    mounts: tuple[str, ...]
    card: str = "enp3s0"
    slot: str = ""

    def __str__(self) -> str:
        """Return its name, for the names of tests and folders."""
        return self.name

    @property
    def is_efi(self) -> bool:
        """Whether it is started by UEFI."""
        return self.own is Hardware.NVME

    @abstractmethod
    def build(self, folder: Path, cache: Path) -> Built:
        """Make its disk, a sparse raw file, in a folder.

        Args:
            cache: Keeps the distribution's root file system, which takes minutes to make.
        """


def furnish(root: Path) -> None:
    """Let a system tell what it runs on, and have patience."""
    told = {
        "etc/hostname": "physical\n",
        "usr/local/sbin/report": _REPORT,
        "etc/systemd/system/report.service": _UNIT,
        "etc/systemd/system.conf.d/slow.conf": _SLOW,
    }
    write(root, told)
    (root / "usr/local/sbin/report").chmod(0o755)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    (wants / "report.service").symlink_to("/etc/systemd/system/report.service")


def write(root: Path, told: Mapping[str, str]) -> None:
    """Write texts into a system, by path without the first slash."""
    for name, text in told.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def remake_initrds(root: Path, command: str) -> str:
    """Run a shell command in a system, `$2` is its kernel's version; return that version."""
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    inside = 'mount -t proc proc "$1/proc" && exec chroot "$1" sh -ec "$3" sh "" "$2"'
    run("unshare", "--mount", "sh", "-ec", inside, "sh", str(root), version, command)
    return version
