"""What the operator chooses for the console: kept in their own file, and worn at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui import preferences, words
from tui.look import Report
from tui.preferences import CHOICES, FILE, USUAL, WHO, ZONE
from tui.question import Question
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core, Spot
    from tui.terminal import Kind


@dataclass(frozen=True, slots=True)
class Choosing:
    """The verbs of the settings, over one console."""

    console: Core

    def change(self, name: str) -> None:
        """Take the next of few choices, ask which zone, or show the engine's own file."""
        if name == FILE:  # these two pages are loaded when somebody opens them
            from tui import configuration

            console = self.console
            console.go(FILE, subject=configuration.read(console.look().config, console.fleet))
            return
        if name == WHO:
            self.console.go(WHO, subject=Report())
            self.console.spawn(self._who(self.console.spot))
            return
        if name not in CHOICES:
            return
        if name == ZONE:
            label = _("Zone of times (such as Asia/Tokyo, UTC or auto):")
            self.console.face.ask(
                Question(label, done=lambda text: self.take(ZONE, text), answers=CHOICES[ZONE])
            )
            return
        known = CHOICES[name]
        now = known.index(preferences.chosen(name))
        self.take(name, known[(now + 1) % len(known)])

    async def _who(self, spot: Spot) -> None:
        from tui import presence

        spot.subject = await presence.asked(self.console.feed, self.console.look())
        self.console.face.paint_soon()

    def take(self, name: str, value: str) -> None:
        """Keep a choice, wear it, and say so."""
        console = self.console
        if name == preferences.LANGUAGE and value in words.CHOICES:
            told = self._speak(value)
        else:
            told = self._kept(name, value)
        console.dress()
        console.note(told)

    def _kept(self, name: str, value: str) -> str:
        try:
            preferences.choose(name, value)
        except ValueError:
            if name == ZONE:
                return _("This computer knows no zone {name}. Times stay as they were.", name=value)
            return _("{name} can be: {values}.", name=name, values=", ".join(CHOICES[name]))
        except OSError as error:
            return _("The choice cannot be kept: {why}.", why=error.strerror or error)
        if name == preferences.LANGUAGE:
            words.use(preferences.language(self._terminal()))
        if value == USUAL:
            return _("As this computer and terminal say, now and the next time.")
        return _("Kept; it holds now and the next time.")

    def _speak(self, language: str) -> str:
        """Speak a language from now on, and the next time; return what to say of it."""
        try:
            spoken = preferences.choose_language(language, self._terminal())
        except OSError as error:
            return _("The language cannot be kept: {why}.", why=error.strerror or error)
        if spoken != language:
            return _("This terminal cannot show that language; it is kept for others.")
        return _("The console speaks English now, and the next time.")

    def _terminal(self) -> Kind:
        return preferences.dressed(self.console.setup.kind)
