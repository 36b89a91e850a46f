"""The engine's own file to read: engine.toml as it lies on this computer, passwords left out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from engine.api.changes import Kind, Words
from engine.local.durable import read_bounded
from engine.local.secret import is_reference
from engine.model.text import safe
from tui.look import Parts, Report
from tui.state import Fleet
from tui.words import _

LONGEST = 256 << 10
_SECRET = re.compile(
    r"""^(\s*[\w."'-]*(?:password|secret|bearer|token)["']?\s*=\s*)(.+)$""", re.IGNORECASE
)
_QUOTES = "\"' \t"


def read(path: str, fleet: Fleet) -> Report:
    """Return the page of a file; why it cannot be read is told in three parts.

    Args:
        path: Of engine.toml, empty when nobody knows it.
        fleet: For when the engine started: what was written later holds from its next start on.
    """
    if not path:
        return _failed(_("This console was opened on a socket; it knows no engine.toml."))
    file = Path(path)
    try:
        data = read_bounded(file.resolve(), LONGEST)
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except FileNotFoundError:
        return _failed(_("There is no {file}.", file=safe(path, 200)))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return _failed(_("{file} cannot be read: {why}.", file=safe(path, 200), why=safe(why)))
    lines = data.decode("utf-8", "replace").splitlines()
    head = [Words(safe(path, 200), Kind.WHERE)]
    if fleet.started_at is not None and written > fleet.started_at:
        later = _("Written after the engine started: it holds from the engine's next start on.")
        head.append(Words(later, Kind.WARNING))
    return Report(tuple(head), tuple(_shown(line) for line in lines), asked=True)


def _failed(happened: str) -> Report:
    return Report(
        failed=Parts(
            happened,
            _("The engine goes on as it started; without a file every key has its default."),
            _("sample-config/engine.toml names every key. bootpoint --config FILE takes another."),
        ),
        asked=True,
    )


def _shown(line: str) -> Words:
    """Return one line of the file; a password that should not be there is left out."""
    line = line.expandtabs(4).rstrip()
    found = _SECRET.match(line)
    if found and not is_reference(found[2].partition("#")[0].strip(_QUOTES)):
        line = found[1] + _("(not shown here)")
    quiet = line.lstrip().startswith("#")
    kind = Kind.WHERE if quiet else Kind.TITLE if line.startswith("[") else Kind.PLAIN
    return Words(safe(line, 2000), kind)
