"""Typing at a guest's serial line from the shell, and its screen drawn there."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.hypervisors.png import encode
from tests.scripted import ScriptedService
from tests.unit.cli.program import Program, program


@pytest.fixture
def guest(service: ScriptedService) -> ScriptedService:
    """Let a VM run."""
    service.serials["erp"] = b"booting\r\n\x1b]52;c;aGk=\x07erp login: "
    service.run("erp", service.snapshot().state.ready("erp")[-1].id)
    return service


def test_a_piped_line_is_typed_and_answered(bootpoint: Program, guest: ScriptedService) -> None:
    """What comes by a pipe is typed with RETURN, the answer is printed, then it ends."""
    told = subprocess.run(
        [program(), "serial", "erp", "--attach"],
        input="root\n",
        env={**os.environ, "BOOTPOINT_SOCKET": str(bootpoint.place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told
    assert told.stdout.startswith("booting\nerp login: root\n")
    assert "\x1b" not in told.stdout
    assert guest.calls[0][:3] == ("serial_input", "erp", "root\r")


class Terminal:
    """The program on a pseudo terminal."""

    def __init__(self, place: Path) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [program(), "serial", "erp", "--attach"],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**os.environ, "BOOTPOINT_SOCKET": str(place)},
        )
        self.heard = b""

    def sees(self, part: bytes) -> None:
        """Wait until this was written."""
        end = time.monotonic() + 30
        while part not in self.heard:
            assert time.monotonic() < end, self.heard
            if select.select([self.master], [], [], 0.1)[0]:
                self.heard += os.read(self.master, 4096)


@pytest.fixture
def terminal(bootpoint: Program, guest: ScriptedService) -> Iterator[Terminal]:
    """Give the program, attached."""
    assert guest.serials
    made = Terminal(bootpoint.place)
    made.sees(b"erp login: ")
    yield made
    if made.process.poll() is None:
        made.process.kill()
    made.process.wait()
    os.close(made.master)
    os.close(made.slave)


def test_every_key_reaches_the_guest_until_ctrl_bracket(
    terminal: Terminal, guest: ScriptedService
) -> None:
    """Ctrl-C goes to the guest, the echo is the guest's, Ctrl-] leaves a whole terminal."""
    os.write(terminal.master, b"\x03r")
    terminal.sees(b"r")
    os.write(terminal.master, b"oot\r")
    terminal.sees(b"root")
    os.write(terminal.master, b"\x1d")
    terminal.sees(b"Left erp; it runs on.")
    assert terminal.process.wait(30) == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    typed = "".join(call[2] for call in guest.calls if call[0] == "serial_input")
    assert typed == "\x03root\r"


def test_a_kill_leaves_a_whole_terminal(terminal: Terminal) -> None:
    """After SIGTERM the terminal echoes again, and the code is 143."""
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(30) == 143
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_typing_needs_the_role(bootpoint: Program, guest: ScriptedService) -> None:
    """Read-only nothing is typed, and the code says refused."""
    told = bootpoint("--read-only", "serial", "erp", "--attach")
    assert told.code == 4
    assert guest.calls == []


def test_the_screen_is_drawn_where_no_file_is_named(
    bootpoint: Program, guest: ScriptedService, tmp_path: Path
) -> None:
    """Without --save it comes as characters; with it as the PNG."""
    guest.picture_png = encode(4, 2, bytes([255]) * 24)
    told = bootpoint("screen", "erp")
    assert told.code == 0
    assert set(told.out) == {"@", "\n"}
    assert bootpoint("screen", "erp", "--save", str(tmp_path / "a.png")).code == 0
    assert (tmp_path / "a.png").read_bytes() == guest.picture_png
    assert bootpoint("screen", "erp", "--json").told["picture"]["width"] == 4
