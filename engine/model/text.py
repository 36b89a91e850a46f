"""Strings from outside, made fit for a terminal, a log or a sentence."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import NewType

SafeStr = NewType("SafeStr", str)

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
"""What a standby may be called."""
_SLUG_GAPS = re.compile(r"[^a-z0-9]+")


def safe(raw: str | bytes, limit: int = 128) -> SafeStr:
    r"""Return `raw` with every character that could steer a terminal written as `\u{hex}`.

    Applied where a string *enters* (file names, headers, guests, hosts), never at the screen.

    Args:
        raw: Text, or bytes in the file system's encoding (undecodable bytes are shown as escapes).
        limit: Longest result in characters before escaping; a cut is marked with an ellipsis.
    """
    text = os.fsdecode(raw) if isinstance(raw, bytes) else raw
    shown = text[:limit]
    if not shown.isprintable():  # which holds all unsafe ones off, and is a hundred times faster
        shown = "".join(
            f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in _UNSAFE else c for c in shown
        )
    return SafeStr(shown + ("…" if len(text) > limit else ""))


def slug(name: str, limit: int = 48) -> str:
    """Return `name` as `[a-z0-9-]{1,limit}`; `machine` when nothing usable is left."""
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return _SLUG_GAPS.sub("-", folded).strip("-")[:limit].strip("-") or "machine"
