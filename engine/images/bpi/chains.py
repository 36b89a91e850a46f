"""Chains: which file continues which, judged by identity and content, never by name.

    full ◄─ increment ◄─ increment ◄─ …        child names its parent's point and root

Source: FORMATS.md 2.8, rules C1 to C4.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.images.bpi.opening import OpenedFile
from engine.model.errors import Failure, Problem
from engine.model.text import safe


class ChainBroken(Failure):
    """Image files do not make one unbroken chain of one disk."""


def continues(child: OpenedFile, parent: OpenedFile) -> bool:
    """Tell whether `child` may be applied on what `parent` makes complete (C1, C2, C4)."""
    one, other = child.header, parent.header
    if (one.set, one.disk) != (other.set, other.disk) or one.is_base:
        return False
    own = (other.point, parent.footer.root)
    named = (one.parent, one.parent_root)
    if named == own or own in child.replaces[:-1]:
        return True
    return one.parent == other.point and named in parent.replaces


def in_order(files: Sequence[OpenedFile]) -> list[OpenedFile]:
    """Return the files of one disk, parent first; the order they come in does not matter.

    Raises:
        ChainBroken: They are not one chain that begins with a full; the sentence says where.
    """
    bases = [one for one in files if one.header.is_base]
    if len(bases) != 1:
        raise _no_single_base(files, bases)
    line, rest = bases, [one for one in files if one is not bases[0]]
    while rest:
        following = [one for one in rest if continues(one, line[-1])]
        if len(following) != 1:
            raise _does_not_follow(line[-1], following, rest)
        line.append(following[0])
        rest.remove(following[0])
    return line


def _no_single_base(files: Sequence[OpenedFile], bases: Sequence[OpenedFile]) -> ChainBroken:
    if not files:
        happened = "No image file was named."
    elif not bases:
        happened = f"None of the {len(files)} files is a full image."
    else:
        happened = f"{safe(bases[0].path)} and {safe(bases[1].path)} are both full images."
    return _broken(happened, "Name one full image of one disk and the increments that continue it.")


def _does_not_follow(
    tip: OpenedFile, following: Sequence[OpenedFile], rest: Sequence[OpenedFile]
) -> ChainBroken:
    if following:
        one, other = safe(following[0].path), safe(following[1].path)
        return _broken(
            f"{one} and {other} both continue {safe(tip.path)}.", "Leave one of them out."
        )
    lost = min(rest, key=lambda one: one.header.sequence)
    return _broken(
        f"{safe(lost.path)} continues point {lost.header.parent}, which none of the named files "
        f"brings; the chain ends with {safe(tip.path)}.",
        f"Add the file of disk {lost.header.disk} at point {lost.header.parent}.",
    )


def _broken(happened: str, remedy: str) -> ChainBroken:
    return ChainBroken(Problem("image.chain", happened, "Nothing was written.", remedy))
