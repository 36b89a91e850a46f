"""Finding and ending the sample site's processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from engine.daemon.clock import SystemClock
from engine.local.durable import file_lock
from engine.sample import processes
from engine.sample.site import Site

_LISTEN = """
import socket, sys
door = socket.socket(socket.AF_UNIX)
door.bind(sys.argv[1])
door.listen()
print("listening", flush=True)
sys.stdin.read()
"""
_STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("here", flush=True)
sys.stdin.read()
"""


def running(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Return a child that said it is ready; it ends when its input does."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline()
    return child


def test_the_kernel_names_who_listens_on_the_socket(tmp_path: Path) -> None:
    """Whoever listens is the engine, whatever a file with a process id might say."""
    door = tmp_path / "engine.sock"
    with running(_LISTEN, str(door)) as child:
        assert processes.engine_of(door) == child.pid
        child.communicate()


def test_a_socket_that_nobody_listens_on_has_no_engine(tmp_path: Path) -> None:
    """A socket left by a killed engine is nobody's."""
    door = tmp_path / "engine.sock"
    assert processes.engine_of(door) is None
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(door))
    left.close()
    assert processes.engine_of(door) is None


def test_a_process_id_counts_only_while_its_lock_is_held(tmp_path: Path) -> None:
    """The number in the file of a process that is gone may be anybody's by now."""
    site, place = Site(tmp_path), tmp_path / "live.lock"
    assert processes.live_of(site) is None
    place.write_text(f"{os.getpid()}\n")
    assert processes.live_of(site) is None
    with file_lock(place):
        assert processes.live_of(site) == os.getpid()


def test_ending_waits_for_the_end(tmp_path: Path) -> None:
    """A process that heeds the signal is gone when `end` returns."""
    with running(_LISTEN, str(tmp_path / "s")) as child:
        child_reaper = signal.signal(signal.SIGCHLD, lambda *_: child.poll())
        try:
            assert processes.end(child.pid, SystemClock(), 10)
        finally:
            signal.signal(signal.SIGCHLD, child_reaper)
        assert child.wait() == -signal.SIGTERM


def test_a_stubborn_process_is_killed(tmp_path: Path) -> None:
    """One that does not heed the signal is killed when the time is up, and `end` says so."""
    with running(_STUBBORN) as child:
        assert not processes.end(child.pid, SystemClock(), 0.5)
        assert child.wait() == -signal.SIGKILL


def test_ending_what_has_ended_is_no_error() -> None:
    """A process that is gone already has ended by itself."""
    with running(_STUBBORN) as child:
        child.communicate()
    assert processes.end(child.pid, SystemClock(), 0.5)
