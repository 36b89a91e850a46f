"""Boot loader configurations: every entry of a known kernel loads its overlay, and only those."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guests import bootloader
from engine.guests.bootloader import Boot
from engine.guests.inspect import inspect, tree_of
from tests.unit.guests.trees import (
    DEBIAN_GRUB,
    ROOT,
    Link,
    MemoryGuest,
    btrfs,
    debian12,
    separate_boot,
)

V = "6.1.0-50-amd64"


def argument(key: bytes, spec: bytes) -> bytes | None:
    """Name the root R and every swap S."""
    if not spec.startswith(b"/dev/sd"):
        return None
    return b"root=R" if key == b"root" else b"resume=S"


def boot_of(disk: MemoryGuest, *without: str) -> Boot:
    """Return what is to be done for a guest's kernels, all but some with an overlay."""
    guest = inspect(disk)
    versions = frozenset(kernel.version for kernel in guest.kernels) - set(without)
    return Boot(disk, tree_of(disk, guest), guest.kernels, versions, argument)


def grub(text: str, disk: MemoryGuest | None = None) -> str:
    """Convert a grub.cfg of a guest, Debian by default."""
    return bootloader.convert_grub(text.encode(), boot_of(disk or debian12())).decode()


def entry(linux: str, initrd: str) -> str:
    """Return a menu entry."""
    return f"menuentry 'x' {{\n\tlinux\t{linux}\n\tinitrd\t{initrd}\n}}\n"


def test_known_kernels_get_their_overlay_and_nothing_else_changes() -> None:
    """An overlay stands last on the initrd line; foreign systems keep their lines."""
    text = DEBIAN_GRUB % {"root": ROOT, "boot": "/boot"}
    expected = (
        text.replace("root=/dev/sda1", "root=R")
        .replace("resume=/dev/sda2", "resume=S")
        .replace(f"/boot/initrd.img-{V}", f"/boot/initrd.img-{V} /boot/bootpoint-{V}.img")
        .replace(
            "/boot/initrd.img-6.1.0-49-amd64",
            "/boot/initrd.img-6.1.0-49-amd64 /boot/bootpoint-6.1.0-49-amd64.img",
        )
    )
    assert grub(text) == expected


@pytest.mark.parametrize(
    ("disk", "prefix"), [(debian12(), "/boot"), (separate_boot(), ""), (btrfs(), "/@rootfs/boot")]
)
def test_the_overlay_has_the_prefix_of_its_volume(disk: MemoryGuest, prefix: str) -> None:
    """GRUB's paths start at the volume's top, not at the guest's root."""
    text = grub(entry(f"{prefix}/vmlinuz-{V} ro", f"{prefix}/initrd.img-{V}"), disk)

    assert f"{prefix}/initrd.img-{V} {prefix}/bootpoint-{V}.img\n" in text


def test_paths_relative_to_a_subvolume_stay_relative() -> None:
    """Some systems let GRUB start paths at the subvolume; the overlay's does, too."""
    text = grub(entry(f"/boot/vmlinuz-{V} ro", f"/boot/initrd.img-{V}"), btrfs())

    assert f"/boot/initrd.img-{V} /boot/bootpoint-{V}.img\n" in text


@pytest.mark.parametrize(
    ("linux", "initrd", "added"),
    [
        (
            f"/boot/vmlinuz-{V} ro",
            f"/boot/intel.img /boot/initrd.img-{V}",
            f" /boot/bootpoint-{V}.img",
        ),
        (f"($root)/boot/vmlinuz-{V}", "($root)/boot/i", f" ($root)/boot/bootpoint-{V}.img"),
        (f"'/boot/vmlinuz-{V}' ro", "'/boot/i'", f" /boot/bootpoint-{V}.img"),
        (f'"/boot/vmlinuz-{V}" ro', '"/boot/i"', f" /boot/bootpoint-{V}.img"),
        (f"/boot/vmlinuz-{V} \\\n  ro", "/boot/i \\\n  /boot/j", f" /boot/bootpoint-{V}.img"),
        ("/vmlinuz ro", "/initrd.img", f" /boot/bootpoint-{V}.img"),
        (f"/boot/../boot/vmlinuz-{V}", "/boot/i", f" /boot/bootpoint-{V}.img"),
        ("/boot/vmlinuz-9 ro", "/boot/i", ""),
        (f"$prefix/vmlinuz-{V} ro", "/boot/i", ""),
        ("/loop", "/boot/i", ""),
        ("", "/boot/i", ""),
    ],
)
def test_kernels_are_known_in_every_spelling(linux: str, initrd: str, added: str) -> None:
    """Quotes, devices, continued lines and links lead to the same kernel; variables to none."""
    disk = debian12()
    disk.put(ROOT, "/vmlinuz", Link(b"boot/vmlinuz-" + V.encode()))
    disk.put(ROOT, "/loop", Link(b"loop"))

    assert grub(entry(linux, initrd), disk) == entry(linux, initrd + added)


