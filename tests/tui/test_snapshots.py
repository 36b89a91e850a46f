"""A few screens as pictures (SVG): colours and layout, as Textual itself exports them.

A change that is meant: `BOOTPOINT_SNAPSHOTS=write pytest tests/tui/test_snapshots.py`, then look
at the files in `tests/tui/snapshots` with a browser before they are committed.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from engine.api import roles
from engine.config.engine import load_engine
from engine.daemon.adding import Adding, Contact, NewTarget
from engine.hypervisors.esxi.certificate import Certificate
from engine.local.drafts import Draft, Drafts
from engine.model.progress import Progress
from engine.model.work import JobKind, JobStatus, Severity
from tests.scripted import NOW, ScriptedService
from tests.tui.bench import Bench, Hand
from tui import clock

KEPT = Path(__file__).parent / "snapshots"
SCREENS = {
    "fleet": ((), "CAN START NOW"),
    "machine": (("enter",), "KEPT BECAUSE"),
    "jobs": (("2",), "1 job in work"),
    "plan": (("b",), "nothing has changed yet"),
    "help": (("question_mark",), "KEYS HERE"),
}


def normalised(svg: str) -> list[str]:
    """Return the rectangles and texts of a picture, without what differs each time or by version.

    Ids and class names hold a number made of the content; fonts and window trimmings are not ours.
    """
    told: list[str] = []
    styles = dict(re.findall(r"\.terminal-[\w-]*?(r\d+) \{([^}]*)\}", svg))
    for one in ET.fromstring(svg).iter():
        kind = one.tag.rpartition("}")[2]
        if kind == "rect" and one.get("fill") and one.get("x"):
            told.append(f"rect {one.get('fill')} {one.get('x')} {one.get('y')} {one.get('width')}")
        elif kind == "text" and one.get("clip-path"):
            style = styles.get((one.get("class") or "").rpartition("-")[2], "").strip()
            text = (one.text or "").replace("\xa0", " ").rstrip()
            if text:
                told.append(f"text {one.get('x')} {one.get('y')} {style} {text}")
    return told


def busy(bench: Bench) -> ScriptedService:
    """Return an engine with a job at work, one that failed, and lines in the journal."""
    service = bench.start()
    job = service.begin_job(JobKind.SYNC, "erp")
    service.report(job.id, Progress("apply", 3 << 30, 5 << 30))
    failed = service.begin_job(JobKind.SYNC, "web")
    service.end_job(failed.id, JobStatus.FAILED, "datastore ds-02 is full")
    service.write_line("Boot point bp000004 is ready.", standby="erp")
    service.write_line("ds-02 is full.", standby="web", severity=Severity.ERROR)
    return service


@pytest.mark.parametrize("name", sorted(SCREENS))
async def test_a_screen_looks_as_it_did(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each text stands where it stood, in its colours; what differs is told line by line."""
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(NOW.timestamp(), UTC))
    monkeypatch.setattr(roles, "user_name", lambda _uid: "ops1")
    busy(bench)
    keys, seen = SCREENS[name]
    async with bench.open() as hand:
        await hand.sees("CAN START NOW", "60%", "ds-02 is full.", "bp000004 is ready.")
        await hand.press(*keys)
        await hand.sees(seen)
        await compare(hand, name)


class Known(Adding):
    """Adds nothing, and meets the same host each time."""

    def contact(self, _new: NewTarget) -> Contact:
        """Return a certificate that has expired."""
        then = NOW - timedelta(days=30)
        name = "esx-01.example, VMware, Inc."
        shown = Certificate("5c" * 32, name, name, then - timedelta(days=1825), then)
        return Contact("esx-01.example", 443, shown)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def test_a_new_target_looks_as_it_did(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """The page with the fields, and the one with the certificate: nothing of it is cut."""
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(NOW.timestamp(), UTC))
    monkeypatch.setattr(roles, "user_name", lambda _uid: "ops1")
    bench.start().adding = Known(load_engine, lambda *_: (), lambda _: "")
    told = 'name = "esx-01"\nurl = "https://esx-01.example/"\nuser = "bootpoint"\n'
    told += 'password = "file:/etc/bootpoint/esx-01.password"\n'
    Drafts(bench.drafts / "targets").keep(Draft("new-target", told))
    async with bench.open(size) as hand:
        await hand.sees("CAN START NOW")
        await hand.press("4", "n")
        await hand.sees("NEW TARGET", "throw away what was filled in", "at most 48")
        await compare(hand, f"target-{size[0]}")
        await hand.press("end", "up", "enter")
        await hand.sees("no password was sent yet", "IT HAS EXPIRED", "( ) Yes, the SHA-256")
        await compare(hand, f"trust-{size[0]}")


async def compare(hand: Hand, name: str) -> None:
    """Compare the screen with the picture that was kept, or keep it."""
    svg = ""
    while svg != (newest := hand.console.export_screenshot(title=name, simplify=True)):
        svg = newest  # until what comes with a moment's delay, such as the journal, is there
        await hand.pilot.pause(0.3)
    file = KEPT / f"{name}.svg"
    if os.environ.get("BOOTPOINT_SNAPSHOTS") == "write":
        write(file, svg)
    assert normalised(svg) == normalised(read(file))


def write(file: Path, svg: str) -> None:
    """Keep a picture as the one to compare with."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(svg, encoding="utf-8")


def read(file: Path) -> str:
    """Return the picture that was kept."""
    return file.read_text(encoding="utf-8")


def test_a_picture_that_differs_is_noticed() -> None:
    """Another text, another place or another colour is another picture; another id is none."""
    svg = read(KEPT / "fleet.svg")
    assert len(normalised(svg)) > 20
    number = re.search(r"terminal-(\d+)", svg)
    assert number is not None
    assert normalised(svg.replace(number[1], "7")) == normalised(svg)
    assert normalised(svg.replace("READY", "FAILS", 1)) != normalised(svg)
    assert normalised(re.sub(r"fill: #\w+", "fill: #123456", svg, count=3)) != normalised(svg)
