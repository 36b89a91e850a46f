"""Who is at the door: every client that greeted, as the kernel and they themselves say."""

from __future__ import annotations

from datetime import datetime

import msgspec


class ClientView(msgspec.Struct, kw_only=True):
    """One client that is connected.

    Attributes:
        user, role: As the kernel and the groups of this host say.
        client: Name of the program, such as `console` or `cli`; `tty`, `ssh`: its terminal and
            the address it came from. Claims of the client, not proven.
        since: When it greeted, by the engine's clock.
        own: True for the client that asks.
    """

    user: str
    role: str
    client: str
    since: datetime
    tty: str = ""
    ssh: str = ""
    own: bool = False
