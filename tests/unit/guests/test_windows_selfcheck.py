"""The scripts that users run in a guest: JSON comes out, and nothing is changed."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from engine.guests import selfcheck
from engine.model.selfcheck import read_report

FOLDER = Path(selfcheck.__file__).parent


def test_the_script_for_linux_prints_json() -> None:
    """Run where the tests run, it names this kernel."""
    done = subprocess.run(
        ["sh", str(FOLDER / "linux.sh")], capture_output=True, check=True, timeout=60
    )
    told = json.loads(done.stdout)

    assert told["kernel"] == subprocess.check_output(["uname", "-r"], text=True).strip()
    assert isinstance(told["controllers"], list)
    assert isinstance(told["cards"], list)
    check = read_report(done.stdout)
    assert told["kernel"] in check.system
    assert len(check.cards) == len(told["cards"])


def test_the_script_for_windows_only_reads() -> None:
    """Of the commands that PowerShell has, it uses only those that change nothing."""
    script = (FOLDER / "windows.ps1").read_text("ascii")
    code = "\n".join(line for line in script.splitlines() if not line.startswith("#"))
    code = code.replace("Microsoft-Windows-WER-SystemErrorReporting", "")
    verbs = set(re.findall(r"\b([A-Z][A-Za-z]+)-[A-Z]\w+", code))

    assert verbs <= {"Get", "Select", "Join", "Test", "New", "ForEach", "ConvertTo"}
    assert set(re.findall(r"New-\w+ \w+", code)) == {"New-Object PSObject"}
