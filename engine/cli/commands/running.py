"""The engine itself, and the console with the offer to start one."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

from engine.api.errors import EngineAway
from engine.api.sockets import Place
from engine.cli.context import Context
from engine.cli.output import note
from engine.model.errors import Failure, Problem, WrongUse

START_S, LOOK_S = 60.0, 0.2
LOG = "engine.log"
_LOG_LINES = 5


def engine(context: Context, *, until_idle: bool, rebuild_state: bool) -> int:
    """Run the engine until it is told to stop."""
    from engine.app import run_engine

    return run_engine(
        context.config,
        until_idle=until_idle,
        rebuild_state=rebuild_state,
        socket=context.socket,
    )


def plain(context: Context) -> int:
    """Hold the console's conversation line by line."""
    from tui.main import plain as talk

    refuse_json(context, "plain")
    place = context.place()
    _offer(context, place)
    return talk(
        place.socket,
        read_only=context.read_only,
        offline=place.state / "view" / "last.json",
        lang=context.lang,
    )


def console(context: Context) -> int:
    """Open the console; offer to start an engine when none answers."""
    refuse_json(context, "the console")
    place = context.place()
    _offer(context, place)
    from tui.main import main

    return main(
        place.socket,
        read_only=context.read_only,
        offline=place.state / "view" / "last.json",
        lang=context.lang,
        config=context.config,
    )


def refuse_json(context: Context, what: str) -> None:
    """Raise WrongUse where something that talks to a person is asked for JSON."""
    if context.output.as_json:
        raise WrongUse(
            Problem(
                f"use.{what.removeprefix('the ')}-json",
                f"{what[:1].upper()}{what[1:]} talks to a person, so it has no JSON.",
                "Nothing was changed.",
                "For programs: bootpoint status --json, and likewise each other command.",
            )
        )


def _offer(context: Context, place: Place) -> None:
    """Offer to start an engine when none answers and somebody can be asked."""
    if not answers(place.socket) and sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write(f"No engine answers at {place.socket}. Start one now? [Y/n] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("", "y", "yes"):
            start_engine(context, place)


def answers(socket: Path) -> bool:
    """Tell whether an engine answers at a socket."""
    from engine.api.client import Client

    try:
        Client(socket, want="viewer", timeout_s=2.0).close()
    except EngineAway:
        return False
    except Failure:
        return True
    return True


def start_engine(context: Context, place: Place) -> None:
    """Start an engine that goes on without this terminal; return once it answers.

    Raises:
        Failure: It ended, or does not answer; the end of its log is in the words.
    """
    log = place.state / LOG
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    line = [sys.executable, "-m", "engine.cli.main", "engine", "--socket", str(place.socket)]
    if context.config is not None:
        line += ["--config", str(context.config.absolute())]
    note(f"Starting an engine; its log is {log}.")
    with log.open("ab") as out:
        process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    pause, until = threading.Event(), time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        if answers(place.socket):
            return
        pause.wait(LOOK_S)
    why = "ended" if process.poll() is not None else f"did not answer within {START_S:.0f} s"
    last = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    raise Failure(
        Problem(
            "engine.start",
            f"The engine {why}. The end of its log: " + " | ".join(last),
            "",
            f"Read {log}, or run: bootpoint engine",
        )
    )
