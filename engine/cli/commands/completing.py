"""Completion of command lines: a small script for each shell, which asks this program each time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from engine.api.client import Client
from engine.api.guest_views import QuestionView
from engine.api.views import AlertView, FleetView, JobView, MachineView, TargetView
from engine.cli.completion import Offer, offered
from engine.cli.context import Context
from engine.model.errors import Failure

ASK_S = 0.3
_PLAIN = re.compile(r"[A-Za-z0-9._:=@/+-]+")
"""What a shell takes as one word, whatever it does with it."""


def names(context: Context, *, what: str, machine: str) -> int:
    """Print names of machines, points or jobs; nothing when the engine does not answer soon."""
    context.output.say(*_names(context, Offer((), what, machine)))
    return 0


def line(words: Sequence[str]) -> int:
    """Print what may stand at the last of the words (without the program's own name)."""
    before, current = list(words[:-1]), words[-1] if words else ""
    told = offered(before, current)
    context = Context()
    for at, word in enumerate(before[:-1]):
        if word == "--socket":
            context = replace(context, socket=Path(before[at + 1]))
        elif word == "--config":
            context = replace(context, config=Path(before[at + 1]))
    found = [*told.words, *(_names(context, told) if told.kind else ())]
    context.output.say(*(one for one in found if one.startswith(current) and _PLAIN.fullmatch(one)))
    return 0


def _names(context: Context, told: Offer) -> list[str]:
    if told.kind == "key":
        from engine.api.definition import KEYS

        return [f"{key}=" for key in KEYS]
    if told.kind == "file":
        return []
    found = _configured(context) if told.kind == "target" else []
    try:
        with context.client(timeout_s=ASK_S) as client:
            found += _asked(client, told)
    except (Failure, OSError):
        pass  # what is configured can be looked at without an engine
    return list(dict.fromkeys(found))


def _configured(context: Context) -> list[str]:
    """Return the targets of the configuration: they can be looked at where no engine runs."""
    from engine.config.engine import load_engine

    try:
        return sorted(load_engine(context.config).targets)
    except Failure:
        return []


def _asked(client: Client, told: Offer) -> Iterator[str]:
    match told.kind:
        case "machine":
            yield from (one.id for one in client.call("fleet", list[FleetView]))
        case "job":
            yield from (one.id for one in client.call("jobs", list[JobView]))
        case "target":
            yield from (one.id for one in client.call("targets", list[TargetView]))
        case "alert":
            yield from (one.id for one in client.call("alerts", list[AlertView]))
        case "choice":
            for asked in client.call("question", list[QuestionView], machine=told.machine):
                yield from (str(at) for at, _ in enumerate(asked.choices, 1))
        case "point" | "tried-point":
            stages = ("ready", "failed") if told.kind == "tried-point" else ("ready",)
            view = client.call("machine", MachineView, machine=told.machine)
            yield from (one.id for one in view.points if one.stage in stages)


def script(context: Context, *, shell: str) -> int:
    """Print a shell's completion script."""
    text = _SCRIPTS[shell]
    if context.output.as_json:
        context.output.object(shell=shell, script=text)
    else:
        context.output.say(text.rstrip("\n"))
    return 0


_SCRIPTS = {
    "bash": r"""# bash completion for bootpoint
_bootpoint() {
    local line="${COMP_LINE:0:COMP_POINT}" words current
    COMPREPLY=()
    # Not COMP_WORDS: bash cuts words at = and :, as in keep=7 and rpo:erp.
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    mapfile -t COMPREPLY < <(bootpoint complete line "${words[@]:1}" 2>/dev/null)
    if [ ${#COMPREPLY[@]} -eq 0 ]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        compopt -o filenames
    elif [ ${#COMPREPLY[@]} -eq 1 ] && [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
    if [[ $current == *[=:]* ]]; then
        local cut="${current%"${current##*[=:]}"}" at
        for at in "${!COMPREPLY[@]}"; do COMPREPLY[at]="${COMPREPLY[at]#"$cut"}"; done
    fi
}
complete -F _bootpoint bootpoint
""",
    "zsh": r"""#compdef bootpoint
_bootpoint() {
    local -a found
    found=("${(@f)$(bootpoint complete line "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n ${found[1]} ]]; then
        compadd -S '' -- ${(M)found:#*=}
        compadd -- ${found:#*=}
    else
        _files
    fi
}
if [[ ${funcstack[1]} == _bootpoint ]]; then
    _bootpoint "$@"
else
    compdef _bootpoint bootpoint
fi
""",
    "fish": r"""# fish completion for bootpoint
function __bootpoint_line
    set -l words (commandline -opc) (commandline -ct)
    set -l found (bootpoint complete line $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c bootpoint -f -a '(__bootpoint_line)'
""",
}
