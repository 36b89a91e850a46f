"""A standby's name, made of a machine's. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container


def free_name(machine: str, taken: Container[str]) -> str:
    """Return a standby name made of a machine's name that is not taken yet."""
    plain = unicodedata.normalize("NFKD", machine).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:44].strip("-") or "machine"
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
