"""A program that is ended takes along all that it started."""

from __future__ import annotations

import os
import select
import subprocess

from engine.guests.backends.child import end


def test_what_a_program_started_has_ended_as_well() -> None:
    """Also a grandchild in a session of its own, which the kill of a group does not reach."""
    script = "setsid sh -c 'echo $$; exec sleep 1000' & wait"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    grandchild = os.pidfd_open(int(process.stdout.readline()))
    end(process, [process.stdout])
    ended, _, _ = select.select([grandchild], [], [], 0)
    os.close(grandchild)
    assert process.returncode == -9
    assert ended
