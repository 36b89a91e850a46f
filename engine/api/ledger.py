"""What every object last looked like, and when it last changed: the source of all `changes`.

    number   41        42         43         44
    object   fleet/web jobs/7     fleet/erp  gone: jobs/3        oldest change first

Each change gets the next number, so a console needs to remember only the last number it was sent.
Memory is bounded by the number of objects, however slow a console is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from engine.api.present import Views
from engine.api.views import FleetView, MachineView, View
from engine.api.wire import MAX_FRAME, raw

GONE_KEPT = 1000
PAGE = 3 * MAX_FRAME // 4
MACHINE = "machine:"
JOURNAL = ("journal", "")
OBJECT_ROOM = 128
"""Bytes of a frame besides its objects, for each object."""

Key = tuple[str, str]


class RawPicture(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A `Picture` whose objects are encoded already."""

    epoch: str
    seq: int
    full: bool = False
    more: bool = False
    fleet: list[msgspec.Raw] = []
    jobs: list[msgspec.Raw] = []
    sets: list[msgspec.Raw] = []
    findings: list[msgspec.Raw] = []
    targets: list[msgspec.Raw] = []
    alerts: list[msgspec.Raw] = []
    machines: list[msgspec.Raw] = []
    gone: list[str] = []
    journal: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """The newest form of one object; `encoded` None: it is gone."""

    seq: int
    view: View | None
    encoded: msgspec.Raw | None


class Ledger:
    """All objects of all topics. For one thread."""

    def __init__(self, epoch: str) -> None:
        """Begin with nothing, at number 0."""
        self.epoch, self.seq = epoch, 0
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._alive: dict[str, set[str]] = {}
        self._gone_before = 0
        self._journal = 0

    def take(
        self, views: Views, machines: Mapping[str, MachineView | None], watched: Collection[str]
    ) -> bool:
        """Take the views of one moment; return whether anything changed.

        Args:
            views: Everything.
            machines: The views of those machines that were looked at; None: there is none.
            watched: Names of all machines that somebody looks at now; others are forgotten.
        """
        before = self.seq
        self._topic("fleet", views.fleet)
        self._topic("jobs", views.jobs)
        self._topic("sets", views.sets)
        self._topic("findings", views.findings)
        self._topic("targets", views.targets)
        self._topic("alerts", views.alerts)
        for topic in [t for t in self._alive if t.startswith(MACHINE)]:
            if topic.removeprefix(MACHINE) not in watched:
                self._topic(topic, ())
        for name, view in machines.items():
            self._topic(MACHINE + name, () if view is None else (view,))
        if views.journal != self._journal:
            self._journal = views.journal
            self._enter(JOURNAL, None, msgspec.Raw(b"0"))
        return self.seq != before

    def _topic(self, topic: str, views: Iterable[View]) -> None:
        here = set()
        for view in views:
            here.add(view.id)
            self._put((topic, view.id), view)
        gone = self._alive.get(topic, set()) - here
        self._alive[topic] = here
        for own in gone:
            self._enter((topic, own), None, None)
        if gone:
            self._forget()

    def _put(self, key: Key, view: View) -> None:
        old = self._entries.get(key)
        if old is not None and old.view is not None and same(old.view, view):
            return
        encoded = raw(view)
        if len(bytes(encoded)) <= PAGE:
            self._enter(key, view, encoded)

    def _forget(self) -> None:
        """Forget the oldest of those that are gone, over the limit."""
        gone = [key for key, entry in self._entries.items() if entry.encoded is None]
        for key in gone[: max(0, len(gone) - GONE_KEPT)]:
            self._gone_before = max(self._gone_before, self._entries.pop(key).seq)

    def _enter(self, key: Key, view: View | None, encoded: msgspec.Raw | None) -> None:
        self.seq += 1
        self._entries[key] = _Entry(self.seq, view, encoded)
        self._entries.move_to_end(key)

    def knows(self, seq: int) -> bool:
        """Tell whether all that changed after number `seq` is still known."""
        return self._gone_before <= seq <= self.seq

    def newest(self, topics: Collection[str]) -> int:
        """Return the number of the newest change within some topics."""
        for key, entry in reversed(self._entries.items()):
            if key[0] in topics or key == JOURNAL:
                return entry.seq
        return 0

    def since(self, topics: Collection[str], seq: int, *, full: bool = False) -> RawPicture:
        """Return what changed after number `seq`, at most one page of it, oldest change first.

        Args:
            topics: What to look at.
            seq: Last number that was sent; 0 for everything.
            full: Say that the receiver shall forget what it had; what is gone is left out.
        """
        page = RawPicture(epoch=self.epoch, seq=self.seq, full=full, journal=self._journal)
        room, last = PAGE, seq
        for key, entry in self._after(topics, seq):
            if entry.encoded is None and full:
                continue
            cost = OBJECT_ROOM + len(bytes(entry.encoded or key[1].encode()))
            if cost > room and room < PAGE:
                page.more, page.seq = True, last
                break
            room, last = room - cost, entry.seq
            self._add(page, key, entry)
        return page

    def _after(self, topics: Collection[str], seq: int) -> Sequence[tuple[Key, _Entry]]:
        found = []
        for key, entry in reversed(self._entries.items()):
            if entry.seq <= seq:
                break
            if key[0] in topics or key == JOURNAL:
                found.append((key, entry))
        return found[::-1]

    def _add(self, page: RawPicture, key: Key, entry: _Entry) -> None:
        topic, own = key
        if key == JOURNAL:
            return
        if entry.encoded is None:
            page.gone.append(f"{topic}/{own}")
        else:
            field = "machines" if topic.startswith(MACHINE) else topic
            getattr(page, field).append(entry.encoded)


def same(old: View, new: View) -> bool:
    """Tell whether two views say the same; a lag that only grew says nothing new."""
    match old, new:
        case FleetView(), FleetView():
            return old == replace(new, lag_s=old.lag_s)
        case MachineView(), MachineView():
            return same(old.fleet, new.fleet) and old == replace(new, fleet=old.fleet)
        case _:
            return old == new
