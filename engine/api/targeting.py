"""Calls that add a target to the engine's configuration or remove one; it is known at once.

They are for admins: a definition names any file of this computer as a password, and any host to
send it to.
"""

from __future__ import annotations

from dataclasses import fields

from engine.api.asks import NewTargetAsk, RemoveAsk, TargetAddAsk, TargetAsk
from engine.api.contact_views import AddedView, ContactView, RemovalView
from engine.api.plans import Actor, check_name
from engine.api.target_views import added_view, contact_view, removal_view
from engine.api.views import Done
from engine.daemon.adding import Adding, NewTarget
from engine.daemon.service import Service
from engine.daemon.taking import Taking
from engine.model.errors import Failure, Problem, Refused
from engine.model.text import safe

_NO_CONFIGURATION = Problem(
    "target.no-configuration",
    "This engine has no configuration that a target could be added to or removed from.",
    "No target was added or removed.",
)


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
    added = adding.add(new, anyway=ask.anyway, actor=actor.name)
    if not added.file:
        return added_view(ask.name, added)
    try:
        _taking(service).take(ask.name, "", actor.name)
    except Failure as failure:  # it is written all the same
        return added_view(ask.name, added, why=failure.problem)
    return added_view(ask.name, added, known=True)


def take(service: Service, ask: TargetAsk, actor: Actor) -> Done:
    """Let the engine know a target that was configured since its start."""
    _taking(service).take(ask.target, ask.definition, actor.name)
    return Done(text=f"The running engine knows target {safe(ask.target)}.")


def removal(service: Service, ask: TargetAsk) -> RemovalView:
    """Return what removing a target means."""
    return removal_view(_taking(service).removal(ask.target))


def remove(service: Service, ask: RemoveAsk, actor: Actor) -> RemovalView:
    """Remove a target whose name was typed; return what was done, and what stays."""
    taking = _taking(service)
    check_name(ask.confirm, ask.name)
    return removal_view(taking.remove(ask.name, actor.name))


def _new(ask: NewTargetAsk) -> NewTarget:
    return NewTarget(**{one.name: getattr(ask, one.name) for one in fields(NewTarget)})


def _adding(service: Service) -> Adding:
    if service.adding is None:
        raise Refused(_NO_CONFIGURATION)
    return service.adding


def _taking(service: Service) -> Taking:
    if service.taking is None:
        raise Refused(_NO_CONFIGURATION)
    return service.taking
