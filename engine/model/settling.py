"""When has a file stopped arriving?

    scan 1      scan 2      scan 3
    mark a      mark b      mark b      settled at scan 3 if `quiet_s` passed since scan 2
                └───── quiet_s ────►

Neither a rename nor a closed descriptor proves anything: a killed copier renames truncated files.
So a file is settled when two full scans saw it with the same mark, `quiet_s` apart, and its name
is not one that copiers use while they write. Time is an argument, in monotonic seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.model.images import FileMark

NETWORK_QUIET_S = 120.0
"""On shares other hosts write to, attributes may be cached this long."""

_TEMPORARY = re.compile(
    r"[.~]"  # hidden; rsync's .name.XXXXXX and .~tmp~, ~syncthing~, .syncthing., .<ms>.<name>
    r"|.*\.(part|partial|tmp|filepart|crdownload|tmp_fidx|tmp_didx)$"
    r"|.*\.rclone",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of how long a file has not changed.

    Attributes:
        mark: As first seen by `scan` and by every scan since.
        scan: Number of the full scan that first saw this mark.
        since: When that was, monotonic seconds.
    """

    mark: FileMark
    scan: int
    since: float


def is_settled(seen: Seen, quiet_s: float, scan: int, now: float) -> bool:
    """Tell whether a file has stopped changing.

    Args:
        seen: Its history.
        quiet_s: Seconds it must have been unchanged.
        scan: Number of the full scan that sees it now, with the same mark.
        now: When that scan looked.
    """
    return scan > seen.scan and now >= settles_at(seen, quiet_s)


def settles_at(seen: Seen, quiet_s: float) -> float:
    """Return from when on the next full scan can find the file settled."""
    return seen.since + quiet_s


def is_temporary(name: str) -> bool:
    """Tell whether copiers use such a name (without folders) while they write."""
    return _TEMPORARY.match(name) is not None
