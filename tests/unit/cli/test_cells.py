"""Tables in terminal cells: what is cut where, and what is said once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.cli.cells import GAP, NARROW, cell_width, shared, table

TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=60)


def test_the_widest_text_gives_and_numbers_stay_whole() -> None:
    """A reason of 60 letters is cut to what 40 cells leave it; size and name are not."""
    lines = table(["POINT", ">SIZE", "BECAUSE"], [["bp000042", "1.25 GiB", "x" * 60]], 40)
    assert lines == ["POINT         SIZE  BECAUSE", f"bp000042  1.25 GiB  {'x' * 18}.."]


def test_without_a_width_everything_is_whole() -> None:
    """A pipe gets the whole text."""
    assert table(["A", "B"], [["x" * 300, "y" * 200]])[1] == f"{'x' * 300}{GAP}{'y' * 200}"


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=5), st.integers(45, 200))
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, str, str]], width: int) -> None:
    """Whatever stands in three columns of text fits, as long as each may keep its least."""
    assert width >= 3 * NARROW + 2 * len(GAP)
    told = table(["ONE", "TWO", "THREE"], rows, width)
    assert max(cell_width(line) for line in told) <= width


def test_a_shared_reason_is_said_once() -> None:
    """What two rows share stands below; a reason of one row and a short one stay in place."""
    held = "retention is on hold: the newest increment differs much from those before"
    told, once = shared([held, "newest", held, "pin: before the upgrade", "newest"])
    assert told == [
        "retention is on hold",
        "newest",
        "retention is on hold",
        "pin: before the upgrade",
        "newest",
    ]
    assert once == [held]
