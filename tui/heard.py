"""The engine's sentences in the operator's language. Pure.

The engine speaks English to every console, with names and figures already in place:

    one of the newest 24 ─► the template that fits, `one of the newest {count}` ─► its translation,
                            with the 24 in its place; what no template fits stays as it is

So consoles of different languages look at one engine, and an engine that is newer than its console
says something in English rather than nothing. A test holds each template against the engine's
sources.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tui import sayings, words
from tui.format import MONTHS
from tui.words import N_, _

KNOWN = (
    # Why a boot point stays.
    N_("one of the newest {count}"),
    N_("one of the newest {count} that cannot be made bootable"),
    N_("is tried again"),
    N_("newest ready boot point"),
    N_("the next boot point continues it"),
    N_("{point} is made from it"),
    N_("newest proven boot point"),
    N_("one of {floor} proven that always stay"),
    N_("one of {floor} that always stay while fewer are proven"),
    N_("first of its {period}, one of {count}"),
    N_("is being made"),
    N_("a VM runs from it"),
    N_("a machine or a newer boot point reads its files"),
    N_("retention is on hold: {hold}"),
    N_("nothing goes, so no room comes back"),
    N_("how much room comes back cannot be told now"),
    # What a job does, and its steps.
    N_("makes a boot point"),
    N_("applies an increment; newer ones go first"),
    N_("converts a boot point again"),
    N_("retires a boot point"),
    N_("gets its newest boot point armed"),
    N_("is brought home"),
    N_("check"),
    N_("fold"),
    # What is waited for.
    N_("waits for a slot"),
    N_("waits for a slot of its target"),
    N_("waits for a slot of its datastore"),
    N_("waits for a slow target"),
    N_("waits for its target"),
    N_("waits for room"),
    N_("waits for its own job"),
    N_("waits for an answer, see bootpoint answer {machine}: {question}"),
    N_("It waits for an answer on its target: {question}"),
    N_("Nothing is asked: VM {machine} waits for no answer."),
    N_("VM {machine} asks something else by now, or was answered by somebody else."),
    N_("Nothing was answered."),
    N_("Nothing was answered from here."),
    N_("Read again what it asks, then answer that."),
    N_("{who} answered what the VM of {machine} asked with {choice}: {question}"),
    # The ladder.
    N_("written"),
    N_("arrived"),
    N_("verified"),
    N_("ready"),
    N_("proven"),
    N_("never"),
    N_("<- time is lost here"),
    N_("{time} no newer image was taken"),
    N_("{time} on the way here"),
    N_("{time} until its files were whole"),
    N_("{time} making the boot point"),
    N_("no image has arrived yet"),
    N_("the newest came {age} ago; silence is no alarm"),
    N_("the newest came {age} ago; silent from {when}"),
    N_("usually every {usual}, the newest came {age} ago; silence is no alarm"),
    N_("usually every {usual}, the newest came {age} ago; silent from {when}"),
    N_("usually every {usual}, the newest came {age} ago; SILENT since {when}"),
    # A start, its phases and what it usually takes.
    N_("scratch layer"),
    N_("define the VM"),
    N_("power on"),
    N_("drop scratch layer"),
    N_("first serial output"),
    N_("login prompt"),
    N_("guest tools answer"),
    N_("not known"),
    N_("about {time} to power on; no guest's sign of life was measured yet"),
    N_("Nothing odd in the newest {count} increments."),
    N_("No history yet: neither this machine nor another on its target was started here."),
    N_("Nothing odd; too few increments so far ({count}) to know what is usual."),
    # What will happen, before it happens.
    N_("make a scratch layer on boot point {point}"),
    N_("start the VM on target {target}, on an isolated network"),
    N_("Boot point {point} is the newest ready one."),
    N_("Boot point {point} is not the newest ready one."),
    N_("What the VM writes goes to the scratch layer; the boot point stays as it is."),
    N_("The VM reaches no other network."),
    N_("power off the VM of {machine}"),
    N_("drop its scratch layer: what the VM wrote since its start is gone"),
    N_("make a boot point of the newest complete recovery point"),
    N_("make no further boot points of {machine} until {end}"),
    N_("make boot points of {machine} again"),
    N_("Its {count} ready boot points stay, and can be started."),
    N_("The trigger of {machine} ({trigger}) stays as it is."),
    N_("pin boot point {point}: {note}"),
    N_("take the pin off boot point {point}"),
    N_("make a new layer on the trunk layer of {point}"),
    N_("look at the guest in it, and convert it"),
    N_("It is the newest; no boot point of this machine is proven yet."),
    N_("It is the newest, and proven: a test boot of it passed."),
    N_("It is the newest; the newest proven one loses more than the goal allows."),
    N_("It is the newest proven one: a test boot of it passed. Newer ones were not tried."),
    # What the engine says when something was asked of it.
    N_("Starting {machine} from {point}."),
    N_("Stopping {machine}."),
    N_("Job {job} was asked to end."),
    N_("Converting {point} of {machine} again."),
    N_("A boot point of {machine} is made as soon as a slot is free."),
    N_("{machine} is paused until {end}."),
    N_("{machine} is resumed."),
    N_("Boot point {point} of {machine} is pinned."),
    N_("Boot point {point} of {machine} is not pinned any more."),
    N_("The retention of {machine} is on hold: nothing is taken away."),
    N_("The retention of {machine} works again."),
    N_("{alert} is looked after by {operator}; nobody is reminded of it."),
    *sayings.WRONG,
    *sayings.KEYS,
)
SAID = frozenset({"reason", "fate", "sign", "rung", "why", "period", "many"})
"""Placeholders that hold words of the engine; the others hold names and figures, which stay."""
DAYS = frozenset({"when", "end"})
"""Placeholders that may hold a moment with its day."""
_MOMENT = re.compile(r"(?P<weekday>\w{3}) (?P<day>\d+) (?P<month>\w{3}) (?P<clock>\d\d:\d\d)")
_SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")
_FIELD = re.compile(r"\\\{(\w+)\\\}")


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Return each template with what fits it; the most literal first."""
    ordered = sorted(KNOWN, key=lambda one: -len(re.sub(r"\{\w+\}", "", one)))
    return [
        (one, re.compile(_FIELD.sub(r"(?P<\1>.+?)", re.escape(one)), re.DOTALL)) for one in ordered
    ]


