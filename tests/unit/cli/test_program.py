"""The real program as a process: start-up, pipes, signals."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.api.server import Door
from engine.api.sockets import find
from tests.scripted import ScriptedService
from tests.unit.cli.program import Program, program

HEAVY = ("textual", "pyVmomi", "libvirt", "sqlalchemy", "rich", "watchdog", "zstandard")


def loaded(code: str, *, socket: Path | None = None) -> set[str]:
    """Return which heavy modules some code loads."""
    show = f"\nimport sys\nprint(*(m for m in {HEAVY!r} + ('asyncio',) if m in sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", code + show],
        env={**os.environ, **({"BOOTPOINT_SOCKET": str(socket)} if socket else {})},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.splitlines()[-1].split())


def test_the_client_loads_nothing_heavy() -> None:
    """The console's way to the engine imports neither Textual nor any hypervisor or database."""
    assert loaded("import engine.api.client, engine.api.last, engine.api.sockets") == set()
    assert loaded("import engine.api.async_client") == {"asyncio"}


def test_status_loads_nothing_heavy(door: Path) -> None:
    """`status` starts quickly because it loads only what it needs."""
    code = "from engine.cli.main import main\nmain(['status'])"
    assert loaded(code, socket=door) == set()


def test_the_real_program_answers(bootpoint: Program) -> None:
    """Installed and run as a process, status prints and gives 0; the version needs no engine."""
    told = bootpoint.real("status")
    assert told.returncode == 0
    assert told.stdout.startswith("CAN START NOW: 3 of 3\n")
    assert told.stderr == ""
    assert bootpoint.real("--version").stdout == "bootpoint 0.1.0\n"


def test_exit_codes_reach_the_shell(bootpoint: Program, alone: Program) -> None:
    """The process ends with the code of the command."""
    assert bootpoint.real("statsu").returncode == 2
    assert bootpoint.real("stop", "erp").returncode == 4
    assert alone.real("status").returncode == 3


