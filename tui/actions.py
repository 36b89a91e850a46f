"""What each key does. Every change of a machine goes through a plan page first."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from engine.api.views import Done, Plan
from tui import keys
from tui.alerts import Alerts
from tui.answering import Answering
from tui.choosing import Choosing
from tui.commands import Commands
from tui.conditions import about, point_of, target_of
from tui.emergency import Emergency
from tui.feed import Refusal
from tui.guest import Guest
from tui.heard import heard
from tui.keeping import Keeping
from tui.look import Menu, Parts, Serial
from tui.places import CONTENT
from tui.question import Question, pause_words
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core
    from tui.reading import Reading
    from tui.removing import Removing
    from tui.targeting import Targeting
    from tui.trusting import Trusting
    from tui.wizard import Wizard

SURE = "yes"
NAMED = ("start", "stop", "home")
"""Actions for which the machine's name is typed, not a mere yes."""
FORGOTTEN = ("plan.unknown", "plan.expired")
ASKED_ANEW = frozenset({"start", "stop", "home", "build", "resume", "convert"})
"""Actions of which machine and boot point say everything."""
SWITCHES = ("fleet", "jobs", "journal", "targets", "sets", "settings", "alerts")


def is_same(plan: Plan, other: Plan) -> bool:
    """Tell whether two plans do the same to the same boot point, and ask for the same words."""
    return _matter(plan) == _matter(other)


def _matter(plan: Plan) -> tuple[object, ...]:
    steps = [step.text for step in plan.steps]
    return plan.action, plan.machine, plan.point, steps, plan.confirm


