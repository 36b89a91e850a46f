"""What the checkers of file systems say, and whether it is damage.

e2fsck, xfs_repair and btrfs say it by their exit code. Those of FAT and NTFS also complain of what
every machine leaves that was not shut down, which is what a backup sees: no reason against a start.
"""

from __future__ import annotations

import re

_FAT_QUIET = re.compile(
    rb"fsck\.fat \d|Leaving filesystem unchanged|.*: \d+ files, \d+/\d+ clusters$"
    rb"|There are differences between boot sector and its backup|This is mostly harmless"
    rb"|Dirty bit is set|FATs differ but appear to be intact|Both FATs appear to be intact"
    rb"|Reclaimed \d+ unused cluster|Free cluster summary (?:wrong|uninitialized)"
)
"""Of fsck.vfat: its frame, and what costs at most free space. Details begin with a space."""
_FAT_END = re.compile(rb": \d+ files, \d+/\d+ clusters$")
_NTFS_BAD = re.compile(rb"[^\n]*\.\.\. FAILED[^\n]*|[^\n]*(?:corrupt|does not match)[^\n]*")


def by_code(code: int, said: bytes) -> bytes:
    """Return the words of damage of a program that exits with 0 when there is none."""
    return (said or b"it gave no reason") if code else b""


def of_fat(code: int, said: bytes) -> bytes:
    """Return the words of damage in what `fsck.vfat -n` said; empty when there is none.

    Source: dosfstools 4.2, tried with each kind of damage; fsck.fat(8), "Exit status".
    """
    lines = [line for line in said.split(b"\n") if line.strip()]
    if not code:
        return b""
    if code != 1 or not lines or not _FAT_END.search(lines[-1]):
        return said or b"it did not come to its end"
    loud = [n for n, line in enumerate(lines) if not (line[:1] == b" " or _FAT_QUIET.match(line))]
    return b"\n".join(lines[loud[0] :]) if loud else b""


def of_ntfs(code: int, said: bytes) -> bytes:
    """Return the words of damage in what `ntfsfix -n` said; empty when there is none.

    A copy of the boot sector that is missing at the volume's end is none: partitions were resized.

    Source: ntfs-3g 2022.10, tried; ntfsfix(8).
    """
    bad = _NTFS_BAD.search(said)
    if bad is not None:
        return bad[0].strip()
    if not code or b"alternate boot sector... BAD" in said:
        return b""
    return said or b"it gave no reason"
