"""The console on lines that are slower than what happens: nothing piles up, the newest is shown."""

from __future__ import annotations

import os
import select
import signal
import termios
import time

from engine.model.progress import Progress
from engine.model.work import JobKind, JobStatus
from tests.scripted import ScriptedService, site
from tests.tui.bench import Bench
from tests.tui.test_real_terminal import Line, wait

KERNEL = 4096
"""Bytes that a pseudo terminal holds; a UART holds as many."""


def busy(service: ScriptedService, rounds: int, pause_s: float) -> None:
    """Let 8 jobs report so many times."""
    jobs = list(service.snapshot().state.jobs.values())
    for step in range(1, rounds + 1):
        for job in jobs:
            rate = (40 + step % 50) * 1e6
            service.report(job.id, Progress("apply", step << 30, 1 << 40, rate, 900.0 - step))
        time.sleep(pause_s)  # noqa: TID251  (the line stands still meanwhile)


def eight_jobs(bench: Bench) -> ScriptedService:
    """Open the door of an engine with 30 machines and 8 running jobs."""
    service = bench.start(ScriptedService(site(30)))
    for name in sorted(service.snapshot().standbys)[:8]:
        service.begin_job(JobKind.SYNC, name, status=JobStatus.RUNNING)
    return service


def test_a_line_that_stands_still_gets_the_newest_and_no_backlog(bench: Bench) -> None:
    """Nothing is read while 8 jobs report for long; then a key is answered behind one buffer."""
    service = eight_jobs(bench)
    line = Line(bench.socket)
    line.sees("CAN START NOW")
    line.read()
    busy(service, 60, 0.03)
    before = len(line.heard)
    os.write(line.master, b"2")
    line.sees("> jobs")
    assert len(line.heard) - before < KERNEL + 4000
    line.close()


def test_a_line_that_takes_nothing_ends_with_a_signal_all_the_same(bench: Bench) -> None:
    """XOFF and then SIGTERM: the process does not wait for a terminal that takes nothing."""
    service = eight_jobs(bench)
    line = Line(bench.socket)
    line.sees("CAN START NOW")
    line.read()
    termios.tcflow(line.slave, termios.TCOOFF)
    busy(service, 5, 0.05)
    line.process.send_signal(signal.SIGTERM)
    assert line.process.wait(20) == 128 + signal.SIGTERM
    termios.tcflow(line.slave, termios.TCOON)
    line.close()


PAGES = {
    b"2": "> jobs",
    b"3": "> journal",
    b"5": "image sets, 0 not protected",
    b"7": "ALERTS RAISED",
    b"?": "KEYS HERE",
    b"1": "CAN START NOW: 30 of 30",
    b"\r": "> dc",
    b"f": "> emergency",
}
"""Each a key away from the one before; by what it is known."""


def test_the_bytes_of_the_budgets(bench: Bench) -> None:
    """First screen 3 KB, no change of screen over 4 KB, idle next to nothing, live bars 1 KB/s."""
    service = eight_jobs(bench)
    line = Line(bench.socket)
    line.sees("8 jobs run")
    line.sees("? help")
    assert len(line.heard) <= 3072
    for key, page in PAGES.items():
        before = len(line.heard)
        os.write(line.master, key)
        line.sees(page)
        _settled(line)
        assert len(line.heard) - before <= 4096, key
    _settled(line, 0.4)  # the page is deaf that long
    os.write(line.master, b"\x1b")
    line.sees("KEPT BECAUSE")
    os.write(line.master, b"1")
    line.sees("CAN START NOW: 30 of 30")
    _settled(line)
    before = len(line.heard)
    _settled(line, 1.0)
    assert len(line.heard) - before <= 200
    busy(service, 4, 0.25)
    _settled(line)
    assert len(line.heard) - before <= 2 * 1024
    line.close()


def _settled(line: Line, quiet_s: float = 0.15) -> None:
    """Read until nothing comes any more."""
    while select.select([line.master], [], [], quiet_s)[0]:
        line.read()


def test_a_screen_of_another_program_is_drawn_over_on_request(bench: Bench) -> None:
    """Ctrl+L sends everything again, though nothing has changed for the console."""
    bench.start()
    line = Line(bench.socket)
    line.sees("? help")
    _settled(line)
    before = len(line.heard)
    os.write(line.master, b"\x0c")
    wait(line.read, lambda text: "CAN START NOW: 3 of 3" in text[before:])
    line.close()


def test_the_driver_of_the_stock_shows_the_same(bench: Bench) -> None:
    """With `--driver=stock` and with ours the screen is the same, cell for cell."""
    bench.start()
    screens = []
    for stock in (False, True):
        line = Line(bench.socket, stock=stock)
        line.sees("? help")
        _settled(line, 0.3)
        screens.append(line.screen().replace("]22;default", ""))
        line.close()
    assert screens[0] == screens[1]
