"""Calls that add a target, pin its new certificate or remove it; the engine knows it at once.

They are for admins: a definition names any file of this computer as a password, and any host to
send it to.
"""

from __future__ import annotations

from dataclasses import fields

from engine.api.asks import NewTargetAsk, RemoveAsk, TargetAddAsk, TargetAsk, TrustAsk
from engine.api.contact_views import AddedView, ContactView, RemovalView
from engine.api.plans import Actor, check_name
from engine.api.target_views import added_view, contact_view, removal_view
from engine.api.views import Done
from engine.daemon.adding import Added, Adding, NewTarget
from engine.daemon.service import Service
from engine.daemon.taking import Taking
from engine.model.errors import Failure, Problem, Refused
from engine.model.text import safe

_NO_CONFIGURATION = Problem(
    "target.no-configuration",
    "This engine has no configuration of targets that could be changed.",
    "Nothing was changed.",
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
    return _taken(service, ask.name, added, actor)


def take(service: Service, ask: TargetAsk, actor: Actor) -> Done:
    """Let the engine know a target that was configured since its start."""
    _taking(service).take(ask.target, ask.definition, actor.name)
    return Done(text=f"The running engine knows target {safe(ask.target)}.")


def meet(service: Service, ask: TargetAsk) -> ContactView:
    """Return which certificate a known host shows, and which is pinned; nothing is sent to it."""
    met = _taking(service).meet(ask.target)
    return contact_view(ask.target, met.contact, met.pin)


def trust(service: Service, ask: TrustAsk, actor: Actor) -> AddedView:
    """Pin the new certificate of a known host, which was compared; the engine goes by it."""
    pinned = Added((), _taking(service).trust(ask.target, ask.pin, actor.name))
    return _taken(service, ask.target, pinned, actor)


def removal(service: Service, ask: TargetAsk) -> RemovalView:
    """Return what removing a target means."""
    return removal_view(_taking(service).removal(ask.target))


def remove(service: Service, ask: RemoveAsk, actor: Actor) -> RemovalView:
    """Remove a target whose name was typed; return what was done, and what stays."""
    taking = _taking(service)
    check_name(ask.confirm, ask.name)
    return removal_view(taking.remove(ask.name, actor.name))


def _taken(service: Service, name: str, written: Added, actor: Actor) -> AddedView:
    """Let the engine know what was written; it is written all the same where that fails."""
    try:
        _taking(service).take(name, "", actor.name)
    except Failure as failure:
        return added_view(name, written, why=failure.problem)
    return added_view(name, written, known=True)


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
