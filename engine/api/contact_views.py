"""What hosts show, and what came of looking at a target, adding, trusting or removing it."""

from __future__ import annotations

from datetime import datetime

from msgspec import field

from engine.api.views import TargetView, View


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
    """Who answers where a target is, or shall be; `sha256` as a host's own console shows it.

    `subject`, `issuer`: empty where the certificate does not tell; `begins`, `ends` likewise.
    `pinned`: what a known target goes by now; empty for a new one.
    """

    host: str
    port: int
    sha256: str
    subject: str = ""
    issuer: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    pinned: str = ""


class AddedView(View, kw_only=True):
    """What came of adding a target, or of pinning the new certificate of one.

    `file` is empty when something stands in the way.

    `share`: the folder its hosts mount; empty with boot points on the host. `known`: the running
    engine has taken it up; `why` it has not, and knows it after its next start, in parts.
    """

    found: list[FoundView] = field(default_factory=list)
    file: str = ""
    share: str = ""
    known: bool = False
    why: FoundView | None = None


class RemovalView(View, kw_only=True):
    """What removing a target means, or what came of it.

    `file`: of its own, `aside`: where that is afterwards; `store`: where its boot points are;
    `stays`: what is not touched, sentences.
    """

    file: str
    aside: str
    store: str
    stays: list[str] = field(default_factory=list)
