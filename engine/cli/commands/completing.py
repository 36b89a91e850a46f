"""Completion of command lines: scripts for shells, and the names they ask for."""

from __future__ import annotations

from engine.api.views import FleetView, JobView, MachineView
from engine.cli.context import Context
from engine.cli.option import Command
from engine.cli.table import COMMANDS
from engine.model.errors import Failure

ASK_S = 0.3
GLOBAL = ("--json", "--socket", "--config", "--read-only", "--color", "--lang", "--help")


def names(context: Context, *, what: str, machine: str) -> int:
    """Print names of machines, points or jobs; nothing when the engine does not answer soon."""
    try:
        with context.client(timeout_s=ASK_S) as client:
            if what == "machine":
                found = [one.id for one in client.call("fleet", list[FleetView])]
            elif what == "job":
                found = [one.id for one in client.call("jobs", list[JobView])]
            else:
                view = client.call("machine", MachineView, machine=machine)
                stages = ("ready", "failed") if what == "tried-point" else ("ready",)
                found = [one.id for one in view.points if one.stage in stages]
    except Failure:
        return 0
    context.output.say(*found)
    return 0


def script(context: Context, *, shell: str) -> int:
    """Print a shell's completion script."""
    shown = [command for command in COMMANDS if not command.hidden]
    makers = {"bash": bash, "zsh": zsh, "fish": fish}
    text = makers[shell](shown)
    if context.output.as_json:
        context.output.object(shell=shell, script=text)
    else:
        context.output.say(text.rstrip("\n"))
    return 0


def first_words(commands: list[Command]) -> list[str]:
    """Return the words that may stand first."""
    return list(dict.fromkeys(command.name.split()[0] for command in commands))


def second_words(commands: list[Command], first: str) -> list[str]:
    """Return the words that may follow a group's name."""
    pairs = (command.name.split() for command in commands)
    return [pair[1] for pair in pairs if len(pair) > 1 and pair[0] == first]


def _offers(command: Command) -> str:
    """Return the words of one command's options and choices."""
    words = [name for option in command.options for name in option.names if name[:2] == "--"]
    words += [
        choice
        for option in command.options
        if option.names[0][:1] != "-"
        for choice in option.choices
    ]
    return " ".join((*words, *GLOBAL))


def _asks(command: Command) -> str:
    """Return what kind of name a command's first argument is."""
    kinds = [option.kind for option in command.options if option.names[0][:1] != "-"]
    return kinds[0] if kinds else ""


def bash(commands: list[Command]) -> str:
    """Return the script for bash."""
    groups = [first for first in first_words(commands) if second_words(commands, first)]
    cases = [
        f'        "{group} ") words="{" ".join(second_words(commands, group))}" ;;'
        for group in groups
    ]
    for command in commands:
        kind = _asks(command)
        ask = f" $(bootpoint complete {kind} 2>/dev/null)" if kind in ("machine", "job") else ""
        key = f"{command.name} " if len(command.name.split()) == 1 else command.name
        cases.append(f'        "{key}"*) words="{_offers(command)}{ask}" ;;')
    return f"""# bash completion for bootpoint
_bootpoint() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    if [ "$before" = --point ]; then
        local kind=point
        case "${{COMP_WORDS[1]}}" in guest|convert) kind=tried-point ;; esac
        words="$(bootpoint complete $kind "${{COMP_WORDS[2]}}" 2>/dev/null)"
    elif [ "$COMP_CWORD" -le 1 ]; then
        words="{" ".join((*first_words(commands), *GLOBAL, "--version"))}"
    else
        local second=""
        [ "$COMP_CWORD" -gt 2 ] && second="${{COMP_WORDS[2]}}"
        case "${{COMP_WORDS[1]}} $second" in
{chr(10).join(cases)}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [ ${{#COMPREPLY[@]}} -eq 0 ] && COMPREPLY=($(compgen -f -- "$current"))
}}
complete -o filenames -F _bootpoint bootpoint
"""


def zsh(commands: list[Command]) -> str:
    """Return the script for zsh: bash's, through its own emulation."""
    return "#compdef bootpoint\nautoload -U +X bashcompinit && bashcompinit\n" + bash(commands)


def fish(commands: list[Command]) -> str:
    """Return the script for fish."""
    lines = ["# fish completion for bootpoint"]
    for command in commands:
        words = command.name.split()
        at = (
            "__fish_use_subcommand"
            if len(words) == 1
            else f"__fish_seen_subcommand_from {words[0]}"
        )
        about = command.about.replace("'", "\\'")
        lines.append(f"complete -c bootpoint -f -n '{at}' -a {words[-1]} -d '{about}'")
        inside = f"__fish_seen_subcommand_from {words[-1]}"
        lines += [
            f"complete -c bootpoint -n '{inside}' -l {name[2:]} -d '{option.help}'"
            for option in command.options
            for name in option.names
            if name[:2] == "--"
        ]
        if _asks(command) in ("machine", "job"):
            ask = f"(bootpoint complete {_asks(command)} 2>/dev/null)"
            lines.append(f"complete -c bootpoint -f -n '{inside}' -a '{ask}'")
    lines += [
        f"complete -c bootpoint -n __fish_use_subcommand -a {first}"
        for first in first_words(commands)
        if second_words(commands, first)
    ]
    lines += [f"complete -c bootpoint -l {name[2:]}" for name in GLOBAL]
    return "\n".join(lines) + "\n"
