"""Actions by name after `:`, and the order of lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui import keys
from tui.choosing import Choosing
from tui.lists import following
from tui.preferences import CHOICES
from tui.question import Question
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core


def name_of(key: keys.Key) -> str:
    """Return what an action is called after `:`."""
    return key.id.replace("_", "-")


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
        look = console.look()
        verbs = [name_of(key) for key in keys.working(console.fleet, look)]
        verbs += [f"order {one}" for one in console.content().orders]
        verbs += [f"{what} {one}" for what, all_of in CHOICES.items() for one in all_of]
        names = list(console.fleet.machines)
        answers = [*verbs, *names, *(f"{v} {n}" for v in ("start", "stop", "build") for n in names)]
        console.face.ask(Question(":", done=self._obey, answers=answers))

    def _obey(self, text: str) -> None:
        console = self.console
        verb, name = text.partition(" ")[::2]
        verb, name = verb.replace("-", "_"), name.strip()
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
            key = keys.BY_ID[verb]
            look = console.look()
            if look.place in key.places and key.when(console.fleet, look):
                console.act(verb)
            else:
                console.note(_("{name} does not work here now.", name=verb))

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
