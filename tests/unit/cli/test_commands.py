"""Every command, with and without --json, against a scripted engine."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from engine.cli import main
from engine.cli.parser import parse
from engine.cli.table import COMMANDS
from engine.model.errors import Failure, Problem, Refused
from engine.model.points import BootPointId
from tests.scripted import (
    ScriptedService,
)
from tests.unit.cli.program import Program

ERP = BootPointId("bp000004")
LOOKING = [
    "status",
    "sets",
    "points erp",
    "jobs",
    "journal",
    "findings",
    "who",
    "targets",
    "show erp",
    "standby list",
    "standby show erp",
    "serial erp",
    "guest erp",
    "drivers",
    "ledger erp",
    "ledger erp --point 4 --against 3",
]
ACTING = [
    "build erp",
    "hold erp --reason moving",
    "now erp",
    "now erp --dry-run",
    "pause erp --for 4h --reason moving",
    "pause --all --until 18:00",
    "resume --all",
    "start erp",
    "start erp --wait",
    "start erp --dry-run",
    "convert erp --again",
    "convert erp --again --wait",
    "convert erp --dry-run",
    "standby add new --images /r/new",
    "standby reload",
    "standby remove erp --yes-i-mean erp",
    "standby remove erp --yes-i-mean erp --anew",
]


@pytest.mark.parametrize("line", [*LOOKING, *ACTING])
def test_each_command_has_words_and_json(bootpoint: Program, line: str) -> None:
    """Each command works, and prints one ASCII JSON object when asked."""
    told = bootpoint(*shlex.split(line))
    assert told.code == 0, told
    assert told.out or line.startswith(("journal", "serial"))


@pytest.mark.parametrize("line", [*LOOKING, *ACTING])
def test_json_is_one_ascii_object_with_the_schema_first(
    bootpoint: Program, service: ScriptedService, line: str
) -> None:
    """The output is a single object; names in any script are escaped."""
    service.write_line("サーバ起動")
    told = bootpoint("--json", *shlex.split(line))
    assert told.code == 0, told
    assert told.out.isascii()
    assert told.told
    assert told.err == ""


@pytest.mark.parametrize("line", LOOKING)
def test_lists_stand_under_items(bootpoint: Program, line: str) -> None:
    """A list is always in `items`, so that programs find it without knowing the command."""
    told = bootpoint(*shlex.split(line), "--json").told
    single = line.split(maxsplit=1)[0] in ("show", "serial", "guest") or line.startswith(
        "standby show"
    )
    assert ("items" in told) != single


def test_a_standby_is_begun_anew_as_it_was(bootpoint: Program) -> None:
    """One command forgets it and defines it again with the same text; its boot points go aside."""
    before = bootpoint("standby", "show", "erp", "--json").told
    assert bootpoint("standby", "remove", "erp", "--anew").code == 4
    assert bootpoint("standby", "remove", "erp", "--anew", "--yes-i-mean", "erp").code == 0
    after = bootpoint("standby", "show", "erp", "--json").told
    assert {key: one for key, one in after.items() if before[key] != one}.keys() <= {"points"}


# --- exit codes -----------------------------------------------------------------------------


@pytest.mark.parametrize("line", [*LOOKING, *ACTING, "journal --follow", "screen erp --to x"])
def test_without_an_engine_the_code_is_3(alone: Program, line: str) -> None:
    """Every command that needs the engine says that none answers, and where it looked."""
    told = alone(*shlex.split(line))
    assert told.code == 3
    assert str(alone.place) in told.err
    assert alone("--json", *shlex.split(line)).told["error"]["key"] == "engine.away"


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("statsu", 2, "statsu: did you mean status?"),
        ("standby ad x", 2, "ad: did you mean add?"),
        ("start erp --pont 3", 2, "--pont: did you mean --point?"),
        ("start", 2, "MACHINE"),
        ("standby", 2, "needs a command"),
        ("status --fail-on never", 2, "--fail-on"),
        ("standby add x --images /x --rpo soon", 2, "expected a time such as 30m"),
        ("journal --limit 0", 2, "at least 1"),
        ("show nope", 2, "Known: dc, erp, web"),
        ("start nope", 2, "no standby nope"),
        ("start erp --point 99", 2, "no boot point bp000099"),
        ("job cancel 99", 2, "no job 99"),
        ("standby show nope", 2, "no standby nope"),
        ("standby add x --images /x --trigger weekly", 2, "weekly"),
        ("stop erp", 4, "does not run"),
        ("standby add erp --images /x", 4, "already"),
        ("standby remove erp", 4, "--yes-i-mean erp"),
        ("standby remove erp --yes-i-mean er", 4, "does not match"),
        ("start erp --read-only", 4, "needs the role operator"),
        ("image info /nope.bpi", 2, "no file"),
        ("image export a.bpi", 2, "--qcow2"),
    ],
)
def test_failures_have_stable_codes_and_words(
    bootpoint: Program, service: ScriptedService, line: str, code: int, words: str
) -> None:
    """2 for wrong use, 4 for refused, with what to do; nothing is changed."""
    told = bootpoint(*shlex.split(line))
    assert told.code == code, told
    assert words in told.err
    assert told.out == ""
    again = bootpoint("--json", *shlex.split(line))
    assert again.code == code
    assert set(again.told["error"]) >= {"key", "message", "facts"}
    assert not [call for call in service.calls if call[0] == "start"]


def test_a_failing_engine_is_1(bootpoint: Program, service: ScriptedService) -> None:
    """What the engine tried and could not do gives 1, with all three parts."""
    service.fails["build"] = Failure(
        Problem("x.y", "It broke.", "Nothing else did.", "Mend it.", {"disk": 3})
    )
    told = bootpoint("build", "erp")
    assert told.code == 1
    assert all(part in told.err for part in ("It broke.", "Nothing else did.", "Mend it."))
    assert bootpoint("build", "erp", "--json").told["error"]["facts"] == {"disk": 3}
    service.fails["build"] = Refused(Problem("vm.busy", "Job 3 has not ended."))
    assert bootpoint("build", "erp").code == 4


# --- help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_examples_of_the_help_are_real(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example is read by the program itself, as the command it stands under."""
    for example in command.examples:
        words = shlex.split(example.split(" > ")[0])
        assert words[0] == "bootpoint"
        assert parse(words[1:]).handler is command
    with pytest.raises(SystemExit) as left:
        parse([*command.name.split(), "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert command.about in " ".join(text.split())
    assert all(example in text for example in command.examples)


def test_global_options_stand_before_or_after(bootpoint: Program) -> None:
    """`--json status` and `status --json` are the same."""
    before = json.loads(bootpoint("--json", "status").out)
    assert before == bootpoint("status", "--json").told
    assert parse(["--read-only", "standby", "list"]).read_only
    assert parse(["standby", "list", "--read-only"]).read_only
    assert parse(["standby", "add", "--images", "/x", "name"]).name == "name"


README = Path(__file__).parents[3] / "README.md"


def test_every_exit_code_is_told_where_codes_are_told(bootpoint: Program) -> None:
    """`--help` and README name each code that the program ends with, and the rule of signals."""
    codes = (main.OK, main.FAILED, main.WRONG, main.AWAY, main.REFUSED, main.INTERRUPTED)
    for text in (bootpoint("--help").out, README.read_text()):
        _before, _sign, told = re.sub(r"\s+", " ", text).lower().partition("exit codes: ")
        for code in codes:
            assert re.search(rf"\b{code} [a-z]", told[:250]), (code, told)
        assert "128 + n" in told


def test_readme_lists_every_command() -> None:
    """What is not in the first list that people read is not there for them."""
    lines = [line.split() for line in README.read_text().splitlines() if line[:9] == "bootpoint"]

    for command in COMMANDS:
        named = any(set(command.name.split()) <= set(words) for words in lines)
        assert named or command.hidden, command.name
