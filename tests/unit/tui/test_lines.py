"""Every screen, at every size, with every name: rows keep their width and their number."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tests.unit.tui.sample import HOSTILE, NOW, SIZES, fleet, look, point
from tui.glyphs import ASCII, BOX
from tui.places import CONTENT
from tui.screens import frame
from tui.state import Fleet
from tui.widgets.board import strip

EVERY = fleet()
LOST = fleet(lost=True)


def board(picture: Fleet, view: object, *, ascii_only: bool = True) -> list[str]:
    """Return a screen as the terminal gets it, a string a row."""
    drawing = frame.draw(CONTENT[view.place](picture, view), picture, view)  # type: ignore[attr-defined]
    return [
        strip(
            line,
            view.width,  # type: ignore[attr-defined]
            ASCII if ascii_only else BOX,
            colours=True,
            cursor=number == drawing.cursor,
        ).text
        for number, line in enumerate(drawing.lines)
    ]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("place", CONTENT)
def test_every_row_is_as_wide_as_the_screen(place: str, size: tuple[int, int]) -> None:
    """Whatever a machine is called, each screen has its rows, each as wide as the terminal."""
    for name in HOSTILE:
        for picture in (EVERY, LOST, Fleet()):
            rows = board(picture, look(place, name, size, notice=name), ascii_only=False)
            assert len(rows) == size[1]
            assert {cell_len(row) for row in rows} == {size[0]}
            assert {row[-1:] for row in rows} == {" "}, "terminals wrap in the last column"


@pytest.mark.parametrize("place", CONTENT)
def test_no_control_reaches_the_terminal(place: str) -> None:
    """No name, reason or serial line brings a control or an invisible mark to the terminal."""
    for name in HOSTILE:
        for ascii_only in (True, False):
            text = "".join(board(EVERY, look(place, name), ascii_only=ascii_only))
            assert all(sign.isprintable() for sign in text)
            assert not ascii_only or text.isascii()


def test_english_screens_are_ascii() -> None:
    """With plain names every screen is ASCII, so a serial line shows all of it."""
    plain = fleet(("erp-db01", "web"))
    for place in CONTENT:
        view = look(place)
        assert all(
            words.isascii()
            for line in frame.draw(CONTENT[place](plain, view), plain, view).lines
            for words, _ in line
        )


def test_the_answer_comes_first() -> None:
    """The second line of the fleet says how many machines can start now."""
    rows = board(fleet(("a", "b", "c")), look("fleet"))
    assert rows[1].startswith(" CAN START NOW: 2 of 3")


def test_who_needs_somebody_stands_on_top() -> None:
    """LIVE, then what cannot start, then what failed stand above all else."""
    picture = fleet(tuple(f"m{n}" for n in range(9)))
    rows = board(picture, look("fleet", size=(200, 60)))
    assert [row[1] for row in rows[4:13]] == ["*", "?", "X", "?", "!", ">", "*", "-", "+"]


def test_the_cursor_is_seen_without_colours() -> None:
    """The row under the cursor begins with `=`, and no other row does."""
    picture = fleet(("a", "b", "c"))
    rows = board(picture, look("fleet", chosen="b"))
    assert [row.split()[1] for row in rows if row.startswith("=")] == ["b"]


def test_the_cursor_stays_in_view() -> None:
    """However far down the chosen machine is, it is on the screen, and the rest is counted."""
    names = tuple(f"m{n:03}" for n in range(200))
    picture = fleet(names)
    for chosen in ("m000", "m077", "m199"):
        rows = board(picture, look("fleet", chosen=chosen))
        assert any(row.startswith("=") and chosen in row for row in rows)
    assert any("more above, PgUp" in row for row in rows)


def test_a_lost_engine_is_said_at_once_and_on_every_row() -> None:
    """Without the engine the last known state stays, its rows marked `?`, and the reason on top."""
    rows = board(LOST, look("fleet"))
    assert rows[1].startswith(" ENGINE NOT ANSWERING since 04:42:07")
    assert "LAST KNOWN STATE" in rows[1]
    titles = next(at for at, row in enumerate(rows) if "MACHINE" in row)
    assert [row[1] for row in rows[titles + 1 : titles + 5]] == ["?"] * 4
    assert not any("CAN START NOW" in row for row in rows)


def test_nothing_protected_names_the_next_step() -> None:
    """A fresh engine's first screen names what was found and how to protect it."""
    picture = fleet(("erp-db01",))
    bare = Fleet(hello=picture.hello, link=picture.link, sets=picture.sets, targets=picture.targets)
    text = "\n".join(board(bare, look("fleet")))
    assert "NOTHING IS PROTECTED YET" in text
    assert "press n" in text
    assert "bootpoint standby add erp-db01 --images /mnt/replica/erp-db01" in text


