"""Calls that add a target to the engine's configuration; the engine knows it after its next start.

They are for admins: a definition names any file of this computer as a password, and any host to
send it to.
"""

from __future__ import annotations

from dataclasses import fields

from engine.api.asks import NewTargetAsk, TargetAddAsk
from engine.api.contact_views import AddedView, ContactView
from engine.api.plans import Actor
from engine.api.target_views import added_view, contact_view
from engine.daemon.adding import Adding, NewTarget
from engine.daemon.service import Service
from engine.model.errors import Problem, Refused


def contact(service: Service, ask: NewTargetAsk) -> ContactView:
    """Return whose certificate is shown where a target shall be; nothing is sent there."""
    return contact_view(ask.name, _adding(service).contact(_new(ask)))


def add(service: Service, ask: TargetAddAsk, actor: Actor) -> AddedView:
    """Add a target whose certificate was compared; what stands in the way is told instead."""
    adding, new = _adding(service), _new(ask)
    if not new.pin and not new.authority:
        raise Refused(
            Problem(
                "target.first-contact",
                "Nobody has compared the certificate of this host yet.",
                "No target was added; nothing was sent to the host, no password either.",
                "Compare its SHA-256 on the host's own console first.",
            )
        )
    return added_view(ask.name, adding.add(new, anyway=ask.anyway, actor=actor.name))


def _new(ask: NewTargetAsk) -> NewTarget:
    return NewTarget(**{one.name: getattr(ask, one.name) for one in fields(NewTarget)})


def _adding(service: Service) -> Adding:
    if service.adding is None:
        raise Refused(
            Problem(
                "target.no-configuration",
                "This engine has no configuration that a target could be added to.",
                "No target was added.",
            )
        )
    return service.adding
