"""A new target in the console: fields, a first contact, a comparison, then the engine adds it.

What was filled in is kept in the user's own folder at each answer, as drafts of standbys are, until
the target was added. A password is never among it: only where it is can be filled in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import tomli_w

from engine.api.contact_views import AddedView, ContactView
from engine.local.drafts import Draft, Drafts
from engine.local.secret import is_reference
from tui.errand import Errands
from tui.feed import Refusal
from tui.look import NewTarget
from tui.question import Question
from tui.screens import target
from tui.screens.target import CLEAR, FIELDS, GO, TRANSPORTS, YES
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core

PLACE, ASKS, DONE = "target", "trust", "added"
LOOK_S = 120.0
"""A host that is slow to say what it has may take so long."""
_DRAFT = "new-target"


class Targeting:
    """The verbs about a new target, over one console."""

    def __init__(self, console: Core, sure: Callable[[Callable[[], object]], None]) -> None:
        """Serve this console; `sure` lets the operator type a word before something is done."""
        self._console, self._sure = console, sure
        folder = console.setup.drafts
        self._drafts = Drafts(folder / "targets") if folder is not None else None
        self._words: Mapping[str, str] = self._kept()
        self._errands = Errands(console)

    # --- what was filled in -----------------------------------------------------------------

    def _kept(self) -> Mapping[str, str]:
        draft = self._drafts.read(_DRAFT) if self._drafts is not None else None
        try:
            told = tomllib.loads(draft.text) if draft is not None else {}
        except tomllib.TOMLDecodeError:
            return {}
        return {key: str(told[key]) for key in FIELDS if key in told}

    def _keep(self, words: Mapping[str, str]) -> None:
        """Keep what was filled in; where no file can be written, for this console only."""
        self._words = words
        if self._drafts is None:
            return
        if not words:
            self._drafts.drop(_DRAFT)
            return
        try:
            self._drafts.keep(Draft(_DRAFT, tomli_w.dumps(words)))
        except (OSError, ValueError):
            self._console.note(
                _("The draft cannot be kept: it is lost when you leave the console.")
            )

    def open(self) -> None:
        """Open the page with the fields, as they were left."""
        self._console.go(PLACE, subject=NewTarget(self._words))
        if self._words:
            self._console.note(_("What you filled in is taken up where it was left."))

    def fill(self, row: str) -> None:
        """Answer the row of the page that was chosen."""
        new = self._console.spot.subject
        if not isinstance(new, NewTarget) or self._errands.busy:
            return
        if row == GO:
            self._contact(new)
        elif row == CLEAR:
            self._sure(lambda: self._set({}))
        elif row == "transport":
            now = new.words.get(row) or TRANSPORTS[0]
            self._answer(new, row, TRANSPORTS[now == TRANSPORTS[0]])
        else:
            value = new.words.get(row, "")
            done = lambda text: self._answer(new, row, text)  # noqa: E731  (named for its line)
            self._console.face.ask(Question(f"{row}:", done=done, value=value))

    def _answer(self, new: NewTarget, row: str, text: str) -> None:
        text = text.strip()
        if row == "password" and text and not is_reference(text):
            self._console.note(
                _(
                    "A password is never typed here: say where it is, file:/PATH or "
                    "credential:NAME. It was left as it was."
                )
            )
        elif row == "url" and "@" in text:
            self._console.note(
                _("An address holds no user and no password. It was left as it was.")
            )
        else:
            words = {**new.words, row: text}
            self._set({key: words[key] for key in FIELDS if words.get(key)})

    def _set(self, words: Mapping[str, str]) -> None:
        if self._console.spot.place == PLACE:
            self._console.spot.subject = NewTarget(words)
        self._keep(words)
        self._console.paint()

    # --- asking the engine ------------------------------------------------------------------

    def _contact(self, new: NewTarget) -> None:
        self._console.note(_("Asking the host for its certificate .."))

        def seen(told: ContactView, is_here: bool) -> None:
            if is_here:
                asked = replace(new, field="", wrong="", contact=told)
                self._console.go(ASKS, subject=asked, token=uuid4().hex, chosen=target.NO)

        refused = partial(self._refused, new)
        self._errands.ask("target.contact", _asked(new), ContactView, seen, refused=refused)

    def _refused(self, new: NewTarget, refusal: Refusal) -> None:
        """Mark the field that is wrong, or tell the refusal on a page of its own."""
        console = self._console
        field = str(refusal.facts.get("field", ""))
        if field not in FIELDS:
            console.note("")
            console.actions.refused(refusal)
            return
        wrong = f"{refusal.happened} {refusal.remedy}".strip()
        console.spot.subject = replace(new, field=field, wrong=wrong)
        console.spot.chosen = field
        console.note("")

    def decide(self, row: str) -> None:
        """Go back to the fields, or add it once the operator is sure."""
        new = self._console.spot.subject
        if row != YES:
            self._console.back()
            self._console.note(_("No target was added. What you filled in is kept."))
        elif isinstance(new, NewTarget) and not self._errands.busy:
            self._sure(lambda: self._add(new))

    def _add(self, new: NewTarget) -> None:
        spot = self._console.spot
        self._console.note(_("Logging in and looking; a slow host takes a minute .."))
        anyway = new.added is not None
        trust = "" if new.words.get("authority") or new.contact is None else new.contact.sha256
        params = {**_asked(new), "pin": trust, "anyway": anyway, "key": f"{spot.token}-{anyway}"}

        def done(added: AddedView, is_here: bool) -> None:
            told = replace(new, added=added)
            if added.file:
                self._keep({})
                self._console.switch("targets")
                self._console.go(DONE, subject=told)
            elif is_here:
                spot.subject, spot.chosen = told, target.NO
                self._console.note("")

        self._errands.ask("target.add", params, AddedView, done, leaves=True, timeout_s=LOOK_S)


def _asked(new: NewTarget) -> Mapping[str, str]:
    """Return the params of a call: what is needed is there, be it empty."""
    return {**dict.fromkeys(target.NEEDED, ""), **new.words}
