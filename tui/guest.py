"""A guest that runs: its serial line, what is typed into it, and the picture on its screen."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.api.guest_views import PictureView, ScreenView, SerialView, TypedView
from tui.feed import Refusal
from tui.look import Parts, Picture, Serial
from tui.question import Question
from tui.screens.picture import WIDE, room, side
from tui.words import _

if TYPE_CHECKING:
    from tui.core import Core, Spot

SERIAL_KEPT = 400
PATIENCE_S = 5.0
ONCE_TYPED_S = 0.15
"""A guest's echo is looked for so long after a key was taken."""
CHUNK = 1024


class Guest:
    """Looks at the guest of the place on top, over one console."""

    def __init__(self, console: Core) -> None:
        """Look over this console."""
        self._console = console
        self._following = self._sending = False
        self._typed = bytearray()
        self._drawn = 0.0

    def verbs(self) -> dict[str, Callable[[], None]]:
        """Return what the keys of these pages do."""
        console = self._console
        return {
            "picture": self.open_picture,
            "save": self.save_picture,
            "type": lambda: console.face.attach(console.look().machine),
        }

    def follow(self) -> None:
        """Ask for what is new of the guest while it is being looked at; call it every second."""
        spot = self._console.spot
        if self._following:
            return
        if spot.place == "run" and isinstance(spot.subject, Serial):
            self._following = True
            self._console.spawn(self._read_serial())
        elif spot.place == "picture" and self._is_due():
            self._following = True
            self._console.spawn(self._draw(spot))

    # --- the serial line --------------------------------------------------------------------

    def _of_this_run(self, machine: str, serial: Serial) -> Serial:
        detail = self._console.fleet.details.get(machine)
        since = detail.run.since if detail is not None and detail.run is not None else None
        if since is None or since == serial.since:
            return serial
        return Serial(since=since)

    async def _read_serial(self) -> None:
        console, spot = self._console, self._console.spot
        try:
            while isinstance(spot.subject, Serial) and console.spot is spot:
                serial = self._of_this_run(spot.arg, spot.subject)
                params = {"machine": spot.arg, "after": serial.next}
                asked = console.feed.call("serial", params, SerialView)
                told = await asyncio.wait_for(asked, PATIENCE_S)
                lines = (*serial.lines, *told.lines)[-SERIAL_KEPT:]
                spot.subject = replace(serial, lines=lines, next=told.next, tail=told.tail)
                if told.next == serial.next:
                    break
            await self._beside(spot)
        except (Refusal, TimeoutError):
            pass  # the page says how the machine stands; the next second asks again
        finally:
            self._following = False
        console.face.paint_soon()

    async def _beside(self, spot: Spot) -> None:
        """Look at the guest's screen as well, where the window is wide enough and it is time."""
        console = self._console
        look = console.look(spot)
        serial = spot.subject
        if not (isinstance(serial, Serial) and look.width >= WIDE and self._is_due()):
            return
        self._drawn = asyncio.get_running_loop().time()
        columns, rows = side(look)
        known = serial.view.digest if serial.view else ""
        params = {"machine": spot.arg, "columns": columns, "rows": rows, "known": known}
        asked = console.feed.call("picture", params, PictureView)
        view = await asyncio.wait_for(asked, PATIENCE_S)
        if view.digest != known and isinstance(spot.subject, Serial):
            spot.subject = replace(spot.subject, view=view)

    def type(self, data: bytes) -> None:
        """Send bytes to the guest's serial line, in order and one call at a time."""
        self._typed += data
        if not self._sending:
            self._sending = True
            self._console.spawn(self._send(self._console.spot.arg))

    async def _send(self, machine: str) -> None:
        console = self._console
        try:
            while self._typed:
                part = bytes(self._typed[:CHUNK])
                del self._typed[: len(part)]
                params = {"machine": machine, "data": base64.b64encode(part).decode()}
                told = await console.feed.call("serial.type", params, TypedView)
                if told.taken < len(part):
                    console.note(_("The guest takes no input now: part of it was not typed."))
                    self._typed.clear()
                await asyncio.sleep(ONCE_TYPED_S)
                self.follow()
        except Refusal as refusal:
            self._typed.clear()
            console.face.detach()
            console.note(str(refusal))
        finally:
            self._sending = False

    # --- the picture ------------------------------------------------------------------------

    def open_picture(self) -> None:
        """Open the page with the guest's screen."""
        console = self._console
        if console.spot.place == "picture":
            self._drawn = 0.0
        else:
            console.go("picture", console.look().machine, subject=Picture())
        self._following = True
        console.spawn(self._draw(console.spot))

    def _is_due(self) -> bool:
        """Tell whether it is time for another look; on a serial line only a key asks for one."""
        kind = self._console.kind
        pause = {"serial": None, "ssh": 2.0, "plain": None}.get(kind.name, 1.0)
        return pause is not None and asyncio.get_running_loop().time() - self._drawn >= pause

    async def _draw(self, spot: Spot) -> None:
        console = self._console
        self._drawn = asyncio.get_running_loop().time()
        shown = spot.subject if isinstance(spot.subject, Picture) else Picture()
        columns, rows = room(console.look(spot))
        known = shown.view.digest if shown.view else ""
        params = {"machine": spot.arg, "columns": columns, "rows": rows, "known": known}
        try:
            view = await console.feed.call("picture", params, PictureView)
            if view.digest != known:
                spot.subject = Picture(view, console.look().now)
        except Refusal as refusal:
            parts = Parts(refusal.happened, refusal.unchanged, refusal.remedy)
            spot.subject = Picture(failed=parts)
        finally:
            self._following = False
        console.face.paint_soon()

    def save_picture(self) -> None:
        """Ask for a file's name and save the picture, as it is now, as PNG."""
        console = self._console
        machine = console.look().machine
        name = f"{machine}-{console.look().now:%Y%m%d-%H%M%S}.png"

        def done(text: str) -> None:
            if text:
                console.spawn(self._save(machine, Path(text).expanduser()))

        console.face.ask(Question(_("Save the picture as:"), done=done, value=name))

    async def _save(self, machine: str, file: Path) -> None:
        console = self._console
        try:
            told = await console.feed.call("screen", {"machine": machine}, ScreenView)
            with file.open("xb") as out:
                out.write(base64.b64decode(told.png))
        except Refusal as refusal:
            console.note(str(refusal))
        except FileExistsError:
            console.note(
                _("{file} is there already; nothing was written. Choose another name.", file=file)
            )
        except (OSError, ValueError) as error:
            console.note(_("The picture could not be written: {why}.", why=error))
        else:
            console.note(_("The picture is in {file}.", file=file))
