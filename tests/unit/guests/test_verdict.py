"""Which words of a checker are damage, and which only say that the machine was running."""

from __future__ import annotations

import pytest

from engine.guests.backends.verdict import by_code, of_fat, of_ntfs

HEAD = b"fsck.fat 4.2 (2021-01-31)\n"
TAIL = b"\nLeaving filesystem unchanged.\n/x/fat: 2 files, 602/129022 clusters\n"
DIRTY = (
    b"There are differences between boot sector and its backup.\n"
    b"This is mostly harmless. Differences: (offset:original/backup)\n  65:01/00\n"
    b"  Not automatically fixing this.\n"
    b"Dirty bit is set. Fs was not properly unmounted and some data may be corrupt.\n"
    b" Automatically removing dirty bit.\n"
)
CUT = (
    b"/EFI/grubx64.efi\n  Contains a free cluster (20). Assuming EOF.\n"
    b"/EFI/grubx64.efi\n  File size is 307200 bytes, cluster chain length is 8192 bytes.\n"
)


@pytest.mark.parametrize(
    "said",
    [
        DIRTY,
        b"FATs differ but appear to be intact.\n  Using first FAT.\n",
        b"Reclaimed 583 unused clusters (298496 bytes).\n",
        b"Free cluster summary wrong (77 vs. really 128420)\n  Auto-correcting.\n",
    ],
)
def test_what_a_running_machine_leaves_on_fat_is_no_damage(said: bytes) -> None:
    """A dirty mark, lost clusters and a wrong count stand against no start."""
    assert of_fat(1, HEAD + said + TAIL) == b""


@pytest.mark.parametrize("before", [b"", DIRTY])
def test_a_cut_file_on_fat_is_damage(before: bytes) -> None:
    """The words begin with the file's name, whatever harmless was said before."""
    bad = of_fat(1, HEAD + before + CUT + b"Reclaimed 1 unused cluster (512 bytes).\n" + TAIL)

    assert bad.startswith(b"/EFI/grubx64.efi\n  Contains a free cluster")


@pytest.mark.parametrize(
    ("code", "said"),
    [(1, HEAD), (1, b"Logical sector size is zero."), (2, HEAD + TAIL), (-9, b""), (127, b"none")],
)
def test_a_checker_of_fat_that_does_not_come_to_its_end_is_no_success(
    code: int, said: bytes
) -> None:
    """Without its last line, or with another exit code, something is wrong."""
    assert of_fat(code, said)


def test_a_copy_of_the_mft_that_differs_is_damage() -> None:
    """It says FAILED of what it would repair."""
    said = b"Mounting volume... FAILED\nComparing $MFTMirr to $MFT... FAILED\n"

    assert of_ntfs(1, said).startswith(b"Mounting volume")
    assert of_ntfs(0, b"$MFTMirr does not match $MFT (record 1).\n")
    assert of_ntfs(1, b"")


def test_a_missing_copy_of_the_boot_sector_of_ntfs_is_no_damage() -> None:
    """Windows starts without it; a partition that was resized has none."""
    said = (
        b"Mounting volume... OK\nProcessing of $MFT and $MFTMirr completed successfully.\n"
        b"Checking the alternate boot sector... BAD\n"
        b"Error: Failed to fix the alternate boot sector\n"
    )

    assert of_ntfs(1, said) == b""
    assert of_ntfs(0, b"NTFS partition was processed successfully.\n") == b""


def test_an_exit_code_alone_is_damage_for_the_others() -> None:
    """Also without words."""
    assert by_code(0, b"clean") == b""
    assert by_code(4, b"") != b""
