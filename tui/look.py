"""What a screen is drawn for: its size, the time, where the operator stands. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, TypeAlias

from tui.format import clock, when
from tui.glyphs import ASCII, Glyphs

if TYPE_CHECKING:  # the first screen shows none of these, so it does not wait for them
    from engine.api.changes import Words
    from engine.api.contact_views import AddedView, ContactView, RemovalView
    from engine.api.definition_views import CheckView
    from engine.api.guest_views import PictureView, QuestionView
    from engine.api.keeping_views import RetentionView
    from engine.api.views import Plan
    from engine.local.drafts import Draft


@dataclass(frozen=True, slots=True)
class Form:
    """A definition on its way; `review`: what the engine thinks of it, None until it said so."""

    draft: Draft
    review: CheckView | None = None


@dataclass(frozen=True, slots=True)
class NewTarget:
    """A target on its way, by fields of `target add`.

    Attributes:
        words: What was filled in.
        field, wrong: The field that the engine cannot take, and why; empty: none is known.
        contact: Whose certificate is to be compared; None: the host was not asked.
        added: What stands in the way, or what was found in an added one; None: not tried.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    field: str = ""
    wrong: str = ""
    contact: ContactView | None = None
    added: AddedView | None = None


@dataclass(frozen=True, slots=True)
class Serial:
    """Lines a guest wrote on its serial line, the newest last.

    Attributes:
        next: Offset to go on at.
        since: Start of the VM that wrote them; another one begins anew.
        tail: The unfinished last line, such as a prompt.
        view: The guest's screen, asked for where the window is wide enough to show both.
    """

    lines: tuple[str, ...] = ()
    next: int = 0
    since: datetime | None = None
    tail: str = ""
    view: PictureView | None = None


@dataclass(frozen=True, slots=True)
class Menu:
    """Actions to choose from: id, sign, words and sentence of each."""

    rows: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """A refusal in its three parts."""

    happened: str
    unchanged: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Pages of text about a guest or a ledger that the engine was asked for.

    Attributes:
        head: Lines that stay in view; `lines`: those that move.
        failed: Why there are none; None while there are, or may still come.
        against: Both boot points of a comparison, `older -> newer`.
        asked: False while the engine has not answered.
    """

    head: tuple[Words, ...] = ()
    lines: tuple[Words, ...] = ()
    failed: Parts | None = None
    against: str = ""
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A guest's screen as last seen; `at` when it last changed; `failed`: why there is none."""

    view: PictureView | None = None
    at: datetime | None = None
    failed: Parts | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of a machine: `view` None until the engine answers; `failed`: why it does not."""

    view: RetentionView | None = None
    failed: Parts | None = None


Subject: TypeAlias = (
    "Plan | Form | NewTarget | ContactView | RemovalView | Serial | Menu | Parts | Report | Picture"
    " | Kept | QuestionView | None"
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one screen.

    Attributes:
        width, height: Of the terminal in cells; the last column stays empty, terminals wrap there.
        now: By the engine's clock.
        zone: Of the operator; None is the host's.
        place: Name of the screen; `arg`: what it is about, such as a machine's name.
        chosen: Id of the row under the cursor; `at`: its number when last drawn; `top`: first
            row shown.
        query: The filter; `worst`: only what is not READY.
        order: By what the rows are put in order, empty: as usual; `turned`: the other way round.
        subject: What else the screen shows: a plan, a draft, a serial tail.
        notice: One line for the operator, shown above the keys.
        read_only: The operator asked to look only.
        blocks: Pictures may be drawn with half blocks in colours.
        typing: Keys go to the guest's serial line.
        drafts: Definitions that were begun and not handed in.
        config: Where engine.toml is looked for; `choices`: what the operator chose of
            `preferences.CHOICES`; `name`: kind of the terminal.
    """

    width: int
    height: int
    now: datetime
    place: str = "fleet"
    arg: str = ""
    zone: tzinfo | None = None
    glyphs: Glyphs = field(default=ASCII)
    chosen: str = ""
    at: int = 0
    top: int = 0
    query: str = ""
    worst: bool = False
    order: str = ""
    turned: bool = False
    subject: Subject = None
    notice: str = ""
    read_only: bool = False
    blocks: bool = False
    typing: bool = False
    socket: str = ""
    config: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    colours: bool = True
    drafts: tuple[Draft, ...] = ()

    @property
    def usable(self) -> int:
        """Return the cells a line may fill."""
        return self.width - 1

    @property
    def machine(self) -> str:
        """Return the machine this look is about, empty when it is about none.

        What is under the cursor of other lists is told by `conditions.about`.
        """
        if self.place in ("fleet", "jobs"):
            return self.chosen if self.place == "fleet" else ""
        return self.arg.partition("/")[0]

    def when(self, at: datetime | None) -> str:
        """Return a moment in the operator's words."""
        return when(at, self.now, self.zone)

    def clock(self) -> str:
        """Return the time of day with its zone."""
        return clock(self.now, self.zone)

    def age(self, at: datetime | None) -> float | None:
        """Return how many seconds ago something was."""
        return None if at is None else (self.now - at).total_seconds()
