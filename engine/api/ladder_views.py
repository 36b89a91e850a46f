"""A machine's ladder as the engine tells it; part of each `FleetView`."""

from __future__ import annotations

from datetime import datetime

import msgspec


class RungView(msgspec.Struct, kw_only=True):
    """One rung of a machine's ladder: written, arrived, verified, ready, proven.

    `data_as_of`: of the newest data that has come this far; `reached_at`: when it did, where that
    is known; `lost_s`: how much older than on the rung before.
    """

    rung: str
    data_as_of: datetime | None = None
    reached_at: datetime | None = None
    lost_s: float | None = None


class LadderView(msgspec.Struct, kw_only=True):
    """How far a machine's data has climbed, and its rhythm.

    `losing`: the rung that costs the most age, empty when none does. `silence_s`: seconds without
    a new image that make it silent; `silent_from`: when they are over, nights and weekends that
    the machine is known for added.
    """

    rungs: list[RungView] = []
    losing: str = ""
    usual_s: float | None = None
    silence_s: float | None = None
    arrived_at: datetime | None = None
    silent_from: datetime | None = None
    silent: bool = False