@pytest.mark.parametrize("word", ["16", "efi"])
def test_variants_of_the_commands_are_known(word: str) -> None:
    """linux16 and linuxefi are linux."""
    text = f"linux{word} /boot/vmlinuz-{V} root=/dev/sda1\ninitrd{word} /boot/initrd.img-{V}\n"

    assert grub(text) == (
        f"linux{word} /boot/vmlinuz-{V} root=R\n"
        f"initrd{word} /boot/initrd.img-{V} /boot/bootpoint-{V}.img\n"
    )


def test_one_line_entries_are_known() -> None:
    """Commands may be parted by semicolons."""
    text = grub(f"menuentry x {{ linux /boot/vmlinuz-{V}; initrd /boot/i; }}")

    assert (
        text
        == f"menuentry x {{ linux /boot/vmlinuz-{V}; initrd /boot/i /boot/bootpoint-{V}.img; }}"
    )


@pytest.mark.parametrize(
    "hostile",
    [
        f"menuentry 'a\nlinux /boot/vmlinuz-{V} root=/dev/sda1\ninitrd /boot/i\n' {{ true }}\n",
        f"# it's\n# linux /boot/vmlinuz-{V}\nmenuentry 'b' {{ echo '\ninitrd /boot/i' }}\n",
        f'menuentry "c \\" \nlinux /boot/vmlinuz-{V}\ninitrd /x" {{ true }}\n',
    ],
)
def test_titles_with_newlines_and_quotes_are_no_commands(hostile: str) -> None:
    """What stands inside quotes or behind `#` is text."""
    good = entry(f"/boot/vmlinuz-{V}", "/boot/i")

    assert grub(hostile + good) == hostile + good.replace(
        "/boot/i", f"/boot/i /boot/bootpoint-{V}.img"
    )


def test_an_initrd_of_another_entry_gets_nothing() -> None:
    """A kernel's overlay ends with its entry."""
    text = f"menuentry a {{\nlinux /boot/vmlinuz-{V}\n}}\nmenuentry b {{\ninitrd /boot/i\n}}\n"

    assert grub(text) == text


def test_kernels_without_overlay_still_name_their_root_by_uuid() -> None:
    """A kernel that has all drivers built in loses the raw name all the same."""
    text = entry(f"/boot/vmlinuz-{V} root=/dev/sda1", "/boot/i").encode()

    assert bootloader.convert_grub(text, boot_of(debian12(), V)) == text.replace(
        b"/dev/sda1", b"R"
    ).replace(b"root=R", b"root=R")


def test_arguments_that_only_look_like_root_are_kept() -> None:
    """nfsroot= and rd.root= are others."""
    text = entry(f"/boot/vmlinuz-{V} nfsroot=/dev/sda1 x.root=/dev/sda1 root=UUID=1", "/boot/i")

    assert "nfsroot=/dev/sda1 x.root=/dev/sda1 root=UUID=1" in grub(text)


def test_quoted_arguments_are_rewritten() -> None:
    """Arguments in quotes, and those kept in a variable, are rewritten, too."""
    text = 'set kernelopts="root=/dev/sda1 ro resume=/dev/sda2"\nset other="root=/dev/sda1"\n'

    assert grub(text) == 'set kernelopts="root=R ro resume=S"\nset other="root=/dev/sda1"\n'


def test_a_value_in_quotes_is_rewritten() -> None:
    """GRUB takes the quotes away before the kernel sees them; one that is not closed stays."""
    text = entry(f"/boot/vmlinuz-{V} root=\"/dev/sda1\" resume='/dev/sda2' root='/dev/sda1", "/i")

    got = grub(text)

    assert "root=R resume=S root='/dev/sda1" in got
    assert grub(got) == got


def test_a_hundred_thousand_entries_are_converted() -> None:
    """A hostile menu costs seconds, not minutes; its unknown paths are not all looked up."""
    asked = 0

    class Counting(MemoryGuest):
        def stat(self, volume, path):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 -- as above
            nonlocal asked
            asked += 1
            return super().stat(volume, path)

    disk = debian12()
    counting = Counting(disk.volumes(), {})
    counting.files = disk.files
    boot = boot_of(counting)
    text = "".join(f"linux /b/{n}/x\ninitrd /i\n" for n in range(50_000))
    text += f"linux /boot/vmlinuz-{V}\ninitrd /i\n" * 50_000

    got = bootloader.convert_grub(text.encode(), boot)

    assert got.count(b"bootpoint") == 50_000
    assert asked < 10_000


@pytest.mark.parametrize("content", [b"'" * 100_000, b'"\\' * 50_000, b"${" * 50_000, b"\\" * 9999])
def test_unfinished_quotes_are_read_in_linear_time(content: bytes) -> None:
    """A menu of nothing but quotes neither hangs nor changes."""
    assert bootloader.convert_grub(content, boot_of(debian12())) == content


WORDS = st.sampled_from(
    [
        "linux",
        "initrd",
        " ",
        "\n",
        "'",
        '"',
        "\\",
        "{",
        "}",
        ";",
        "#",
        "menuentry",
        f"/boot/vmlinuz-{V}",
        "/boot/i",
        "root=/dev/sda1",
        "$x",
        "${",
        "\t",
        "resume=/dev/sda2",
        "|",
        "&",
        "\r",
        "\x00",
        "ü",
    ]
)


