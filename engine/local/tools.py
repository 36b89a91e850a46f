"""Programs of the distribution, run on a short leash.

A list of arguments and no shell, an empty environment, limits of memory, processor time and
files, an end that comes by itself, and death with this process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from engine.local.ending import wait_for
from engine.model.errors import Failure, Problem
from engine.model.text import safe

ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
STEP_S = 0.1
"""How often a running tool's caller is asked whether it still wants the result."""
ANSWER = 64 << 20
"""Longest output in bytes that is read back."""
WORDS = 600
"""Longest part of a tool's complaints that is shown."""


_LEASH = ("setpriv", "--pdeathsig", "KILL", "--")
"""The kernel kills the program when the thread that waits for it is gone."""


class ToolFailed(Failure):
    """A program of the distribution ended with an error, or had to be stopped."""


def run_tool(
    argv: Sequence[str],
    *,
    cpu_s: int,
    memory: int,
    timeout_s: float,
    cwd: Path | None = None,
    check: Callable[[], None] | None = None,
    accept: Sequence[int] = (0,),
    settings: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end and return what it printed.

    Args:
        argv: Program and arguments; never built from one string.
        cpu_s: Processor seconds it may use.
        memory: Bytes of address space it may use.
        timeout_s: Seconds of wall time after which it is killed.
        check: Called every 0.1 s; when it raises, the program is killed and the exception goes on.
        accept: Exit codes that mean success.
        settings: Environment variables beside the few that every tool has.

    Raises:
        ToolFailed: It could not be started, failed, or took too long; with its own words.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        limits = ["prlimit", f"--as={memory}", f"--cpu={cpu_s}", "--nofile=1024", "--"]
        process = _start([*_LEASH, *limits, *argv], out, complaints, cwd, settings)
        try:
            code = _wait(process, timeout_s, check)
        finally:
            _kill(process)
        if code is None:
            raise ToolFailed(_problem(argv[0], f"did not end within {timeout_s:.0f} s", complaints))
        if code not in accept:
            how = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
            raise ToolFailed(_problem(argv[0], how, complaints))
        out.seek(0)
        answer = out.read(ANSWER + 1)
        if len(answer) > ANSWER:
            raise ToolFailed(_problem(argv[0], "printed more than can be read", complaints))
        return answer


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and whatever it started, and wait for the end."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(
    argv: Sequence[str],
    out: IO[bytes],
    complaints: IO[bytes],
    cwd: Path | None,
    settings: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=complaints,
            cwd=cwd,
            env=ENVIRONMENT | dict(settings or {}),
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(_problem(argv[0], f"could not be started: {error}", complaints)) from error


def _wait(
    process: subprocess.Popen[bytes], timeout_s: float, check: Callable[[], None] | None
) -> int | None:
    """Return the exit code, or None when the time is over."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if check is not None:
            check()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return wait_for(process, STEP_S)
    return None


def _problem(program: str, how: str, complaints: IO[bytes]) -> Problem:
    complaints.seek(0)
    words = safe(b" ".join(complaints.read(1 << 16).split()), WORDS)
    tool = safe(Path(program).name)
    said = f" It said: {words}" if words else ""
    return Problem(
        "tool.failed",
        f"The program {tool} {how}." + said,
        remedy=f"Check that {tool} is installed and that the file system it works on is healthy.",
        facts={"tool": tool, "said": words},
    )
