"""What is remembered of large files."""

from __future__ import annotations

from engine.guests.recall import KEPT, by_content


def test_the_same_bytes_are_looked_at_once() -> None:
    """Other bytes and other limits are another question; the oldest answers are forgotten."""
    asked = []

    @by_content(lambda answer: answer != b"large")
    def look(data: bytes, limit: int = 0) -> bytes:
        asked.append((data, limit))
        return data

    for data, limit in ((b"a", 0), (b"a", 0), (b"b", 0), (b"a", 1), (b"a", 1)):
        assert look(data, limit=limit) == data
    assert asked == [(b"a", 0), (b"b", 0), (b"a", 1)]
    for number in range(KEPT):
        look(b"%d" % number)
    del asked[:]
    look(b"a", limit=1)
    look(b"7")
    look(b"large")
    look(b"large")
    assert asked == [(b"a", 1), (b"large", 0), (b"large", 0)]
