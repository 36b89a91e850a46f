"""A disk that is plugged into a running Linux on PVSCSI: found by what it is, written, unplugged.

The kernel is Debian's, the controller VMware's as QEMU has it. The guest tells what its `/sys`
says; the product's own finder chooses by that; the guest writes to what was chosen and to nothing
else.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.guests.cpio import Archive
from engine.guests.modules import closure, parse
from engine.hypervisors.esxi.blockdevice import Devices, Wanted

pytestmark = pytest.mark.nightly

MIB = 1 << 20
WWN, OTHER = 0x6000C29E4F219F1D, 0x6000C29E4F21FFFF
UUID = "6000c29e-4f21-9f1d"
SLOT = 5
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
for pass in 1 2 3 4; do for one in /mod/*.ko; do insmod $one 2>/dev/null; done; done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
echo "guest is up"
while read verb name; do
    case $verb in
    look)
        for one in /sys/bus/pci/slots/*; do
            echo "slot ${one##*/} $(cat $one/address)"
        done
        for one in /sys/block/sd*; do
            page=$(od -An -v -tx1 $one/device/vpd_pg83 | tr -d ' \\n')
            echo "disk ${one##*/} $(readlink -f $one) $(cat $one/size) $(cat $one/dev) $page"
        done ;;
    write)
        yes hot-added | head -c 4096 | dd of=/dev/$name bs=4096 seek=5 conv=fsync 2>/dev/null
        dd if=/dev/$name bs=4096 skip=5 count=1 2>/dev/null | md5sum ;;
    forget) echo 1 >/sys/block/$name/device/delete ;;
    esac
    echo "done $verb"
done
"""


def _initrd(folder: Path) -> tuple[Path, Path]:
    """Return a kernel, and an initrd of busybox and the modules of the controller."""
    kernel = max(Path("/boot").glob("vmlinuz-*"))
    modules = Path("/lib/modules") / kernel.name.removeprefix("vmlinuz-")
    needs = closure(parse((modules / "modules.dep").read_bytes()), [b"vmw_pvscsi", b"sd_mod"])
    made = Archive()
    for name in (b"bin", b"mod", b"proc", b"sys", b"dev"):
        made.folder(name)
    made.file(b"bin/busybox", Path("/bin/busybox").read_bytes(), 0o755)
    made.file(b"init", _INIT.encode(), 0o755)
    made.device(b"dev/console", 5, 1)
    for path in needs:
        made.file(b"mod/" + path.rsplit(b"/", 1)[-1], (modules / os.fsdecode(path)).read_bytes())
    initrd = folder / "initrd"
    initrd.write_bytes(made.finish())
    return kernel, initrd


class Guest:
    """A running guest, its serial line and QEMU's monitor."""

    def __init__(self, folder: Path) -> None:
        """Join a started QEMU, and wait until its guest is up."""
        self._serial = _joined(folder / "serial")
        self._line = _joined(folder / "monitor")
        self._monitor = self._line.makefile("rw")
        self._monitor.readline()
        self.qmp("qmp_capabilities")
        self._text = ""
        self._until("guest is up")

    def qmp(self, command: str, **arguments: Any) -> None:
        """Tell QEMU something, and wait for its answer."""
        self._monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._monitor.flush()
        while "event" in (told := json.loads(self._monitor.readline())):
            pass
        assert "return" in told, told

    def close(self) -> None:
        """Hang up."""
        self._monitor.close()
        self._line.close()
        self._serial.close()

    def ask(self, words: str) -> list[str]:
        """Let the guest do something; return what it printed."""
        self._serial.sendall(f"{words}\n".encode())
        return self._until(f"done {words.split(maxsplit=1)[0]}").splitlines()

    def _until(self, word: str) -> str:
        end = time.monotonic() + 300
        while word not in self._text:
            assert time.monotonic() < end, self._text[-2000:]
            self._text += self._serial.recv(65536).decode("utf-8", "replace")
        said, _, self._text = self._text.partition(word)
        return said

    def sys(self, folder: Path) -> Path:
        """Return a `/sys` as the guest's says now."""
        sys = folder / f"sys-{time.monotonic_ns()}"
        (sys / "block").mkdir(parents=True)
        for line in self.ask("look"):
            told = line.split()
            if told[:1] == ["slot"]:
                slot = sys / "bus/pci/slots" / told[1]
                slot.mkdir(parents=True)
                (slot / "address").write_text(f"{told[2]}\n")
            if told[:1] == ["disk"] and len(told) == 6:
                place = sys / told[2].removeprefix("/sys/")
                place.mkdir(parents=True)
                (place / "device").symlink_to(place.parent.parent)
                (place / "size").write_text(told[3])
                (place / "dev").write_text(told[4])
                (place.parent.parent / "vpd_pg83").write_bytes(bytes.fromhex(told[5]))
                (sys / "block" / told[1]).symlink_to(place)
        return sys

    def plug(self, name: str, file: Path, file_format: str, unit: int, wwn: int) -> None:
        """Plug a file in as a disk."""
        below = {"driver": "file", "filename": str(file)}
        self.qmp("blockdev-add", **{"driver": file_format, "node-name": name, "file": below})
        where = {"bus": "s0.0", "scsi-id": unit, "drive": name, "id": f"hot-{name}"}
        self.qmp("device_add", driver="scsi-hd", wwn=wwn, **where)


