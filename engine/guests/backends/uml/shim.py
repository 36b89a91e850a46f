"""The library that lets UML run on processors with a long register state, compiled once.

xstate.c ─ cc ─► xstate-DIGEST.so in the engine's folder; the digest names source and compiler
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from engine.guests.backends.appliance import locked
from engine.local.durable import move_file
from engine.local.tools import ENVIRONMENT, run_tool

_SOURCE = Path(__file__).with_name("xstate.c")
COMPILE_S = 60.0


def compiler() -> str | None:
    """Return the compiler that is installed; None when there is none."""
    return shutil.which("cc", path=ENVIRONMENT["PATH"])


def compiled(work: Path) -> Path:
    """Return the library; compiled when source or compiler are others than last time.

    Args:
        work: Folder of the engine's own.

    Raises:
        ToolFailed: There is no compiler, or it failed.
    """
    version = run_tool(["cc", "--version"], cpu_s=5, memory=1 << 30, timeout_s=20)
    name = hashlib.sha256(version + _SOURCE.read_bytes()).hexdigest()[:16]
    made = work / f"xstate-{name}.so"
    with locked(work):
        if made.exists():
            return made
        with tempfile.TemporaryDirectory(prefix="xstate-", dir=work) as folder:
            new = Path(folder) / name
            argv = ["cc", "-O2", "-shared", "-fPIC", "-o", str(new), str(_SOURCE)]
            run_tool(
                argv, cpu_s=60, memory=2 << 30, timeout_s=COMPILE_S, settings={"TMPDIR": folder}
            )
            move_file(new, made)
    return made
