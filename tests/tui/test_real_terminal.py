"""The console as an operator starts it: in tmux, and on a pseudo terminal that misbehaves."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

from tests.tui.bench import Bench

ROOT = Path(__file__).parents[2]
CODE = (
    "import sys; from pathlib import Path; from tui.main import main; "
    "sys.exit(main(Path(sys.argv[1])))"
)
PATIENCE_S = 30.0


class Tmux:
    """A tmux server of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = str(folder / "tmux.sock")

    def run(self, *words: str) -> str:
        """Call tmux; return what it prints."""
        found = shutil.which("tmux")
        assert found, "tmux is needed for this test: apt-get install tmux"
        command = [found, "-S", self._socket, "-f", "/dev/null", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def open(self, socket: Path, size: tuple[int, int], **environ: str) -> None:
        """Start the console in a window of this size; its exit code is printed at the end."""
        settings = " ".join(f"{k}={shlex.quote(v)}" for k, v in environ.items())
        console = shlex.join([sys.executable, "-c", CODE, str(socket)])
        command = f"cd {shlex.quote(str(ROOT))} && env {settings} {console}; echo LEFT $?; sleep 60"
        self.run("new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), command)

    def screen(self, *options: str) -> str:
        """Return what stands in the window."""
        return self.run("capture-pane", "-p", *options)

    def keys(self, *names: str) -> None:
        """Press keys."""
        self.run("send-keys", *names)

    def sees(self, *parts: str) -> str:
        """Wait until all parts stand in the window."""
        return wait(self.screen, lambda text: all(part in text for part in parts))


def wait(read: Callable[[], str], good: Callable[[str], bool]) -> str:
    """Read until it is good; show what was there instead when it never is."""
    end = time.monotonic() + PATIENCE_S
    while not good(text := read()):
        assert time.monotonic() < end, f"still waiting, with this on the screen:\n{text}"
        select.select([], [], [], 0.1)
    return text


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """Give a tmux server, ended afterwards."""
    server = Tmux(tmp_path)
    yield server
    server.run("kill-server")


@pytest.mark.parametrize(
    ("term", "locale", "more"),
    [
        ("xterm-256color", "C.UTF-8", {}),
        ("linux", "C", {}),
        ("vt220", "C", {}),
        ("screen", "C.UTF-8", {}),
        ("tmux-256color", "C.UTF-8", {"NO_COLOR": "1"}),
    ],
)
def test_from_start_to_serial_line_with_keys_only(
    bench: Bench, tmux: Tmux, term: str, locale: str, more: dict[str, str]
) -> None:
    """At 80x24 a boot point is chosen, started, watched and left, and the shell is whole again."""
    service = bench.start()
    service.serials["dc"] = b"booting\r\ndc login: "
    tmux.open(bench.socket, (80, 24), TERM=term, LC_ALL=locale, **more)
    text = tmux.sees("CAN START NOW: 3 of 3", "? help")
    assert text.isascii() == (locale == "C")
    tmux.keys("Enter")
    tmux.sees("> dc", "bp000012")
    tmux.keys("f")
    tmux.sees("> emergency", "=+ bp000012", "<- proposed", "No history yet")
    select.select([], [], [], 0.4)
    tmux.keys("Enter")
    tmux.sees("EMERGENCY START", "=(o) No")
    select.select([], [], [], 0.4)
    tmux.keys("End", "Enter")
    tmux.sees("Type the machine's name, dc")
    tmux.keys("d", "c", "Enter")
    tmux.sees("RUNS ISOLATED", "dc login:")
    if "NO_COLOR" in more:
        colours = [str(n) for n in (*range(30, 38), *range(40, 48), *range(90, 98))]
        escapes = tmux.screen("-e").split("\x1b[")[1:]
        assert not any(code in e.split("m")[0].split(";") for e in escapes for code in colours)
    tmux.keys("q")
    text = tmux.sees("LEFT 0")
    assert "CAN START" not in text


def test_another_window_size_is_drawn_anew(bench: Bench, tmux: Tmux) -> None:
    """After each change of size the screen is whole, even with COLUMNS left over in the shell."""
    bench.start()
    stale = {"COLUMNS": "80", "LINES": "24"}
    tmux.open(bench.socket, (80, 24), TERM="xterm-256color", LC_ALL="C", **stale)
    tmux.sees("CAN START NOW: 3 of 3")
    for width, height in ((120, 40), (60, 16), (200, 60), (100, 34)):
        tmux.run("resize-window", "-x", str(width), "-y", str(height))
        wait(tmux.screen, lambda text, width=width: is_whole(text, width))  # type: ignore[misc]


def is_whole(text: str, width: int) -> bool:
    """Tell whether one capture is the whole fleet at this width: title, rule and line of keys.

    tmux shows what it has read so far, so each capture is judged as a whole, not part by part.
    """
    lines = text.rstrip().splitlines()
    whole = lines and lines[0].startswith(" bootpoint") and "? help" in lines[-1]
    return bool(whole) and "-" * (width - 1) in lines


def test_an_engine_that_went_is_shown_at_once_and_found_again(bench: Bench, tmux: Tmux) -> None:
    """Without a key: lost with the last known state, back by itself; two consoles see it."""
    bench.start()
    tmux.open(bench.socket, (80, 24), TERM="screen", LC_ALL="C")
    tmux.sees("CAN START NOW: 3 of 3")
    other = Line(bench.socket)
    other.sees("CAN START NOW")
    bench.stop()
    text = tmux.sees("ENGINE NOT ANSWERING", "nothing is live")
    assert "? dc" in text
    other.sees("ENGINE NOT ANSWERING")
    bench.start()
    wait(tmux.screen, lambda text: "NOT ANSWERING" not in text and "CAN START NOW: 3 of 3" in text)
    other.close()


def test_a_dumb_terminal_gets_lines_instead(bench: Bench, tmux: Tmux) -> None:
    """No full screen is tried on it; it says so and goes on line by line."""
    bench.start()
    tmux.open(bench.socket, (80, 24), TERM="dumb", LC_ALL="C")
    tmux.sees("bootpoint plain", "CAN START NOW: 3 of 3")
    tmux.keys("q", "Enter")
    tmux.sees("LEFT 0")


# --- a terminal that misbehaves -------------------------------------------------------------


class Line:
    """A console on a pseudo terminal whose other end the test holds."""

    def __init__(self, socket: Path, *, ignores_hangup: bool = False, stock: bool = False) -> None:
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        code = CODE.replace("argv[1])", "argv[1]), driver='stock'") if stock else CODE
        deaf = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        self.process = subprocess.Popen(
            [sys.executable, "-c", (deaf if ignores_hangup else "") + code, str(socket)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C"},
            start_new_session=True,
        )
        self.heard = b""
        self._screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self._screen)

    def screen(self) -> str:
        """Return what stands on the terminal now."""
        self.read()
        return "\n".join(self._screen.display)

    def read(self) -> str:
        """Return all that was written so far."""
        while select.select([self.master], [], [], 0.05)[0]:
            try:
                fresh = os.read(self.master, 65536)
            except OSError:
                break
            self.heard += fresh
            self._stream.feed(fresh)
        return self.heard.decode("utf-8", "replace")

    def sees(self, part: str) -> None:
        """Wait until this stands on the terminal."""
        wait(self.screen, lambda text: part in text)

    def settings(self) -> list[object]:
        """Return how the terminal is set now."""
        return termios.tcgetattr(self.slave)

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self.slave)
        os.close(self.master)

    def ended(self) -> int:
        """Wait for the end; return the exit code."""
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        code = self.process.poll()
        assert code is not None, "the console still runs"
        return code

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def line(bench: Bench) -> Iterator[Line]:
    """Give a console that shows the fleet."""
    bench.start()
    line = Line(bench.socket)
    line.sees("CAN START NOW")
    yield line
    line.close()


def test_bytes_that_are_no_text_are_ignored(line: Line) -> None:
    """0xFF, EUC-JP and cut escape sequences end nothing; the next key works."""
    os.write(line.master, b"\xff\xfe\xa4\xc6\xa5\xb9\x1b[\x1b[?62;1;6c\x1b[24;80R\x1bO\xc3")
    select.select([], [], [], 0.5)
    assert "> settings" not in line.read()
    os.write(line.master, b"2")
    line.sees("> jobs")
    assert line.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_a_whole_terminal(line: Line, number: signal.Signals) -> None:
    """After SIGTERM or SIGHUP the old screen and the old settings are back; the code is 128 + N."""
    assert line.settings() != line.before
    line.process.send_signal(number)
    assert line.ended() == 128 + number
    assert line.settings() == line.before
    assert "\x1b[?1049l" in line.read()


def test_a_console_whose_terminal_is_gone_ends(bench: Bench) -> None:
    """Even with SIGHUP ignored no process is left that spins without a terminal."""
    bench.start()
    line = Line(bench.socket, ignores_hangup=True)
    line.sees("CAN START NOW")
    line.hang_up()
    end = time.monotonic() + PATIENCE_S
    while line.process.poll() is None and time.monotonic() < end:
        select.select([], [], [], 0.05)
    assert line.process.poll() is not None
    line.close()