def _joined(path: Path) -> socket.socket:
    end = time.monotonic() + 60
    joined = socket.socket(socket.AF_UNIX)
    joined.settimeout(300)
    while True:
        try:
            joined.connect(str(path))
        except OSError:
            assert time.monotonic() < end, path
            threading.Event().wait(0.1)
        else:
            return joined


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    """Yield a running guest with one disk of its own."""
    kernel, initrd = _initrd(tmp_path)
    with (tmp_path / "own").open("wb") as own:
        own.truncate(8 * MIB)
    words = ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-display", "none", "-nodefaults"]
    words += ["-no-reboot", "-kernel", str(kernel), "-initrd", str(initrd)]
    words += ["-append", "console=ttyS0 quiet panic=-1"]
    words += ["-chardev", f"socket,id=c,path={tmp_path}/serial,server=on,wait=on"]
    words += ["-serial", "chardev:c", "-qmp", f"unix:{tmp_path}/monitor,server=on,wait=off"]
    words += ["-device", f"pvscsi,id=s0,addr={SLOT:#x}"]
    words += ["-drive", f"if=none,id=own,format=raw,file={tmp_path}/own"]
    words += ["-device", f"scsi-hd,bus=s0.0,scsi-id=0,drive=own,wwn={OTHER - 1:#x}"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        made = Guest(tmp_path)
        yield made
        made.close()
    finally:
        process.kill()
        process.wait()


def test_a_plugged_disk_is_found_written_and_unplugged(guest: Guest, tmp_path: Path) -> None:
    """Beside two others of the same size; the bytes are in the leaf, not in its parent."""
    base, leaf, decoy = tmp_path / "base", tmp_path / "leaf", tmp_path / "decoy"
    for file, byte in ((base, b"p"), (decoy, b"d")):
        file.write_bytes(byte * 8 * MIB)
    words = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(leaf)]
    subprocess.run(words, check=True)
    wanted, waited = Wanted(SLOT, 3, UUID, 8 * MIB), []

    def devices() -> Devices:
        return Devices(waited.append, sys=guest.sys(tmp_path))

    assert devices().look(wanted) == (None, "no disk has its name")
    guest.plug("decoy", decoy, "raw", 4, OTHER)
    guest.plug("leaf", leaf, "qcow2", 3, WWN)
    end = time.monotonic() + 120
    while (found := devices().look(wanted)[0]) is None:
        assert time.monotonic() < end, devices().look(wanted)
        threading.Event().wait(1)
    assert len(list(devices().seen())) == 3
    assert devices().look(Wanted(SLOT, 4, UUID, 8 * MIB))[0] is None
    assert devices().look(Wanted(SLOT + 1, 3, UUID, 8 * MIB))[0] is None
    assert devices().look(Wanted(SLOT, 3, UUID, 9 * MIB))[0] is None

    assert "-" in guest.ask(f"write {found.name}")[-1]
    guest.ask(f"forget {found.name}")
    assert devices().look(wanted) == (None, "no disk has its name")
    guest.qmp("device_del", id="hot-leaf")
    guest.qmp("quit")

    seen = tmp_path / "seen"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(leaf), str(seen)], check=True)
    text = (b"hot-added\n" * 410)[:4096]
    want = b"p" * (5 * 4096) + text + b"p" * (8 * MIB - 6 * 4096)
    assert seen.read_bytes() == want
    assert base.read_bytes() == b"p" * (8 * MIB)
    assert decoy.read_bytes() == b"d" * (8 * MIB)
    assert (tmp_path / "own").read_bytes() == bytes(8 * MIB)
