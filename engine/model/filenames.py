"""What the files of an absent recovery point are probably called, by those that are there. Pure.

p000014-20260301T030000Z-d00.bpi ┐
p000012-20260227T030000Z-d00.bpi ┴─► p000013-*T030000Z-d00.bpi
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.model.images import RecoveryPoint
from engine.model.text import safe

MOST = 4
"""Files named of one point."""
_TOKENS = re.compile(r"\d+|\D+")
_STARS = re.compile(r"\*(?:\D?\*)+")


def likely_names(
    sequence: int, near: RecoveryPoint, points: Sequence[RecoveryPoint]
) -> Sequence[str]:
    """Return how the files of point number `sequence` are called, `*` for what cannot be known.

    Args:
        sequence: The absent point's.
        near: A point of the same set whose files are there; one name for each of its disks.
        points: All that are there.

    Returns:
        Nothing where the names do not tell: without another point to compare with, or where the
        number does not stand in them.
    """
    others = [one for one in points if one.sequence not in (near.sequence, sequence)]
    found = []
    for number, disk in enumerate(near.disks[:MOST]):
        name = disk.path.rpartition("/")[2]
        seen = (
            (one.sequence, one.disks[number].path.rpartition("/")[2])
            for one in reversed(others)
            if number < len(one.disks)
        )
        made = next((m for s, o in seen if (m := _name(sequence, name, near.sequence, o, s))), "")
        if not made:
            return ()
        found.append(safe(made, 120))
    return found


def _name(sequence: int, name: str, its: int, other: str, others: int) -> str:
    """Return the name for `sequence` by two names and their numbers; empty: they do not tell."""
    mine, theirs = _TOKENS.findall(name), _TOKENS.findall(other)
    if len(mine) != len(theirs):
        return ""
    made, numbered = [], False
    for one, two in zip(mine, theirs, strict=True):
        if not numbered and _is(one, its) and _is(two, others):
            made.append(str(sequence).zfill(len(one)))
            numbered = True
        elif one == two:
            made.append(one)
        elif one.isdecimal() and two.isdecimal():
            made.append("*")
        else:
            return ""
    return _STARS.sub("*", "".join(made)) if numbered else ""


def _is(token: str, number: int) -> bool:
    return token.isascii() and token.isdecimal() and int(token) == number
