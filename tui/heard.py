"""The engine's sentences in the operator's language. Pure.

The engine speaks English to every console, with names and figures already in place:

    one of the newest 24 ─► the template that fits, `one of the newest {count}` ─► its translation,
                            with the 24 in its place; what no template fits stays as it is

So consoles of different languages look at one engine, and an engine that is newer than its console
says something in English rather than nothing. The templates are those of the catalogue in the
context `engine`, which are collected from the engine's own sources (`.ci/spoken.py`), and the few
of `tui/sayings.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tui import sayings, words
from tui.format import MONTHS
from tui.words import _

SAID = frozenset(
    {"reason", "fate", "sign", "rung", "why", "period", "many", "stage", "what", "which", "how"}
)
"""Placeholders that hold words of the engine, though it be one word; elsewhere one is a name."""
GIVEN = frozenset({"note", "name", "machine", "path", "file", "folder", "question", "shown", "key"})
"""Placeholders that hold what somebody else wrote; it stays, whatever it reads like."""
DAYS = frozenset({"when", "end", "until"})
"""Placeholders that may hold a moment with its day."""
PLAIN = 12
"""Letters below which a template says so little that its facts must be single words."""
JOINED = 4
"""Sentences that are taken together: a fact in one may hold what looks like its end."""
MOST = 60
"""Sentences of a text that are looked at: no text of the engine has more."""
DEEPEST = 6
"""Texts within texts that are looked at."""
_MOMENT = re.compile(r"(?P<weekday>\w{3}) (?P<day>\d+) (?P<month>\w{3}) (?P<clock>\d\d:\d\d)")
_SENTENCE = re.compile(r"(?<=[.?]) (?=\S)")
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class _Template:
    """What the engine says, cut where its facts stand: one more text than facts."""

    said: tuple[str, ...]
    facts: tuple[str, ...]
    translation: str
    letters: int

    def fits(self, text: str) -> Mapping[str, str] | None:
        """Return the facts in a text by name, the shortest first; None when it says another thing.

        Nothing is tried twice, so it takes time in proportion to the text, whatever is in it.
        """
        first, last = self.said[0], self.said[-1]
        if len(self.said) == 1:
            return {} if text == first else None
        end = len(text) - len(last)
        at = len(first)
        if end < at or not text.startswith(first) or not text.endswith(last):
            return None
        found = []
        for said in self.said[1:-1]:
            to = text.find(said, at, end)
            if to < 0:
                return None
            found.append(text[at:to])
            at = to + len(said)
        facts = dict(zip(self.facts, [*found, text[at:end]], strict=True))
        vague = self.letters < PLAIN and any(
            " " in fact for name, fact in facts.items() if name not in SAID
        )
        return None if vague else facts


@lru_cache(maxsize=2)
def _templates(_language: str) -> Sequence[_Template]:
    """Return all templates of a language; those that say the most come first."""
    known = words.told("engine")
    known |= {one: _(one) for one in (*sayings.WORDS, *sayings.PUT_TOGETHER)}
    made = []
    for text, translation in known.items():
        cut = _FIELD.split(text)
        said, facts = tuple(cut[::2]), tuple(cut[1::2])
        letters = sum(one.isalpha() for one in "".join(said))
        made.append(_Template(said, facts, translation, letters))
    return sorted(made, key=lambda one: -one.letters)


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


def heard(text: str, *, deep: int = 0) -> str:
    """Return a sentence of the engine in the operator's language, as it is when not known.

    `deep`: how many texts this one is within.
    """
    if not text or deep > DEEPEST or words.language() == words.SOURCE:
        return text
    return _heard(text, deep, words.language())


@lru_cache(maxsize=4096)
def _heard(text: str, deep: int, language: str) -> str:
    sentences = _SENTENCE.split(text, maxsplit=MOST)
    return " ".join(_told(sentences, deep, language))


def _told(sentences: Sequence[str], deep: int, language: str) -> Iterator[str]:
    """Yield each sentence, or as many as are one, in the operator's language."""
    at = 0
    while at < len(sentences):
        for to in range(at + 1, min(at + JOINED, len(sentences)) + 1):
            said = _translated(" ".join(sentences[at:to]), deep, language)
            if said is not None:
                yield said
                at = to
                break
        else:
            yield _parts(sentences[at], deep)
            at += 1


def _translated(text: str, deep: int, language: str) -> str | None:
    for template in _templates(language):
        if (facts := template.fits(text)) is not None:
            told = {name: _fact(name, fact, deep) for name, fact in facts.items()}
            return template.translation.format(**told)
    return None


def _fact(name: str, fact: str, deep: int) -> str:
    """Return a fact: words of the engine are translated, names and figures stay."""
    if name in DAYS:
        fact = _day(fact)
    given = name.rstrip("0123456789") in GIVEN or " " not in fact
    return fact if given and name not in SAID else heard(fact, deep=deep + 1)


def _parts(text: str, deep: int) -> str:
    """Return a text that no template fits: its parts that are known are translated."""
    name, colon, said = text.partition(": ")
    if colon and " " not in name:  # somebody's name
        return f"{name}: {heard(said, deep=deep + 1)}"
    parts = text.split("; ", maxsplit=MOST)
    if len(parts) > 1:
        return "; ".join(heard(one, deep=deep + 1) for one in parts)
    return f"{heard(name, deep=deep + 1)}: {heard(said, deep=deep + 1)}" if colon else text
