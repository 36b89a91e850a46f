"""What changed since a number."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.api.ledger import GONE_KEPT, Ledger
from engine.api.present import Views
from engine.api.views import FindingView, Picture


def views(findings: dict[str, str], journal: int = 0) -> Views:
    """Return views with only findings."""
    told = [
        FindingView(id=key, gravity="note", subject="", text=text) for key, text in findings.items()
    ]
    return Views(fleet=(), jobs=(), sets=(), findings=told, targets=(), alerts=(), journal=journal)


def picture(ledger: Ledger, seq: int, *, full: bool = False) -> Picture:
    """Return what a console decodes."""
    page = ledger.since({"findings"}, seq, full=full)
    return msgspec.json.decode(msgspec.json.encode(page), type=Picture)


def apply(known: dict[str, str], told: Picture) -> dict[str, str]:
    """Do what a console does with a picture."""
    if told.full:
        known = {}
    known = {**known, **{one.id: one.text for one in told.findings}}
    return {k: v for k, v in known.items() if f"findings/{k}" not in told.gone}


KEYS = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("xyz"))


@settings(deadline=None)
@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=20))
def test_any_changes_seen_at_any_time_give_the_present(
    steps: list[tuple[dict[str, str], bool]],
) -> None:
    """A console that looks now and then ends with exactly what there is."""
    ledger, known, seq = Ledger("e"), dict[str, str](), 0
    for now, looks in [*steps, ({"a": "x"}, True)]:
        ledger.take(views(now), {}, ())
        if looks:
            told = picture(ledger, seq)
            known, seq = apply(known, told), told.seq
    assert known == {"a": "x"}


SIZES = st.sampled_from([1, 10, 200_000, 390_000, 700_000])


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 12), SIZES, min_size=1))
def test_pages_together_are_the_whole(sizes: dict[int, int]) -> None:
    """However big the objects are, page after page brings each of them."""
    ledger = Ledger("e")
    ledger.take(views({str(k): "x" * size for k, size in sizes.items()}), {}, ())
    seq, known, full, more = 0, dict[str, str](), True, True
    while more:
        told = picture(ledger, seq, full=full)
        known = apply(known, told)
        seq, full, more = told.seq, False, told.more
    assert {k: len(v) for k, v in known.items()} == {str(k): size for k, size in sizes.items()}


def test_a_whole_picture_speaks_of_nothing_gone() -> None:
    """Who is told to forget everything needs no list of what is gone."""
    ledger = Ledger("e")
    ledger.take(views({"a": "x", "b": "x"}), {}, ())
    ledger.take(views({"a": "x"}), {}, ())
    told = picture(ledger, 0, full=True)
    assert ([one.id for one in told.findings], told.gone) == (["a"], [])


def test_the_same_views_change_nothing() -> None:
    """Looking again at the same things sends nothing."""
    ledger = Ledger("e")
    assert ledger.take(views({"a": "x"}), {}, ())
    assert not ledger.take(views({"a": "x"}), {}, ())


def test_a_new_journal_line_is_a_change_of_every_topic() -> None:
    """Whoever listens to anything learns that there is more to read."""
    ledger = Ledger("e")
    ledger.take(views({}, journal=4), {}, ())
    before = ledger.newest({"jobs"})
    ledger.take(views({}, journal=5), {}, ())
    assert ledger.newest({"jobs"}) > before
    assert picture(ledger, before).journal == 5


def test_what_is_gone_is_remembered_for_a_while_only() -> None:
    """After more than a thousand ids are gone, an old number is not good any more."""
    ledger = Ledger("e")
    ledger.take(views({}), {}, ())
    start = ledger.seq
    ledger.take(views({str(n): "x" for n in range(GONE_KEPT + 10)}), {}, ())
    ledger.take(views({}), {}, ())
    assert not ledger.knows(start)
    assert ledger.knows(ledger.seq)
    assert not ledger.knows(ledger.seq + 1)


def test_an_object_bigger_than_a_page_breaks_nothing() -> None:
    """What no frame can carry is left out; everything else arrives."""
    ledger = Ledger("e")
    ledger.take(views({"huge": "x" * (1 << 20), "small": "y"}), {}, ())
    assert [one.id for one in picture(ledger, 0, full=True).findings] == ["small"]
