"""Who is at the other end of the socket, and what they may do. The kernel says so, never a message.

root, the engine's own user       admin
group bootpoint-admins            admin
group bootpoint-operators         operator
group bootpoint                   viewer
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from engine.model.text import safe

SO_PEERGROUPS = getattr(socket, "SO_PEERGROUPS", 59)
"""59 on x86-64 and arm64; Python 3.11 has no name for it."""

_CREDENTIALS = struct.Struct("iII")
_GROUP_SIZE = struct.calcsize("I")
_MOST_BYTES = 1024
"""Python reads no longer socket option: 256 groups."""
GROUPS = ("bootpoint", "bootpoint-operators", "bootpoint-admins")


class Role(IntEnum):
    """What a peer may do; a higher one may all that a lower one may."""

    VIEWER = 0
    OPERATOR = 1
    ADMIN = 2

    @property
    def word(self) -> str:
        """The role as it stands on the wire."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, as the kernel knows it."""

    pid: int
    uid: int
    groups: frozenset[int]
    user: str


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected. OSError when the kernel cannot tell."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(told)
    return Peer(pid, uid, frozenset((gid, *_groups(connection, uid, gid))), user_name(uid))


def _groups(connection: socket.socket, uid: int, gid: int) -> Sequence[int]:
    """Return a peer's groups; from the user database when it is in more than the kernel tells."""
    try:
        told = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _MOST_BYTES)
    except OSError:
        try:
            return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
        except KeyError:
            return ()
    return struct.unpack(f"{len(told) // _GROUP_SIZE}I", told)


def user_name(uid: int) -> str:
    """Return a user's name, `uid 1234` for one without."""
    try:
        return safe(pwd.getpwuid(uid).pw_name, 64)
    except KeyError:
        return f"uid {uid}"


def known_groups() -> dict[str, int]:
    """Return the ids of those of our groups that this host has."""
    found = {}
    for name in GROUPS:
        try:
            found[name] = grp.getgrnam(name).gr_gid
        except KeyError:
            continue
    return found


def role_of(peer: Peer, own_uid: int, groups: Mapping[str, int]) -> Role | None:
    """Return a peer's role; None: it may not even look.

    Args:
        peer: Who connected.
        own_uid: The engine's user.
        groups: As `known_groups` found them.
    """
    if peer.uid in (0, own_uid):
        return Role.ADMIN
    held = [role for role in Role if groups.get(GROUPS[role]) in peer.groups]
    return max(held, default=None)


def lowered(role: Role, want: str) -> Role:
    """Return the lower one of a role and what the peer asked for; unknown words ask for nothing."""
    wanted = {each.word: each for each in Role}.get(want, role)
    return min(role, wanted)
