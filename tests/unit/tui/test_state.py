"""The picture: any split of the changes gives the same one."""

from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.api.views import Picture
from tests.unit.tui.sample import NOW, entry, fleet, hello, job, look, machine
from tui.state import (
    Down,
    Fleet,
    Read,
    Told,
    Up,
    all_jobs,
    apply,
    by_need,
    counts,
    live_jobs,
    matching,
)
from tui.tones import STATES

NAMES = ("a", "b", "c", "d")
STEPS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), st.sampled_from(sorted(STATES)))),
    max_size=30,
)


def told(steps: list[tuple[str, str | None]], seq: int) -> Picture:
    """Return one message for several steps, as the door merges them: the last one counts."""
    last = dict(steps)
    return Picture(
        epoch="e",
        seq=seq,
        fleet=[machine(name, state) for name, state in last.items() if state],
        jobs=[job(ord(name), name) for name, state in last.items() if state],
        gone=[
            f"{topic}"
            for name, state in last.items()
            if not state
            for topic in (f"fleet/{name}", f"jobs/{ord(name)}")
        ],
    )


@given(steps=STEPS, cuts=st.lists(st.integers(0, 30), max_size=6))
def test_any_split_of_the_changes_gives_the_same_picture(
    steps: list[tuple[str, str | None]], cuts: list[int]
) -> None:
    """A console that saw every change, and one that saw them merged, know the same."""
    edges = sorted({0, len(steps), *(min(cut, len(steps)) for cut in cuts)})
    picture = Fleet()
    for seq, (start, end) in enumerate(itertools.pairwise(edges)):
        picture = apply(picture, Told(told(steps[start:end], seq)))
    whole = {name: state for name, state in dict(steps).items() if state}
    assert {name: one.state for name, one in picture.machines.items()} == whole
    assert set(picture.jobs) == {str(ord(name)) for name in whole}


@given(steps=STEPS)
def test_a_full_picture_forgets_what_was(steps: list[tuple[str, str | None]]) -> None:
    """After a full picture nothing older is left."""
    before = apply(Fleet(), Told(told(steps, 1)))
    full = Picture(epoch="f", seq=9, full=True, fleet=[machine("z")])
    assert set(apply(before, Told(full)).machines) == {"z"}
    assert apply(before, Told(full)).jobs == {}


@given(states=st.lists(st.sampled_from([*STATES, "NEWER"]), max_size=30))
def test_the_order_is_by_need_then_by_name(states: list[str]) -> None:
    """Every machine is listed once, needier ones first, ties by name."""
    machines = {f"m{n:02}": machine(f"m{n:02}", state) for n, state in enumerate(states)}
    order = by_need(Fleet(machines=machines))
    rank = {code: place for place, code in enumerate(STATES)}
    keys = [(rank.get(one.state, 0), one.id) for one in order]
    assert keys == sorted(keys)
    assert {one.id for one in order} == set(machines)


def test_the_neediest_state_leads() -> None:
    """The order is LIVE, NONE, FAIL, LOST, LATE, BUILD, TEST, HELD, READY."""
    assert " ".join(STATES) == "LIVE NONE FAIL LOST LATE BUILD TEST HELD READY"


def test_a_filter_takes_words_states_and_targets() -> None:
    """All words must fit; `state:` takes several, `on:` the target, else part of the name."""
    picture = Fleet(
        machines={
            "erp-db": machine("erp-db", "LATE"),
            "erp-web": machine("erp-web", "READY", target="esxi-01"),
            "mail": machine("mail", "FAIL"),
        }
    )

    def names(query: str, *, worst: bool = False) -> list[str]:
        view = look("fleet", query=query, worst=worst)
        return [one.id for one in matching(picture, view).rows]

    assert names("erp") == ["erp-db", "erp-web"]
    assert names("state:late,fail") == ["mail", "erp-db"]
    assert names("erp on:esxi") == ["erp-web"]
    assert names("", worst=True) == ["mail", "erp-db"]
    assert names("nothing") == []
    assert counts(picture) == {"FAIL": 1, "LATE": 1, "READY": 1}


def test_a_loss_begins_once_and_ends_with_an_answer() -> None:
    """`since` is the first failed try; the tries count; an answer takes it away."""
    down = Down("refused", NOW, 1, NOW + timedelta(seconds=1))
    again = Down("refused", NOW + timedelta(seconds=9), 2, NOW + timedelta(seconds=10))
    lost = apply(apply(fleet(("a",)), down), again)
    assert lost.link.since == NOW
    assert lost.link.tries == 2
    assert lost.link.ever
    assert not apply(lost, Up(hello(), NOW)).link.is_lost


def test_another_engine_has_another_journal() -> None:
    """After a restart of the engine the journal is read again from its end."""
    picture = apply(fleet(("a",)), Up(hello(epoch="other"), NOW))
    assert picture.journal == ()
    assert picture.journal_end == 0


@given(numbers=st.lists(st.integers(1, 50), max_size=40))
def test_journal_lines_come_in_any_order_and_twice(numbers: list[int]) -> None:
    """Lines stand once each, by number, however they arrived."""
    picture = Fleet()
    for number in numbers:
        picture = apply(picture, Read([entry(number, "a", "x")]))
    assert [int(one.id) for one in picture.journal] == sorted(set(numbers))


def test_running_jobs_stand_before_waiting_ones_and_ended_ones_last() -> None:
    """Live jobs go by number, ended ones the newest first."""
    states = {1: "done", 2: "queued", 3: "running", 4: "failed", 5: "running"}
    picture = Fleet(jobs={str(n): job(n, "a", status) for n, status in states.items()})
    assert [one.id for one in live_jobs(picture)] == ["3", "5", "2"]
    assert [one.id for one in all_jobs(picture)] == ["3", "5", "2", "4", "1"]
