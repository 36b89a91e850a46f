"""The report of a target's self-test: what only a real host can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "not tried"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        key: Stable dotted name.
        claim: What is true where it passed, a sentence.
        said: What was seen, or why it failed or was not tried.
        items: Numbers in the list at the end of docs/ESXI.md that it is about.
    """

    key: str
    claim: str
    outcome: Outcome
    said: str
    seconds: float
    items: Sequence[int] = ()


def redacted(text: str, secrets: Mapping[str, str]) -> str:
    """Return a text without names of the site.

    Args:
        secrets: Text -> what stands in its place; the longest are replaced first.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > 1:
            text = text.replace(secret, secrets[secret])
    return text