def test_a_closed_pipe_is_silent(bootpoint: Program, service: ScriptedService) -> None:
    """A reader that goes away is no error: no traceback, and the program ends."""
    for number in range(2000):
        service.write_line(f"line {number} " + "x" * 200)
    line = f"{shlex.quote(program())} journal --limit 2000 | head -1"
    told = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        env={**os.environ, "BOOTPOINT_SOCKET": str(bootpoint.place)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.count("\n") == 1


def test_a_follower_ends_with_its_reader(bootpoint: Program, service: ScriptedService) -> None:
    """`journal --follow | head -1` ends even when nothing more happens."""
    service.write_line("only line")
    told = subprocess.run(
        ["bash", "-c", f"{shlex.quote(program())} journal --follow | head -1"],
        env={**os.environ, "BOOTPOINT_SOCKET": str(bootpoint.place)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert told.stdout.endswith("only line\n")
    assert told.stderr == ""


def started(bootpoint: Program, *words: str) -> subprocess.Popen[str]:
    """Start the real program and leave it running."""
    return subprocess.Popen(
        # Tests that run in the background of a shell were told to ignore Ctrl-C.
        ["env", "--default-signal=INT", program(), *words],
        env={**os.environ, "BOOTPOINT_SOCKET": str(bootpoint.place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_followers_see_what_comes(bootpoint: Program, service: ScriptedService) -> None:
    """A new journal line appears while following, one JSON object a line."""
    service.write_line("first")
    process = started(bootpoint, "journal", "--follow", "--json")
    assert process.stdout is not None
    assert '"first"' in process.stdout.readline()
    service.write_line("second")
    assert '"second"' in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "Interrupted.\n"


def test_a_growing_serial_line_is_written_once(
    bootpoint: Program, service: ScriptedService
) -> None:
    """Following a serial line shows a prompt at once and never twice."""
    service.serials["erp"] = b"boot\nlog"
    process = started(bootpoint, "serial", "erp", "--follow")
    assert process.stdout is not None
    assert process.stdout.read(8) == "boot\nlog"
    service.say("erp", b"in: ")
    assert process.stdout.read(4) == "in: "
    service.say("erp", b"root\nnext")
    assert process.stdout.read(9) == "root\nnext"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)


def test_ctrl_c_stops_the_waiting_not_the_job(bootpoint: Program, service: ScriptedService) -> None:
    """An interrupted --wait says that the job goes on."""
    service.settles = False
    process = started(bootpoint, "start", "erp", "--wait")
    pause = threading.Event()
    while not list(service.snapshot().state.live_jobs()):
        pause.wait(0.02)
    pause.wait(0.5)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "job 1 goes on" in err
    assert list(service.snapshot().state.live_jobs())


def test_the_console_is_not_offered_without_a_terminal(alone: Program) -> None:
    """Without a terminal no question is asked and no engine is started."""
    told = alone.real()
    assert told.returncode != 0
    assert "Start one now" not in told.stderr
    assert not alone.place.exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('state_dir = "state"\n', "state/engine.sock"),
        ('socket = "/run/x.sock"\n', "/run/x.sock"),
        ('socket = "s/../door.sock"\nstate_dir = "elsewhere"\n', "door.sock"),
    ],
)
def test_the_configuration_says_where_the_engine_answers(
    tmp_path: Path, config: str, expected: str
) -> None:
    """Socket and state folder of engine.toml are found, relative to the file."""
    file = tmp_path / "engine.toml"
    file.write_text(config)
    assert find(None, file, {}).socket == tmp_path / expected


def test_a_named_socket_comes_before_everything(tmp_path: Path) -> None:
    """`--socket` beats the environment, the environment beats engine.toml."""
    file = tmp_path / "engine.toml"
    file.write_text('socket = "/c"\n')
    assert find(Path("/a"), file, {"BOOTPOINT_SOCKET": "/b"}).socket == Path("/a")
    assert find(None, file, {"BOOTPOINT_SOCKET": "/b"}).socket == Path("/b")
    assert find(None, file, {}).socket == Path("/c")


def test_a_lost_line_while_waiting_is_3(bootpoint: Program, service: ScriptedService) -> None:
    """When the engine goes while a command waits, the code is 3 and the job may go on."""
    service.settles = False
    place = bootpoint.place.with_name("second.sock")
    second = Door(service, place)
    second.start()
    process = subprocess.Popen(
        [program(), "start", "erp", "--wait", "--socket", str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "Starting erp from bp000004.\n"
    second.stop()
    _out, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "goes on if the engine runs" in err


def test_a_bad_configuration_is_wrong_use(tmp_path: Path, alone: Program) -> None:
    """`bootpoint engine` with a wrong key names file and key and gives 2."""
    file = tmp_path / "engine.toml"
    file.write_text("[limits]\njobs = 0\n")
    told = alone.real("engine", "--config", str(file))
    assert told.returncode == 2
    assert "engine.toml" in told.stderr
    assert "limits.jobs" in told.stderr


def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    """On a terminal the console offers an engine; when that ends, the end of its log is shown."""
    file = tmp_path / "engine.toml"
    file.write_text(f'state_dir = "{tmp_path}/state"\n[limits]\njobs = 0\n')
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [program(), "--config", str(file)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={k: v for k, v in os.environ.items() if k != "BOOTPOINT_SOCKET"},
    )
    os.close(theirs)
    os.write(ours, b"y\n")
    shown = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.wait(timeout=30) == 1
    assert b"Start one now? [Y/n]" in shown
    assert b"limits.jobs" in shown


HANGS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from engine.cli import main

def work(argv):
    medium, _ = os.pipe()
    ThreadPoolExecutor(1).submit(os.read, medium, 1)  # as of a mount that stopped answering
    print("done")
    return 4

main.main = work
main.run()
"""


def test_a_medium_that_hangs_does_not_keep_the_program() -> None:
    """A thread that reads from it cannot be ended; the process can, with the work's exit code."""
    told = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.returncode, told.stdout) == (4, "done\n")
