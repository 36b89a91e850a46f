"""What shells offer while a command line is typed."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from engine.cli.completion import Offer, offered
from engine.cli.table import COMMANDS, GROUPS
from tests.scripted import ScriptedService, target_status
from tests.unit.cli.program import Program, program


def after(typed: str) -> Offer:
    """Return the offer where a line ends."""
    *before, current = typed.split(" ")
    return offered(before, current)


def test_every_command_is_offered_and_no_hidden_one() -> None:
    """First words first, then those of a group."""
    first = after("").words
    for command in COMMANDS:
        group, _, second = command.name.partition(" ")
        assert (group in first) is not command.hidden
        if second and not command.hidden:
            assert second in after(f"{group} ").words
    assert set(GROUPS) <= set(first)


def test_every_option_is_offered_where_it_may_stand() -> None:
    """Its own and the global ones; nothing of another command."""
    for command in COMMANDS:
        own = {name for one in command.options for name in one.names if name.startswith("--")}
        found = set(after(f"{command.name} --").words)
        assert own | {"--json", "--socket", "--help"} <= found
    assert "--point" not in after("status --").words
    assert "--version" in after("--").words


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("show ", Offer((), "machine")),
        ("--json show ", Offer((), "machine")),
        ("--socket /x --read-only show ", Offer((), "machine")),
        ("show --json ", Offer((), "machine")),
        ("show erp ", Offer()),
        ("start erp --point ", Offer((), "point", "erp")),
        ("convert erp --again --point ", Offer((), "tried-point", "erp")),
        ("ledger erp --point bp000002 --against ", Offer((), "point", "erp")),
        ("pin web ", Offer((), "point", "web")),
        ("pin web bp000001 --note 'x' ", Offer()),
        ("job cancel ", Offer((), "job")),
        ("target check ", Offer((), "target")),
        ("standby add erp --target ", Offer((), "target", "erp")),
        ("alert ack ", Offer((), "alert")),
        ("standby set erp ", Offer((), "key", "erp")),
        ("standby set erp keep=7 ", Offer((), "key", "erp")),
        ("journal --machine ", Offer((), "machine")),
        ("image info ", Offer((), "file")),
        ("--config ", Offer((), "file")),
        ("status --color ", Offer(("auto", "never"))),
        ("completion ", Offer(("bash", "zsh", "fish"))),
        ("standby remove erp --yes-i-mean ", Offer()),
        ("nonsense ", Offer()),
    ],
)
def test_what_may_stand_there(typed: str, expected: Offer) -> None:
    """Names of the right kind, wherever options stand; a confirmation is typed, not offered."""
    assert after(typed) == expected


def test_names_come_from_the_engine(
    bootpoint: Program, alone: Program, service: ScriptedService
) -> None:
    """Machines, points and targets that there are; silence without an engine or a machine."""
    assert bootpoint("complete", "machine").out.split() == ["dc", "erp", "web"]
    assert "bp000004" in bootpoint("complete", "point", "erp").out
    silent = alone("complete", "machine")
    assert (silent.code, silent.out, silent.err) == (0, "", "")
    service.show(targets=(target_status("nas"), target_status("$(reboot)")))
    for typed, expected in {
        "show e": "erp\n",
        "pin erp bp00000": "bp000001\nbp000002\nbp000003\nbp000004\n",
        "pin nobody ": "",
        "target check ": "local\nnas\n",
        "standby set erp kee": "keep=\n",
        "": None,
    }.items():
        told = bootpoint.real("complete", "line", *typed.split(" "))
        assert (told.returncode, told.stderr) == (0, "")
        assert expected is None or told.stdout == expected


def test_a_target_is_offered_before_the_engine_knows_it(alone: Program, tmp_path: Path) -> None:
    """One that was just added can be checked at once; a broken configuration is silent."""
    file = tmp_path / "engine.toml"
    file.write_text('[targets.lab]\nkind = "simulated"\n')
    words = ("complete", "line", "--config", str(file), "target", "check", "")
    assert alone.real(*words).stdout.split() == ["lab"]
    file.write_text("[")
    assert (alone.real(*words).stdout, alone.real(*words).returncode) == ("", 0)


def test_bash_completes(bootpoint: Program, tmp_path: Path) -> None:
    """The script in a real bash: words, names, keys with `=`, and files where nothing is known."""
    (tmp_path / "disk.bpi").touch()
    (tmp_path / "script").write_text(bootpoint("completion", "bash").out)
    typed = ["bootpoint stat", "bootpoint show e", "bootpoint standby set erp tri"]
    typed += ["bootpoint image info di", "bootpoint start erp --point "]
    lines = [
        f"COMP_LINE={shlex.quote(one)} COMP_POINT={len(one)}; _bootpoint; echo ${{COMPREPLY[*]}}"
        for one in typed
    ]
    told = subprocess.run(
        ["bash", "-c", "compopt() { :; }; . ./script\n" + "\n".join(lines)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(program()).parent}:{os.environ['PATH']}",
            "BOOTPOINT_SOCKET": str(bootpoint.place),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.stderr == ""
    assert told.stdout.splitlines() == [
        "status",
        "erp",
        "trigger=",
        "disk.bpi",
        "bp000001 bp000002 bp000003 bp000004",
    ]


def settings(bootpoint: Program) -> dict[str, str]:
    """Return an environment that finds the installed program, and no set-up of a user."""
    return {
        "PATH": f"{Path(program()).parent}:{os.environ['PATH']}",
        "BOOTPOINT_SOCKET": str(bootpoint.place),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
    }


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("bootpoint stat", ["status"]),
        ("bootpoint show e", ["erp"]),
        ("bootpoint standby set erp tri", ["trigger="]),
        ("bootpoint image info di", ["disk.bpi"]),
        ("bootpoint start erp --point ", [f"bp00000{n}" for n in range(1, 5)]),
    ],
)
def test_fish_completes(
    bootpoint: Program, tmp_path: Path, typed: str, expected: list[str]
) -> None:
    """The script in a real fish: words, names, keys with `=`, and files where none is known."""
    (tmp_path / "disk.bpi").touch()
    (tmp_path / "script").write_text(bootpoint("completion", "fish").out)
    told = subprocess.run(
        ["fish", "--no-config", "-c", "source script; complete -C $argv[1]", typed],
        cwd=tmp_path,
        env=settings(bootpoint) | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert [line.partition("\t")[0] for line in told.stdout.splitlines()] == expected
    assert told.stderr == ""


ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit; compinit -u -D; source ./script
typed() { print -r -- "$BUFFER" >> typed; BUFFER= }; zle -N typed; bindkey "^X" typed
print -r -- re"a"dy'
zpty -r shell _ '*ready*' || exit 1
for line in "$@"; do
    zpty -w -n shell $line$'\t\030'
    repeat 500; do
        sleep 0.02; zpty -r -t shell _
        [[ $(wc -l <typed) -gt $(( done )) ]] && break
    done
    (( done += 1 ))
done
zpty -d shell
"""
"""Types each line into a real zsh, then Tab; what stands on the line then goes to `typed`."""


