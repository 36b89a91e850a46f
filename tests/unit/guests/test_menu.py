"""The boot menu's default: a kernel that cannot be converted is in the way only if it starts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guests.bootloader import Boot
from engine.guests.inspect import inspect, tree_of
from engine.guests.menu import asks_network, default_kernel, read_menu
from engine.guests.plan import plan
from engine.model.errors import Failure, Problem
from engine.model.guest import ConversionPlan, FileSystem, Kernel
from tests.unit.guests.test_plan import NICS
from tests.unit.guests.trees import (
    ROOT,
    Link,
    MemoryGuest,
    debian12,
    kernel_files,
    modules_files,
    volume,
)

OLD = "6.1.0-49-amd64"
NEW = "6.1.0-50-amd64"
_ADVANCED = "Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-49-amd64"


def default_of(disk: MemoryGuest) -> str:
    """Return the version that a guest starts by default."""
    guest = inspect(disk)
    boot = Boot(disk, tree_of(disk, guest), guest.kernels, frozenset(), lambda *_: None)
    return default_kernel(tree_of(disk, guest), boot, guest.boot_loader)


def debian(default: str, environment: str = "") -> MemoryGuest:
    """Return a Debian with this line for its menu's default, and GRUB's saved variables."""
    disk = debian12()
    menu = disk.files[ROOT][b"/boot/grub/grub.cfg"]
    assert isinstance(menu, bytes)
    disk.put(ROOT, "/boot/grub/grub.cfg", default.encode() + b"\n" + menu)
    block = f"# GRUB Environment Block\n{environment}\n".ljust(1024, "#")
    disk.put(ROOT, "/boot/grub/grubenv", block)
    return disk


@pytest.mark.parametrize(
    ("default", "environment", "version"),
    [
        ("", "", NEW),
        ('set default="0"', "", NEW),
        ("set default='1'", "", OLD),
        ('set default="1>0"', "", OLD),
        (f'set default="{_ADVANCED}"', "", OLD),
        ('set default="gnulinux-simple"', "", NEW),
        ('set default="${saved_entry}"', f"saved_entry={_ADVANCED}", OLD),
        ('set default="${saved_entry}"', "", NEW),
        ('set default="0"', "next_entry=1>0", OLD),
        ('set default="99"', "", NEW),
        ('set default="2"', "", NEW),
        ('set default="no such entry"', "", NEW),
    ],
)
def test_grub_s_default_is_told_by_number_title_id_and_saved_choice(
    default: str, environment: str, version: str
) -> None:
    """As GRUB finds it; what is not a kernel of this system falls back to the menu's first."""
    assert default_of(debian(default, environment)) == version


def entries_guest(extra: dict[str, str], saved: str = "") -> MemoryGuest:
    """Return a guest with loader entries of two kernels, and further files."""
    files: dict[str, bytes | Link | str | None] = {
        "/lib": Link(b"usr/lib"),
        "/etc/os-release": "ID=fedora\n",
        "/etc/fstab": f"UUID={ROOT} / ext4 defaults 0 1\n",
        **extra,
    }
    for number in ("8", "10"):
        version = f"6.{number}.0"
        files.update(kernel_files(version))
        files.update(modules_files(version))
        files[f"/boot/loader/entries/abc-{version}.conf"] = (
            f"linux /boot/vmlinuz-{version}\ninitrd /boot/initrd.img-{version}\noptions quiet\n"
        )
    if saved:
        files["/boot/grub2/grubenv"] = f"saved_entry={saved}\n".ljust(1024, "#")
    return MemoryGuest([volume(ROOT, FileSystem.EXT)], {ROOT: files})


BLS = {"/boot/grub2/grub.cfg": 'set default="${saved_entry}"\nblscfg\n'}


@pytest.mark.parametrize(
    ("extra", "saved", "version"),
    [
        (BLS, "", "6.10.0"),
        (BLS, "abc-6.8.0", "6.8.0"),
        ({}, "", "6.10.0"),
        ({"/boot/loader/loader.conf": "timeout 3\ndefault abc-6.8*\n"}, "", "6.8.0"),
        ({"/boot/loader/loader.conf": "default abc-6.8.0.conf\n"}, "", "6.8.0"),
        ({"/boot/loader/loader.conf": "default windows\n"}, "", "6.10.0"),
    ],
)
def test_the_default_of_loader_entries_is_the_chosen_or_the_newest(
    extra: dict[str, str], saved: str, version: str
) -> None:
    """GRUB keeps its choice in grubenv, systemd-boot in loader.conf as a pattern."""
    assert default_of(entries_guest(extra, saved)) == version


