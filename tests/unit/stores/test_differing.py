"""Which bytes two files do not share, from where they lie on the medium."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.model.extents import Extent, Kind
from engine.stores.rawdisk import Mapped, differing

SIZE = 12
Map = dict[int, int | None]
"""Where each byte of a small file lies; None where that is not known. Holes are left out."""


def told(places: Map) -> list[Mapped]:
    """Return a map as the file system tells it, a range for each byte."""
    return [Mapped(at, 1, place) for at, place in sorted(places.items())]


def kinds(upper: list[Mapped], lower: list[Mapped], size: int = SIZE) -> dict[int, Kind]:
    """Return what is said of each byte that differs."""
    found = differing(iter(upper), iter(lower), size)
    return {at: one.kind for one in found for at in range(one.start, one.end)}


maps = st.dictionaries(st.integers(0, SIZE - 1), st.none() | st.integers(0, 3))


@given(upper=maps, lower=maps)
def test_each_byte_is_judged_by_where_it_lies(upper: Map, lower: Map) -> None:
    """Shared is only what lies in one place that is known; a hole over data is zeros."""
    expected: dict[int, Kind] = {}
    for at in range(SIZE):
        if at in upper and (upper[at] is None or at not in lower or upper[at] != lower[at]):
            expected[at] = Kind.DATA
        elif at not in upper and at in lower:
            expected[at] = Kind.ZERO
    assert kinds(told(upper), told(lower)) == expected


def test_a_file_and_its_fresh_clone_share_all() -> None:
    """Equal maps differ nowhere, unless one does not say where the bytes lie."""
    known = [Mapped(0, 4, 100), Mapped(6, 2, 300)]
    assert kinds(known, known) == {}
    unknown = [Mapped(0, 4, None), Mapped(6, 2, 300)]
    assert kinds(unknown, unknown) == dict.fromkeys(range(4), Kind.DATA)


def test_what_lies_past_the_end_is_cut() -> None:
    """A last block that reaches past the disk's end counts up to the end."""
    found = list(differing(iter([Mapped(8, 8, 1)]), iter([]), SIZE))
    assert found == [Extent(8, 4, Kind.DATA)]
