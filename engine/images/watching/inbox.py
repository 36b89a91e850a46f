"""Watches folders: one thread per folder scans it, periodically and when the kernel hints.

    hint ─ 0.2 s ─┐
    rescan_s ─────┼─► scan ─► on_view, if the view changed
    a file settles┘

A folder that hangs holds up nobody else: a watcher thread tells that it does not answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from engine.images.watching.hints import Hints
from engine.images.watching.scan import Scanner
from engine.local.safedir import Identity
from engine.model.errors import Cancelled
from engine.model.images import RootView
from engine.model.text import safe
from engine.ports import ImageFormat

log = logging.getLogger(__name__)

DEBOUNCE_S = 0.2
STALL_S = 60.0
_SHARE = 4
"""Scans that are not periodic take at most about a fifth of the time: long scans are spaced."""


class Inbox:
    """Watched folders that come and go, each with a thread of its own. Thread-safe."""

    def __init__(
        self,
        formats: Sequence[ImageFormat],
        *,
        on_view: Callable[[RootView], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        rescan_s: float = 60.0,
        quiet_s: float | None = None,
        stall_s: float = STALL_S,
        events: bool = True,
    ) -> None:
        """Watch nothing yet.

        Args:
            formats: Asked in this order who knows a file.
            on_view: Told each scan's view that differs from the one told before; from the
                folder's own thread.
            now: Wall clock, aware UTC.
            monotonic: Seconds that never jump.
            rescan_s: Seconds between full scans.
            quiet_s: Seconds a file must be unchanged; None: as its format says.
            stall_s: Seconds without any progress after which a folder is told to be offline.
            events: False to do without the kernel's events.
        """
        self._formats = tuple(formats)
        self._on_view = on_view
        self._now = now
        self._monotonic = monotonic
        self._rescan_s = rescan_s
        self._quiet_s = quiet_s
        self._stall_s = stall_s
        self._events = events
        self._roots: dict[str, _Watch] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._supervisor: threading.Thread | None = None

    def add_root(self, root: str) -> None:
        """Begin to watch a folder; repeatable."""
        with self._lock:
            if root in self._roots or self._stopped.is_set():
                return
            scanner = Scanner(root, self._formats, quiet_s=self._quiet_s, monotonic=self._monotonic)
            watch = _Watch(
                scanner, self._on_view, self._now, self._monotonic, self._rescan_s, self._events
            )
            self._roots[root] = watch
            watch.start()
            if self._supervisor is None:
                self._supervisor = threading.Thread(
                    target=self._supervise, name="inbox", daemon=True
                )
                self._supervisor.start()

    def remove_root(self, root: str) -> None:
        """Stop watching a folder; repeatable. Does not wait for a scan that is under way."""
        with self._lock:
            watch = self._roots.pop(root, None)
        if watch is not None:
            watch.stop()

    def rescan(self, root: str) -> None:
        """Scan a folder now; nothing happens when it is not watched."""
        with self._lock:
            watch = self._roots.get(root)
        if watch is not None:
            watch.hurry()

    def settled(self) -> bool:
        """Tell whether every root was scanned and no file waits to become quiet."""
        with self._lock:
            watches = list(self._roots.values())
        return all(watch.is_settled() for watch in watches)

    def is_alive(self) -> bool:
        """Tell whether every watched folder still has its thread."""
        with self._lock:
            watches = list(self._roots.values())
        return all(watch.is_alive() for watch in watches)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End all threads; those that hang in the kernel are left behind, they do no harm."""
        self._stopped.set()
        with self._lock:
            watches = list(self._roots.values())
            self._roots.clear()
        for watch in watches:
            watch.stop()
        until = self._monotonic() + timeout_s
        for watch in watches:
            watch.join(max(0.0, until - self._monotonic()))
        if self._supervisor is not None:
            self._supervisor.join(timeout_s)

    def _supervise(self) -> None:
        while not self._stopped.wait(min(1.0, self._stall_s / 4)):
            with self._lock:
                watches = list(self._roots.values())
            for watch in watches:
                watch.tell_if_stalled(self._stall_s)