def test_zsh_completes(bootpoint: Program, tmp_path: Path) -> None:
    """The script in a real zsh completes words, names, keys with `=`, and files of its own."""
    (tmp_path / "disk.bpi").touch()
    (tmp_path / "typed").touch()
    (tmp_path / "script").write_text(bootpoint("completion", "zsh").out)
    typed = ["bootpoint stat", "bootpoint show e", "bootpoint standby set erp tri"]
    typed += ["bootpoint image info di", "bootpoint start erp --point "]
    told = subprocess.run(
        ["zsh", "-f", "-c", ZSH, "zsh", *typed],
        cwd=tmp_path,
        env=settings(bootpoint),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert told.stderr == ""
    assert (tmp_path / "typed").read_text().splitlines() == [
        "bootpoint status ",
        "bootpoint show erp ",
        "bootpoint standby set erp trigger=",
        "bootpoint image info disk.bpi ",
        "bootpoint start erp --point bp00000",
    ]


def test_scripts_of_all_shells_ask_the_program(bootpoint: Program) -> None:
    """None holds a list that could be out of date."""
    for shell in ("bash", "zsh", "fish"):
        text = bootpoint("completion", shell).out
        assert "bootpoint complete line" in text
        assert "retention" not in text
        assert bootpoint("completion", shell, "--json").told["script"] == text
