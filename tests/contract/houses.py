"""Engines behind the door, without a socket: the scripted one, and a real one in memory.

The real one keeps its definitions in a folder of its own, and its machine `erp` has four boot
points, made of images in memory; so has the scripted one. Only what both can do is asked of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from engine.api.calls import Calls
from engine.api.plans import Actor
from engine.api.roles import Role
from engine.config.standby import StandbyFolder
from engine.daemon.alerting import Alerting
from engine.daemon.desk import Desk
from engine.daemon.reports import Reports
from engine.daemon.service import Service, Tried
from engine.model.alarms import Message, Rules
from engine.model.errors import Failure, Problem
from engine.model.images import ImageSet, RootView
from engine.model.planner import Limits
from engine.model.standby import Standby
from engine.model.work import Severity
from engine.stores.memory import MemoryStore
from tests.records import record
from tests.running import Folders, Running
from tests.scripted import NOW, ScriptedService, site
from tests.world import START, MemoryDisk, data

POINTS = 4


@dataclass
class Post:
    """A way out for alerts that keeps what it is given; with `broken` it fails."""

    name: str
    broken: str = ""
    least: Severity = Severity.WARNING
    sent: list[Message] = field(default_factory=list)

    @property
    def where(self) -> str:
        """Return where it leads."""
        return f"nowhere:{self.name}"

    def send(self, message: Message) -> None:
        """Keep it, or fail."""
        if self.broken:
            raise Failure(Problem("post.broken", self.broken))
        self.sent.append(message)


@dataclass
class House:
    """One engine and what answers for it.

    Attributes:
        kind: `scripted` or `running`.
        images: A folder that a definition may name.
        files: Where definitions are written; None: nowhere.
    """

    kind: str
    service: Service
    calls: Calls
    images: str
    files: Path | None = None

    def ask(self, method: str, role: Role = Role.ADMIN, **params: Any) -> Any:
        """Ask a call as ada."""
        return self.calls.answer(method, msgspec.json.encode(params), Actor("ada", role))

    def names(self) -> list[str]:
        """Return the names of all definitions."""
        return [one.id for one in self.ask("standby.list")]

    def kept(self) -> list[str]:
        """Return the files that are there, by name."""
        return sorted(one.name for one in self.files.iterdir()) if self.files else []

    def said(self) -> list[str]:
        """Return the journal's lines."""
        return [line.text for line in self.service.journal()]


def scripted(folder: Path) -> House:
    """Return a scripted engine with one machine."""
    service = ScriptedService(site(1, POINTS))
    service.reports = Reports(folder / "reports", lambda: NOW, lambda *_: None)
    service.records = {point.id: record() for point in service.snapshot().state.ready("erp")[-1:]}
    service.tried = [
        Tried("mail", "nowhere:mail", ""),
        Tried("hook", "nowhere:hook", "It is broken."),
    ]
    images = service.snapshot().standbys["erp"].images
    return House("scripted", service, Calls(service, lambda: 0.0), images)


@contextmanager
def lived_in(folder: Path) -> Iterator[House]:
    """Give a real engine with one machine."""
    images, files = folder / "images", folder / "standbys.d"
    images.mkdir()
    StandbyFolder(files).write(Standby("erp", str(images)))
    one = Running({"local": MemoryStore()}, {"erp": Standby("erp", "")}, Limits(), folder / "r")
    one.engine.files = StandbyFolder(files)
    ways = [Post("mail"), Post("hook", "It is broken.")]
    reports = Reports(folder / "reports", one.engine.clock.now, lambda *_: None)
    desk = Desk(one.engine, reports, alerting=Alerting(one.engine, ways, (), Rules()))
    one.engine.start(Folders())
    try:
        _arrive(one, str(images))
        yield House("running", desk, Calls(desk, lambda: 0.0), str(images), files)
    finally:
        one.engine.stop()


def _arrive(one: Running, root: str) -> None:
    made = one.images["erp"]
    before = None
    for number in range(1, POINTS + 1):
        disk = MemoryDisk(4 << 20, [data(65536 * number, bytes([number]) * 4096)])
        before = made.add([disk], before, number)
    points = tuple(replace(point, root=root) for point, _ in made.points.values())
    family = ImageSet(points[0].set_id, made.machine, "erp", root, points, {})
    one.engine.on_view(RootView(root, True, "", (family,), (), START, len(points)))
    one.idle()
