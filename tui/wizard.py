"""Standbys defined and changed, step by step or as text; what is begun is kept until handed in.

image set or standby ─► draft ─► a step ─► … ─► review ─► `standby.put` ─► its first boot point
                          │        └─ each answer is kept as a draft and judged by the engine
                          └── as text, all at once
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.api.definition import KEYS, changed, read
from engine.api.definition_views import CheckView, DefinitionView
from engine.api.views import Done
from engine.local.drafts import Draft, Drafts
from engine.model.text import NAME as ALLOWED
from tui.feed import Refusal
from tui.heard import heard
from tui.look import Form
from tui.naming import free_name
from tui.question import Page, Question
from tui.screens import form, new
from tui.state import unprotected
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core

Sure = Callable[[Callable[[], object], str], None]


class Wizard:
    """The verbs about definitions, over one console."""

    def __init__(self, console: Core, sure: Sure) -> None:
        """Serve this console; `sure` lets the operator type a word before something is done."""
        self._console, self._sure = console, sure
        folder = console.setup.drafts
        self._drafts = Drafts(folder) if folder is not None else None
        self._busy = False
        self.look_again()

    # --- drafts -----------------------------------------------------------------------------

    def look_again(self) -> None:
        """Read which drafts there are."""
        self._console.drafts = tuple(self._drafts.all()) if self._drafts is not None else ()

    def _keep(self, draft: Draft) -> None:
        """Keep a draft in its file; one that cannot be kept is said to be lost on leaving."""
        if self._drafts is None:
            return
        try:
            self._drafts.keep(draft)
        except (OSError, ValueError):
            self._console.note(_("The draft cannot be kept: it is lost when you leave this page."))
        self.look_again()

    def _forget(self, name: str) -> None:
        if self._drafts is not None:
            self._drafts.drop(name)
        self.look_again()

    def drop(self) -> None:
        """Throw the chosen draft away."""
        name = self._console.spot.chosen.removeprefix(new.DRAFT)
        self._sure(lambda: self._forget(name), "yes")

    # --- beginning --------------------------------------------------------------------------

    def new(self) -> None:
        """Protect the image set under the cursor, or let one be chosen."""
        console, spot = self._console, self._console.spot
        chosen = spot.chosen if spot.place == "sets" else spot.arg if spot.place == "set" else ""
        found = console.fleet.sets.get(chosen)
        self.look_again()
        if found is not None and not found.standby:
            self.begin(chosen)
        else:
            console.go("new")

    def begin(self, chosen: str) -> None:
        """Begin a definition for the image set that was chosen, or go on with a draft."""
        console = self._console
        name = chosen.removeprefix(new.DRAFT)
        kept = next((one for one in console.drafts if one.new and one.name == name), None)
        if chosen.startswith(new.DRAFT) and kept is not None:
            self._open(kept)
            return
        found = console.fleet.sets.get(chosen)
        if found is None:
            return
        alike = [
            one
            for one in unprotected(console.fleet)
            if (one.root, one.machine) == (found.root, found.machine)
        ]
        machine = found.machine if len(alike) == 1 else found.machine_uuid
        taken = {*console.fleet.machines, *(one.name for one in console.drafts)}
        text = changed("", {"images": found.root, "machine": machine})
        draft = Draft(free_name(found.machine, taken), text, image_set=chosen)
        self._open(draft)

    def edit(self) -> None:
        """Change the standby under the cursor; a draft of that is taken up."""
        console = self._console
        if not self._busy:
            self._busy = True
            console.spawn(self._fetch(console.look().machine))

    async def _fetch(self, name: str) -> None:
        console = self._console
        try:
            view = await console.feed.call("standby.text", {"name": name}, DefinitionView)
        except Refusal as refusal:
            console.actions.refused(refusal)
            return
        finally:
            self._busy = False
        self.look_again()
        kept = next((one for one in console.drafts if not one.new and one.name == name), None)
        if kept is not None and kept.base == view.digest:
            self._open(kept)
            console.note(_("Your draft is taken up where it was left."))
        else:
            self._open(Draft(name, view.text, new=False, base=view.digest))

    def _open(self, draft: Draft) -> None:
        console = self._console
        console.go("form", draft.name, subject=Form(draft))
        console.spawn(self._judge(draft))

    # --- one step ---------------------------------------------------------------------------

    def _form(self) -> Form | None:
        subject = self._console.spot.subject
        return subject if isinstance(subject, Form) else None

    def _set(self, draft: Draft) -> None:
        """Take over a draft, keep it, and have it judged."""
        console = self._console
        now = self._form()
        if now is None:
            return
        console.spot.subject = Form(draft, now.review)
        console.spot.arg = draft.name
        if now.draft.name != draft.name:
            self._forget(now.draft.name)
        self._keep(draft)
        console.spawn(self._judge(draft))

    async def _judge(self, draft: Draft) -> None:
        console = self._console
        params = {"name": draft.name, "text": draft.text, "new": draft.new}
        try:
            review = await console.feed.call("standby.check", params, CheckView)
        except Refusal as refusal:
            console.note(heard(refusal.happened))
            return
        now = self._form()
        if now is not None and (now.draft.name, now.draft.text) == (draft.name, draft.text):
            console.spot.subject = Form(now.draft, review)
            console.face.paint_soon()

    def fill(self, row: str) -> None:
        """Answer the row of the form that was chosen."""
        told = self._form()
        if told is None:
            return
        draft = told.draft
        ways: dict[str, Callable[[], None]] = {
            form.NEXT: lambda: self._step(told, 1),
            form.BACK: lambda: self._step(told, -1),
            form.TEXT: self.as_text,
            form.NO: self._leave,
            form.YES: lambda: self._yes(told),
        }
        if row in ways:
            ways[row]()
        elif row == form.NAME:
            self._console.face.ask(
                Question(_("Name:"), done=lambda text: self._named(draft, text), value=draft.name)
            )
        elif choices := form.choices_of(self._console.fleet, row):
            usual = [] if row == "target" else [""]
            every, now = [*usual, *choices], form.shown(draft, row)
            at = every.index(now) if now in every else -1
            self._answer(draft, row, every[(at + 1) % len(every)])
        else:
            label = f"{KEYS[row].label}:"
            self._console.face.ask(
                Question(
                    label,
                    done=lambda text: self._answer(draft, row, text),
                    value=form.shown(draft, row),
                )
            )

    def _named(self, draft: Draft, name: str) -> None:
        if not ALLOWED.fullmatch(name):
            words = _("The name takes small letters, digits and hyphens, at most 48.")
            self._console.note(words)
        elif name != draft.name:
            self._set(replace(draft, name=name, why=""))

    def _answer(self, draft: Draft, key: str, words: str) -> None:
        try:
            text = changed(draft.text, {key: read(key, words)})
        except ValueError as error:
            self._console.note(f"{error}. " + _("It was left as it was."))
        else:
            self._set(replace(draft, text=text, why=""))

    def _step(self, told: Form, way: int) -> None:
        wrong = form.wrong_here(told.review, form.step_of(told.draft))
        if way > 0 and wrong:
            self._console.note(wrong[0].text)
            return
        self._set(replace(told.draft, step=form.beside(told.draft, way)))
        self._console.spot.chosen = ""

    def _leave(self) -> None:
        self._console.back()
        self._console.note(_("Nothing was changed. The draft is kept: n goes on with it."))

    # --- as text ----------------------------------------------------------------------------

    def as_text(self) -> None:
        """Let all of it be edited as text; it is judged before it is taken."""
        told = self._form()
        if told is None:
            return
        self._page(told.draft, told.draft.text, "")

    def _page(self, draft: Draft, text: str, said: str) -> None:
        def handed(text: str) -> None:
            self._console.spawn(self._handed(draft, text))

        def left(text: str) -> None:
            if text != draft.text:
                self._set(replace(draft, text=text))
                self._console.note(_("The text is kept as a draft; nothing was changed."))

        title = f"standbys.d/{draft.name}.toml"
        self._console.face.edit(Page(title, text, handed, left, said))

    async def _handed(self, draft: Draft, text: str) -> None:
        params = {"name": draft.name, "text": text, "new": draft.new}
        try:
            review = await self._console.feed.call("standby.check", params, CheckView)
        except Refusal as refusal:
            self._set(replace(draft, text=text))
            self._console.note(heard(refusal.happened))
            return
        if self._form() is None:
            self._keep(replace(draft, text=text))
            return
        if review.wrong:
            said = f"{review.wrong[0].text} {review.wrong[0].remedy}".strip()
            self._keep(replace(draft, text=text, why=said))
            self._page(draft, text, said)
            return
        self._set(replace(draft, text=text, step=form.REVIEW, why=""))
        self._console.spot.chosen = ""
        self._console.paint()

    # --- handing in -------------------------------------------------------------------------

    def _yes(self, told: Form) -> None:
        if self._busy or told.review is None or told.review.wrong:
            return
        draft, losing = told.draft, told.review.losing
        if not draft.new and not told.review.changes:
            self._console.note(_("Nothing is other than it was, so there is nothing to change."))
            return
        word = draft.name if losing else "yes"

        def hand_in() -> None:
            self._busy = True
            self._console.spawn(self._put(draft, draft.name if losing else ""))

        self._sure(hand_in, word)

    async def _put(self, draft: Draft, confirm: str) -> None:
        console = self._console
        params = {
            "name": draft.name,
            "text": draft.text,
            "base": draft.base,
            "confirm": confirm,
            "key": uuid4().hex,
        }
        try:
            done = await console.feed.call("standby.put", params, Done)
        except Refusal as refusal:
            self._keep(replace(draft, why=refusal.happened))
            console.actions.refused(refusal)
            return
        finally:
            self._busy = False
        self._forget(draft.name)
        console.switch("fleet")
        console.spot.chosen = draft.name
        console.go("machine", draft.name)
        console.note(heard(done.text))