@pytest.mark.parametrize(
    ("head", "mark", "version"),
    [("", "", NEW), ("DEFAULT old", "", OLD), ("DEFAULT menu.c32", "MENU DEFAULT", OLD)],
)
def test_the_default_of_extlinux_is_its_label(head: str, mark: str, version: str) -> None:
    """A label named on top or marked inside; else the first one."""
    disk = debian12()
    del disk.files[ROOT][b"/boot/grub/grub.cfg"]
    labels = "".join(
        f"LABEL {name}\n{mark if name == 'old' else ''}\nLINUX /boot/vmlinuz-{v}\n"
        for name, v in (("new", NEW), ("old", OLD))
    )
    disk.put(ROOT, "/boot/extlinux/extlinux.conf", f"{head}\n{labels}")

    assert default_of(disk) == version


def without(*versions: str) -> Callable[[Kernel], bytes]:
    """Return a maker of overlays that fails for these kernels."""

    def make(kernel: Kernel) -> bytes:
        if kernel.version in versions:
            raise Failure(Problem("guest.initrd-damaged", "Its initrd is junk.", remedy="Make it."))
        return b"overlay"

    return make


def planned(disk: MemoryGuest, *broken: str) -> ConversionPlan:
    """Plan with some kernels' initrds being unreadable."""
    return plan(disk, inspect(disk), without(*broken), NICS)


def test_a_default_kernel_without_drivers_is_an_obstacle_with_its_reason() -> None:
    """The standby VM would start exactly the kernel that finds no disk there."""
    found = planned(debian12(), NEW)

    assert found.edits == ()
    (obstacle,) = found.obstacles
    assert obstacle.key == "guest.default_kernel"
    assert NEW in obstacle.text
    assert "Its initrd is junk." in obstacle.text
    assert obstacle.remedy.startswith("Make it. ")
    assert OLD in obstacle.remedy


def test_another_kernel_without_drivers_is_only_a_warning() -> None:
    """An old kernel that nobody starts does not stop the machine's recovery."""
    found = planned(debian12(), OLD)

    assert found.obstacles == ()
    assert any("Its initrd is junk." in sentence for sentence in found.warnings)
    assert planned(debian("set default='1>0'"), NEW).obstacles == ()


@given(st.lists(st.sampled_from(
    ["menuentry 'a' {", "submenu b {", "}", "{", "\n", " linux /vmlinuz ", ";", "'", '"', "$x", "#",
     "set default=1", "--id x"]), max_size=60))  # fmt: skip
def test_any_menu_is_read(pieces: list[str]) -> None:
    """Braces that never close, or close too often, are no failure."""
    disk = debian12()
    boot = Boot(disk, tree_of(disk, inspect(disk)), (), frozenset(), lambda *_: None)

    read_menu(" ".join(pieces).encode(), boot)


@pytest.mark.parametrize(
    ("arguments", "asks"),
    [
        ("ip=192.0.2.9::192.0.2.1:255.255.255.0::eno1:off", True),
        ("quiet ip=dhcp", True),
        ("rd.neednet=1", True),
        ("root=/dev/nfs nfsroot=192.0.2.1:/srv", True),
        ("ip= quiet", False),
        ("rd.neednet=0", False),
        ("clip=on ipv6.disable=1 net.ifnames=0", False),
    ],
)
def test_a_menu_tells_whether_the_initrd_needs_the_network(arguments: str, *, asks: bool) -> None:
    """By arguments of the kernel that dracut and initramfs-tools read."""
    guest = debian12()
    menu = guest.files[ROOT][b"/boot/grub/grub.cfg"]
    assert isinstance(menu, bytes)
    guest.put(ROOT, "/boot/grub/grub.cfg", menu.replace(b" ro quiet", f" {arguments}".encode()))

    assert asks_network(tree_of(guest, inspect(guest))) == asks
