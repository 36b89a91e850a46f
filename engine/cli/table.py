"""The table of commands: parser, help, completion and tests come from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.cli.alerting import ALERTING
from engine.cli.converting import CONVERTING
from engine.cli.defining import STANDBY
from engine.cli.imaging import IMAGE, SAMPLE
from engine.cli.keeping import KEEPING
from engine.cli.option import (
    DRY,
    MACHINE,
    POINT,
    WAIT,
    Command,
    Option,
    count,
)
from engine.cli.pausing import PAUSING
from engine.cli.targeting import TARGET

GROUPS = {
    "job": "Deal with one job.",
    "alert": "Test the ways by which alerts leave; look after an alert.",
    "standby": "Define standbys.",
    "target": "Add, check and remove the places where standby VMs run.",
    "image": "Make and check image files.",
    "sample": "A small site to try everything with.",
}

_ENGINE = (
    Command(
        "engine",
        "Run the engine (the daemon).",
        "running:engine",
        (
            "bootpoint engine",
            "bootpoint engine --config /etc/bootpoint/engine.toml",
            "bootpoint engine --until-idle",
        ),
        (
            Option(("--until-idle",), "do all work that is due, then exit", flag=True),
            Option(("--rebuild-state",), "make the state anew from the stores", flag=True),
        ),
    ),
)

_LOOKING = (
    Command(
        "plain",
        "Open the console line by line: any terminal, pipe or screen reader.",
        "running:plain",
        (
            "bootpoint plain",
            "bootpoint plain --lang ja",
            "bootpoint plain --socket /run/bootpoint/engine.sock",
        ),
    ),
    Command(
        "status",
        "Say how each machine stands: one line each, worst first.",
        "looking:status",
        (
            "bootpoint status",
            "bootpoint status --json",
            "bootpoint status --fail-on late",
        ),
        (
            Option(("--offline",), "the last known state, without asking the engine", flag=True),
            Option(
                ("--fail-on",),
                "exit 1 if a machine is that bad (late: or worse)",
                choices=("late", "fail"),
                default="",
            ),
        ),
    ),
    Command(
        "show",
        "Say everything about one machine.",
        "looking:show",
        ("bootpoint show erp", "bootpoint show erp --json", "bootpoint --read-only show web"),
        (MACHINE,),
    ),
    Command(
        "sets",
        "List the image sets found in the watched folders.",
        "looking:sets",
        ("bootpoint sets", "bootpoint sets --json", "bootpoint sets --color never"),
    ),
    Command(
        "points",
        "List a machine's boot points, newest first.",
        "looking:points",
        ("bootpoint points erp", "bootpoint points erp --json", "bootpoint points web"),
        (MACHINE,),
    ),
    Command(
        "jobs",
        "List the jobs that run, wait, or ended lately.",
        "listing:jobs",
        ("bootpoint jobs", "bootpoint jobs --json", "bootpoint jobs --read-only"),
    ),
    Command(
        "journal",
        "Show the history: what happened, and what was to do.",
        "listing:journal",
        (
            "bootpoint journal",
            "bootpoint journal --follow",
            "bootpoint journal --machine erp --limit 50",
        ),
        (
            Option(("--follow",), "go on with each new line", flag=True),
            Option(("--limit",), "lines to begin with (default 50)", "N", count, 50),
            Option(("--machine",), "only of this machine", "MACHINE", default="", kind="machine"),
        ),
    ),
    Command(
        "findings",
        "List what is wrong with files, folders and targets.",
        "listing:findings",
        ("bootpoint findings", "bootpoint findings --json", "bootpoint findings --read-only"),
    ),
    Command(
        "who",
        "List who is connected to the engine, with which role, from where.",
        "listing:who",
        ("bootpoint who", "bootpoint who --json", "bootpoint who --read-only"),
    ),
    Command(
        "targets",
        "List the targets and the room they have.",
        "listing:targets",
        ("bootpoint targets", "bootpoint targets --json", "bootpoint targets --read-only"),
    ),
)

_ACTING = (
    Command(
        "start",
        "Run a boot point on a scratch layer, on an isolated network.",
        "acting:start",
        (
            "bootpoint start erp",
            "bootpoint start erp --point bp000042 --wait",
            "bootpoint start erp --dry-run",
        ),
        (
            MACHINE,
            POINT,
            WAIT,
            DRY,
        ),
    ),
    Command(
        "stop",
        "Power off a machine's VM and drop what it wrote.",
        "acting:stop",
        ("bootpoint stop erp", "bootpoint stop erp --wait", "bootpoint stop erp --dry-run"),
        (
            MACHINE,
            Option(("--yes-i-mean",), "the name again, for a VM at home", "NAME", default=""),
            WAIT,
            DRY,
        ),
    ),
    Command(
        "home",
        "Bring a VM that runs from this machine's disks home, to its target.",
        "acting:home",
        (
            "bootpoint home erp",
            "bootpoint home erp --to datastore2 --wait",
            "bootpoint home erp --dry-run",
        ),
        (
            MACHINE,
            Option(("--to",), "datastore (default: where its own files are)", "NAME", default=""),
            WAIT,
            DRY,
        ),
    ),
    Command(
        "answer",
        "Say what a machine's VM asks before it goes on, or answer it.",
        "answering:answer",
        (
            "bootpoint answer erp",
            "bootpoint answer erp 2",
            'bootpoint answer erp "I moved it"',
        ),
        (
            MACHINE,
            Option(
                ("choice",),
                "number or words of the answer (default: only show what is asked)",
                "CHOICE",
                default="",
                nargs="?",
                kind="choice",
            ),
        ),
    ),
    *PAUSING,
    Command(
        "job cancel",
        "Ask a job to end; it does within a second.",
        "acting:cancel",
        ("bootpoint job cancel 12", "bootpoint job cancel 12 --json", "bootpoint job cancel 7"),
        (Option(("job",), "the job's number", "N", kind="job"),),
    ),
    Command(
        "serial",
        "Show a running machine's serial line.",
        "guest:serial",
        (
            "bootpoint serial erp",
            "bootpoint serial erp --follow",
            "bootpoint serial erp --attach",
        ),
        (
            MACHINE,
            Option(("--attach",), "type at it as well; Ctrl-] leaves", flag=True),
            Option(("--follow",), "go on with each new line", flag=True),
            Option(("--raw",), "the bytes as they are (may steer a terminal)", flag=True),
            Option(("--lines",), "lines to begin with (default 200)", "N", count, 200),
        ),
    ),
    Command(
        "screen",
        "Draw a running machine's screen here, or save it as a picture.",
        "guest:screen",
        (
            "bootpoint screen erp",
            "bootpoint screen erp --save /tmp/erp.png",
            "bootpoint screen web --save web.png --json",
        ),
        (
            MACHINE,
            Option(("--to", "--save"), "the PNG file to write", "FILE", Path, kind="file"),
        ),
    ),
)

_REST = (
    Command(
        "completion",
        "Print the completion script of a shell.",
        "completing:script",
        (
            "bootpoint completion bash > /etc/bash_completion.d/bootpoint",
            "bootpoint completion zsh > ~/.zfunc/_bootpoint",
            "bootpoint completion fish > ~/.config/fish/completions/bootpoint.fish",
        ),
        (Option(("shell",), "the shell", choices=("bash", "zsh", "fish")),),
    ),
    Command(
        "complete",
        "Print the names that may stand at a place (for completion scripts).",
        "completing:names",
        (
            "bootpoint complete machine",
            "bootpoint complete point erp",
            "bootpoint complete job",
        ),
        (
            Option(("what",), "what to name", choices=("machine", "point", "tried-point", "job")),
            Option(("machine",), "of which machine", "MACHINE", nargs="?", default=""),
        ),
        hidden=True,
    ),
)

COMMANDS: Sequence[Command] = (
    *_ENGINE,
    *_LOOKING,
    *ALERTING,
    *_ACTING,
    *CONVERTING,
    *KEEPING,
    *STANDBY,
    *TARGET,
    *IMAGE,
    *SAMPLE,
    *_REST,
)