@given(st.lists(WORDS, max_size=30).map("".join))
def test_converting_a_menu_twice_changes_nothing_more(text: str) -> None:
    """What is converted is left alone, whatever the menu looks like."""
    once = grub(text)

    assert grub(once) == once


def test_loader_entries_of_grub_take_a_second_path() -> None:
    """The overlay stands on the entry's own initrd line."""
    text = f"title x\nlinux /boot/vmlinuz-{V}\ninitrd /boot/i $tuned\noptions root=/dev/sda1 ro\n"
    boot = boot_of(debian12())

    got = bootloader.convert_entry(text.encode(), boot, own_line=False).decode()

    assert got == (
        f"title x\nlinux /boot/vmlinuz-{V}\ninitrd /boot/i $tuned /boot/bootpoint-{V}.img\n"
        "options root=R ro\n"
    )
    assert boot.named == {V}
    assert bootloader.convert_entry(got.encode(), boot, own_line=False).decode() == got


def test_loader_entries_of_systemd_boot_take_a_second_line() -> None:
    """systemd-boot reads one path from each initrd line."""
    text = f"linux /boot/vmlinuz-{V}\ninitrd /boot/ucode\ninitrd /boot/i\noptions quiet\n"

    got = bootloader.convert_entry(text.encode(), boot_of(debian12()), own_line=True).decode()

    assert got == (
        f"linux /boot/vmlinuz-{V}\ninitrd /boot/ucode\ninitrd /boot/i\n"
        f"initrd /boot/bootpoint-{V}.img\noptions quiet\n"
    )
    assert (
        bootloader.convert_entry(got.encode(), boot_of(debian12()), own_line=True).decode() == got
    )


def test_saved_variables_keep_their_length() -> None:
    """GRUB's environment block is 1024 bytes, padded with `#`."""
    block = b"# GRUB Environment Block\nkernelopts=root=/dev/sda1 ro\nx=root=/dev/sda1\n".ljust(
        1024, b"#"
    )

    got = bootloader.convert_environment(block, boot_of(debian12()))

    assert len(got) == 1024
    assert got.startswith(b"# GRUB Environment Block\nkernelopts=root=R ro\nx=root=/dev/sda1\n####")


def test_saved_variables_that_would_not_fit_are_left() -> None:
    """A full block cannot take longer names."""
    block = b"kernelopts=resume=/dev/sda2 root=/dev/sda1 ".ljust(60, b"x")
    boot = boot_of(debian12())
    boot.arguments = lambda key, _spec: key + b"=" + b"y" * 60

    assert bootloader.convert_environment(block, boot) == block


def extlinux(text: str, folder: bytes) -> tuple[str, bootloader.Boot]:
    """Convert a menu of extlinux, which a second conversion then leaves as it is."""
    boot = boot_of(debian12())
    got = bootloader.convert_extlinux(text.encode(), boot, folder)
    assert bootloader.convert_extlinux(got, boot, folder) == got
    return got.decode(), boot


def test_extlinux_entries_load_both() -> None:
    """Extlinux parts several initrds by commas; relative paths stay relative."""
    text = (
        f"DEFAULT a\nLABEL a\n  LINUX ../vmlinuz-{V}\n  INITRD ../i\n  APPEND root=/dev/sda1 ro\n"
        f"label b\n kernel /boot/vmlinuz-{V}\n initrd /boot/i\nLABEL c\n LINUX /x\n INITRD /i\n"
    )
    got, _ = extlinux(text, b"/boot/extlinux")

    assert got == (
        text.replace("INITRD ../i", f"INITRD ../i,../bootpoint-{V}.img")
        .replace("initrd /boot/i", f"initrd /boot/i,/boot/bootpoint-{V}.img")
        .replace("/dev/sda1", "R")
    )


def test_extlinux_may_name_the_initrd_among_the_arguments() -> None:
    """The older way; where both are written, INITRD counts."""
    text = (
        f"LABEL a\n KERNEL /boot/vmlinuz-{V}\n APPEND initrd=/boot/u.img,/boot/i root=/dev/sda1\n"
        f"LABEL b\n KERNEL /boot/vmlinuz-{V}\n APPEND initrd=/x\n INITRD /boot/i\n"
    )
    got, boot = extlinux(text, b"/boot")

    more = f",/boot/bootpoint-{V}.img"
    assert got == text.replace("/boot/i", f"/boot/i{more}").replace("/dev/sda1", "R")
    assert boot.named == {V}


def test_a_command_of_a_million_words_takes_no_memory() -> None:
    """Only the first of its words are kept; what follows it is still converted."""
    text = "x " * 700_000 + "\n" + entry(f"/boot/vmlinuz-{V}", f"/boot/initrd.img-{V}")

    commands = list(bootloader.commands(text.encode()))

    assert len(commands[0]) == bootloader.WORDS
    assert f"/boot/bootpoint-{V}.img" in grub(text)
