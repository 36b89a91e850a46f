"""A guest's kernel modules: which files its drivers need, and the indexes that name them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.guests.recall import by_content
from engine.model.text import safe

_PATH = re.compile(rb"[A-Za-z0-9_+,.-]+(?:/[A-Za-z0-9_+,.-]+)*\.ko(?:\.(?:xz|zst|gz))?")
_USUAL = 20_000
"""Modules of a kernel; real ones have a fifth of that."""
_MOST = 512
"""Most modules that one overlay carries; the drivers of all targets need about 40."""


def name_of(path: bytes) -> bytes:
    """Return a module's name: no folder, no suffix, `_` for `-`."""
    return path.rsplit(b"/", 1)[-1].split(b".ko")[0].replace(b"-", b"_")


def suffix_of(path: bytes) -> bytes:
    """Return `.ko`, `.ko.xz`, `.ko.zst` or `.ko.gz`."""
    return path[path.rindex(b".ko") :]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What `modules.dep` says. Paths are relative to the folder of the kernel's modules.

    Attributes:
        needs: By path, the paths it needs.
        paths: By name.
        odd: Lines that were passed over: their paths lead elsewhere or are no modules.
    """

    needs: Mapping[bytes, Sequence[bytes]]
    paths: Mapping[bytes, bytes]
    odd: int


def _is_usual(dependencies: Dependencies) -> bool:
    return len(dependencies.paths) <= _USUAL


@by_content(_is_usual)
def parse(text: bytes) -> Dependencies:
    """Read `modules.dep`. A path that could lead out of the folder is passed over and counted."""
    needs: dict[bytes, Sequence[bytes]] = {}
    paths: dict[bytes, bytes] = {}
    odd = 0
    for line in text.splitlines():
        path, colon, after = line.partition(b":")
        needed = after.split()
        if not colon or not all(map(_is_inside, (path, *needed))):
            odd += bool(line.strip())
            continue
        if paths.setdefault(name_of(path), path) == path:
            needs[path] = needed
    return Dependencies(needs, paths, odd)


def builtin_names(text: bytes) -> frozenset[bytes]:
    """Read `modules.builtin`: the names of drivers that are part of the kernel."""
    return frozenset(name_of(line) for line in text.splitlines() if _is_inside(line.strip()))


def closure(dependencies: Dependencies, names: Iterable[bytes]) -> Sequence[bytes]:
    """Return the sorted paths of the named modules and all that they need.

    Raises:
        ValueError: There are more of them than any real kernel needs.
    """
    waiting = [dependencies.paths[name] for name in names]
    found: set[bytes] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting.extend(dependencies.needs.get(path, ()))
        if len(found) > _MOST:
            raise ValueError(f"the drivers need more than {_MOST} modules")
    return sorted(found)


def plain_text(text: bytes) -> bytes:
    """Return `modules.dep` with the names of modules that are not compressed."""
    return re.sub(rb"\.ko\.(?:xz|zst|gz)(?=[:\s]|$)", b".ko", text)


def _is_inside(path: bytes) -> bool:
    return (
        len(path) <= 255 and _PATH.fullmatch(path) is not None and not _DOTS & set(path.split(b"/"))
    )


_DOTS = {b".", b".."}


def shown(names: Iterable[bytes]) -> str:
    """Return names as one list in words."""
    return ", ".join(safe(name, 40) for name in names)
