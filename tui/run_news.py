"""What is new about a VM that is being looked at: its state, and what its guest wrote. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tui.core import Spot
from tui.look import Serial
from tui.screens.run import stage
from tui.state import Fleet


@dataclass(frozen=True, slots=True)
class RunNews:
    """How a VM stood when it was last told of; empty while none is looked at.

    Attributes:
        stage: Its state, a sentence without any time in it.
        lines: Serial lines known, the newest last.
        tail: The unfinished last line; `told`: it was said already.
    """

    machine: str = ""
    stage: str = ""
    lines: tuple[str, ...] = ()
    tail: str = ""
    told: bool = False

    @classmethod
    def of(cls, fleet: Fleet, spot: Spot) -> RunNews:
        """Return how the VM of the run page stands now."""
        if spot.place != "run" or not isinstance(spot.subject, Serial):
            return cls()
        serial = spot.subject
        return cls(spot.arg, stage(fleet, spot.arg), serial.lines, serial.tail)


def news(old: RunNews, new: RunNews) -> tuple[list[str], RunNews]:
    """Return the lines to say after `old` was said, and what is said then.

    An unfinished line is said once it has stood there for two looks: a prompt that waits.
    """
    if new.machine != old.machine:
        return [], new
    said = [f" {new.stage}"] if new.stage != old.stage else []
    said += [f" | {line}" for line in added(old.lines, new.lines)]
    told = old.told and new.tail == old.tail
    if new.tail and new.tail == old.tail and not told:
        said.append(f" | {new.tail}")
        told = True
    return said, replace(new, told=told)


def added(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines of `new` that come after those of `old`, of which the first may be gone."""
    for gone in range(len(old)):
        kept = old[gone:]
        if new[: len(kept)] == kept:
            return new[len(kept) :]
    return new