def test_the_start_page_defaults_to_no_and_says_what_is_lost() -> None:
    """Before a start the page names the data's moment, the loss and the steps; `no` is chosen."""
    rows = board(fleet(("erp-db01",)), look("plan"))
    text = "\n".join(rows)
    assert "Data as of   Sat 21 Nov 17:42:07, 11h old" in text
    assert "You lose     what was written on the source in the last 11h" in text
    assert next(row for row in rows if row.startswith("=")).startswith("=(o) No, leave")


def test_the_run_page_ends_with_the_newest_serial_line() -> None:
    """The unfinished prompt of the guest is the last line of the tail, and its meaning is said."""
    from tui.look import Serial

    view = look("run", subject=Serial(("booting", "up"), 9, tail="erp login: "))
    rows = [row.rstrip() for row in board(fleet(("erp-db01",)), view)]
    assert " | erp login:" in rows
    assert any("shows its login prompt" in row for row in rows)
    assert rows.index(" | erp login:") > rows.index(" | up")


def test_a_machine_opens_on_the_point_that_can_start() -> None:
    """The cursor is on the newest ready boot point, not on a newer one that failed."""
    from dataclasses import replace

    picture = fleet(("erp-db01",))
    everything = picture.details["erp-db01"]
    everything.points = [point(1), point(2), point(3, "failed"), point(4, "applying")]
    everything.run = None
    picture = replace(picture, details={"erp-db01": everything})
    rows = board(picture, look("machine"))
    assert [row.split()[1] for row in rows if row.startswith("=")] == ["bp000002"]


def test_the_first_paint_offers_the_keys_of_the_row_it_chooses() -> None:
    """Before any key is pressed the line of keys belongs to the row under the cursor."""
    rows = board(fleet(("a", "b", "c")), look("fleet", chosen=""))
    assert "Enter open" in rows[-1]
    assert "stop" not in rows[-1]


def test_a_low_screen_keeps_rows_and_drops_details() -> None:
    """At 60x16 the list still shows machines and the keys."""
    rows = board(EVERY, look("fleet", size=(60, 16)))
    assert sum(row[1] in "*?X!>-+" and row[2] == " " for row in rows) >= 4
    assert "? help" in rows[-1]


def test_the_keys_offered_are_those_that_work() -> None:
    """A viewer is offered nothing that changes; an operator is."""
    from tui.screens.frame import footer

    view = look("fleet", chosen="b")
    words = {
        role: "".join(part for part, _ in footer(fleet(("a", "b", "c"), role=role), view))
        for role in ("viewer", "operator")
    }
    assert "build now" in words["operator"]
    assert not any(word in words["viewer"] for word in ("build", "start", "hold", "new"))


def test_a_chain_shows_its_gap_and_its_damage() -> None:
    """The drawing of an image set has the full, the gap, and the damaged increment in brackets."""
    from tests.unit.tui.sample import image_set
    from tui.screens.sets import chain

    assert chain(image_set("x").points, 60) == "F--2--3  [parent missing]  5--(6)"


def test_ages_go_on_without_the_engine() -> None:
    """A machine's age is counted from its data, not from what was last told."""
    from dataclasses import replace
    from datetime import timedelta

    later = replace(look("fleet"), now=NOW + timedelta(hours=2))
    assert any("2h47m" in row for row in board(LOST, later))
