"""What one operator chose for the console: a small file of their own, and what it gives.

    --lang ► BOOTPOINT_LANG ► console.toml ► LC_ALL, LC_MESSAGES, LANG with LANGUAGE ► English

Each operator has a file; the engine never reads it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, tzinfo
from pathlib import Path

from tui import words
from tui.terminal import Kind

LANGUAGE = "lang"
ZONE = "zone"
FILE = "engine.toml"
"""The row of the settings that shows the engine's own file."""
WHO = "connected"
"""The row that shows who is connected to the engine."""
USUAL = "auto"
"""Typed for no choice of one's own: as terminal, environment and host say."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    ZONE: (USUAL, "UTC"),
    LANGUAGE: (USUAL, *words.CHOICES),
    "colours": (USUAL, "16", "none"),
    "signs": (USUAL, "ascii", "utf-8"),
    "confirm": (USUAL, "name"),
}
"""What can be chosen, and from what; a zone may be any that the host knows.

`confirm`: `auto` wants the machine's name typed where a VM starts or stops, `yes` for the rest;
`name` wants the name wherever a machine is changed. Nothing wants less than `auto` does.
"""


def path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the file is: `bootpoint/console.toml` in the user's configuration folder."""
    home = Path(environ.get("HOME") or "/")
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "bootpoint" / "console.toml"


def get(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a choice as text, empty when none was made or the file cannot be read."""
    value = _read(environ).get(name, "")
    return value if isinstance(value, str) else ""


def put(name: str, value: str, environ: Mapping[str, str] = os.environ) -> None:
    """Keep a choice; an empty one is taken back.

    Raises:
        OSError: The file cannot be written; what was in it stays.
    """
    import tomli_w

    from engine.local.durable import durable_replace

    chosen = _read(environ) | {name: value}
    if not value:
        del chosen[name]
    file = path(environ)
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        durable_replace(folder, file.name, tomli_w.dumps(chosen).encode())
    finally:
        os.close(folder)


def _read(environ: Mapping[str, str]) -> dict[str, object]:
    try:
        with path(environ).open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError):
        return {}


def language(kind: Kind, asked: str = "", environ: Mapping[str, str] = os.environ) -> str:
    """Return the language to speak on a terminal, such as `ja`.

    What was asked for explicitly wins wherever it can be shown. The environment alone is not
    believed on a serial line: nobody knows what stands at its other end.

    Args:
        asked: From the command line, empty when nothing was said there.
    """
    named = (asked, environ.get("BOOTPOINT_LANG", ""), get(LANGUAGE, environ))
    chosen = next((one for one in named if one in words.CHOICES), "")
    if not chosen and not kind.slow:
        chosen = words.preferred(environ)
    return chosen if chosen and kind.kanji else words.SOURCE


def choose_language(chosen: str, kind: Kind, environ: Mapping[str, str] = os.environ) -> str:
    """Keep a language for this operator and speak it at once; return the one spoken now.

    Args:
        chosen: One of `words.CHOICES`, or empty: as the environment says.

    Raises:
        OSError: The choice cannot be kept; the language stays as it was.
    """
    put(LANGUAGE, chosen, environ)
    words.use(language(kind, chosen, environ))
    return words.language()


def chosen(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return what was chosen of `CHOICES`; `auto` when nothing, or nothing that is known."""
    value = get(name, environ)
    known = zone(value) is not None if name == ZONE else value in CHOICES[name]
    return value if value and known else USUAL


def choose(name: str, value: str, environ: Mapping[str, str] = os.environ) -> None:
    """Keep one of `CHOICES`.

    Raises:
        ValueError: That cannot be chosen.
        OSError: The choice cannot be kept; what was in the file stays.
    """
    if value not in CHOICES[name] and not (name == ZONE and zone(value) is not None):
        raise ValueError(value)
    put(name, "" if value == USUAL else value, environ)


def zone(name: str) -> tzinfo | None:
    """Return a time zone such as `Asia/Tokyo`; None when this host knows none of that name."""
    if name == "UTC":
        return UTC
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # also raised for names that are no path of a zone
        return None


def times(environ: Mapping[str, str] = os.environ) -> tzinfo | None:
    """Return the zone to show times in; None: the host's."""
    name = chosen(ZONE, environ)
    return None if name == USUAL else zone(name)


def dressed(kind: Kind, environ: Mapping[str, str] = os.environ) -> Kind:
    """Return a terminal with the colours and signs that the operator wants there."""
    colours, signs = chosen("colours", environ), chosen("signs", environ)
    if colours != USUAL and not kind.is_plain:
        kind = replace(kind, colours=colours != "none")
    if signs == "ascii":
        return replace(kind, unicode=False, kanji=False)
    return replace(kind, unicode=True) if signs == "utf-8" else kind
