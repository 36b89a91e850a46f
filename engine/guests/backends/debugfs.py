"""One running `debugfs` that answers many questions: a new process for each would cost seconds.

    us:      ls -p <2>          # 4f…1
    debugfs: debugfs: ls -p <2> · /2/040755/0/0/.// · … · # 4f…1

Commands go in by `-f -`; a comment with a random word, which debugfs repeats, marks the end of
each answer, so that no name or content of the guest can be taken for it.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from engine.guests.backends.cage import caged
from engine.guests.backends.child import end
from engine.local.ending import wait_for
from engine.local.tools import ENVIRONMENT, ToolFailed
from engine.model.errors import Problem
from engine.model.text import safe

FAKE_TIME = 1_700_000_000
"""The only time that conversions write: repeated runs must give the same bits."""
TIMES = {"E2FSPROGS_FAKE_TIME": str(FAKE_TIME), "E2FSCK_TIME": str(FAKE_TIME)}
ANSWER_S = 60.0
"""Longest wait for one answer; a guest of terabytes answers within a second."""
LISTING = 64 << 20
"""Longest listing in bytes."""
_BANNER = re.compile(rb"\Adebugfs [0-9][^\n]*\n")
_LEASH = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("prlimit", f"--as={2 << 30}", "--cpu=120", "--nofile=64", "--"),
)


class TooMuch(ToolFailed):
    """More was printed than the file system itself says that there is."""


class Session:
    """A debugfs on one file system; closed by `close` or as a context."""

    def __init__(
        self, device: str, *, disk: Path, is_writing: bool = False, folder: Path | None = None
    ) -> None:
        """Start `debugfs` on a device of the form `disk?offset=…`; `folder`: where it works."""
        # -c: no bitmaps are read, which takes seconds on terabytes.
        argv = ["debugfs", "-w" if is_writing else "-c", "-f", "-", device]
        argv = [*_LEASH, *caged(argv, disk, is_writing=is_writing, folder=folder)]
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as we
        self._word = os.urandom(16).hex()
        self._asked = 0
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=ENVIRONMENT | TIMES,
                cwd=folder,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._complaints.close()
            raise self._failed(f"could not be started: {error}", b"") from error
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        streams = (self._stdin, self._stdout, self._complaints)
        self._end = weakref.finalize(self, end, self._process, streams)

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process, however the context ended."""
        self.close()

    def ask(self, command: bytes, limit: int = LISTING) -> bytes:
        """Return what debugfs printed for one command.

        Raises:
            TooMuch: It printed more than `limit` bytes.
            ToolFailed: It ended, or took longer than 60 s.
        """
        self._asked += 1
        mark = f"# {self._word}{self._asked}\n".encode()
        echo = b"debugfs: " + command + b"\n"
        try:
            self._stdin.write(command + b"\n" + mark)
        except OSError as error:
            raise self._failed("ended early", self.complaints()) from error
        answer = self._read(mark, limit + len(echo) + len(mark) + 1)
        return answer.removeprefix(echo).removesuffix(mark)

    def do(self, command: bytes) -> None:
        """Run a command that must not complain.

        Raises:
            ToolFailed: debugfs printed an error; its exit code does not tell.
        """
        before = self.complaints()
        self.ask(command)
        said = self.complaints()[len(before) :]
        if said.strip():
            raise self._failed("could not change the guest", said)

    def complaints(self) -> bytes:
        """Return what was printed as errors so far, without the banner."""
        return _BANNER.sub(b"", os.pread(self._complaints.fileno(), 1 << 16, 0))

    def finish(self) -> None:
        """Let a writing session write everything out and end.

        Raises:
            ToolFailed: It did not end well.
        """
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            code = wait_for(self._process, ANSWER_S)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            raise self._failed(f"ended with {code}", self.complaints())

    def close(self) -> None:
        """End the process; what a writing session has not finished is lost."""
        self._end()

    def is_running(self) -> bool:
        """Whether it can be asked: it dies with the thread that started it."""
        return self._process.poll() is None

    def _read(self, mark: bytes, limit: int) -> bytes:
        stdout = self._stdout
        answer = bytearray()
        end = time.monotonic() + ANSWER_S
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not answer.endswith(mark):
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.close()
                    raise self._failed(f"did not answer within {ANSWER_S:.0f} s", b"")
                piece = os.read(stdout.fileno(), 1 << 20)
                answer += piece
                if not piece:
                    raise self._failed("ended early", self.complaints())
                if len(answer) > limit:
                    self.close()
                    raise TooMuch(self._failed("printed more than can be read", b"").problem)
        return bytes(answer)

    def _failed(self, how: str, complaints: bytes) -> ToolFailed:
        words = safe(b" ".join(complaints.split()), 600)
        return ToolFailed(
            Problem(
                "tool.failed",
                f"The program debugfs {how}." + (f" It said: {words}" if words else ""),
                "Only the twig of this conversion may have been written.",
                "Check that e2fsprogs is installed and that the guest's file system has free space "
                "and is healthy.",
                {"tool": "debugfs", "said": words},
            )
        )
