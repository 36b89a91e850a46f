"""A host's new certificate in the console: shown beside the pinned one, compared, then pinned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.api.contact_views import AddedView, CheckedView, ContactView
from tui.errand import Errands
from tui.heard import heard
from tui.screens import certificate
from tui.targeting import LOOK_S
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core

PLACE = "certificate"


class Trusting:
    """The verbs about a known host that shows another certificate, over one console."""

    def __init__(self, console: Core, sure: Callable[[Callable[[], object]], None]) -> None:
        """Serve this console; `sure` lets the operator type a word before something is done."""
        self._console, self._sure = console, sure
        self._errands = Errands(console)

    def open(self, name: str) -> None:
        """Ask the host of a target for its certificate."""
        self._console.note(_("Asking the host for its certificate .."))
        self._errands.ask(
            "target.meet", {"target": name}, ContactView, self._show, timeout_s=LOOK_S
        )

    def _show(self, seen: ContactView, is_here: bool) -> None:
        if not is_here:
            return
        self._console.note("")
        self._console.go(PLACE, seen.id, subject=seen, token=uuid4().hex, chosen=certificate.NO)

    def decide(self, row: str) -> None:
        """Leave the pin as it is, or pin what was compared once the operator is sure."""
        seen = self._console.spot.subject
        if row != certificate.YES:
            self._console.back()
            self._console.note(_("Nothing was changed."))
        elif isinstance(seen, ContactView) and not self._errands.busy:
            self._sure(lambda: self._pin(seen))

    def _pin(self, seen: ContactView) -> None:
        self._console.note(_("Asked the engine .."))
        params = {"target": seen.id, "pin": seen.sha256, "key": self._console.spot.token}
        self._errands.ask(
            "target.trust",
            params,
            AddedView,
            self._pinned,
            leaves=True,
            timeout_s=LOOK_S,
        )

    def _pinned(self, done: AddedView, is_here: bool) -> None:
        if is_here:
            self._console.back()
        if done.why is not None:
            why = f"{heard(done.why.text)} {heard(done.why.remedy)}".strip()
            self._console.note(_("Pinned, for the engine's next start: {why}", why=why))
            return
        self._console.note(_("Pinned. Logging in and looking; a slow host takes a minute .."))
        self._errands.ask(
            "target.check",
            {"target": done.id},
            CheckedView,
            self._looked,
            timeout_s=LOOK_S,
        )

    def _looked(self, seen: CheckedView, _is_here: bool) -> None:
        told = _("Pinned; target {name} answers.", name=seen.id)
        if seen.trouble is not None:
            told = _("Pinned, but: {why}", why=heard(seen.trouble.text))
        self._console.note(told)
