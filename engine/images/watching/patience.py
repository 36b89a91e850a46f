"""A source that stops answering costs a job its try, not its slot for ever.

    job ──ask──► lane (a thread) ──► source
     ◄──answer or error──┘  │
     ◄──SourceSilent, Cancelled: the lane is left behind; it ends when the source lets go of it

Nothing can end a thread that hangs in a read of a share. So all that may wait for a source is done
in threads that touch nothing else: one that is left behind writes into a buffer that nobody uses.
What the system has in memory is read without them: handing it over would take longer.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TypeVar

from engine.model.errors import Cancelled, Problem, SourceSilent
from engine.model.extents import Piece
from engine.model.images import RecoveryPoint
from engine.model.text import safe
from engine.ports import NEVER, Cancel, DiskReader, ImageSource, PointReader

T = TypeVar("T")

SILENT_S = 120.0
"""Without any answer to a job for so long, a source is silent. A slow one answers in between."""
MOST_LEFT = 16
"""Threads that may be left behind for one directory; then it is not touched until one returns."""
_ASK_S = 0.25
_SOME = 1024


class PatientSource:
    """Opens points of another source, and gives it up when it hangs. Thread-safe."""

    def __init__(
        self, source: ImageSource, monotonic: Callable[[], float], silent_s: float = SILENT_S
    ) -> None:
        """Start with no thread left behind."""
        self._source, self._monotonic, self._silent_s = source, monotonic, silent_s
        self._left = _Left()

    @contextmanager
    def open(self, point: RecoveryPoint, cancel: Cancel = NEVER) -> Iterator[PointReader]:
        """Open all files of a point.

        Raises:
            SourceSilent: It does not answer; so may everything that the point is asked for.
            Cancelled: `cancel` fired while it did not answer; so may everything else.
            Failure: As the other source.
        """
        patience = _Patience(point.root, cancel, self._monotonic, self._silent_s, self._left)
        patience.admit()
        lane, stack = _Lane(patience), ExitStack()
        readers: list[_Reader] = []
        try:
            opening = self._source.open(point, cancel)
            opened = lane.ask(lambda: stack.enter_context(opening))
            readers = [_Reader(disk, patience) for disk in opened.disks]
            yield _Point(readers, lane, opened)
        finally:
            for reader in readers:
                reader.rest()
            lane.end(stack.close)


class _Left:
    """How many threads hang, by directory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counter[str]()

    def count(self, root: str, change: int = 0) -> int:
        with self._lock:
            self._counts[root] += change
            return self._counts[root]


class _Patience:
    """How long one job has had no answer from one opened point, whichever thread asked."""

    def __init__(
        self,
        root: str,
        cancel: Cancel,
        monotonic: Callable[[], float],
        silent_s: float,
        left: _Left,
    ) -> None:
        self._root, self._cancel, self._monotonic = safe(root, 200), cancel, monotonic
        self._silent_s, self._left = silent_s, left
        self._lock = threading.Lock()
        self._asked, self._since = 0, 0.0

    def admit(self, *, is_left: bool = False) -> None:
        """Raise SourceSilent when the thread was left behind, or too many of them hang already."""
        if is_left or self._left.count(self._root) >= MOST_LEFT:
            raise self._silent(f"{self._root} does not answer: earlier reads of it still hang.")

    def begin(self) -> None:
        """Note a question."""
        with self._lock:
            if not self._asked:
                self._since = self._monotonic()
            self._asked += 1

    def end(self, *, is_answered: bool) -> None:
        """Note that a question was answered, or is not waited for any more."""
        with self._lock:
            self._asked -= 1
            if is_answered:
                self._since = self._monotonic()

    def check(self) -> None:
        """Raise what ends the waiting."""
        self._cancel.check()
        with self._lock:
            passed = self._monotonic() - self._since
        if passed >= self._silent_s:
            raise self._silent(
                f"{self._root} has not answered for {passed:.0f} s: the disk or share hangs."
            )

    def leave(self, change: int) -> None:
        """Count a thread that is left behind, or that came back."""
        self._left.count(self._root, change)

    def _silent(self, happened: str) -> SourceSilent:
        return SourceSilent(
            Problem(
                "image.silent",
                happened,
                "What was being made of it was given up for now; the work on other machines goes "
                "on, and ready boot points are not touched.",
                "Check the disk or share, mount it again if need be; it is tried again by itself.",
                {"path": self._root},
            )
        )


