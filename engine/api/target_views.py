"""What a look at a target found, for whoever asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from engine.api.contact_views import AddedView, CheckedView, ContactView, FoundView, RemovalView
from engine.api.present import target_view
from engine.api.views import TargetView
from engine.daemon.adding import Added, Contact
from engine.daemon.removing import Removal
from engine.daemon.service import Snapshot
from engine.hypervisors.esxi.trust import shown_pin
from engine.model.errors import Problem
from engine.model.text import safe
from engine.ports import Finding

_LONG = 1000


def contact_view(name: str, contact: Contact, pin: str = "") -> ContactView:
    """Return the view of a first contact, or of a known host with the pin of its definition."""
    shown = contact.certificate
    return ContactView(
        id=safe(name, 100),
        host=safe(contact.host, 300),
        port=contact.port,
        sha256=shown_pin(shown.sha256),
        subject=shown.subject,
        issuer=shown.issuer,
        begins=shown.begins,
        ends=shown.ends,
        pinned=shown_pin(pin),
    )


def added_view(
    name: str, added: Added, *, known: bool = False, why: Problem | None = None
) -> AddedView:
    """Return the view of a target that was added, or of what stands in the way.

    Args:
        known: Whether the running engine has taken it up.
        why: Why it has not; None: it has, or nothing was added.
    """
    found, file, share = _found(added.found), safe(added.file, 400), safe(added.share, 400)
    told = None if why is None else _problem(why, "warning")
    return AddedView(id=safe(name, 100), found=found, file=file, share=share, known=known, why=told)


def removal_view(going: Removal) -> RemovalView:
    """Return the view of what removing a target means, or of what came of it."""
    return RemovalView(
        id=safe(going.name, 100),
        file=safe(str(going.file), 400),
        aside=safe(going.aside, 400),
        store=safe(str(going.store), 400),
        stays=list(going.stays),
    )


def _problem(why: Problem, gravity: str) -> FoundView:
    return FoundView(
        id=why.key,
        gravity=gravity,
        text=safe(why.happened, _LONG),
        unchanged=safe(why.unchanged, _LONG),
        remedy=safe(why.remedy, _LONG),
    )


def _found(every: Sequence[Finding]) -> list[FoundView]:
    return [
        FoundView(
            id=safe(one.key, 100),
            gravity=one.gravity.value,
            text=safe(one.text, _LONG),
            remedy=safe(one.remedy, _LONG),
        )
        for one in every
    ]


def checked_view(of: str, snapshot: Snapshot) -> CheckedView:
    """Return the view of a target that was just looked at."""
    target = next(one for one in snapshot.targets if one.name == of)
    seen = target_view(target, snapshot)
    said = [one for one in (target.slow, target.outlook) if one]
    why = target.trouble
    return CheckedView(
        **{name: getattr(seen, name) for name in TargetView.__struct_fields__},
        trouble=None if why is None else _problem(why, "error"),
        found=[
            *_found(target.findings),
            *(FoundView(id="target.outlook", gravity="warning", text=one) for one in said),
        ],
    )
