"""What a look at a target found, for whoever asked for it."""

from __future__ import annotations

from msgspec import field

from engine.api.present import target_view
from engine.api.views import TargetView, View
from engine.daemon.service import Snapshot
from engine.model.text import safe

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
            *(
                FoundView(
                    id=safe(one.key, 100),
                    gravity=one.gravity.value,
                    text=safe(one.text, _LONG),
                    remedy=safe(one.remedy, _LONG),
                )
                for one in target.findings
            ),
            *(FoundView(id="target.outlook", gravity="warning", text=one) for one in said),
        ],
    )
