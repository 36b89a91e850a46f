"""The fallback loader of UEFI: one piece for Linux and Windows."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.guests.backends.userland import open_userland
from engine.guests.linux.draft import Draft
from engine.guests.linux.esp import LINUX, WINDOWS, plan_fallback
from engine.guests.tree import Tree
from engine.model.guest import Action, FileEdit, FileSystem, Mount, VolumeId
from engine.model.machine import Firmware
from tests.guests.phony_windows import LOADER, Recipe, build
from tests.unit.guests.trees import ESP, MemoryGuest, volume

MICROSOFT = "/EFI/Microsoft/Boot/bootmgfw.efi"


def edits(
    files: Mapping[str, str | bytes], wanted: tuple[bytes, ...]
) -> tuple[list[FileEdit], list[str]]:
    """Return what is changed on an ESP with these files, and the warnings."""
    draft = on_esp(files)
    plan_fallback(draft, wanted)
    return list(draft.edits()), list(draft.warnings)


def on_esp(files: Mapping[str, str | bytes]) -> Draft:
    """Return a draft over an ESP with these files."""
    disk = MemoryGuest([volume(ESP, FileSystem.FAT)], {ESP: files})
    return Draft(disk, Tree(disk, (Mount(b"/", VolumeId(ESP)),)))


def test_windows_gets_its_boot_manager_as_fallback() -> None:
    r"""\EFI\Microsoft\Boot\bootmgfw.efi is copied to where any firmware looks."""
    made, warnings = edits({MICROSOFT: "mgr", "/EFI/Microsoft/Boot/BCD": "bcd"}, WINDOWS)

    assert [(edit.action, edit.path) for edit in made] == [
        (Action.MKDIR, b"/EFI/BOOT"),
        (Action.WRITE, b"/EFI/BOOT/BOOTX64.EFI"),
    ]
    assert made[1].after == b"mgr"
    assert warnings == []


def test_a_fallback_of_windows_is_kept() -> None:
    """Set-up of Windows makes one itself; then nothing is changed."""
    made, warnings = edits({MICROSOFT: "mgr", "/EFI/boot/BOOTX64.efi": "mgr"}, WINDOWS)

    assert (made, warnings) == ([], [])


def test_each_family_takes_its_own_loader() -> None:
    """Beside a Linux, Windows still starts by its own boot manager, and the other way round."""
    both = {MICROSOFT: "mgr", "/EFI/debian/grubx64.efi": "grub"}

    assert edits(both, WINDOWS)[0][-1].after == b"mgr"
    assert edits(both, LINUX)[0][-1].after == b"grub"
    assert edits({MICROSOFT: "mgr"}, LINUX) == (
        [],
        ["No boot loader for x86-64 was found in the EFI system partition."],
    )


SHIM = {
    "/EFI/debian/shimx64.efi": "shim",
    "/EFI/debian/grubx64.efi": "grub",
    "/EFI/debian/mmx64.efi": "mok manager",
    "/EFI/debian/fbx64.efi": "fallback",
}
LISTED = "shimx64.efi,debian,,This is the boot entry for debian\n".encode("utf-16-le")
COPIED = {b"/EFI/BOOT/BOOTX64.EFI", b"/EFI/BOOT/grubx64.efi", b"/EFI/BOOT/mmx64.efi"}


def written(files: dict[str, str | bytes]) -> set[bytes]:
    """Return the paths of the files that are written."""
    return {edit.path for edit in edits(files, LINUX)[0] if edit.action is Action.WRITE}


def test_shim_restores_the_entry_by_itself() -> None:
    """With its fallback and the list of loaders nothing else of the system is copied."""
    made = edits({**SHIM, "/EFI/debian/BOOTX64.CSV": b"\xff\xfe" + LISTED}, LINUX)[0]

    assert [(edit.path, edit.after) for edit in made[1:]] == [
        (b"/EFI/BOOT/BOOTX64.EFI", b"shim"),
        (b"/EFI/BOOT/fbx64.efi", b"fallback"),
    ]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/EFI/debian/BOOTX64.CSV": b""},
        {"/EFI/debian/BOOTX64.CSV": "gone.efi,debian,,entry\n".encode("utf-16-le")},
        {"/EFI/debian/BOOTX64.CSV": LISTED, "/EFI/ubuntu/BOOTX64.CSV": LISTED},
        {"/EFI/debian/BOOTX64.CSV": b"x" * (1 << 20)},
    ],
    ids=["no list", "empty list", "a loader that is not there", "two systems", "too long"],
)
def test_shim_takes_its_followers_where_its_fallback_is_no_help(
    files: dict[str, str | bytes],
) -> None:
    """Another system's loader is never started by it, and no list leaves it without a choice."""
    assert written({**SHIM, **files}) == COPIED


def test_the_loader_is_copied_on_a_real_disk(tmp_path: Path) -> None:
    """On a GPT disk with an ESP the copy is made, and a second look finds nothing to do."""
    disk = build(tmp_path / "disk.img", Recipe(firmware=Firmware.UEFI))
    with open_userland([disk]) as backend:
        esp = next(volume for volume in backend.volumes() if volume.is_esp)

        def wanted() -> list[FileEdit]:
            draft = Draft(backend, Tree(backend, (Mount(b"/", esp.id),)))
            plan_fallback(draft, WINDOWS)
            return list(draft.edits())

        backend.replay(wanted())

        assert backend.read(esp.id, b"/EFI/Boot/bootx64.efi") == LOADER
        assert wanted() == []


def test_of_several_systems_the_guest_s_own_loader_is_the_fallback() -> None:
    """By its stub of a menu, though another system's loader comes first and is of a better kind."""
    files = {
        **SHIM,
        "/EFI/debian/grub.cfg": "search.fs_uuid 1111 root\n",
        "/EFI/ubuntu/grubx64.efi": "grub of ubuntu",
        "/EFI/ubuntu/grub.cfg": "search.fs_uuid 2222 root\n",
    }

    def fallback(*own: bytes) -> bytes:
        draft = on_esp(files)
        plan_fallback(draft, LINUX, own)
        (found,) = [e.after for e in draft.edits() if e.path.endswith(b"BOOTX64.EFI")]
        return found

    assert fallback(b"2222") == b"grub of ubuntu"
    assert fallback(b"1111") == b"shim"
    assert fallback() == fallback(b"3333") == b"shim"
