"""The sample site: build it, let it grow, and run it with engine and console in one go."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from engine.api.words import size
from engine.cli.commands.acting import act
from engine.cli.commands.imaging import shown, stoppable
from engine.cli.commands.running import answers, console, start_engine
from engine.cli.context import Context
from engine.cli.output import note
from engine.daemon.clock import SystemClock
from engine.sample import processes
from engine.sample.live import Tempo
from engine.sample.live import live as live_on
from engine.sample.site import Site, existing
from engine.sample.site import build as build_site
from engine.sample.site import grow as grow_site

_STOP_S, _LIVE_STOP_S = 60.0, 15.0


def build(context: Context, *, site: Path) -> int:
    """Build the sample site; one that is there already stays as it is."""
    made = Site(site.absolute())
    if not made.exists:
        with stoppable() as cancel, shown("sample") as report:
            made = build_site(site, SystemClock(), cancel, report, note)
    if context.output.as_json:
        context.output.object(site=made.folder, config=made.config)
        return 0
    context.output.say(
        f"The sample site is in {made.folder}.",
        f"  run its engine:    bootpoint engine --config {made.config}",
        f"  one more increment: bootpoint sample grow --site {made.folder}",
    )
    return 0


def grow(context: Context, *, site: Path) -> int:
    """Change the sample machine, image the change, replicate it."""
    with stoppable() as cancel, shown("sample") as report:
        counter, made = grow_site(existing(site), SystemClock(), cancel, report)
    if context.output.as_json:
        context.output.object(counter=counter, point=made)
        return 0
    context.output.say(
        f"The sample machine's counter is {counter} now. Increment {made.sequence}, "
        f"{size(made.stored_bytes)}, was replicated."
    )
    return 0


def live(context: Context, *, site: Path, increments: int, pause: int) -> int:
    """Replicate at a visible pace and grow now and then, until all increments are there."""
    tempo = Tempo(increments=increments, pause_s=pause)
    with stoppable() as cancel:
        live_on(existing(site), SystemClock(), cancel, context.output.say, tempo)
    return 0


def run(context: Context, *, site: Path) -> int:
    """Build the site if there is none, start what does not run, open the console."""
    if not Site(site.absolute()).exists:
        note("Building the sample site: a small Debian guest and its first full image.")
        build(replace(context, output=type(context.output)(out=sys.stderr)), site=site)
    made = existing(site)
    here = replace(context, socket=None, config=made.config)
    place = here.place()
    if not answers(place.socket):
        start_engine(here, place)
    if processes.live_of(made) is None:
        _start_live(made)
    code = console(here)
    if processes.engine_of(place.socket) is not None:
        note(
            "The engine and its virtual machines go on without the console.\n"
            "  make run    opens the console again\n"
            "  make stop   ends them (or: bootpoint sample stop)"
        )
    return code


def _start_live(site: Site) -> None:
    line = [sys.executable, "-m", "engine.cli.main", "sample", "live", "--site", str(site.folder)]
    with (site.folder / "live.log").open("ab") as out:
        subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def stop(context: Context, *, site: Path) -> int:
    """Stop the site's virtual machines, then its engine."""
    from engine.api.views import FleetView

    made = existing(site)
    here = replace(context, socket=None, config=made.config)
    clock, door = SystemClock(), here.place().socket
    if (lively := processes.live_of(made)) is not None:
        processes.end(lively, clock, _LIVE_STOP_S)
    engine = processes.engine_of(door)
    if engine is None:
        context.output.say("No engine of the sample site runs.")
        return 0
    with here.client() as client:
        running = [one.id for one in client.call("fleet", list[FleetView]) if one.running]
    for machine in running:
        act(here, "stop", machine=machine, wait=True)
    ended = processes.end(engine, clock, _STOP_S)
    context.output.say("The sample site's engine has ended." if ended else "It had to be killed.")
    return 0
