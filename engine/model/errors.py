"""What can go wrong, told so that an operator can act.

Every error that reaches an operator carries a `Problem`: what happened with which facts,
what was left unchanged, and what to do. The words never name a key or a button; the front
ends know those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure in words.

    Attributes:
        key: Stable dotted name for programs and translations, such as `image.truncated`.
        happened: What failed and with which facts, whole sentences.
        unchanged: What was left as it was; empty where nothing was at stake.
        remedy: What to do now.
        facts: The same facts for programs; ASCII names, scalar values.
    """

    key: str
    happened: str
    unchanged: str = ""
    remedy: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the three parts as one paragraph."""
        return " ".join(part for part in (self.happened, self.unchanged, self.remedy) if part)


class Failure(Exception):
    """The work could not be done; `problem` says why and what to do (CLI exit 1)."""

    def __init__(self, problem: Problem) -> None:
        """Keep the problem; `str()` gives its sentences."""
        super().__init__(str(problem))
        self.problem = problem


class FormatError(Failure):
    """An image file's structure is not what its format demands."""


class ImageCorrupt(Failure):
    """Payload of an image file does not match its checksum."""


class SourceChanged(Failure):
    """A file changed while it was being read; try again later."""


class SourceMissing(Failure):
    """A watched folder or an image file is not there (now); nothing is deleted for it."""


class SourceSilent(Failure):
    """A watched folder hangs: it neither gives bytes nor says why; the work is tried again."""


class NoSpace(Failure):
    """A store or state folder has no room; the work resumes when space returns."""


class LayerError(Failure):
    """A store cannot do what was asked of a layer."""


class StoreAway(LayerError):
    """A store is not there (now): nothing is written in its place, nothing is deleted for it."""


class NotBootable(Failure):
    """A guest cannot be made bootable, so it is not tried again by itself; the key says why."""


class HypervisorError(Failure):
    """A target refused or failed."""


class PartlyTold(Failure):
    """A message was taken for some and refused for others; it is not sent again."""


class Refused(Failure):
    """Refused for safety; nothing was changed (CLI exit 4)."""


class WrongUse(Failure):
    """The question itself is wrong: unknown name, bad value (CLI exit 2)."""


class NotFound(WrongUse):
    """The named machine, boot point, job or file does not exist."""


class Cancelled(Exception):
    """The operator or a stopping engine asked the work to end; leftovers are cleared later."""
