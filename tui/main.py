"""The way in: look at the terminal, set what Textual reads at import, then open the console."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tui import preferences, terminal, words
from tui.words import _

if TYPE_CHECKING:
    from tui.state import Fleet

NO_TERMINAL = 1


def main(
    socket: Path,
    *,
    read_only: bool = False,
    offline: Path | None = None,
    driver: str = "steady",
    lang: str = "",
    config: Path | None = None,
) -> int:
    """Open the console and return its exit code.

    Args:
        socket: Of the engine; it need not be there yet, the console waits for it.
        read_only: Ask for no more than the role of a viewer.
        offline: Picture to show until the engine answers (JSON of `views.LastView`), if it exists.
        driver: `stock` takes Textual's own driver, anything else ours, which survives bad bytes,
            a lost terminal and signals.
        lang: Language asked for, such as `ja`; empty: by the operator's choice or environment.
        config: engine.toml named on the command line, to be shown; None: the usual place.

    Returns:
        0 when the operator left, 1 when no full screen is possible here, 128 + N after signal N.
    """
    # Textual draws on standard error, so that is what must be a terminal.
    _speak(terminal.lines(os.environ), lang)  # what is wrong with a terminal is said as well
    kind = terminal.look(sys.stdin, sys.stderr, os.environ)
    if kind.is_plain:
        if not sys.stdin.isatty():
            sys.stdout.write(terminal.advice(kind) + "\n")
            return NO_TERMINAL
        why = kind.why + " " + _("So it goes line by line; the same by: bootpoint plain")
        return plain(socket, read_only=read_only, offline=offline, why=why, lang=lang)
    _speak(kind, lang)
    if preferences.dressed(kind).colours:
        os.environ.pop("NO_COLOR", None)  # the operator's own choice; Textual knows the other only
    os.environ.update(terminal.settings(kind))
    from engine.api.sockets import usual_config
    from engine.local.drafts import drafts_folder
    from tui.app import Console
    from tui.core import Setup
    from tui.lowband import SteadyDriver

    first = _last_known(offline)
    chosen = None if driver == "stock" else SteadyDriver
    setup = Setup(
        socket,
        kind,
        read_only=read_only,
        first=first,
        drafts=drafts_folder(),
        config=config or usual_config(),
    )
    console = Console(setup, chosen)
    left = console.run(mouse=False)
    return left if left is not None else (console.return_code or 0)


def plain(
    socket: Path,
    *,
    read_only: bool = False,
    offline: Path | None = None,
    why: str = "",
    lang: str = "",
) -> int:
    """Hold the console's conversation line by line, on any terminal or pipe, without Textual.

    Args:
        socket, read_only, offline, lang: As for `main`.
        why: A sentence said first.
    """
    from engine.local.drafts import drafts_folder
    from tui import line_mode
    from tui.core import Setup

    kind = terminal.lines(os.environ)
    _speak(kind, lang)
    setup = Setup(
        socket,
        kind,
        read_only=read_only,
        first=_last_known(offline),
        deaf_s=0.0,
        drafts=drafts_folder(),
    )
    return line_mode.run(setup, why)


def _speak(kind: terminal.Kind, lang: str) -> None:
    """Speak the operator's language from now on."""
    words.use(preferences.language(preferences.dressed(kind), lang))


def _last_known(path: Path | None) -> Fleet | None:
    """Return the picture an engine left in a file; None when there is none that can be read."""
    if path is None:
        return None
    import msgspec

    from engine.api.views import LastView, Picture
    from tui.state import Fleet, Link, Told, apply

    try:
        last = msgspec.json.decode(path.read_bytes(), type=LastView)
    except (OSError, msgspec.DecodeError):
        return None
    lost = Link(since=last.as_of, why=_("not asked yet"), ever=True)
    picture = Picture(
        epoch="", seq=0, full=True, fleet=last.fleet, targets=last.targets, jobs=last.jobs
    )
    return apply(Fleet(link=lost), Told(picture))
