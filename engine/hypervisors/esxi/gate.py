"""How much may happen at once on one host, and how long to wait after trouble.

per host 2 heavy operations · per datastore 1 consolidation · per VM 1 change

A gate halves when the host shows trouble; one slot returns per ten quiet minutes.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from engine.hypervisors.esxi import faults
from engine.model.errors import Problem
from engine.model.text import safe
from engine.ports import NEVER, Cancel

HEAVY = 2
QUIET_S = 600.0
SLOW_S = 2.0
"""A host that needs longer to tell the time is overloaded."""
PATIENCE_S = 300.0
_STEP_S = 0.2
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 600.0


class Slots:
    """A number of slots that shrinks on trouble and grows back; at least one stays."""

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        """Have `most` slots."""
        self._most, self._monotonic = most, monotonic
        self._open, self._taken, self._since = most, 0, monotonic()

    @property
    def open(self) -> int:
        """Return how many there are now."""
        quiet = int((self._monotonic() - self._since) // QUIET_S)
        return min(self._most, self._open + quiet)

    def trouble(self) -> None:
        """Halve."""
        self._open = max(1, self.open // 2)
        self._since = self._monotonic()

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self._taken >= self.open:
            return False
        self._taken += 1
        return True

    def give(self) -> None:
        """Give a slot back."""
        self._taken -= 1


class Gate:
    """The gates of one host. Thread-safe."""

    def __init__(
        self,
        heavy: int = HEAVY,
        monotonic: Callable[[], float] = time.monotonic,
        settle: Callable[[Cancel], object] = lambda _cancel: None,
    ) -> None:
        """Let `heavy` operations at once through.

        Args:
            settle: Waits, before a VM is changed, for what the host was told before this gate was.
        """
        self._heavy, self._settle, self._inside = Slots(heavy, monotonic), settle, 0
        self._datastores: dict[str, Slots] = defaultdict(lambda: Slots(1, monotonic))
        self._vms: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._turn = threading.Condition()

    @contextlib.contextmanager
    def heavy(self, cancel: Cancel) -> Iterator[None]:
        """Hold one of the host's slots for a write, a consolidation or a copy.

        Raises:
            Cancelled: While waiting for one.
        """
        with self._holding(self._heavy, cancel):
            yield

    @contextlib.contextmanager
    def consolidation(self, datastore: str, cancel: Cancel) -> Iterator[None]:
        """Hold a datastore's only slot for consolidations, and one of the host's."""
        with self._turn:
            slots = self._datastores[datastore]
        with self._holding(slots, cancel), self._holding(self._heavy, cancel):
            yield

    @contextlib.contextmanager
    def vm(self, name: str, cancel: Cancel = NEVER) -> Iterator[None]:
        """Let one thread at a time change a VM. A failover waits for this alone.

        Raises:
            Cancelled: While waiting.
        """
        with self._turn:
            lock = self._vms[name]
        while not lock.acquire(timeout=_STEP_S):
            cancel.check()
        with self._turn:
            self._inside += 1
        try:
            self._settle(cancel)
            yield
        finally:
            with self._turn:
                self._inside -= 1
            lock.release()

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody changes a VM now."""
        with self._turn:
            return not self._inside

    def trouble(self) -> None:
        """Halve what may happen at once: the host timed out, or told of trouble."""
        with self._turn:
            self._heavy.trouble()

    def latency(self, seconds: float) -> None:
        """Take note of how long the host needed to tell the time."""
        if seconds > SLOW_S:
            self.trouble()

    @property
    def open(self) -> int:
        """Return how many heavy operations may run at once now."""
        with self._turn:
            return self._heavy.open

    @contextlib.contextmanager
    def _holding(self, slots: Slots, cancel: Cancel) -> Iterator[None]:
        with self._turn:
            while not slots.take():
                cancel.check()
                self._turn.wait(_STEP_S)
        try:
            yield
        finally:
            with self._turn:
                slots.give()
                self._turn.notify_all()


class Patience:
    """A `Cancel` that ends the waiting for a slot also after some minutes."""

    def __init__(
        self,
        target: str,
        cancel: Cancel = NEVER,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to wait."""
        self._target, self._cancel = target, cancel
        self._monotonic, self._began = monotonic, monotonic()

    def check(self) -> None:
        """Raise Cancelled; or HostBusy when it took too long: the work is tried again later."""
        self._cancel.check()
        if self._monotonic() - self._began > PATIENCE_S:
            raise faults.HostBusy(
                Problem(
                    "target.slots",
                    f"Target {safe(self._target)} is busy: for {PATIENCE_S / 60:.0f} minutes "
                    "others wrote to it, as many at once as it bears now.",
                    "Nothing was written.",
                    "It is tried again by itself.",
                )
            )


def pauses(jitter: Callable[[], float]) -> Iterator[float]:
    """Yield the seconds to wait before each further try: 5, doubling to 600, each ± 50 %.

    Args:
        jitter: Gives a number from 0 to 1, such as `random.random`.
    """
    pause = _FIRST_PAUSE_S
    while True:
        yield pause * (0.5 + jitter())
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def wait(seconds: float) -> None:
    """Wait so many seconds."""
    threading.Event().wait(seconds)


def make_sure(
    is_done: Callable[[], bool],
    change: Callable[[], object],
    busy: Callable[[float], object] = wait,
) -> None:
    """Make a change until it is found done; each try looks first, so nothing is made twice.

    Args:
        is_done: Looks.
        change: Makes it, once.
        busy: Waits some seconds, after a host said that it cannot now.

    Raises:
        HostFailure: The change is refused, or has no effect three times.
    """
    last: faults.HostFailure | None = None
    waits = pauses(random.random)
    for left in reversed(range(faults.TRIES)):
        if is_done():
            return
        try:
            change()
        except (faults.AlreadyThere, faults.ReplyLost) as failure:
            last = failure
        except faults.HostBusy as failure:
            if not left:
                raise
            last = failure
            busy(next(waits))
    if not is_done() and last is not None:
        raise last