class Actions:
    """The operator's verbs, over one console."""

    def __init__(self, console: Core) -> None:
        """Serve this console."""
        self._console = console
        self.guest = Guest(console)
        self._emergency = Emergency(console)
        self._reading: Reading | None = None
        self._wizard: Wizard | None = None
        self._targeting: Targeting | None = None
        self._removing: Removing | None = None
        self._trusting: Trusting | None = None
        choosing = Choosing(console)
        answering = Answering(console, self._sure)
        self._verbs: dict[str, Callable[[], None]] = {
            "up": lambda: self._move(-1),
            "down": lambda: self._move(1),
            "page_up": lambda: self._move(-console.spot.page),
            "page_down": lambda: self._move(console.spot.page),
            "first": lambda: self._move(-1_000_000),
            "last": lambda: self._move(1_000_000),
            "open": self._open,
            "back": self._back,
            "filter": self._filter,
            "worst": self._worst,
            **Commands(console, choosing).verbs(),
            "menu": self._menu,
            "stop": lambda: self._plan("stop"),
            "home": lambda: self._plan("home"),
            "build": lambda: self._plan("build"),
            "resume": lambda: self._plan("resume"),
            "hold": self._hold,
            "cancel": lambda: self._plan("cancel", job=console.spot.chosen),
            "convert": lambda: self._plan("convert"),
            "guest": lambda: self._read(lambda reading: reading.open("guest")),
            "ledger": lambda: self._read(lambda reading: reading.open("ledger")),
            "dry_run": lambda: self._read(lambda reading: reading.open("dry run")),
            "other": lambda: self._read(lambda reading: reading.compare()),
            **Keeping(console, self._plan).verbs(),
            **self._emergency.verbs(),
            **Alerts(console).verbs(),
            **answering.verbs(),
            "serial": lambda: console.go("run", self._about(), subject=Serial()),
            **self.guest.verbs(),
            "new": lambda: self._define(lambda wizard: wizard.new()),
            "edit": lambda: self._define(lambda wizard: wizard.edit()),
            "text": lambda: self._define(lambda wizard: wizard.as_text()),
            "drop": lambda: self._define(lambda wizard: wizard.drop()),
            "new_target": lambda: self._target(lambda targeting: targeting.open()),
            "remove_target": lambda: self._remove(lambda one: one.open(target_of(console.look()))),
            "trust_target": lambda: self._trust(lambda one: one.open(target_of(console.look()))),
            "redraw": self._redraw,
            "retry": self._retry,
            "help": lambda: console.go("help", console.spot.place),
            "quit": lambda: console.face.leave(0),
        }
        for place in SWITCHES:
            self._verbs[place] = lambda place=place: console.switch(place)  # type: ignore[misc]  # bound at once
        self._openers: dict[str, Callable[[str], None]] = {
            "fleet": lambda name: console.go("machine", name),
            "machine": self._open_point,
            "sets": self._open_set,
            "jobs": self._open_job,
            "menu": self._open_menu,
            "settings": choosing.change,
            "plan": self._decide,
            "review": self._emergency.choose,
            "answer": answering.choose,
            "new": lambda name: self._define(lambda wizard: wizard.begin(name)),
            "target": lambda name: self._target(lambda targeting: targeting.fill(name)),
            "trust": lambda name: self._target(lambda targeting: targeting.decide(name)),
            "added": lambda _name: console.back(),
            "removal": lambda name: self._remove(lambda removing: removing.decide(name)),
            "removed": lambda _name: console.back(),
            "certificate": lambda name: self._trust(lambda trusting: trusting.decide(name)),
            "targets": lambda name: console.go("one target", name),
            "one target": lambda _name: console.back(),
            "form": lambda name: self._define(lambda wizard: wizard.fill(name)),
            "refused": lambda _name: console.back(),
            "help": lambda _name: console.back(),
        }
        self._asking = self._running = False

    def do(self, name: str) -> None:
        """Do what the row of this id in the table of keys says."""
        self._verbs[name]()

    def follow(self) -> None:
        """Keep what is being looked at up to date; call it every second."""
        self.guest.follow()
        self._emergency.follow()

    def _read(self, verb: Callable[[Reading], None]) -> None:
        """Do something with pages about guests, which are loaded at the first key for them."""
        if self._reading is None:
            from tui.reading import Reading

            self._reading = Reading(self._console)
        verb(self._reading)

    def _define(self, verb: Callable[[Wizard], None]) -> None:
        """Do something with definitions; what they need is loaded at the first key for them."""
        if self._wizard is None:
            from tui.wizard import Wizard

            self._wizard = Wizard(self._console, self._sure)
        verb(self._wizard)

    def _target(self, verb: Callable[[Targeting], None]) -> None:
        """Do something with a new target; what that needs is loaded at the first key for it."""
        if self._targeting is None:
            from tui.targeting import Targeting

            self._targeting = Targeting(self._console, self._sure)
        verb(self._targeting)

    def _remove(self, verb: Callable[[Removing], None]) -> None:
        """Do something with a target that shall go; loaded at the first key for it."""
        if self._removing is None:
            from tui.removing import Removing

            self._removing = Removing(self._console, self._sure)
        verb(self._removing)

    def _trust(self, verb: Callable[[Trusting], None]) -> None:
        """Do something with a new certificate; loaded at the first key for it."""
        if self._trusting is None:
            from tui.trusting import Trusting

            self._trusting = Trusting(self._console, self._sure)
        verb(self._trusting)

    def _about(self) -> str:
        return about(self._console.fleet, self._console.look())

    # --- moving -----------------------------------------------------------------------------

    def _move(self, rows: int) -> None:
        console, spot = self._console, self._console.spot
        look = console.look()
        content = CONTENT[spot.place](console.fleet, look)
        ids = list(content.ids)
        if content.pager:
            spot.top = max(0, min(spot.top + rows, len(ids) - spot.page))
        elif ids:
            at = ids.index(spot.chosen) if spot.chosen in ids else 0
            spot.chosen = ids[max(0, min(at + rows, len(ids) - 1))]

    def _back(self) -> None:
        spot = self._console.spot
        if spot.query or spot.worst:
            spot.query, spot.worst = "", False
        elif len(self._console.spots) > 1:
            self._console.back()

    def _open(self) -> None:
        spot = self._console.spot
        opener = self._openers.get(spot.place)
        if opener is not None and (spot.chosen or keys.OPENS.get(spot.place) == "back"):
            opener(spot.chosen)

    def _open_point(self, name: str) -> None:
        self._console.go("point", f"{self._console.spot.arg}/{name}")

    def _open_set(self, name: str) -> None:
        if name in self._console.fleet.sets:
            self._console.go("set", name)

    def _open_job(self, name: str) -> None:
        job = self._console.fleet.jobs.get(name)
        if job is not None and job.machine in self._console.fleet.machines:
            self._console.go("machine", job.machine)

    def _open_menu(self, name: str) -> None:
        self._console.back()
        self._console.act(name)

    def _filter(self) -> None:
        console, spot = self._console, self._console.spot
        before = spot.query

        def typing(text: str) -> None:
            spot.query = text
            console.paint()

        def left() -> None:
            spot.query = before

        console.face.ask(Question("/", done=typing, value=spot.query, typing=typing, left=left))

    def _worst(self) -> None:
        self._console.spot.worst = not self._console.spot.worst

    def _menu(self) -> None:
        console = self._console
        rows = tuple(
            (key.id, key.sign, key.words, key.says)
            for key in keys.working(console.fleet, console.look())
            if key.rank and key.id not in ("open", "back", "menu", "command", "help", "quit")
        )
        console.go("menu", console.spot.arg, subject=Menu(rows))

    def _redraw(self) -> None:
        self._console.face.redraw()

    def _retry(self) -> None:
        self._console.feed.hurry()
        self._redraw()

    # --- changes: plan, decide, run ---------------------------------------------------------

    def _hold(self) -> None:
        console = self._console
        console.face.ask(
            Question(
                _(
                    "Pause {machine}: how long (4h, 18:00 or nothing), and why:",
                    machine=console.look().machine,
                ),
                done=lambda text: self._plan("hold", **pause_words(text)),
            )
        )

    def _plan(self, action: str, **more: str) -> None:
        if self._asking:
            return
        console = self._console
        look = console.look()
        params: dict[str, Any] = {"action": action, "machine": look.machine, **more}
        if action == "cancel":
            params["machine"] = console.fleet.jobs[look.chosen].machine
        point = point_of(look)
        if action in ("convert", "pin", "unpin") and point:
            params["point"] = point
        self._asking = True
        console.spawn(self._show_plan(params))

    async def _show_plan(self, params: dict[str, Any]) -> None:
        console = self._console
        try:
            plan = await console.feed.call("plan", params, Plan)
        except Refusal as refusal:
            self.refused(refusal)
            return
        finally:
            self._asking = False
        console.go("plan", str(params["machine"]), subject=plan, token=uuid4().hex, chosen="no")

    def _decide(self, answer: str) -> None:
        console, spot = self._console, self._console.spot
        if answer != "yes":
            console.back()
            console.note(_("Nothing was changed."))
            return
        plan = spot.subject
        if not isinstance(plan, Plan) or self._running:
            return
        if plan.confirm:
            label = _("Type {word} to go on:", word=plan.confirm)
            console.face.ask(Question(label, done=lambda text: self._run(plan, text)))
        else:
            by_name = plan.action in NAMED or console.chosen["confirm"] == "name"
            word = plan.machine if by_name and plan.machine else SURE
            self._sure(lambda: self._run(plan, ""), word)

    def _sure(self, then: Callable[[], object], word: str = SURE, label: str = "") -> None:
        """Let the operator type a word: no slip of a finger and no line noise spells it.

        `label`: what asks for it; empty: as for `yes` or a machine's name.
        """

        def done(text: str) -> None:
            typed = unicodedata.normalize("NFKC", text).strip()
            if typed == word or (word == SURE and typed.lower() == word):
                then()
            else:
                self._console.note(_("That is not {word}. Nothing was changed.", word=word))

        if not label and word == SURE:
            label = _("Type {word}, then Enter:", word=word)
        elif not label:
            label = _("Type the machine's name, {word}, then Enter:", word=word)
        self._console.face.ask(Question(label, done=done))

    def _run(self, plan: Plan, confirm: str) -> None:
        self._running = True
        self._console.spawn(self._run_plan(plan, confirm, self._console.spot.token))

    async def _run_plan(self, plan: Plan, confirm: str, token: str) -> None:
        console = self._console
        console.note(_("Asked the engine .."))
        params = {"plan": plan.plan, "confirm": confirm, "key": token}
        try:
            try:
                done = await console.feed.call("run", params, Done)
            except Refusal as refusal:
                if refusal.key not in FORGOTTEN or plan.action not in ASKED_ANEW:
                    raise
                again = await self._ask_anew(plan)
                if not is_same(plan, again):
                    self._show_anew(again)
                    return
                params |= {"plan": again.plan, "key": f"{token}-anew"}  # a key keeps its answer
                done = await console.feed.call("run", params, Done)
        except Refusal as refusal:
            self._leave_plan()
            self.refused(refusal)
            return
        finally:
            self._running = False
        self._leave_plan()
        if plan.action == "start" and console.spot.place != "run":
            console.go("run", plan.machine, subject=Serial())
        console.note(heard(done.text))

    async def _ask_anew(self, plan: Plan) -> Plan:
        """Ask for a plan that the engine forgot: it was started again, or the page stood long."""
        params = {"action": plan.action, "machine": plan.machine, "point": plan.point}
        return await self._console.feed.call("plan", params, Plan)

    def _show_anew(self, plan: Plan) -> None:
        self._leave_plan()
        self._console.go("plan", plan.machine, subject=plan, token=uuid4().hex, chosen="no")
        self._console.note(_("It is not as it was: look again. Nothing was changed."))

    def _leave_plan(self) -> None:
        """Leave the pages that decided; those below them stay."""
        for place in ("plan", "review"):
            if self._console.spot.place == place:
                self._console.back()

    def refused(self, refusal: Refusal) -> None:
        """Show a refusal in its three parts."""
        parts = Parts(refusal.happened, refusal.unchanged, refusal.remedy)
        self._console.go("refused", self._console.spot.arg, subject=parts)
