"""Copies of the state database: one for each day it was in use, the newest seven stay.

    state.db ─ integrity_check ─ VACUUM INTO draft ─ fsync ─ rename ─► copies/state-2026-03-01.db
                                        before a migration ─► copies/state-schema-2.db

A database that fails its check is not copied, and no older copy goes: whole ones are not pushed
out by damaged ones. A copy is a plain SQLite file of mode 0600.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from urllib.parse import quote

from engine.local.durable import make_folder, open_folder, publish, remove_tree
from engine.model.errors import Failure, Problem
from engine.model.text import safe

KEPT = 7
_PREFIX, _SUFFIX, _DRAFT = "state-", ".db", ".draft"


def copies_in(folder: Path) -> Sequence[Path]:
    """Return the whole copies of a folder, the oldest first; none when it is not there."""
    found = folder.glob(f"{_PREFIX}*{_SUFFIX}") if folder.is_dir() else ()
    return sorted(path for path in found if _day(path.name) is not None)


def is_due(copies: Sequence[Path], today: date) -> bool:
    """Tell whether a day has no copy yet.

    A day in the future, from a clock that was wrong, does not put copies off.
    """
    return today not in {_day(path.name) for path in copies}


def surplus(copies: Sequence[Path], today: date) -> Sequence[Path]:
    """Return the copies that go once today's is there.

    The newest seven stay. Those of days that have not come yet, from a clock that was wrong, go
    first: else they would push out every new one.
    """

    def rank(path: Path) -> tuple[bool, str]:
        day = _day(path.name)
        return day is None or day <= today, path.name

    return sorted(copies, key=rank)[:-KEPT] if len(copies) > KEPT else []


def copies_of(database: Path) -> Path:
    """Return the folder of a database's copies, beside it."""
    return database.parent / "copies"


def copy_state(database: Path, today: date) -> Path:
    """Check the whole database and write today's copy; drop the oldest.

    Takes about a second for 100 MB; others read and write meanwhile.

    Returns:
        The copy's path.

    Raises:
        Failure: The database is damaged, or the copy cannot be written; older copies are left.
    """
    folder = copies_of(database)
    made = _write(database, folder, f"{_PREFIX}{today.isoformat()}{_SUFFIX}")
    for old in surplus(copies_in(folder), today):
        remove_tree(old)
    return made


def copy_before_migration(database: Path, version: int) -> Path:
    """Write a copy that stays, before the tables of schema `version` are changed.

    Raises:
        Failure: As `copy_state`; the tables must not be changed then.
    """
    return _write(database, copies_of(database), f"{_PREFIX}schema-{version}{_SUFFIX}")


def _write(database: Path, folder: Path, name: str) -> Path:
    make_folder(folder)
    for left in folder.glob(f"*{_DRAFT}"):
        remove_tree(left)
    draft = folder / f"{name}{_DRAFT}"
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        _copy(database, draft)
        with open_folder(folder.resolve()) as opened:
            publish(opened, draft.name, name)
    except sqlite3.Error as error:
        remove_tree(draft)
        raise Failure(_problem(database, str(error))) from error
    except OSError as error:
        remove_tree(draft)
        raise Failure(_problem(database, os.strerror(error.errno or 0))) from error
    return folder / name


def _copy(database: Path, draft: Path) -> None:
    uri = f"file:{quote(str(database.absolute()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout = 5000")
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        connection.execute("VACUUM INTO ?", (str(draft),))
    finally:
        connection.close()


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name.removeprefix(_PREFIX).removesuffix(_SUFFIX))
    except ValueError:
        return None


def _problem(database: Path, found: str) -> Problem:
    return Problem(
        "state.copy",
        f"The state database {safe(str(database), 200)} could not be copied: {safe(found, 300)}.",
        "It goes on being used, and its older copies are kept; no boot point was touched.",
        "Check the disk that holds the state. If the database is damaged, stop the engine and "
        "rebuild the state: bootpoint engine --rebuild-state.",
    )
