"""What can be wrong with an image file, in an operator's words."""

from __future__ import annotations

from engine.model.errors import FormatError, ImageCorrupt, Problem
from engine.model.text import safe

NEWER = "Update this program to a version that reads it."
_UNUSED = "Nothing of it was applied; boot points made earlier are not touched."


def truncated(path: str, why: str) -> FormatError:
    """Return the error for a file whose end is missing: maybe it is still arriving."""
    name = safe(path)
    return FormatError(
        Problem(
            "image.truncated",
            f"{name} is not complete: {why}.",
            _UNUSED,
            "Wait until its replication is finished; if that has ended, replicate the file again.",
            {"file": name, "why": why},
        )
    )


def damaged(path: str, why: str) -> FormatError:
    """Return the error for a file whose structure is not what the format demands."""
    name = safe(path)
    return FormatError(
        Problem(
            "image.damaged",
            f"{name} is damaged: {why}.",
            _UNUSED,
            "Replicate the file again from the source. If the source's copy is damaged too, start "
            "a new chain with a full image.",
            {"file": name, "why": why},
        )
    )


def unsupported(path: str, why: str, remedy: str) -> FormatError:
    """Return the error for a file that this version cannot read."""
    name = safe(path)
    return FormatError(
        Problem(
            "image.unsupported",
            f"{name} cannot be read: {why}.",
            _UNUSED,
            remedy,
            {"file": name, "why": why},
        )
    )


def corrupt(path: str, why: str) -> ImageCorrupt:
    """Return the error for payload that does not match its checksum."""
    name = safe(path)
    return ImageCorrupt(
        Problem(
            "image.corrupt",
            f"{name} holds damaged data: {why}.",
            _UNUSED,
            "Replicate the file again from the source. If the source's copy is damaged too, start "
            "a new chain with a full image.",
            {"file": name, "why": why},
        )
    )
