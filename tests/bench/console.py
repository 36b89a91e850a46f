"""`make bench BENCH=console`: the full screen on a pseudo terminal, with 500 machines and 8 jobs.

The engine is scripted, the door and the program are real. Bytes are what the program writes; times
run from the key to the first byte after it, so a redraw that has nothing to say does not count.
"""

from __future__ import annotations

import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from engine.api.server import Door
from engine.model.progress import Progress
from engine.model.work import JobKind
from tests.scripted import ScriptedService, site

MACHINES, JOBS, KEYS = 500, 8, 60
IDLE_S, BARS_S, PAINT_S = 12.0, 12.0, 15.0
TICK = os.sysconf("SC_CLK_TCK")
BOOTPOINT = str(Path(sys.executable).with_name("bootpoint"))


class Screen:
    """A program on a pseudo terminal of 80 by 24."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Start it."""
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        environ = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
        )
        os.close(slave)

    def read(self, seconds: float, until: bytes = b"") -> bytes:
        """Return what is written within so many seconds, or until something is."""
        heard, end = b"", time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (until and until in heard):
            if select.select([self.master], [], [], left)[0]:
                if not (fresh := self.take(65536)):
                    break
                heard += fresh
        return heard

    def take(self, size: int) -> bytes:
        """Return what is there, at most so many bytes; nothing when the program has ended."""
        try:
            return os.read(self.master, size)
        except OSError:
            return b""

    def key(self, data: bytes) -> float:
        """Press a key; return the seconds to the first byte after it."""
        began = time.monotonic()
        os.write(self.master, data)
        select.select([self.master], [], [], 5.0)
        took = time.monotonic() - began
        self.read(0.05)
        return took

    def cpu(self) -> float:
        """Return the processor seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> int:
        """Return resident bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.read(1.0)
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def measure(argv: Sequence[str], ready: bytes, keys: Sequence[bytes]) -> dict[str, float]:
    """Return what a program takes: start, keys, and standing still."""
    screen = Screen(argv)
    try:
        first = screen.read(PAINT_S, ready)
        told = {"first paint s": time.monotonic() - screen.began}
        first += screen.read(0.7)
        told["first paint B"] = len(first)
        times = sorted(screen.key(keys[n % len(keys)]) * 1000 for n in range(KEYS))
        told["key ms, median"] = statistics.median(times)
        told["key ms, 99 %"] = times[int(0.99 * (len(times) - 1))]
        cpu = screen.cpu()
        told["standing still B/s"] = len(screen.read(IDLE_S)) / IDLE_S
        told["standing still CPU %"] = 100 * (screen.cpu() - cpu) / IDLE_S
        told["RSS MiB"] = screen.memory() / 2**20
    finally:
        screen.close()
    return told


def busy(argv: Sequence[str], service: ScriptedService) -> dict[str, float]:
    """Return bytes a second with live bars at 2 Hz, and the largest change of screen."""
    names = sorted(service.snapshot().standbys)[:JOBS]
    jobs = [service.begin_job(JobKind.SYNC, name) for name in names]
    stop = threading.Event()

    def work() -> None:
        for step in range(1, 10**6):
            for job in jobs:
                rate = (40 + step % 5) * 1e6
                service.report(job.id, Progress("apply", step << 24, 1 << 40, rate, 900.0))
            if stop.wait(0.5):
                return

    thread = threading.Thread(target=work)
    thread.start()
    screen = Screen(argv)
    try:
        screen.read(PAINT_S, b"CAN START NOW")
        screen.read(2.0)
        told = {"live bars on the first page B/s": len(screen.read(BARS_S)) / BARS_S}
        sizes = []
        for key in (b"2", b"3", b"4", b"5", b"6", b"1", b"\r", b"1"):
            os.write(screen.master, key)
            sizes.append(len(screen.read(0.4)))
        told["change of screen B, largest"] = max(sizes)
        for baud in (115_200, 9_600):
            for what, value in slow(argv, baud / 10).items():
                told[f"at {baud} baud: {what}"] = value
    finally:
        stop.set()
        thread.join()
        screen.close()
    return told


class Slow(Screen):
    """A screen behind a line that carries so many bytes a second."""

    rate = 960.0

    def read(self, seconds: float, until: bytes = b"") -> bytes:
        """Return what comes over the line within so many seconds, or until something has."""
        heard, end, room = b"", time.monotonic() + seconds, 0.0
        while time.monotonic() < end and not (until and until in heard):
            select.select([], [], [], 0.02)
            room = min(room + self.rate * 0.02, self.rate)
            if room >= 1 and select.select([self.master], [], [], 0)[0]:
                if not (fresh := self.take(int(room))):
                    break
                room -= len(fresh)
                heard += fresh
        return heard


def slow(argv: Sequence[str], rate: float) -> dict[str, float]:
    """Return what a line of so many bytes a second does to keys, while 8 jobs report."""
    screen = Slow(argv)
    screen.rate = rate
    try:
        screen.read(PAINT_S, b"CAN START NOW")
        screen.read(4.0)
        times = []
        for number in range(20):
            began = time.monotonic()
            os.write(screen.master, b"jk"[number % 2 : number % 2 + 1])
            screen.read(10.0, b"=")  # the cursor's own sign: the row that was chosen has come
            times.append((time.monotonic() - began) * 1000)
            screen.read(0.3)
        began = time.monotonic()
        os.write(screen.master, b"2")
        screen.read(20.0, b"LEFT")
        change = time.monotonic() - began
    finally:
        screen.close()
    times.sort()
    return {
        "key to row, median ms": statistics.median(times),
        "key to row, 95 % ms": times[int(0.95 * (len(times) - 1))],
        "jobs page after s": change,
    }


def main() -> int:
    """Measure the console and its peers; print a table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        service = ScriptedService(site(MACHINES))
        door = Door(service, Path(name) / "door" / "engine.sock")
        door.start()
        try:
            ours = [BOOTPOINT, "--socket", str(Path(name) / "door" / "engine.sock")]
            found = {"bootpoint": measure(ours, b"CAN START NOW", (b"j", b"k"))}
            found["btop"] = measure(["btop", "--utf-force"], b"cpu", (b"\x1b[B", b"\x1b[A"))
            tmux = ["tmux", "-S", str(Path(name) / "tmux"), "-f", "/dev/null"]
            subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24"], check=True)
            for _ in range(30):
                subprocess.run([*tmux, "new-window", "-d"], check=True)
            tree = [*tmux, "attach", ";", "choose-tree"]
            found["tmux choose-tree"] = measure(tree, b"[0]", (b"j", b"k"))
            subprocess.run([*tmux, "kill-server"], check=True)
            more = busy(ours, service)
        finally:
            door.stop()
    print(f"{MACHINES} machines, 80x24, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    print("| what | " + " | ".join(found) + " |\n|---|" + "---:|" * len(found))
    for what in found["bootpoint"]:
        print(f"| {what} | " + " | ".join(f"{one[what]:.2f}" for one in found.values()) + " |")
    print(f"\nwith {JOBS} jobs at 2 Hz:")
    for what, value in more.items():
        print(f"  {what}: {value:.1f}")
    return 0
