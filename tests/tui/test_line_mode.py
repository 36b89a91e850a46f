"""The console line by line, as the real program: over a pipe and on a dumb terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.model.points import Stage
from engine.model.work import JobKind, Severity
from tests.scripted import NOW, ScriptedService, recovery_point, site
from tests.tui.bench import Bench
from tests.unit.cli.program import program

PATIENCE_S = 30.0


class Talker:
    """`bootpoint plain` on a pipe, or another command line on a pseudo terminal."""

    def __init__(self, socket: Path, *words: str, tty: bool = False, **environ: str) -> None:
        self._mine, theirs = pty.openpty() if tty else (-1, subprocess.PIPE)
        self.process = subprocess.Popen(
            [program(), *words, "--socket", str(socket)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs if tty else subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C", **environ},
        )
        if tty:
            os.close(theirs)
        self.heard = b""
        self._from = 0

    def _fd(self) -> int:
        return self._mine if self._mine >= 0 else self.process.stdout.fileno()  # type: ignore[union-attr]  # piped then

    def say(self, *lines: str) -> None:
        """Type lines; what is awaited next must come after them."""
        self._from = len(self.heard)
        data = "".join(f"{line}\n" for line in lines).encode()
        if self._mine >= 0:
            os.write(self._mine, data)
        else:
            assert self.process.stdin is not None
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def sees(self, *parts: str) -> str:
        """Wait until all parts were written since the last line was typed."""
        end = time.monotonic() + PATIENCE_S
        while True:
            text = self.heard[self._from :].decode("utf-8", "replace").replace("\r", "")
            if all(part in text for part in parts):
                return text
            assert time.monotonic() < end, f"still waiting for {parts}, with this so far:\n{text}"
            if select.select([self._fd()], [], [], 0.1)[0]:
                try:
                    data = os.read(self._fd(), 65536)
                except OSError:
                    data = b""
                assert data or self.process.poll() is None, f"it ended after:\n{text}"
                self.heard += data

    def until(self, line: str, *parts: str) -> str:
        """Type a line again and again until it is answered so: changes take a moment."""
        for _ in range(int(PATIENCE_S)):
            self.say(line)
            text = self.sees("words:", "leave\n")
            if all(part in text for part in parts):
                break
            select.select([], [], [], 1.0)
        return self.sees(*parts)

    def ended(self) -> int:
        """Wait for the end; return the exit code."""
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout):
            if file is not None:
                file.close()
        if self._mine >= 0:
            os.close(self._mine)


@pytest.fixture
def talk(bench: Bench) -> Iterator[Talker]:
    """Give a conversation over a pipe that has told the fleet."""
    bench.start()
    talker = Talker(bench.socket, "plain")
    talker.sees("CAN START NOW: 3 of 3", "words:")
    yield talker
    talker.close()


def test_the_first_page_answers_without_a_word(talk: Talker) -> None:
    """State, age and number of each machine stand there at once; every byte is plain text."""
    text = talk.heard.decode("ascii")
    assert "  1 + dc" in text
    assert "osaka-dr" in text
    assert "\x1b" not in text
    assert all(sign == "\n" or sign.isprintable() for sign in text)


def test_a_start_goes_over_plan_and_typed_name(bench: Bench, talk: Talker) -> None:
    """Choose a machine and a point by number, read plan and loss, type the name, follow, stop."""
    service = bench.service
    service.serials["dc"] = b"booting\r\n\x1b]52;c;aGk=\x07dc login: "
    talk.say("1")
    talk.sees("> dc", "  3 + bp000010", "start N")
    talk.say("start")
    talk.sees("Which one? Type start and the number")
    talk.say("start 3")
    talk.sees("> emergency", "  3 + bp000010", "Guard", "No history yet")
    talk.say("3")
    talk.sees("EMERGENCY START", "Boot point   bp000010", "You lose", "1 (o) No")
    talk.say("2")
    talk.sees("Type the machine's name, dc")
    assert service.calls == []
    talk.say("DC")
    talk.sees("Nothing was changed")
    assert service.calls == []
    talk.say("2")
    talk.sees("Type the machine's name, dc")
    talk.say("dc")
    text = talk.sees("RUNS ISOLATED", "| booting", "| dc login:", "stop")
    assert "\x1b" not in text
    assert service.calls[0][:3] == ("start", "dc", "bp000010")
    service.say("dc", b"root\r\nwelcome\r\n")
    talk.sees("| welcome")
    talk.say("stop")
    talk.sees("STOP   dc")
    talk.say("2", "dc")
    talk.sees("POWER OFF")
    assert service.calls[-1][:2] == ("stop", "dc")
    talk.say("leave")
    talk.sees("The engine goes on")
    assert talk.ended() == 0


def test_no_is_the_first_answer(bench: Bench, talk: Talker) -> None:
    """Row 1 of a plan is no, a dot leaves a question, and neither changes anything."""
    talk.say("dc", "build 1")
    talk.sees("MAKE A BOOT POINT NOW", "1 (o) No")
    talk.say("1")
    talk.sees("Nothing was changed")
    talk.say("hold 1")
    talk.sees("Pause dc")
    talk.say(".")
    talk.sees("Nothing was changed")
    assert bench.service.calls == []


def test_a_hold_with_its_reason(bench: Bench, talk: Talker) -> None:
    """A question's answer is the next line; the reason reaches the engine."""
    talk.say("hold 1", "disk swap")
    talk.sees("PAUSE   dc")
    talk.say("2", "yes")
    talk.sees("HELD")
    assert bench.service.calls[0][:3] == ("hold", "dc", "disk swap")


