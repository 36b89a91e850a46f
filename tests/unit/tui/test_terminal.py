"""What kind of terminal, by its name and the environment; and what may be imported."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tui import terminal


@pytest.fixture
def tty() -> Iterator[io.TextIOWrapper]:
    """Give one end of a pseudo terminal."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as file:
        yield file
    os.close(master)


@pytest.mark.parametrize(
    ("term", "name", "colours"),
    [
        ("linux", "vt", True),
        ("xterm-256color", "local", True),
        ("screen", "local", True),
        ("vt220", "serial", False),
        ("dumb", "plain", False),
        ("", "plain", False),
        ("never-heard-of", "plain", False),
    ],
)
def test_terminals_by_name(tty: io.TextIOWrapper, term: str, name: str, colours: bool) -> None:
    """Each TERM falls into its class; dumb, empty and unknown ones get no full screen."""
    kind = terminal.look(tty, tty, {"TERM": term, "LANG": "C.UTF-8"})
    assert (kind.name, kind.colours) == (name, colours)
    assert kind.is_plain == bool(kind.why)


def test_a_pipe_is_no_terminal() -> None:
    """Without a terminal the advice names the commands that do the same."""
    kind = terminal.look(io.StringIO(), io.StringIO(), {"TERM": "xterm"})
    assert kind.is_plain
    assert "bootpoint status" in terminal.advice(kind)


@pytest.mark.parametrize(
    ("environ", "unicode"),
    [
        ({"LANG": "C"}, False),
        ({}, False),
        ({"LANG": "en_US.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LC_CTYPE": "C.utf8"}, True),
        ({"LANG": "ja_JP.eucJP"}, False),
    ],
)
def test_only_utf8_locales_get_more_than_ascii(
    tty: io.TextIOWrapper, environ: dict[str, str], unicode: bool
) -> None:
    """LC_ALL beats LC_CTYPE beats LANG, as in the C library."""
    assert terminal.look(tty, tty, {"TERM": "xterm", **environ}).unicode is unicode


def test_no_color_means_no_colour(tty: io.TextIOWrapper) -> None:
    """NO_COLOR leaves bold and reverse, and SSH sets the pace."""
    kind = terminal.look(tty, tty, {"TERM": "xterm", "NO_COLOR": "1", "SSH_TTY": "/dev/pts/1"})
    assert not kind.colours
    assert kind.max_hz == 2.0


def test_a_hostile_terminal_name_is_not_printed_raw(tty: io.TextIOWrapper) -> None:
    """The advice cannot be used to steer a terminal by its TERM."""
    kind = terminal.look(tty, tty, {"TERM": "\x1b]0;x\x07"})
    assert "\x1b" not in terminal.advice(kind)


def test_textual_is_told_before_it_is_imported() -> None:
    """The settings turn off animation and kitty keys; a slow line gets a long Escape."""
    told = terminal.settings(terminal.Kind("serial", slow=True))
    assert told["TEXTUAL_ANIMATIONS"] == "none"
    assert told["ESCDELAY"] == "500"


def _modules(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_console_imports_no_engine_room() -> None:
    """pyVmomi, libvirt, SQLAlchemy and watchdog stay out: they cost the first paint."""
    loaded = _modules("import tui.app, tui.lowband")
    assert "textual" in loaded
    later = {"tui.wizard", "tui.reading", "tui.screens.form", "engine.model.standby"}
    assert not loaded & (later | {"engine.api.changes", "tui.screens.settings"})
    heavy = {"pyVmomi", "libvirt", "sqlalchemy", "watchdog", "zstandard", "blake3"}
    assert not loaded & heavy
    assert not any(name.startswith(("engine.daemon", "engine.jobs")) for name in loaded)


def test_the_way_in_does_not_import_textual() -> None:
    """`tui.main` looks at the terminal first; only then Textual is imported."""
    loaded = _modules("import tui.main")
    assert "textual" not in loaded
