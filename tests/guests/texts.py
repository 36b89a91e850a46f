"""Scripts and configuration of the tiny guests that stood in a rack."""

from __future__ import annotations

from collections.abc import Mapping

OLD_MAC = "00:25:90:aa:bb:cc"
"""Of the card in the old machine."""
ADDRESS = "192.0.2.10"
ANSWER = "physical"
"""What each line of the guest's report begins with."""

VOLUME = "/dev/mapper/rack-root"
"""The root, where it is a logical volume."""
FIND_VOLUMES = (
    "modprobe -q dm_mod; lvm vgchange -q -ay --config "
    '"devices/use_devicesfile=0 activation/udev_sync=0 activation/udev_rules=0 '
    'activation/monitoring=0" >/dev/null 2>&1'
)
"""Brings logical volumes into being, in an initrd without udev."""

PATIENT = "panic=10 tsc=reliable no_timer_check random.trust_cpu=on"
"""What lets a kernel start without hardware help."""
_WORDS = f"quiet console=tty1 console=ttyS0,115200 net.ifnames=0 {PATIENT}"
_INTERFACES = f"""auto lo
iface lo inet loopback

auto enp3s0
iface enp3s0 inet static
    address {ADDRESS}
    netmask 255.255.255.0
"""
_LINK = f"[Match]\nMACAddress={OLD_MAC}\n\n[Link]\nName=enp3s0\n"
_LOAD = """load() {
    modprobe -q -a $(find /sys/devices -name modalias -exec cat {} + | sort -u) 2>/dev/null
}
"""
DRIVERS_OF = """drivers_of() {
    at=$(readlink -f $1)
    while [ "$at" != /sys/devices ] && [ "$at" != / ]; do
        [ -e "$at/driver" ] && echo -n " $(basename $(readlink "$at/driver"))"
        at=$(dirname "$at")
    done
    for below in $1/slaves/*; do [ -e $below ] && drivers_of $below; done
}"""
"""A function of the shell: the drivers of a block device and of all below it."""
_INIT = f"""#!/bin/sh
# Tells what the machine runs on, names its cards as udev would, then waits for a login.
export PATH=/bin:/sbin
mount -o remount,rw /
{_LOAD}
load; load
say() {{ echo "{ANSWER} $*"; }}
{DRIVERS_OF}
device=$(grep ' / ' /proc/mounts | tail -n 1 | cut -d ' ' -f 1)
number=$((0x$(stat -L -c %t $device))):$((0x$(stat -L -c %T $device)))
block=/sys/dev/block/$number
say kernel $(uname -r)
say root /dev/$(basename $(readlink -f $block)) on $(drivers_of $block)
grep -v '^#' /etc/fstab | while read source place kind rest; do
    [ $place = / ] || [ $place = none ] && continue
    case $source in UUID=*) source=$(findfs $source) ;; esac
    mount -t $kind $source $place && say mounted $place
done
for nic in /sys/class/net/*; do
    old=$(basename $nic)
    [ $old = lo ] && continue
    mac=$(cat $nic/address)
    for link in /etc/systemd/network/*.link; do
        grep -qi "^MACAddress=$mac" $link || continue
        name=$(sed -n 's/^Name=//p' $link)
        ip link set $old down
        ip link set $old name $name
        old=$name
        break
    done
    address=$(sed -n "/^iface $old inet static/,/^\\$/s/ *address *//p" /etc/network/interfaces)
    [ -n "$address" ] && ip addr add $address/24 dev $old && ip link set $old up
    driver=$(basename $(readlink /sys/class/net/$old/device/driver))
    say nic $old $driver $mac ${{address:-none}}
done
say fstab $(grep -v '^#' /etc/fstab | head -n 1)
echo
echo "physical login:"
sleep 1
exec sh < /dev/ttyS0 > /dev/ttyS0 2>&1
"""


def initrd_init(kind: str, flags: str = "", ready: str = "") -> str:
    """Return the script of an initrd that waits for its root, then gives up in words.

    Args:
        kind: File system of the root, with the name of its module.
        flags: Mount options beside `ro`.
        ready: A command that may bring the root's device into being; tried again and again.
    """
    options = f"ro,{flags}" if flags else "ro"
    return f"""#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
{_LOAD}
for word in $(cat /proc/cmdline); do
    case $word in root=*) root=${{word#root=}} ;; esac
done
modprobe -q {kind}
tries=0
while [ $tries -lt 10 ]; do
    load
    {ready or ":"}
    case $root in
        UUID=*) device=$(findfs $root 2>/dev/null) ;;
        *) device=$root ;;
    esac
    if [ -b "$device" ] && mount -t {kind} -o {options} $device /root; then
        for place in dev proc sys; do mount --move /$place /root/$place; done
        exec switch_root /root /sbin/init
    fi
    tries=$((tries + 1))
    usleep 500000
done
echo "Gave up waiting for root device $root: it does not exist."
sleep 1
poweroff -f
"""


def grub_cfg(uuid: str, kernel: str, root: str, words: str = "") -> str:
    """Return a menu of one entry.

    Args:
        uuid: Of the file system in which GRUB finds the kernel.
        kernel: Path of `vmlinuz-VERSION` in that file system; the initrd is its neighbour.
        root: What the kernel is told of its root.
        words: More of the kernel's command line.
    """
    initrd = kernel.replace("vmlinuz-", "initrd.img-")
    return f"""### BEGIN /etc/grub.d/00_header ###
serial --unit=0 --speed=115200
terminal_output console serial
set default=0
set timeout=0
### END /etc/grub.d/00_header ###
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Debian GNU/Linux' --class debian --class os {{
\tsearch --no-floppy --fs-uuid --set=root {uuid}
\tlinux\t{kernel} root={root} ro {f"{words} " if words else ""}{_WORDS}
\tinitrd\t{initrd}
}}
### END /etc/grub.d/10_linux ###
"""


def loader_entry(version: str, root: str) -> str:
    """Return systemd-boot's entry of a kernel that lies in the top folder of the ESP."""
    return (f"title      Debian GNU/Linux 12\nversion    {version}\n"
            f"linux      /vmlinuz-{version}\ninitrd     /initrd.img-{version}\n"
            f"options    root={root} ro {_WORDS}\n")  # fmt: skip


def files(menu: str, fstab: str) -> Mapping[str, str]:
    """Return the guest's text files, by path without the first slash."""
    return {
        "boot/grub/grub.cfg": menu,
        "boot/grub/device.map": "(hd0)\t/dev/disk/by-id/ata-WDC_WD2003FYYS-02W0B0\n",
        "etc/default/grub": "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISABLE_LINUX_UUID=true\n",
        "etc/debian_version": "12.5\n",
        "etc/fstab": fstab,
        "etc/group": "root:x:0:\n",
        "etc/hostname": "physical\n",
        "etc/initramfs-tools/initramfs.conf": "MODULES=dep\n",
        "etc/initramfs-tools/modules": "# List of modules that you want to include.\n",
        "etc/network/interfaces": _INTERFACES,
        "etc/os-release": 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
        "etc/passwd": "root::0:0:root:/root:/bin/sh\n",
        "etc/systemd/network/10-old.link": _LINK,
        "sbin/init": _INIT,
    }