def test_jobs_journal_and_alarms_are_words(bench: Bench, talk: Talker) -> None:
    """Every main place is a word; alarms of all machines stand on the first page."""
    service = bench.service
    service.write_line("the disk is full", severity=Severity.ERROR, standby="web", remedy="Free it")
    bad = replace(service.snapshot().state.ready("web")[-1], stage=Stage.FAILED, reason="no room")
    service.put(bad)
    job = service.begin_job(JobKind.SYNC, "erp")
    talk.until("jobs", "> jobs", "1 waiting", f". {job.id}")
    talk.say("cancel 1")
    talk.sees("CANCEL A JOB")
    talk.say("2", "yes")
    talk.sees("cancelled")
    assert service.calls[0][:2] == ("cancel", str(job.id))
    talk.say("journal")
    talk.sees("> journal", "the disk is full")
    talk.say("1")
    talk.sees("Happened     the disk is full", "What now     Free it")
    talk.say("0")
    talk.sees("no room")


def test_lists_are_found_in_and_paged(bench: Bench) -> None:
    """`find` leaves what fits; `more` and `less` go through what does not fit on a page."""
    bench.start(ScriptedService(site(45)))
    talk = Talker(bench.socket, "plain")
    talk.sees("CAN START NOW: 45 of 45", "25 more: type more")
    talk.say("more")
    talk.sees(" 21 + ", "5 more")
    talk.say("more", "more")
    talk.sees(" 45 + ", "There is no more")
    talk.say("/m0")
    talk.sees("Filter: m0")
    talk.say("back")
    talk.sees("25 more: type more")
    talk.close()


def test_what_cannot_be_is_said(bench: Bench, talk: Talker) -> None:
    """A word that is none, a row that is none, a word that does not work now: a sentence each."""
    talk.say("fly")
    talk.sees("There is no word fly here", "journal")
    talk.say("99")
    talk.sees("There is no row 99 here")
    talk.say("stop 1")
    talk.sees("stop does not work now for dc")
    assert bench.service.calls == []


def test_a_viewer_is_told_so(bench: Bench) -> None:
    """Read-only, words that change something are not offered and not obeyed."""
    bench.start()
    talk = Talker(bench.socket, "plain", "--read-only")
    text = talk.sees("words:", "leave")
    assert "start" not in text.rpartition("words:")[2]
    talk.say("start 1")
    talk.sees("There is no word start here")
    assert bench.service.calls == []
    talk.close()


def test_noise_and_the_end_of_input(bench: Bench) -> None:
    """Bytes that are no text change nothing; without further input it ends with 0."""
    bench.start()
    noise = os.urandom(1 << 16).replace(b"\n", b" ") + b"\n" + b"\xff\xfe\x1b[A\n\n" * 50
    told = subprocess.run(
        [program(), "plain", "--socket", str(bench.socket)],
        input=noise,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0
    assert b"Traceback" not in told.stderr
    assert b"The engine goes on" in told.stdout
    assert bench.service.calls == []


def test_an_engine_that_goes_is_said_at_once_and_found_again(bench: Bench, talk: Talker) -> None:
    """Without a word from the operator: lost, then back; meanwhile nothing can be asked of it."""
    bench.stop()
    talk.sees("ENGINE NOT ANSWERING", "nothing is live")
    talk.say("start 1")
    talk.sees("The engine does not answer")
    bench.start()
    talk.sees("The engine answers again")
    talk.until("", "CAN START NOW: 3 of 3")


def test_a_reader_that_goes_away_ends_it(bench: Bench) -> None:
    """Like each command, it is silent about a closed pipe."""
    bench.start()
    told = subprocess.run(
        ["bash", "-c", f"yes jobs | {program()} plain --socket {bench.socket} | head -3"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.stderr == ""
    assert told.stdout.count("\n") == 3


@pytest.mark.parametrize("term", ["dumb", "unknown-thing"])
def test_a_dumb_terminal_gets_lines_by_itself(bench: Bench, term: str) -> None:
    """Plain `bootpoint` on it says why, and talks; no escape is ever written."""
    bench.start()
    talk = Talker(bench.socket, tty=True, TERM=term)
    talk.sees("is not one that a full screen can be", "CAN START NOW: 3 of 3")
    talk.say("jobs")
    talk.sees("> jobs")
    talk.say("q")
    assert talk.ended() == 0
    assert b"\x1b" not in talk.heard
    talk.close()


def test_increments_are_not_lost_between_pages(bench: Bench, talk: Talker) -> None:
    """An empty line tells the place as it is now."""
    bench.service.put(recovery_point("dc", 5, NOW))
    bench.service.write_line("something new")
    talk.until("", "something new")
