"""Who may do what."""

from __future__ import annotations

import os
import socket

import pytest

from engine.api.roles import Peer, Role, lowered, peer_of, role_of

GROUPS = {"bootpoint": 10, "bootpoint-operators": 20, "bootpoint-admins": 30}


@pytest.mark.parametrize(
    ("uid", "groups", "role"),
    [
        (0, set(), Role.ADMIN),
        (500, set(), Role.ADMIN),
        (7, set(), None),
        (7, {99}, None),
        (7, {10}, Role.VIEWER),
        (7, {10, 20}, Role.OPERATOR),
        (7, {10, 20, 30}, Role.ADMIN),
        (7, {30}, Role.ADMIN),
    ],
)
def test_the_highest_group_gives_the_role(uid: int, groups: set[int], role: Role | None) -> None:
    """Root and the engine's user are admins; others are what their groups say."""
    assert role_of(Peer(1, uid, frozenset(groups), "x"), 500, GROUPS) is role


def test_a_host_without_our_groups_lets_only_the_owner_in() -> None:
    """Without the groups nobody else has a role."""
    assert role_of(Peer(1, 7, frozenset({10}), "x"), 500, {}) is None


@pytest.mark.parametrize(
    ("want", "role"),
    [("viewer", Role.VIEWER), ("admin", Role.OPERATOR), ("god", Role.OPERATOR)],
)
def test_a_wish_lowers_and_never_raises(want: str, role: Role) -> None:
    """A client may ask for less, never for more."""
    assert lowered(Role.OPERATOR, want) is role


def test_the_kernel_names_the_peer() -> None:
    """User and groups come from the socket itself."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = peer_of(ours)
    assert peer.uid == os.getuid()
    assert peer.groups >= set(os.getgroups())
    assert peer.pid == os.getpid()
