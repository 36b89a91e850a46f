"""Notices that files of `standbys.d` were changed by hand: a chore of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.daemon.defining import Definitions
from engine.daemon.given import StandbyFiles

ACTOR = "the engine"


class HandEdits:
    """Reads `standbys.d` again once a file changed and then was left alone for a round."""

    def __init__(self, files: StandbyFiles, definitions: Definitions) -> None:
        """Take the files as they are now for known."""
        self._files, self._definitions = files, definitions
        self._known: Mapping[str, object] = {}
        self._seen: Mapping[str, object] = {}

    def __call__(self, _now: datetime) -> None:
        """Look once. Failure: the folder cannot be read.

        While something is wrong each round tries again: what was missing may have come.
        """
        marks = self._files.marks()
        settled, self._seen = marks == self._seen, marks
        if settled and (marks != self._known or self._definitions.has_misfits()):
            self._definitions.reload_standbys(ACTOR)
            self._known = marks
