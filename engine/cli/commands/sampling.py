"""The sample site: a small real guest, its images and their replication, to try things with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.api.views import FleetView
from engine.api.words import size
from engine.cli.commands import acting, running
from engine.cli.commands.imaging import shown, stoppable
from engine.cli.context import Context
from engine.cli.output import Output, note
from engine.daemon.clock import SystemClock

if TYPE_CHECKING:
    from engine.sample.site import Site

LIVE_LOG = "live.log"
END_S = 30.0


def build(context: Context, *, site: Path) -> int:
    """Build the site; what is there already is kept."""
    made = _build(site)
    if context.output.as_json:
        context.output.object(site=made.folder, config=made.config, source=made.source)
        return 0
    context.output.say(
        f"The sample site is in {made.folder}.",
        f"Its engine: bootpoint engine --config {made.config}",
        f"Let it live: bootpoint sample live --site {made.folder}",
    )
    return 0


def _build(folder: Path) -> Site:
    from engine.sample.site import build as make

    with stoppable() as cancel, shown("sample") as report:

        def say(text: str) -> None:
            report.end()
            note(f"sample: {text}")

        return make(folder, SystemClock(), cancel, report, say)


def grow(context: Context, *, site: Path, rate: int | None) -> int:
    """Let the guest's disk change, image the change, replicate it."""
    from engine.sample.site import existing
    from engine.sample.site import grow as go_on

    found = existing(site)
    with stoppable() as cancel, shown("sample") as report:
        counter, made = go_on(found, SystemClock(), cancel, report, rate)
    if context.output.as_json:
        context.output.object(counter=counter, point=made)
    else:
        context.output.say(
            f"The guest's counter is {counter}; increment {made.sequence} "
            f"({size(made.stored_bytes)}) is in {found.watched}."
        )
    return 0


def live(context: Context, *, site: Path, increments: int, pause: int, rate: int | None) -> int:
    """Replicate, then grow and replicate until all increments are there."""
    from engine.sample.live import Tempo
    from engine.sample.live import live as lives
    from engine.sample.site import existing

    found, output = existing(site), context.output
    tempo = Tempo(increments, float(pause)) if rate is None else Tempo(increments, pause, rate)
    with stoppable() as cancel:
        lives(found, SystemClock(), cancel, lambda text: _say(output, text), tempo)
    return 0


def _say(output: Output, text: str) -> None:
    if output.as_json:
        output.object(said=text)
    else:
        output.say(text)


def run(context: Context, *, site: Path) -> int:
    """Build the site if there is none, start what does not run, open the console on it."""
    from engine.sample.processes import live_of
    from engine.sample.site import Site

    running.refuse_json(context, "the console")
    there = Site(site.absolute())
    if not there.exists:
        there = _build(site)
    own = Context(context.output, None, there.config, context.read_only)
    place = own.place()
    if not running.answers(place.socket):
        running.start_engine(own, place)
    if live_of(there) is None:
        _start_living(there)
    return running.console(own)


def _start_living(site: Site) -> None:
    line = [sys.executable, "-m", "engine.cli.main", "sample", "live", "--site", str(site.folder)]
    with (site.folder / LIVE_LOG).open("ab") as out:
        subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )


def stop(context: Context, *, site: Path) -> int:
    """Power off the site's VMs, then end its engine and its life."""
    from engine.sample.processes import end, engine_of, live_of
    from engine.sample.site import existing

    found = existing(site)
    own = Context(context.output, None, found.config)
    place = own.place()
    ended: list[str] = []
    if (process := live_of(found)) is not None:
        end(process, SystemClock(), END_S)
        ended.append("its life")
    if (process := engine_of(place.socket)) is not None:
        ended += [f"the VM {name}" for name in power_off(own)]
        end(process, SystemClock(), END_S)
        ended.append("its engine")
    if context.output.as_json:
        context.output.object(site=found.folder, ended=ended)
    else:
        words = ", ".join(ended) or "nothing, for nothing ran"
        context.output.say(f"Ended of the sample site in {found.folder}: {words}.")
    return 0


def power_off(context: Context) -> list[str]:
    """Stop all VMs of an engine through its door; return their machines' names."""
    ended = []
    with context.client() as client:
        for one in client.call("fleet", list[FleetView]):
            if one.running:
                acting.stop_quietly(client, one.id)
                ended.append(one.id)
    return ended