def _day(text: str) -> str:
    """Return a moment such as `Mon 23 Nov 06:34` as it is written in the operator's language."""
    found = _MOMENT.fullmatch(text)
    if found is None or found["month"] not in MONTHS:
        return text
    month = MONTHS.index(found["month"]) + 1
    return _(
        "{weekday} {day} {month} {clock}",
        weekday=_(found["weekday"]),
        day=int(found["day"]),
        month=month,
        clock=found["clock"],
    )


def heard(text: str) -> str:
    """Return a sentence of the engine in the operator's language, as it is when not known."""
    if not text or words.language() == words.SOURCE:
        return text
    return _heard(text, words.language())


@lru_cache(maxsize=4096)
def _heard(text: str, _language: str) -> str:
    for template, pattern in _patterns():
        if found := pattern.fullmatch(text):
            facts = {
                name: heard(fact) if name in SAID else _day(fact) if name in DAYS else fact
                for name, fact in found.groupdict().items()
            }
            return _(template, **facts)
    # Several sentences: each that is known is translated, the others stay as they are.
    sentences = _SENTENCE.split(text)
    if len(sentences) > 1:
        return " ".join(heard(one) for one in sentences)
    name, colon, said = text.partition(": ")
    if not colon:
        return text
    about = heard(name) if " " in name else name  # one word is somebody's name
    return f"{about}: {heard(said)}"
