"""What the engine before this one may have left under way on a host, when it was killed.

FOLDER/in-use   is there while an engine uses the target, and after one that did not say goodbye

A host may have taken a call and carry it out only now, with no task to be seen before. So whoever
comes after a killed engine changes nothing for some seconds: then the host shows what became of it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from engine.hypervisors.esxi.gate import Gate, wait
from engine.local.durable import durable_replace, make_folder, open_folder
from engine.ports import NEVER, Cancel

log = logging.getLogger(__name__)

QUIET_S = 5.0
"""Seconds that a host gets for what an engine told it before that was killed."""
_STEP_S = 0.2
_NAME = "in-use"


class LastLife:
    """Whether the last engine on a target ended well, and what to do when it did not. Thread-safe.

    A folder that cannot be written delays nothing: only a later engine knows less then.
    """

    def __init__(
        self,
        folder: Path,
        quiet_s: float = QUIET_S,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = wait,
    ) -> None:
        """Begin a life: look how the last one ended, and leave the sign of this one.

        Args:
            folder: What is remembered of the target.
            quiet_s: Seconds to let pass after one that was killed.
            monotonic, pause: A clock, and what waits so many seconds.
        """
        self._file, self._monotonic, self._pause = folder / _NAME, monotonic, pause
        self.was_killed = self._file.exists()
        self._until = monotonic() + quiet_s if self.was_killed else 0.0
        if self.was_killed:
            told = "%s: the last engine did not say goodbye; no VM is changed for %.0f s"
            log.info(told, folder.name, quiet_s)
        try:
            make_folder(folder)
            with open_folder(folder) as at:
                durable_replace(at, _NAME, b"")
        except OSError as error:
            log.warning("%s is not written: %s", self._file, error)

    def settle(self, cancel: Cancel = NEVER) -> None:
        """Wait until the host has carried out what the last engine told it.

        Raises:
            Cancelled: While waiting.
        """
        while (left := self._until - self._monotonic()) > 0:
            cancel.check()
            self._pause(min(left, _STEP_S))

    def end(self) -> None:
        """Say goodbye: nothing is under way."""
        with contextlib.suppress(OSError):
            self._file.unlink()


def gate_of(life: LastLife | None) -> Gate:
    """Return the gates of a host that opens once a life before this one has settled."""
    return Gate(settle=life.settle) if life is not None else Gate()
