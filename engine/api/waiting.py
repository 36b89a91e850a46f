"""Who waits although there is something to do: as told, and in words."""

from __future__ import annotations

from datetime import datetime, tzinfo

import msgspec

from engine.api.words import moment


class WaitView(msgspec.Struct, kw_only=True):
    """Why the next job of a machine does not run now.

    `bound`: engine, target, datastore (all slots taken), slow, away, space, vm, blackout.
    """

    bound: str
    text: str
    until: datetime | None = None


SHORT = {
    "engine": "a slot",
    "target": "a slot of its target",
    "datastore": "a slot of its datastore",
    "slow": "a slow target",
    "away": "its target",
    "space": "room",
    "vm": "its own job",
}


def short(wait: WaitView) -> str:
    """Return what is waited for, in a few words: `waits for a slot of its target`."""
    return f"waits for {SHORT.get(wait.bound, wait.bound)}"


def sentence(wait: WaitView, now: datetime, zone: tzinfo | None = None) -> str:
    """Return why nothing is begun, and when that ends where the clock says it."""
    return f"{wait.text} It ends {moment(wait.until, now, zone)}." if wait.until else wait.text
