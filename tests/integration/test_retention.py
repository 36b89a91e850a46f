"""Retention by the real program on a real store: looked at, set, pinned, held, and after a loss."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.site import BOOTPOINT, MIB, Site, make_site, wait_for

pytestmark = [pytest.mark.timeout(600)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with six increments of a small disk, on overlays; a floor of one."""
    site = make_site(tmp_path)
    file = tmp_path / "standbys.d/erp.toml"
    file.write_text(file.read_text().replace("keep = 4", "keep = 9") + "[retention]\nfloor = 1\n")
    with site.disk.open("wb") as disk:
        disk.truncate(24 * MIB)
    for seed in range(6):  # each writes over what the one before wrote
        with site.disk.open("r+b") as disk:
            disk.write(Random(seed).randbytes(2 * MIB))
        site.copy(*site.image())
    return site


def bootpoint(site: Site, *words: str) -> dict[str, Any]:
    """Run a command and return what it says, its exit code as `code`."""
    command = [BOOTPOINT, *words, "--json", "--config", site.folder / "engine.toml"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    told: dict[str, Any] = json.loads(ran.stdout)
    return told | {"code": ran.returncode}


def test_retention_is_seen_before_it_is_set_and_survives(site: Site) -> None:
    """The preview tells what goes and how much comes back; a pin outlives settings and state."""
    with site.engine():
        site.wait_ready(1, 2, 3, 4, 5, 6)
        told = bootpoint(site, "retention", "erp", "--preview", "--keep", "2")
        gone = [one["id"] for one in told["items"] if not one["keep"]]
        assert gone == [f"bp{n:06d}" for n in range(1, 5)]
        assert 7 * MIB < told["retention"]["bytes"] < 11 * MIB
        assert not told["retention"]["exact"] or not told["retention"]["copied"]
        assert told["retention"]["most"] == 64
        assert bootpoint(site, "pin", "erp", "2", "--note", "audit")["code"] == 0
        assert bootpoint(site, "retention", "erp", "--hold", "looks odd")["code"] == 0
        asked = ("retention", "erp", "--set", "keep=2")
        assert bootpoint(site, *asked)["code"] == 0, "nothing goes while it is held"
        assert site.ready() == [1, 2, 3, 4, 5, 6]
        assert bootpoint(site, "retention", "erp", "--set", "keep=3")["code"] == 0
        assert bootpoint(site, "retention", "erp", "--release")["code"] == 0
        site.wait_ready(2, 4, 5, 6)
        assert bootpoint(site, *asked)["code"] == 4
        assert bootpoint(site, *asked, "--yes-i-mean", "erp")["code"] == 0
        site.wait_ready(2, 5, 6)
        wait_for(lambda: len(list(site.store.glob("bp*"))) == 6, 60, site.log)
        site.check_trunk()
    for file in (site.folder / "state").glob("state.db*"):
        file.unlink()
    again = [BOOTPOINT, "engine", "--config", site.folder / "engine.toml", "--rebuild-state"]
    subprocess.run([*again, "--until-idle"], check=True, capture_output=True)
    with site.engine():
        site.wait_ready(2, 5, 6)
        pins = [one.pin for one in site.machine().points]
        assert [pin.partition(": ")[2] for pin in pins] == ["audit", "", ""]
