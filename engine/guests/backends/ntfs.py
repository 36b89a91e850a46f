"""NTFS on a raw disk: ntfs-3g in a sandbox of its own, see `ntfs_cage`.

Names are found in any case, as Windows finds them. Owners are not told and not set: what is made
gets the access rights of the folder it is in. Times of what was there stay as they were.
"""

from __future__ import annotations

import json
import os
import selectors
import struct
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from engine.guests.backend import Stat, Type
from engine.guests.backends import verdict
from engine.guests.backends.child import end
from engine.guests.backends.ntfs_cage import command, start
from engine.guests.backends.verify import (
    components,
    damaged,
    no_link,
    refusal,
    told_by,
    unreadable,
)
from engine.local.tools import ToolFailed
from engine.model.errors import Failure, Problem
from engine.model.guest import Action, FileEdit, Obstacle, Owner, Volume
from engine.model.text import safe

ANSWER_S = 60.0
READY_S = 240.0
"""Longest wait for one answer, and for the first one, before which a journal may be replayed."""
WORDS = 16 << 20
"""Longest answer in bytes beside a file's content: the names of a large folder."""
PART = 1 << 20
_OWNER = Owner(0o755, 0, 0)
_FORBIDDEN = frozenset(b'"*:<>?\\|') | frozenset(range(32))
_VERBS = {
    Action.WRITE: "write",
    Action.MKDIR: "mkdir",
    Action.RENAME: "rename",
    Action.REMOVE: "remove",
}


_TYPES = frozenset(Type)


class Trouble(Failure):
    """The file system cannot be written; `obstacle` says why."""

    def __init__(self, obstacle: Obstacle) -> None:
        """Keep the obstacle; it is a problem of its own."""
        self.obstacle = obstacle
        unchanged = "Nothing was changed."
        super().__init__(Problem(obstacle.key, obstacle.text, unchanged, obstacle.remedy))


