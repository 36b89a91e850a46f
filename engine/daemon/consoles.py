"""The consoles of running guests: what they print, what is typed, what they show."""

from __future__ import annotations

from dataclasses import replace

from engine.daemon.engine import Engine
from engine.model.errors import HypervisorError, Problem
from engine.model.machine import Asked, VMRef
from engine.model.standby import Standby
from engine.model.work import Severity
from engine.ports import Hypervisor

PAUSE_S = 600.0
"""Somebody who typed nothing for so long begins anew."""


class Consoles:
    """Opens consoles for the door. Thread-safe.

    That somebody types is in the journal, what is typed is not: it may be a password.
    """

    def __init__(self, engine: Engine) -> None:
        """Nobody has typed yet."""
        self._engine = engine
        self._last: dict[tuple[str, str], float] = {}

    def serial(self, standby: Standby, after: int) -> tuple[bytes, int]:
        """Return raw serial bytes from `after` on (at most 64 KiB) and the next offset."""
        return self._opened(standby).serial(VMRef(standby.name), after)

    def screen(self, standby: Standby) -> bytes:
        """Return the screen as PNG."""
        return self._opened(standby).screen(VMRef(standby.name))

    def typed(self, standby: Standby, data: bytes, actor: str) -> int:
        """Type into the serial console; return how many bytes it took."""
        taken = self._opened(standby).serial_input(VMRef(standby.name), data)
        now, last = self._engine.clock.monotonic(), self._last.get((actor, standby.name))
        self._last[actor, standby.name] = now
        if last is None or now - last > PAUSE_S:
            text = f"{actor} types into the serial console of {standby.name}."
            with self._engine.state.write() as tx:
                at = self._engine.clock.now()
                tx.write_journal(at, Severity.INFO, standby.name, "serial.typed", text)
            self._engine.picture.touch()
        return taken

    def question(self, standby: Standby) -> Asked | None:
        """Return what the VM asks now, also after a start that gave it up."""
        return self._opened(standby).signs_of_life(VMRef(standby.name)).question

    def answer(self, standby: Standby, mark: str, choice: int, actor: str) -> str:
        """Answer what the VM asks; return what was done, a sentence."""
        name, engine = standby.name, self._engine
        asked = self._opened(standby).answer(VMRef(name), mark, choice)
        given = asked.choices[choice - 1]
        text = f"{actor} answered what the VM of {name} asked with {given}: {asked.text}"
        with engine.state.write() as tx:
            tx.write_journal(engine.clock.now(), Severity.INFO, name, "vm.answered", text)
        signs = engine.picture.signs().get(name)
        if signs is not None and signs.question == asked:
            engine.picture.sign(name, replace(signs, question=None))
        engine.picture.touch()
        return text

    def _opened(self, standby: Standby) -> Hypervisor:
        hypervisor = self._engine.target_of(standby).opened()
        if hypervisor is None:
            raise HypervisorError(
                Problem("target.closed", f"The target {standby.target} is not connected (yet).")
            )
        return hypervisor
