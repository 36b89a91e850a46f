"""One full scan of a watched folder: the truth about what is there.

    walk ─► compare marks ─► describe what is new ─► settle ─► assemble ─► RootView

Only new and changed files are opened; an unchanged tree costs the walk (`tree`). When
the folder is not there, or is another one than before, the last view is kept and nothing is
concluded from absence.
"""

from __future__ import annotations

import errno
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from engine.images.watching import notes
from engine.images.watching.foreign import is_sidecar, product_of
from engine.images.watching.tree import File, Outcome, Tree, Unreadable, walked
from engine.local.safedir import Identity, SafeDir
from engine.model.chains import Assembly, assemble
from engine.model.errors import FormatError, Problem
from engine.model.images import BadFile, FileMark, ImagePart, RootView
from engine.model.settling import NETWORK_QUIET_S, is_settled, is_temporary, settles_at
from engine.model.text import safe
from engine.ports import Cancel, ImageFormat, NeverCancelled

log = logging.getLogger(__name__)

HEAD = 4096
SENTINEL = ".bootpoint-id"
"""A file an operator may put into a watched folder: whatever it holds is the folder's identity."""

_SKIPPED = frozenset({"lost+found", "#recycle", "@eaDir", "$RECYCLE.BIN"})


class Scanner:
    """Scans one watched folder again and again. For one thread."""

    def __init__(
        self,
        root: str,
        formats: Sequence[ImageFormat],
        *,
        quiet_s: float | None = None,
        monotonic: Callable[[], float],
    ) -> None:
        """Scan nothing yet.

        Args:
            root: Absolute path of the folder.
            formats: Asked in this order who knows a file.
            quiet_s: Seconds a file must be unchanged; None: as its format says, longer on shares.
            monotonic: Seconds that never jump.
        """
        self.root = root
        self.identity: Identity | None = None
        """The folder as of the last scan that was online; None before."""
        self.due: float | None = None
        """When the next file may have settled, monotonic seconds; None: no file waits."""
        self._formats = formats
        self._quiet_s = quiet_s
        self._monotonic = monotonic
        self._sentinel = b""
        self._number = 0
        self._tree = self._stranger = Tree()
        self._made: dict[str, tuple[list[tuple[ImagePart, bool]], Assembly]] = {}
        self._view: RootView | None = None

    def scan(self, now: datetime, cancel: Cancel | None = None) -> RootView:
        """Do one full scan.

        Args:
            now: Aware UTC; stands in the view.
            cancel: Asked at least for each folder and each file that is opened.

        Returns:
            The view; its `sets` and `bad` are the very objects of the last one if nothing changed.

        Raises:
            Cancelled: `cancel` fired; the next scan starts afresh.
        """
        cancel = cancel or NeverCancelled()
        try:
            with SafeDir(self.root) as folder:
                return self._scan(folder, now, cancel)
        except OSError as error:
            return self._offline(notes.offline_reason(error), now)

    # --- the folder -------------------------------------------------------------------------

    def _scan(self, folder: SafeDir, now: datetime, cancel: Cancel) -> RootView:
        identity, sentinel = folder.identity(), _sentinel(folder)
        moment = self._monotonic()
        self._number += 1
        same = self._is_same(identity, sentinel)
        before = self._tree if same or not self._stranger.files else self._stranger
        cancel.check()
        tree = walked(folder, before, (self._number, moment), _is_skipped(cancel))
        changed = self._look(folder, tree, identity, moment, cancel)
        if not same and not self._is_known(tree, sentinel):
            self._stranger = tree
            return self._offline(_OTHER, now)
        changed |= not same or not tree.is_like(before)
        self._tree, self._stranger = tree, Tree()
        self.identity, self._sentinel = identity, sentinel
        if not changed and self._view is not None:
            self._view = replace(self._view, online=True, reason="", scanned_at=now)
        else:
            self._view = self._assemble(now)
        return self._view

    def _is_same(self, identity: Identity, sentinel: bytes) -> bool:
        if self._sentinel:
            return sentinel == self._sentinel
        return self.identity in (None, identity)

    def _is_known(self, tree: Tree, sentinel: bytes) -> bool:
        """Tell whether a folder with another identity is the watched one nevertheless.

        File systems come back with another device number. So it is the same if it holds an image
        of a set or machine that was there before, or if nothing was there before.
        """
        if self._sentinel and sentinel:
            return False
        sets = self._view.sets if self._view is not None else ()
        known = {one.id for one in sets} | {one.machine_uuid for one in sets}
        found = (file.outcome for file in tree.files.values())
        return not known or any(
            one.set_id in known or one.machine_uuid in known
            for one in found
            if isinstance(one, ImagePart)
        )

    def _offline(self, reason: str, now: datetime) -> RootView:
        self.due = None
        last = self._view or RootView(self.root, False, "", (), (), now, 0)
        self._view = replace(last, online=False, reason=reason, scanned_at=now)
        return self._view

    # --- the files --------------------------------------------------------------------------

    def _look(
        self, folder: SafeDir, tree: Tree, identity: Identity, moment: float, cancel: Cancel
    ) -> bool:
        """Look into new files, and once more into those that settle; tell if anything changed."""
        changed = False
        self.due = None
        if tree.at_rest:
            return False
        at_rest = True
        for path, file in list(tree.files.items()):
            if file.final:
                continue
            cancel.check()
            if not file.looked:
                changed |= self._describe(folder, path, file, tree)
            quiet_s = self._quiet(file.quiet_s, identity)
            if not is_settled(file.seen, quiet_s, self._number, moment):
                at = settles_at(file.seen, quiet_s)
                self.due = at if self.due is None else min(self.due, at)
                at_rest = False
                continue
            if not isinstance(file.outcome, ImagePart):
                changed |= self._describe(folder, path, file, tree)
            file.final = not isinstance(file.outcome, Unreadable)
            changed |= file.final
            at_rest &= file.final
        tree.at_rest = at_rest
        return changed

    def _quiet(self, format_s: float, identity: Identity) -> float:
        if self._quiet_s is not None:
            return self._quiet_s
        return max(format_s, NETWORK_QUIET_S) if identity.is_network else format_s

    def _describe(self, folder: SafeDir, path: str, file: File, tree: Tree) -> bool:
        """Look into a file; tell whether that gave something new."""
        before = file.outcome
        file.looked = True
        if product_of(path) or is_sidecar(path):
            return False
        try:
            fd = folder.open(path)
        except OSError as error:
            if error.errno == errno.ENOENT:
                tree.drop(path)
                return True
            file.outcome = Unreadable(error.errno, error.strerror or "")
            return file.outcome != before
        try:
            file.outcome = self._outcome(fd, path, file)
        finally:
            os.close(fd)
        return file.outcome != before

    def _outcome(self, fd: int, path: str, file: File) -> Outcome:
        mark = file.seen.mark
        try:
            head = os.pread(fd, HEAD, 0)
            name = path.rpartition("/")[2]
            known = next((f for f in self._formats if f.recognises(name, head)), None)
            if known is None:
                return None
            file.quiet_s = known.quiet_s
            part = known.describe(fd, path)
        except FormatError as error:
            return error.problem
        except OSError as error:
            return Unreadable(error.errno, error.strerror or "")
        except Exception:
            # A hostile file must not end the scan of its folder, whatever a parser trips over.
            log.exception("parser failed on %s", safe(path, 200))
            return _parser_failed(path)
        return replace(part, path=path, mark=mark)

    # --- the view ---------------------------------------------------------------------------

    def _assemble(self, now: datetime) -> RootView:
        files = self._tree.files
        parts: dict[str, list[tuple[ImagePart, bool]]] = defaultdict(list)
        for file in files.values():
            if isinstance(file.outcome, ImagePart):
                parts[file.outcome.set_id].append((file.outcome, file.final))
        self._made = {set_id: self._assembled(set_id, own) for set_id, own in parts.items()}
        sets = [one for _, made in self._made.values() for one in made.sets]
        sets.sort(key=lambda one: (one.machine_name, one.id))
        odd = [one for _, made in self._made.values() for one in made.odd]
        bad = notes.bounded([*self._bad(files), *odd])
        return RootView(self.root, True, "", tuple(sets), tuple(bad), now, len(files))

    def _assembled(
        self, set_id: str, own: list[tuple[ImagePart, bool]]
    ) -> tuple[list[tuple[ImagePart, bool]], Assembly]:
        """Return one set's files and what they add up to; a set that did not change is kept."""
        before = self._made.get(set_id)
        if before is not None and before[0] == own:
            return before
        settled = {part.path for part, final in own if final}
        return own, assemble(self.root, (part for part, _ in own), settled.__contains__)

    def _bad(self, files: Mapping[str, File]) -> Iterator[BadFile]:
        products: dict[str, list[tuple[str, FileMark]]] = defaultdict(list)
        strange = list(self._tree.odd.items())
        for path, file in files.items():
            mark, outcome = file.seen.mark, file.outcome
            if isinstance(outcome, Problem):
                yield notes.broken(path, mark, outcome, settled=file.final)
            elif isinstance(outcome, Unreadable):
                yield notes.unreadable(path, mark, OSError(outcome.number, outcome.text))
            elif outcome is None and (product := product_of(path)):
                products[product].append((path, mark))
            elif outcome is None and file.final and not is_sidecar(path):
                strange.append((path, mark))
        for product, own in products.items():
            yield from notes.foreign(product, own)
        yield from notes.unknown(strange)
        for path, error in self._tree.unreadable.items():
            yield notes.unreadable(path, FileMark(0, 0, 0, 0, 0), error)


_OTHER = (
    "Another folder or file system is there than before, and none of its images belongs to a "
    "machine that was there before; a share may not be mounted. If this is meant to be so, take "
    "the folder out of the configuration and add it again."
)


def _is_skipped(cancel: Cancel) -> Callable[[str], bool]:
    def skip(name: str) -> bool:
        cancel.check()
        return name in _SKIPPED or is_temporary(name)

    return skip


def _sentinel(folder: SafeDir) -> bytes:
    try:
        fd = folder.open(SENTINEL)
    except OSError:
        return b""
    try:
        return os.read(fd, HEAD).strip()
    finally:
        os.close(fd)


def _parser_failed(path: str) -> Problem:
    return Problem(
        "image.damaged",
        f"{safe(path.rpartition('/')[2], 120)} could not be understood; the log tells more.",
        remedy="Replicate the file again.",
    )