class NtfsVolume:
    """One file system; the verbs of a backend without the volume's name."""

    def __init__(self, disk: Path, volume: Volume) -> None:
        """Remember where it lies; nothing is opened yet."""
        self._disk = disk
        self._volume = volume
        self._session: _Session | None = None
        self._trouble: Trouble | None = None

    def stat(self, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is."""
        if path == b"/":
            return Stat(Type.FOLDER, 0, _OWNER)
        components(path)
        answer, _ = self._ask("stat", path)
        match answer:
            case [str(kind), int(size)] if kind in _TYPES:
                return Stat(Type(kind), size, _OWNER)
            case None:
                return None
        raise _failed("answered in another language")

    def list(self, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        answer, _ = self._ask("list", path)
        try:
            return sorted(str(name).encode("latin-1") for name in cast("list[object]", answer))
        except (TypeError, ValueError) as odd:
            raise _failed("answered in another language") from odd

    def read(self, path: bytes, limit: int) -> bytes:
        """Return a regular file's content."""
        found = self.stat(path)
        if found is None or found.type != Type.FILE or found.size > limit:
            raise unreadable(path, found, limit)
        _, content = self._ask("read", path, limit=limit)
        if len(content) != found.size:
            raise self._damaged(f"the file {safe(path, 200)} cannot be read to its end")
        return content

    def part(self, path: bytes, offset: int, length: int) -> bytes:
        """Return up to `length` bytes (1 MiB at most) of a regular file; fewer at its end."""
        found = self.stat(path)
        if found is None or found.type != Type.FILE:
            raise unreadable(path, found, length)
        where = struct.pack(">QI", offset, min(length, PART))
        return self._ask("part", path, where, limit=PART)[1]

    def link(self, path: bytes) -> bytes:
        """Return where a symbolic link or junction points, as ntfs-3g translates it."""
        found = self.stat(path)
        if found is None or found.type != Type.LINK:
            raise no_link(path)
        return self._ask("link", path, limit=1 << 16)[1]

    def close(self) -> None:
        """Let everything be written out and end the programs; the next question starts them.

        Raises:
            ToolFailed: What was recovered could not be written.
        """
        session, self._session = self._session, None
        if session is not None and session.is_running():
            with session:
                session.finish()

    def recover(self) -> bool:
        """Replay the journal where it holds something; return whether it did.

        What stands against that is not raised but remembered: `trouble` tells it, and a write
        raises it. A machine may have volumes that nobody needs to write.
        """
        self._trouble = None
        try:
            return self._writable().has_recovered
        except Trouble as trouble:
            self._trouble = trouble
        except ToolFailed:
            # No sandbox here: whoever needs this volume hears it when reading or writing.
            pass
        return False

    def trouble(self) -> Obstacle | None:
        """Return why it cannot be written: hibernated, or what `recover` met."""
        if self._trouble is None and self._ask("hibernated", b"/")[0]:
            self._trouble = _trouble(self._volume, "hibernated", "")
        return self._trouble.obstacle if self._trouble else None

    def refuse_unspeakable(self, edits: Sequence[FileEdit]) -> None:
        """Refuse edits that cannot be made on NTFS.

        Raises:
            Failure: A symbolic link, or a name that Windows forbids.
        """
        if self._trouble is not None:
            raise self._trouble
        for edit in edits:
            if edit.action == Action.SYMLINK:
                raise refusal(edit.path, "is to become a link, which is not made on NTFS")
            paths = [edit.path, *([edit.after] if edit.action == Action.RENAME else [])]
            names = [name for path in paths for name in components(path)]
            if any(not _is_possible(name) for name in names):
                raise refusal(edit.path, "has a name that Windows forbids")

    def write(self, edits: Sequence[FileEdit]) -> int:
        """Make edits that were seen to fit; return the bytes of changed pages.

        Raises:
            Trouble: The file system is hibernated, or its journal cannot be replayed.
            ToolFailed: ntfs-3g could not make one; the twig must be dropped.
        """
        session = self._writable()
        written = 0
        for edit in edits:
            answer, _ = session.ask(_VERBS[edit.action], edit.path, edit.after)
            written += answer if isinstance(answer, int) else 0
        session.finish()
        self.close()
        return written

    def check(self) -> str:
        """Check its main structures and return `files`: only Windows itself checks all.

        Raises:
            Failure: It is damaged.
        """
        if self._session is not None and self._session.can_write():
            self.close()
        code, said = self._ask("check", b"/", limit=1 << 16)
        bad = verdict.of_ntfs(code if isinstance(code, int) else -1, said)
        if bad:
            raise self._damaged(f"ntfsfix said: {safe(b' '.join(bad.split()), 400)}")
        return "files"

    def _ask(
        self, verb: str, path: bytes, payload: bytes = b"", limit: int = 0
    ) -> tuple[object, bytes]:
        if self._session is None or not self._session.is_running():
            self._session = _Session(self._disk, self._volume, is_writing=False)
        return self._session.ask(verb, path, payload, limit)

    def _writable(self) -> _Session:
        """Return a session that may write; it also serves what is read before the writing."""
        if self._session is None or not self._session.can_write():
            self.close()
            self._session = _Session(self._disk, self._volume, is_writing=True)
        return self._session

    def _damaged(self, why: str) -> Failure:
        return damaged(self._volume.id, why)


class _Session:
    """A running sandbox on one file system; `has_recovered`: it had to replay the journal."""

    def __init__(self, disk: Path, volume: Volume, *, is_writing: bool) -> None:
        """Start it and wait until it is ready.

        Raises:
            Trouble: The file system cannot be opened that way.
            ToolFailed: The sandbox cannot be started.
        """
        self._volume = volume
        self._is_writing = is_writing
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as we
        arguments = ["write" if is_writing else "read", str(volume.start), str(volume.size)]
        argv = command(disk, arguments, is_writing=is_writing)
        pipe = subprocess.PIPE
        try:
            self._process = start(argv, pipe, pipe, self._complaints.fileno())
        except OSError as error:
            self._complaints.close()
            raise _failed(f"could not be started: {error}") from error
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        streams = (self._stdin, self._stdout, self._complaints)
        self._end = weakref.finalize(self, end, self._process, streams)
        try:
            self.has_recovered = self._answer(0, READY_S)[0] == "recovered"
        except Failure:
            self._end()
            raise

    def __enter__(self) -> Self:
        """Return the session."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, however the context ended."""
        self.close()

    def ask(
        self, verb: str, path: bytes, payload: bytes = b"", limit: int = 0
    ) -> tuple[object, bytes]:
        """Return an answer and the bytes that came with it, at most `limit`.

        Raises:
            ToolFailed: The sandbox ended, said no, took too long, or answered too much.
        """
        words = json.dumps({"verb": verb, "path": path.decode("latin-1")}).encode()
        message = struct.pack(">II", len(words), len(payload)) + words + payload
        try:
            while message:
                message = message[self._stdin.write(message) :]
        except OSError as error:
            raise self._ended() from error
        return self._answer(limit, ANSWER_S)

    def finish(self) -> None:
        """Let everything be written out, where something may have been written.

        Raises:
            ToolFailed: That failed.
        """
        if self._is_writing:
            self.ask("finish", b"/")
            self._is_writing = False

    def close(self) -> None:
        """End the programs; what was not finished may be lost."""
        self._end()

    def is_running(self) -> bool:
        """Whether it can be asked: it dies with the thread that started it."""
        return self._process.poll() is None

    def can_write(self) -> bool:
        """Whether it can be asked to write."""
        return self._is_writing and self.is_running()

    def _answer(self, limit: int, seconds: float) -> tuple[object, bytes]:
        end = time.monotonic() + seconds
        size, more = struct.unpack(">II", self._read(8, end))
        if size > WORDS or more > limit:
            self.close()
            raise _failed("answered more than can be read")
        words, content = self._read(size, end), self._read(more, end)
        try:
            answer: Mapping[str, Any] = json.loads(words)
            if "answer" in answer:
                return answer["answer"], content
            trouble, error = answer.get("trouble"), safe(str(answer.get("error")), 300)
        except (ValueError, TypeError, AttributeError, RecursionError) as problem:
            raise _failed("answered in another language") from problem
        if trouble == "sandbox":
            raise self._ended()
        if trouble is not None:
            raise _trouble(self._volume, str(trouble), str(answer.get("words", "")))
        raise told_by(self._volume.id, error) or _failed(
            f"could not read or change the guest: {error}. It said: {self._said()}"
        )

    def _read(self, size: int, end: float) -> bytes:
        content = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while len(content) < size:
                if not selector.select(max(0.0, end - time.monotonic())):
                    self.close()
                    raise _failed("did not answer in time")
                piece = os.read(self._stdout.fileno(), min(1 << 20, size - len(content)))
                content += piece
                if not piece:
                    raise self._ended()
        return bytes(content)

    def _ended(self) -> ToolFailed:
        said = self._said()
        self.close()
        return _failed(f"ended early. It said: {said}")

    def _said(self) -> str:
        """Return what the programs complained about last."""
        if self._complaints.closed:
            return ""
        said = os.pread(self._complaints.fileno(), 1 << 16, 0)
        return safe(b" ".join(said.split())[-400:], 400)


def _is_possible(name: bytes) -> bool:
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not _FORBIDDEN & set(name) and text[-1] not in ". " and len(text) <= 255


def _trouble(volume: Volume, state: str, words: str) -> Trouble:
    name = f"{safe(volume.id)} on disk {volume.disk + 1}"
    said = safe(" ".join(words.split()), 400)
    match state:
        case "hibernated":
            why = Obstacle(
                "guest.hibernated",
                f"Windows on volume {name} is hibernated, or was shut down with fast start-up: a "
                "part of the volume is in the memory that it saved.",
                "Switch off hibernation and fast start-up on the source machine (powercfg /h off), "
                "then let the next increment arrive.",
            )
        case "journal":
            why = Obstacle(
                "guest.ntfs_journal",
                f"The journal of NTFS on volume {name} cannot be replayed. ntfs-3g said: {said}",
                "Shut Windows down completely on the source machine (shutdown /s /t 0), or let the "
                "next increment arrive.",
            )
        case _:
            why = Obstacle(
                "guest.ntfs_damaged",
                f"NTFS on volume {name} cannot be opened. ntfs-3g said: {said}",
                "Run chkdsk /f on the source machine, then let the next increment arrive.",
            )
    return Trouble(why)


def _failed(how: str) -> ToolFailed:
    return ToolFailed(
        Problem(
            "tool.failed",
            f"The sandbox with ntfs-3g {how}.",
            "Only the twig of this conversion may have been written.",
            "Check that ntfs-3g is installed and that the guest's file system has free space and "
            "is healthy.",
            {"tool": "ntfs-3g"},
        )
    )