class _Watch:
    """The thread of one watched folder. It is its scans' `Cancel` too, and so feels their pulse."""

    def __init__(
        self,
        scanner: Scanner,
        on_view: Callable[[RootView], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        rescan_s: float,
        events: bool,
    ) -> None:
        self._scanner = scanner
        self._on_view = on_view
        self._now = now
        self._monotonic = monotonic
        self._rescan_s = rescan_s
        self._events = events
        self._hints: Hints | None = None
        self._hinted_folder: Identity | None = None
        self._told: RootView | None = None
        self._telling = threading.Lock()
        self._change = threading.Condition()
        self._stopping = self._urgent = self._scanned = self._is_stalled = False
        self._hinted_at: float | None = None
        self._pulse: float | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"scan-{safe(scanner.root, 60)}", daemon=True
        )

    # --- from other threads -----------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._change:
            self._stopping = True
            self._change.notify_all()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def hurry(self) -> None:
        with self._change:
            self._urgent = True
            self._change.notify_all()

    def hint(self) -> None:
        """Note that something may have changed; thousands of these cost one wake-up."""
        with self._change:
            if self._hinted_at is None:
                self._hinted_at = self._monotonic()
                self._change.notify_all()

    def is_settled(self) -> bool:
        with self._change:
            if self._is_stalled:
                return True
            busy = self._pulse is not None or self._urgent or self._hinted_at is not None
            return self._scanned and not busy and self._scanner.due is None

    def tell_if_stalled(self, stall_s: float) -> None:
        pulse = self._pulse
        if pulse is None or self._is_stalled or self._monotonic() - pulse < stall_s:
            return
        self._is_stalled = True
        log.warning("scan hangs root=%s", safe(self._scanner.root, 200))
        last = self._told or RootView(self._scanner.root, False, "", (), (), self._now(), 0)
        reason = f"It has not answered for {stall_s:.0f} s; the share may hang."
        self._tell(replace(last, online=False, reason=reason, scanned_at=self._now()))

    # --- the thread -------------------------------------------------------------------------

    def check(self) -> None:
        """Note that the scan goes on; raise `Cancelled` when it shall end."""
        self._pulse = self._monotonic()
        self._is_stalled = False
        if self._stopping:
            raise Cancelled

    def _run(self) -> None:
        try:
            while not self._stopping:
                started = self._monotonic()
                self._scan_once(started)
                self._wait(started, self._monotonic())
        except Cancelled:
            pass
        finally:
            if self._hints is not None:
                self._hints.stop()

    def _scan_once(self, started: float) -> None:
        with self._change:
            self._urgent, self._hinted_at = False, None
            self._pulse = started
        try:
            self._tell(self._scanner.scan(self._now(), self))
            self._follow_events()
        except Cancelled:
            raise
        except Exception:
            log.exception("scan failed root=%s", safe(self._scanner.root, 200))
        finally:
            with self._change:
                self._pulse, self._scanned, self._is_stalled = None, True, False

    def _tell(self, view: RootView) -> None:
        with self._telling:
            if self._stopping or (self._told is not None and _is_same(self._told, view)):
                return
            self._told = view
            self._on_view(view)

    def _follow_events(self) -> None:
        """Have the kernel hint at changes of the folder that is there now.

        Shares of other hosts bring no events, and could hang the one place that asks for them.
        """
        folder = self._scanner.identity
        if not self._events or folder is None or folder == self._hinted_folder:
            return
        self._hinted_folder = folder
        if self._hints is not None:
            self._hints.stop()
            self._hints = None
        if not folder.is_network:
            self._hints = Hints(self._scanner.root, self.hint)
            self._hints.start()

    def _wait(self, started: float, ended: float) -> None:
        """Wait for whatever comes first: the period, a file that settles, a hint, an order."""
        earliest = ended + (ended - started) * _SHARE
        at = started + self._rescan_s
        if self._scanner.due is not None:
            at = min(at, max(self._scanner.due, earliest))
        at = max(at, ended + DEBOUNCE_S / 4)
        with self._change:
            while not (self._stopping or self._urgent):
                until = at
                if self._hinted_at is not None:
                    until = min(at, max(self._hinted_at + DEBOUNCE_S, earliest))
                left = until - self._monotonic()
                if left <= 0:
                    return
                self._change.wait(left)


def _is_same(one: RootView, other: RootView) -> bool:
    """Tell whether two views say the same, whenever they were made."""
    if (one.online, one.reason, one.files) != (other.online, other.reason, other.files):
        return False
    return (one.sets is other.sets or one.sets == other.sets) and one.bad == other.bad
