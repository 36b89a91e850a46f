"""What the engine says about a standby's definition: its text, and the review of one."""

from __future__ import annotations

import msgspec
from msgspec import field

from engine.api.views import View


class DefinitionView(View, kw_only=True):
    """Answer to `standby.text`; `id` is the name.

    `digest`: of the text, for `standby.put`. `file`: where it is kept.
    """

    text: str
    digest: str
    file: str


class WrongView(msgspec.Struct, kw_only=True):
    """One thing that is wrong: dotted `key` (empty: the whole), a sentence, and what to do."""

    key: str = ""
    found: str = ""
    expected: str = ""
    text: str
    remedy: str = ""


class MisfitView(View, kw_only=True):
    """A file of `standbys.d` that the engine does not work by; `id` is the standby's name."""

    text: str
    unchanged: str = ""
    remedy: str = ""


class ReloadView(msgspec.Struct, kw_only=True):
    """Answer to `standby.reload`: names that were taken up, and what is wrong."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    wrong: list[MisfitView] = field(default_factory=list)


class FactView(msgspec.Struct, kw_only=True):
    """One line of a review; `warns`: somebody should look at it."""

    label: str
    text: str
    warns: bool = False


class CheckView(View, kw_only=True):
    """Answer to `standby.check`; `id` is the name.

    `wrong` empty: it can be handed in. `new`: no standby has this name yet. `changes`: what would
    be other than it is, one sentence each. `role`: the least that may hand it in. `losing`: boot
    points that stay now and would go; then the name must be typed. `bytes`: that all boot points
    take once as many are kept, `first_bytes`: the first one; `seconds`: that the first one takes by
    measured history; each None while it cannot be told. `text`: what would be written.
    """

    new: bool
    wrong: list[WrongView] = field(default_factory=list)
    facts: list[FactView] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    role: str = "operator"
    losing: list[str] = field(default_factory=list)
    first_bytes: int | None = None
    bytes: int | None = None
    free: int | None = None
    seconds: float | None = None
    text: str = ""
