"""Texts of standbys that are not handed in yet: begun, left, or refused. Nothing typed is lost.

    ~/.local/state/bootpoint/drafts/erp.toml

    # draft {"new": true, "step": "keep", "why": ""}
    images = "/mnt/replica/erp"
    …

One file each, written durably, readable as it is; the first line is the draft's own and no part of
the text. The folder is the user's: a draft is what one person was about to do.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded
from engine.model.text import NAME, safe

_HEAD = "# draft "
_LARGEST = 1 << 18


@dataclass(frozen=True, slots=True)
class Draft:
    """One draft.

    Attributes:
        name: Of the standby, or what it was first called.
        text: Its definition as far as it goes: TOML, perhaps not valid.
        new: False: it changes a standby that is there.
        step: Where the steps were left.
        image_set: The image set that was chosen.
        base: Digest of the text that it changes; empty for a new standby.
        why: Why it was refused, a sentence; empty when it was only left.
        at: When it was kept.
    """

    name: str
    text: str
    new: bool = True
    step: str = ""
    image_set: str = ""
    base: str = ""
    why: str = ""
    at: datetime | None = None


def drafts_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the user's own folder of drafts; it need not be there."""
    home = Path(environ.get("HOME") or "/")
    state = Path(environ.get("XDG_STATE_HOME") or home / ".local/state")
    return state / "bootpoint" / "drafts"


class Drafts:
    """The drafts of one user, in one folder."""

    def __init__(self, folder: Path) -> None:
        """Look at nothing yet."""
        self.folder = folder

    def keep(self, draft: Draft) -> Path:
        """Write a draft durably, in place of the one that had its name; return its file.

        Raises:
            OSError: It could not be written; an older one is left.
            ValueError: No file can be named like this.
        """
        if not NAME.fullmatch(draft.name):
            raise ValueError("expected small letters, digits and hyphens, at most 48")
        told = {
            "new": draft.new,
            "step": draft.step,
            "set": draft.image_set,
            "base": draft.base,
            "why": draft.why,
        }
        text = f"{_HEAD}{json.dumps(told)}\n{draft.text}"
        make_folder(self.folder)
        file = self.path(draft.name)
        with open_folder(self.folder.resolve()) as folder:
            durable_replace(folder, file.name, text.encode("utf-8", "replace"))
        return file

    def path(self, name: str) -> Path:
        """Return where a draft is, or would be."""
        return self.folder / f"{name}.toml"

    def read(self, name: str) -> Draft | None:
        """Return a draft; None when there is none that can be read."""
        if not NAME.fullmatch(name):
            return None
        try:
            told = read_bounded(self.path(name), _LARGEST).decode("utf-8", "replace")
            at = datetime.fromtimestamp(self.path(name).stat().st_mtime, UTC)
        except OSError:
            return None
        head, _, text = told.partition("\n")
        if not head.startswith(_HEAD):
            return Draft(name, told, at=at)
        return _draft(name, head.removeprefix(_HEAD), text, at)

    def all(self) -> list[Draft]:
        """Return all drafts that can be read, by name."""
        try:
            names = sorted(file.stem for file in self.folder.glob("*.toml"))
        except OSError:
            return []
        return [draft for name in names if (draft := self.read(name)) is not None]

    def drop(self, name: str) -> None:
        """Forget a draft; repeatable."""
        if NAME.fullmatch(name):
            with contextlib.suppress(OSError):
                self.path(name).unlink()


def _draft(name: str, head: str, text: str, at: datetime) -> Draft:
    try:
        told = json.loads(head)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return Draft(name, text, at=at)

    def words(key: str) -> str:
        return safe(str(told.get(key, "")), 600)

    return Draft(
        name,
        text,
        told.get("new") is not False,
        words("step"),
        words("set"),
        words("base"),
        words("why"),
        at,
    )
