"""What a look at a target found, for whoever asked for it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import field

from engine.api.contact_views import AddedView, ContactView, FoundView
from engine.api.present import target_view
from engine.api.views import TargetView
from engine.daemon.adding import Added, Contact
from engine.daemon.service import Snapshot
from engine.hypervisors.esxi.trust import shown_pin
from engine.model.text import safe
from engine.ports import Finding

_LONG = 1000


class CheckedView(TargetView, kw_only=True):
    """A target after a look. `trouble`: why it cannot be used, then `found` is older or empty."""

    trouble: FoundView | None = None
    found: list[FoundView] = field(default_factory=list)


def contact_view(name: str, contact: Contact) -> ContactView:
    """Return the view of a first contact."""
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
    )


def added_view(name: str, added: Added) -> AddedView:
    """Return the view of a target that was added, or of what stands in the way."""
    found, file, share = _found(added.found), safe(added.file, 400), safe(added.share, 400)
    return AddedView(id=safe(name, 100), found=found, file=file, share=share)


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
        trouble=None
        if why is None
        else FoundView(
            id=why.key,
            gravity="error",
            text=safe(why.happened, _LONG),
            unchanged=safe(why.unchanged, _LONG),
            remedy=safe(why.remedy, _LONG),
        ),
        found=[
            *_found(target.findings),
            *(FoundView(id="target.outlook", gravity="warning", text=one) for one in said),
        ],
    )
