"""Every command asked wrongly: words instead of tracebacks, and the same exit codes everywhere.

Commands that need no engine (samples, images, the engine itself) are only asked what they refuse.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Sequence

import pytest

from engine.cli.option import Command
from engine.cli.parser import parse
from engine.cli.table import COMMANDS, GROUPS
from engine.model.errors import WrongUse
from tests.scripted import ScriptedService
from tests.unit.cli.program import Program, Ran, program

OWN = ("engine", "plain", "sample ", "image ", "target ", "complete", "completion")
"""Beginnings of commands that do their work without an engine."""
ASKING = [one for one in COMMANDS if not one.name.startswith(OWN)]
HOSTILE = [
    "",
    "\x1b[31mred",
    "a\0b",
    "../../etc/passwd",
    "x" * 5000,
    "caf\udce9",
    "$(reboot)",
    "\u202eerp",
]


def named(command: Command) -> str:
    """Return a command's name for a test's id."""
    return command.name


def line(command: Command, word: str) -> list[str]:
    """Return a command line with a word in each place that must be filled."""
    words = command.name.split()
    for option in command.options:
        if option.names[0].startswith("-"):
            words += [option.names[0], word or "x"] if option.required else []
        elif option.nargs != "?":
            words.append("keep=7" if "KEY" in option.metavar else word)
    return words


def in_words(told: Ran, codes: Sequence[int]) -> dict[str, str]:
    """Return a failure's parts as JSON has them, after looking at what each failure has."""
    assert told.code in codes, (told.code, told.err)
    error: dict[str, str] = told.told["error"]
    assert error["message"]
    assert error["message"][-1] in ".?"
    assert "\x1b" not in told.out
    return error


@pytest.mark.parametrize("command", ASKING, ids=named)
def test_without_an_engine_each_command_gives_3(command: Command, alone: Program) -> None:
    """It says where it looked, what that means, and how to start one; as JSON it is one object."""
    told = alone(*line(command, "erp" if "job" not in command.name else "7"), "--json")
    error = in_words(told, [3])
    assert str(alone.place) in error["message"]
    assert "Nothing was changed" in error["unchanged"]
    assert "bootpoint engine" in error["remedy"]


@pytest.mark.parametrize("command", ASKING, ids=named)
def test_names_that_cannot_be_are_refused_in_words(
    command: Command, bootpoint: Program, service: ScriptedService
) -> None:
    """Whatever is typed for a name: 2 or 4, no escape comes back, and nothing is changed."""
    if not any(not one.names[0].startswith("-") and one.nargs != "?" for one in command.options):
        with pytest.raises(WrongUse):
            parse([*command.name.split(), "two-words", "too-many"])
        return
    before = service.snapshot().standbys
    for word in HOSTILE:
        told = bootpoint(*line(command, word), "--json")
        in_words(told, [2, 4])
        assert "\x1b" not in bootpoint(*line(command, word)).err
    assert service.snapshot().standbys == before


@pytest.mark.parametrize("command", COMMANDS, ids=named)
def test_an_unknown_option_is_2_and_names_the_help(command: Command, alone: Program) -> None:
    """Nothing is begun, and the help that is named is the command's own or its parent's."""
    told = alone(*line(command, "x"), "--no-such-option", "--json")
    error = in_words(told, [2])
    assert error["unchanged"] == "Nothing was done."
    assert error["remedy"].startswith("See: bootpoint")


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_a_group_has_an_example_of_each_command(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """So nobody must guess what stands behind the group's word."""
    with pytest.raises(SystemExit):
        parse([group, "--help"])
    told = capsys.readouterr().out.partition("examples:")[2].strip().splitlines()
    inside = [one for one in COMMANDS if one.name.startswith(f"{group} ") and not one.hidden]
    assert len(told) == len(inside)
    for example, command in zip(told, inside, strict=True):
        words = shlex.split(example.split(" > ")[0])
        assert parse(words[1:]).handler is command


@pytest.mark.parametrize(
    "words", [("plain",), ("sample", "run"), ()], ids=["plain", "sample", "console"]
)
def test_what_talks_to_a_person_has_no_json(words: Sequence[str], alone: Program) -> None:
    """It is refused before anything is started, with the command for programs."""
    assert "status --json" in in_words(alone(*words, "--json"), [2])["remedy"]


@pytest.mark.parametrize(
    "closing", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "> /dev/full", "2> /dev/full"]
)
def test_streams_that_are_closed_or_full_are_no_bug(closing: str, bootpoint: Program) -> None:
    """`bootpoint status >&-` ends quietly; the exit code is what it would have been."""
    one = shlex.quote(program())
    shell = f"{one} status {closing}; echo $?; {one} x {closing}; echo $?"
    told = subprocess.run(
        ["bash", "-c", shell],
        env={**os.environ, "BOOTPOINT_SOCKET": str(bootpoint.place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    codes = [line for line in told.stdout.splitlines() if line.isdigit()]
    assert codes == ["1" if closing == "> /dev/full" else "0", "2"]
    assert "Traceback" not in told.stdout + told.stderr
    assert "Exception ignored" not in told.stderr


def test_a_terminal_without_utf8_gets_escapes(bootpoint: Program, service: ScriptedService) -> None:
    """A journal in Japanese on an ASCII terminal is written as escapes, not as a traceback."""
    service.write_line("障害")
    told = subprocess.run(
        [program(), "journal"],
        env={**os.environ, "BOOTPOINT_SOCKET": str(bootpoint.place), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0
    assert rb"\u969c\u5bb3" in told.stdout


def test_a_file_that_is_not_there_says_what_to_do(bootpoint: Program) -> None:
    """The name, the reason, and a remedy; not only the kernel's words."""
    told = bootpoint("guest", "erp", "--import-report", "/none/check.json", "--json")
    error = json.loads(told.out)["error"]
    assert told.code in (1, 2)
    assert "/none/check.json" in error["message"]
    assert error["remedy"]
