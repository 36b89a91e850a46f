r"""One running `guestfish`: a shell whose commands act inside a small virtual machine.

    us:        -lstatns "/v0/etc/caf\xc3\xa9"
               echo 4f…1
    guestfish: st_mode: 33188 · … · 4f…1        complaints: on standard error, empty when it worked

A line with a random word marks the end of each answer, so that no name or content of the guest can
be taken for it. `-` before a command keeps guestfish going when it fails. Arguments are quoted with
the escapes that guestfish documents (guestfish(1), "Escape sequences in double quoted arguments").
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from engine.guests.backends.child import end
from engine.local.ending import wait_for
from engine.local.tools import ENVIRONMENT, ToolFailed
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

MAX_LINE = 8190
"""guestfish reads lines into 8,192 bytes and takes the rest of a longer one for a new command."""
ANSWER_S = 120.0
"""Longest wait for one answer, where no other limit is given."""
LISTING = 64 << 20
"""Longest answer in bytes."""
END_S = 60.0
_PLAIN = re.compile(rb"[A-Za-z0-9/._-]")
_DEAD = (b"appliance closed the connection", b"call launch before using", b"child process died")
"""What guestfish, which lives on, says when its virtual machine does not."""
_LEASH = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("prlimit", "--cpu=3600", "--nofile=1024", "--core=0", "--"),
)


def quoted(text: bytes) -> bytes:
    """Return an argument of a command that guestfish reads as exactly these bytes.

    Raises:
        WrongUse: It holds a NUL, which guestfish cannot be given.
    """
    if b"\0" in text:
        raise WrongUse(Problem("guest.name.nul", "A name for guestfish holds a NUL byte."))
    pieces = (bytes([byte]) for byte in text)
    return b'"' + b"".join(p if _PLAIN.match(p) else b"\\x%02x" % p[0] for p in pieces) + b'"'


def command(verb: str, *arguments: bytes | int, **options: str) -> bytes:
    """Return a line for guestfish: a verb, its arguments, its options.

    Args:
        options: Words of our own; guestfish takes no quotes in them.

    Raises:
        WrongUse: An argument holds a NUL, or the line is longer than guestfish reads.
    """
    words = [verb.encode()]
    words += [_word(argument) for argument in arguments]
    words += [f"{name}:{value}".encode() for name, value in options.items()]
    line = b" ".join(words)
    if len(line) + 1 > MAX_LINE:
        happened = f"A command for guestfish is {len(line)} bytes long; {MAX_LINE} can be given."
        raise WrongUse(Problem("guest.name.long", happened))
    return line


def _word(value: bytes | int) -> bytes:
    return b"%d" % value if isinstance(value, int) else quoted(value)


class Guestfish:
    """A guestfish process; ended by `close`, and with the thread that started it."""

    def __init__(self, argv: Sequence[str], settings: Mapping[str, str], folder: Path) -> None:
        """Start guestfish.

        Args:
            argv: The whole command, with the sandbox around it.
            settings: Environment variables beside the few that every tool has.
            folder: Where it works.
        """
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as we
        self._word = os.urandom(16).hex()
        self._asked = 0
        try:
            self._process = subprocess.Popen(
                [*_LEASH, *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=ENVIRONMENT | dict(settings),
                cwd=folder,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._complaints.close()
            raise failed(f"could not be started: {error}") from error
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        streams = (self._stdin, self._stdout, self._complaints)
        self._end = weakref.finalize(self, end, self._process, streams)

    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def do(self, line: bytes, timeout_s: float = ANSWER_S) -> bytes:
        """Return what a command printed.

        Raises:
            ToolFailed: It complained, ended, or did not answer in time; with its own words.
        """
        answer, said = self.ask(line, timeout_s)
        if said:
            raise failed("could not do what was asked", said)
        return answer

    def ask(self, line: bytes, timeout_s: float = ANSWER_S) -> tuple[bytes, bytes]:
        """Return what a command printed, and what it complained of: empty when it worked.

        Raises:
            ToolFailed: guestfish or its virtual machine ended, it did not answer in time, or
                printed more than 64 MiB.
        """
        if len(line) + 1 > MAX_LINE or b"\n" in line:
            raise WrongUse(Problem("guest.name.long", "This is not one line for guestfish."))
        if not self._end.alive:
            raise failed("ended early")
        self._asked += 1
        mark = f"{self._word}{self._asked}\n".encode()
        told = os.fstat(self._complaints.fileno()).st_size
        try:
            self._write(b"-" + line + b"\necho " + mark)
        except OSError as error:
            raise failed("ended early", self._said(0)) from error
        answer = self._read(mark, timeout_s).removesuffix(mark)
        said = self._said(told)
        if any(words in said for words in _DEAD):
            self.close()
            raise failed("lost its virtual machine", said)
        return answer, said

    def finish(self, timeout_s: float = END_S) -> bool:
        """Let it shut the virtual machine down; kill it when it does not; whether it ended well."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            code = wait_for(self._process, timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        self.close()
        return code == 0

    def close(self) -> None:
        """End the process and its virtual machine at once."""
        self._end()

    def _said(self, since: int) -> bytes:
        return os.pread(self._complaints.fileno(), 1 << 16, since).strip()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._stdin.write(view) :]

    def _read(self, mark: bytes, timeout_s: float) -> bytes:
        answer = bytearray()
        end = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while not answer.endswith(mark):
                if not selector.select(max(0.0, end - time.monotonic())):
                    said = self._said(0)
                    self.close()
                    raise failed(f"did not answer within {timeout_s:.0f} s", said)
                piece = os.read(self._stdout.fileno(), 1 << 20)
                answer += piece
                if not piece:
                    raise failed("ended early", self._said(0))
                if len(answer) > LISTING:
                    self.close()
                    raise failed("printed more than can be read")
        return bytes(answer)


def failed(how: str, complaints: bytes = b"") -> ToolFailed:
    """Return the error of a guestfish that did not do its work."""
    words = safe(b" ".join(complaints.split())[-600:], 600)
    return ToolFailed(
        Problem(
            "tool.failed",
            f"The program guestfish {how}." + (f" It said: {words}" if words else ""),
            "Only the twig of this conversion may have been written.",
            "Check that libguestfs works here (libguestfs-test-tool tells) and that the guest's "
            "file system has free space and is healthy.",
            {"tool": "guestfish", "said": words},
        )
    )