class _Lane:
    """A thread that asks the source one thing after the other, for one thread that waits."""

    def __init__(self, patience: _Patience) -> None:
        self._patience = patience
        self._questions = SimpleQueue[Callable[[], object] | None]()
        self._answers = SimpleQueue[tuple[object, BaseException | None]]()
        self._lock = threading.Lock()
        self._is_running = self._is_left = self._is_back = False

    def admit(self) -> None:
        """Raise SourceSilent when the thread was left behind, or too many of them hang already."""
        self._patience.admit(is_left=self._is_left)

    def ask(self, question: Callable[[], T]) -> T:
        """Return the answer, or raise what the question raised, or what ended the waiting."""
        self.admit()
        return self._wait(question)

    def end(self, last: Callable[[], object] | None = None) -> None:
        """Do something last: now, or once the source lets go of a thread that was left behind."""
        if last is not None and self._is_left:
            self._questions.put(last)
        elif last is not None:
            with suppress(SourceSilent, Cancelled):
                self._wait(last)
        self._questions.put(None)

    def _wait(self, question: Callable[[], T]) -> T:
        self._patience.begin()
        is_answered = False
        try:
            self._put(question)
            answer, error = self._answer()
            is_answered = True
        except BaseException:
            self._leave()
            raise
        finally:
            self._patience.end(is_answered=is_answered)
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]  # of `question`

    def _put(self, question: Callable[[], object]) -> None:
        self._questions.put(question)
        if not self._is_running:
            self._is_running = True
            threading.Thread(target=self._work, name="source", daemon=True).start()

    def _answer(self) -> tuple[object, BaseException | None]:
        while True:
            with suppress(Empty):
                return self._answers.get(timeout=_ASK_S)
            self._patience.check()

    def _leave(self) -> None:
        with self._lock:
            self._is_left = True
            if self._answers.empty():
                self._patience.leave(1)
            else:
                self._is_back = True

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                answer: tuple[object, BaseException | None] = (question(), None)
            except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                answer = (None, error)
            with self._lock:
                self._answers.put(answer)
                if self._is_left and not self._is_back:
                    self._is_back = True
                    self._patience.leave(-1)


class _Point:
    """All disks of one point (a `PointReader`)."""

    def __init__(self, disks: Sequence[DiskReader], lane: _Lane, inner: PointReader) -> None:
        self.disks = disks
        self._lane, self._inner = lane, inner

    def unchanged(self) -> None:
        self._lane.ask(self._inner.unchanged)


class _Reader:
    """One disk (a `DiskReader`), read in a lane of its own."""

    def __init__(self, inner: DiskReader, patience: _Patience) -> None:
        self.size = inner.size
        self._inner, self._patience, self._lane = inner, patience, _Lane(patience)

    def pieces(self) -> Iterator[Piece]:
        pieces = self._inner.pieces()
        while some := self._lane.ask(lambda: list(islice(pieces, _SOME))):
            yield from some

    def read(
        self, pieces: Sequence[Piece], into: memoryview, *, hashed: bool = True, wait: bool = True
    ) -> None:
        self._lane.admit()
        try:
            self._inner.read(pieces, into, hashed=hashed, wait=False)
        except BlockingIOError:
            if not wait:
                raise
            self._lane.ask(lambda: self._inner.read(pieces, into, hashed=hashed))

    def clone(self) -> _Reader:
        return _Reader(self._inner.clone(), self._patience)

    def close(self) -> None:
        self._lane.end(self._inner.close)

    def rest(self) -> None:
        """End the lane; what was opened with the point is closed with it."""
        self._lane.end()
