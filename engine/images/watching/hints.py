"""Events of the kernel as hints that a scan may find something new; never as the truth.

Events are lost on overflow and absent on shares, so nothing here is relied upon.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from typing import ClassVar

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from engine.model.settling import is_temporary
from engine.model.text import safe

log = logging.getLogger(__name__)

_JOIN_S = 1.0
# Not opened and closed-without-writing: our own scans would cause them.
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class Hints(FileSystemEventHandler):
    """Calls `hint` whenever something other than a temporary file changes below a folder."""

    is_limit_told: ClassVar[bool] = False

    def __init__(self, root: str, hint: Callable[[], None]) -> None:
        """Watch nothing yet."""
        self._root = root
        self._hint = hint
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Begin to watch; where the kernel cannot, say so once and leave it to the scans."""
        try:
            observer = Observer()
            observer.schedule(self, self._root, recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            # Of 500 folders most meet the limit of a user's instances: one line of warning is it.
            often = error.errno == errno.EMFILE and Hints.is_limit_told
            Hints.is_limit_told |= error.errno == errno.EMFILE
            log.log(
                logging.DEBUG if often else logging.WARNING,
                "no events for %s (%s): it is scanned periodically only",
                safe(self._root, 200),
                error.strerror or error,
            )
            return
        self._observer = observer

    def stop(self) -> None:
        """End watching; repeatable."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join(_JOIN_S)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass an event on as a hint."""
        name = os.fsdecode(event.dest_path or event.src_path).rpartition("/")[2]
        if event.is_directory or not is_temporary(name):
            self._hint()
