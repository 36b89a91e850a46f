"""The sample site lives: its images are replicated, its server changes, increments follow.

    replicate what there is ── pause ── grow, replicate ── pause ── grow, replicate ── … ── rest

Runs beside the engine as a process of its own, as a backup product at another site would. One at a
time: the lock file holds its process id while it lives.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from engine.local.durable import file_lock
from engine.model.progress import Progress
from engine.ports import Cancel, Clock
from engine.sample.guest import counter_of
from engine.sample.replicate import PACE, replicate
from engine.sample.site import Site, grow


@dataclass(frozen=True, slots=True)
class Tempo:
    """How the site lives.

    Attributes:
        increments: The guest's counter is raised until this many increments exist; then it rests.
        pause_s: Seconds between two.
        rate: Bytes per second of the replication; None: as fast as it goes.
    """

    increments: int = 5
    pause_s: float = 40.0
    rate: float | None = PACE


def live(
    site: Site, clock: Clock, cancel: Cancel, say: Callable[[str], None], tempo: Tempo
) -> None:
    """Replicate, then grow and replicate again and again; return when all increments are there.

    Killed anywhere and run again, it goes on where it was.

    Args:
        say: Told each step in words.

    Raises:
        LockHeld: Another process does it already.
        Cancelled: The end was asked for.
    """
    with file_lock(site.folder / "live.lock"):
        _note_process(site)
        say("replicating")
        replicate(site.images, site.watched, clock, cancel, _quiet, tempo.rate)
        while counter_of(site.source) <= tempo.increments:
            clock.sleep(tempo.pause_s, cancel)
            counter, _made = grow(site, clock, cancel, _quiet, tempo.rate)
            say(f"counter {counter}: imaged and replicated")
        say("all increments are there; `bootpoint sample grow` makes one more")


def _note_process(site: Site) -> None:
    """Write our process id into the lock file, for whoever wants to end us."""
    fd = os.open(site.folder / "live.lock", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, f"{os.getpid()}\n".encode())
    finally:
        os.close(fd)


def _quiet(_progress: Progress) -> None:
    """Show nothing: the console shows what arrives."""
