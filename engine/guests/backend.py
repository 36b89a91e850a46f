"""The verbs that every backend offers; the planner reads through them, a replay writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from engine.model.guest import FileEdit, Obstacle, Owner, Volume, VolumeId
from engine.ports import DiskFile

GuestDisk = DiskFile
"""A disk of the guest, as a backend opens it: path, and format `raw` or `qcow2`."""


class Type(StrEnum):
    """What is at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of one path: size in bytes, owner, type."""

    type: Type
    size: int
    owner: Owner


class Reading(Protocol):
    """One guest's volumes, for reading. Paths are absolute in the volume; links are not followed.

    Raises `Failure` (in words) when a volume is damaged or the tool is missing.
    """

    def volumes(self) -> Sequence[Volume]:
        """Return all volumes of all disks, by disk and start."""

    def stat(self, volume: VolumeId, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is."""

    def list(self, volume: VolumeId, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder, without `.` and `..`; empty when there is none."""

    def read(self, volume: VolumeId, path: bytes, limit: int = 1 << 20) -> bytes:
        """Return a regular file's content. Failure when it is longer than `limit` or no file."""

    def link(self, volume: VolumeId, path: bytes) -> bytes:
        """Return where a symbolic link points."""


@runtime_checkable
class Subvolumes(Protocol):
    """What a backend may offer beside: which subvolume of btrfs is mounted without a name."""

    def default_subvolume(self, volume: VolumeId) -> bytes:
        """Return its path without a slash at the begin; empty for the top of the volume."""


WHOLE = 64 << 20
"""Longest file in bytes that a backend reads whole to tell a part of it."""


@runtime_checkable
class Parts(Protocol):
    """What a backend may offer beside: a part of a file that is too long to be read."""

    def part(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a regular file; fewer at its end."""


@runtime_checkable
class Ahead(Protocol):
    """What a backend may offer beside: much in one question, where each one takes its time."""

    def ahead(self, volume: VolumeId, paths: Sequence[bytes]) -> None:
        """Learn what is at paths: a file's content, a folder's names and its small files.

        What was learnt is there when it is asked for, until something is changed. What is not
        there, is too long or cannot be read is left out, and is no failure here.
        """


@runtime_checkable
class Room(Protocol):
    """What a backend may offer beside: how much can still be written."""

    def room(self, volume: VolumeId) -> int | None:
        """Return the free bytes of a volume; None when that cannot be told."""


@runtime_checkable
class Troubles(Protocol):
    """What a backend may offer beside: why a volume that it can read cannot be written."""

    def trouble(self, volume: VolumeId) -> Obstacle | None:
        """Return the reason, such as a hibernated Windows; None when it can be written."""


class Backend(Reading, Protocol):
    """Reading, and replaying edits into a twig."""

    name: str

    def replay(self, edits: Sequence[FileEdit]) -> int:
        """Make all edits, each only when `before` fits; read back; return bytes written.

        Raises:
            Failure: An edit does not fit or a tool failed; the twig must be dropped.
        """

    def check(self, volumes: Sequence[VolumeId]) -> str:
        """Check file systems; return the least: `full`, `files` or `skipped(reason)`.

        Raises:
            Failure: One of them is damaged.
        """
