"""Actions by name after `:`, and the order of lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui import keys
from tui.choosing import Choosing
from tui.lists import following
from tui.look import Look
from tui.places import CONTENT
from tui.preferences import CHOICES
from tui.question import Question
from tui.state import Fleet
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core


MOST_HINTS = 14
MOVES = ("up", "down", "page_up", "page_down", "first", "last")
"""Actions that nobody types, so no hint names them."""


def name_of(key: keys.Key) -> str:
    """Return what an action is called after `:`."""
    return key.id.replace("_", "-")


def named() -> dict[str, keys.Key]:
    """Return every action by what may be typed for it: its name, and the words on its key."""
    names = {name_of(key): key for key in keys.TABLE}
    for key in keys.TABLE:
        names.setdefault(key.words.lower().replace(" ", "-"), key)
    return names


def answers(fleet: Fleet, look: Look, orders: Sequence[str] = ()) -> list[str]:
    """Return what can be typed after `:` on a screen: its actions, choices, machines."""
    here = keys.here(fleet, look)
    here.sort(key=lambda key: (not key.changes, key.rank or 99))
    working = [key for key in here if not keys.refusal(key, fleet, look)]
    told = [name_of(key) for key in working]
    # Others are there as well: whoever types one is told why it does not work now.
    told += [name_of(key) for key in here if key not in working]
    told += [f"order {one}" for one in orders]
    told += [f"{what} {one}" for what, all_of in CHOICES.items() for one in all_of]
    names = list(fleet.machines)
    return [*told, *names, *(f"{v} {n}" for v in ("start", "stop", "build") for n in names)]


@dataclass(frozen=True, slots=True)
class Commands:
    """The verbs that take words, over one console."""

    console: Core
    choosing: Choosing

    def verbs(self) -> Mapping[str, Callable[[], None]]:
        """Return what each key does."""
        return {"command": self.ask, "order": self.order, "turn": self.turn}

    def ask(self) -> None:
        """Let the operator type an action or a machine."""
        console = self.console
        known = answers(console.fleet, console.look(), console.content().orders)
        moves = {name_of(keys.BY_ID[name]) for name in MOVES}

        def hint(typed: str) -> None:
            fits = [one for one in known if one.startswith(typed.lower()) and one not in moves]
            more = _("Type an action or a machine; Tab completes:")
            console.note(f"{more} {'   '.join(fits[:MOST_HINTS])}" if fits else "")

        def left() -> None:
            console.note("")

        console.face.ask(
            Question(":", done=self._obey, answers=known, typing=hint, left=left),
        )
        if not console.kind.is_plain:
            hint("")

    def _obey(self, text: str) -> None:
        console = self.console
        console.notice = ""
        words = named()
        whole = words.get(text.lower().replace(" ", "-"))
        verb, name = (name_of(whole), "") if whole else text.partition(" ")[::2]
        verb, name = words[verb].id if verb in words else verb, name.strip()
        if text in console.fleet.machines:
            console.go("machine", text)
        elif self._arranged(verb, name):
            console.paint()
        elif verb not in keys.BY_ID:
            if text:
                console.note(
                    _("There is no command {name}. Press ? for what works here.", name=text)
                )
        elif name and name not in console.fleet.machines:
            console.note(_("There is no machine {name}.", name=name))
        else:
            if name:
                console.go("machine", name)
            self._act(keys.BY_ID[verb])

    def _act(self, key: keys.Key) -> None:
        """Do what a key stands for, or say where it works."""
        console = self.console
        look = console.look()
        if look.place not in key.places:
            at = ", ".join(place for place in CONTENT if place in key.places)
            console.note(_("{name} works on: {places}.", name=name_of(key), places=at))
        elif key.when(console.fleet, look):
            console.act(key.id)
        else:
            console.note(_("{name} does not work here now.", name=name_of(key)))

    def _arranged(self, verb: str, name: str) -> bool:
        """Filter, put in order or change the language; tell whether that was meant."""
        console = self.console
        if verb == "order" and name in console.content().orders:
            self.order(name)
        elif verb == "filter" and name and console.belongs("filter"):
            console.spot.query = name
        elif verb in CHOICES and name:
            self.choosing.take(verb, name)
            return True
        else:
            return False
        return True

    def order(self, wanted: str = "") -> None:
        """Put the rows in an order, the next one by default."""
        console = self.console
        orders = console.content().orders
        now, _turned = console.orders.get(console.spot.place, ("", False))
        console.orders[console.spot.place] = (wanted or following(orders, now), False)

    def turn(self) -> None:
        """Turn the order of the rows round."""
        console = self.console
        order, turned = console.orders.get(console.spot.place, ("", False))
        console.orders[console.spot.place] = (order, not turned)
