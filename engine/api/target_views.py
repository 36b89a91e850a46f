"""What a look at a target found, for whoever asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import field

from engine.api.present import target_view
from engine.api.views import TargetView, View
from engine.daemon.adding import Added, Contact
from engine.daemon.service import Snapshot
from engine.hypervisors.esxi.trust import shown_pin
from engine.model.text import safe
from engine.ports import Finding

_LONG = 1000


class FoundView(View, kw_only=True):
    """One finding; `id` is its stable key. `gravity`: error, warning, note."""

    gravity: str
    text: str
    unchanged: str = ""
    remedy: str = ""


class CheckedView(TargetView, kw_only=True):
    """A target after a look. `trouble`: why it cannot be used, then `found` is older or empty."""

    trouble: FoundView | None = None
    found: list[FoundView] = field(default_factory=list)


class ContactView(View, kw_only=True):
    """Who answers where a target shall be; `sha256` as a host's own console shows it.

    `subject`, `issuer`: empty where the certificate does not tell; `begins`, `ends` likewise.
    """

    host: str
    port: int
    sha256: str
    subject: str = ""
    issuer: str = ""
    begins: datetime | None = None
    ends: datetime | None = None


class AddedView(View, kw_only=True):
    """What came of adding a target; `file` is empty when something stands in the way.

    `share`: the folder its hosts mount; empty with boot points on the host.
    """

    found: list[FoundView] = field(default_factory=list)
    file: str = ""
    share: str = ""


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
