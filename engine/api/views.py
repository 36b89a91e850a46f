"""What the engine tells its consoles: msgspec structs, whole objects, JSON on the wire.

Times are ISO 8601 UTC with `Z` on the wire, sizes bytes, durations seconds. Strings are already
safe for a terminal. Fields are only ever added; unknown fields are ignored both ways.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from engine.api.guest_views import RunView
from engine.api.ladder_views import LadderView
from engine.api.review_views import PhaseView, ReviewView, UsualView
from engine.api.waiting import WaitView

PROTO = 1
TOPICS = ("fleet", "jobs", "sets", "findings", "targets", "alerts")
"""Topics of `subscribe`; besides, `machine:NAME` gives one `MachineView`."""


class View(msgspec.Struct, kw_only=True, omit_defaults=False):
    """Base of all views; `id` is unique within its topic."""

    id: str


class Next(msgspec.Struct, kw_only=True):
    """What happens next on a machine.

    `kind`: running, queued, due, retry, waiting, held, blackout, scheduled, counting, none
    (with the next arrival). `at`: of the next try or moment, or the end of the pause or window.
    """

    kind: str
    text: str = ""
    at: datetime | None = None
    done: float | None = None
    eta_s: float | None = None


class FleetView(View, kw_only=True):
    """Topic `fleet`: one small object per standby; `id` is its name.

    `state`: READY LATE BUILD FAIL NONE TEST LIVE HELD LOST. `strip`: the newest twelve boot
    points, oldest first: `.` ready, `o` ready late, `X` failed, `>` being made. `alarm`:
    sentences, gravest first. `point` is the newest ready boot point, `data_as_of` its moment;
    `lag_s` was its age when this was sent: count on from `data_as_of`, for a lag that only grew
    is not sent again. `proven` is the newest boot point of which a boot passed, at `proven_at`.
    """

    state: str
    can_start: bool
    image_as_of: datetime | None = None
    data_as_of: datetime | None = None
    point: str = ""
    lag_s: float | None = None
    rpo_s: int | None = None
    next: Next
    points: int = 0
    keep: int = 24
    target: str = ""
    strip: str = ""
    running: str = ""
    alarm: str = ""
    remedy: str = ""
    ladder: LadderView = msgspec.field(default_factory=LadderView)
    wait: WaitView | None = None
    proven: str = ""
    proven_at: datetime | None = None


class PointView(View, kw_only=True):
    """One boot point; `id` is `bp000042`. `stage` as in the model.

    `kept`: why it stays, or with `keep` false why retention takes it away soon.

    `obstacle`: with `stage` failed, the key of why no VM could start from it: NOT BOOTABLE;
    `reason` says it, with the remedy. `skipped`: so many recovery points before it, since the
    boot point before, got none of their own. `asked`: an operator asked for it by hand.
    `proven_at`: when a boot of it passed.
    """

    sequence: int
    data_as_of: datetime
    stage: str
    recovery_point: str
    bytes: int = 0
    used: int = 0
    ready_at: datetime | None = None
    reason: str = ""
    kept: str = ""
    keep: bool = True
    pin: str = ""
    images: list[str] = []
    obstacle: str = ""
    skipped: int = 0
    asked: bool = False
    proven_at: datetime | None = None


class DiskView(msgspec.Struct, kw_only=True):
    """One disk of a machine."""

    number: int
    size: int
    uuid: str = ""


class MachineView(View, kw_only=True):
    """Topic `machine:NAME`: everything about one standby.

    `points`: oldest first, `hidden` older ones left out; `memory` in bytes; `usual`: how long the
    phases of a start take, by starts of `whose` (machine, target, empty).
    """

    fleet: FleetView
    images: str
    source: str
    set_id: str
    trigger: str
    keep: int
    target: str
    store: str
    memory: int
    cpus: int
    firmware: str
    disks: list[DiskView]
    points: list[PointView]
    run: RunView | None = None
    waiting: list[str] = []
    hidden: int = 0
    held: str = ""
    held_until: datetime | None = None
    backlog: str = "every"
    blackouts: list[str] = []
    blackout_until: datetime | None = None
    usual: list[UsualView] = []
    whose: str = ""


class JobView(View, kw_only=True):
    """Topic `jobs`: live jobs and the newest ended ones; `id` is the number as text.

    `limit`: bytes a second at which its images may be read, None without one; `limit_until`: when
    that changes.
    `phases`: of starts and stops, in the order in which they began.
    """

    kind: str
    machine: str
    point: str = ""
    status: str
    step: str = ""
    done: int = 0
    total: int | None = None
    rate: float | None = None
    eta_s: float | None = None
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    target: str = ""
    limit: int | None = None
    limit_until: datetime | None = None
    phases: list[PhaseView] = []


class SetPointView(msgspec.Struct, kw_only=True):
    """One recovery point in the drawing of a chain."""

    sequence: int
    id: str
    parent: str
    arrival: str
    taken_at: datetime
    size: int
    base: bool
    reason: str = ""


class SetView(View, kw_only=True):
    """Topic `sets`: one image set; `id` is the set's id. `missing`: sentences.

    `points` are parents first; `hidden` older ones were left out. An id that lies in several
    watched folders is followed by ` in FOLDER`.
    """

    machine: str
    machine_uuid: str
    root: str
    standby: str = ""
    online: bool = True
    points: list[SetPointView]
    size: int
    newest: datetime | None = None
    missing: list[str] = []
    hidden: int = 0


class FindingView(View, kw_only=True):
    """Topic `findings`: a file, folder or target with a problem.

    `gravity`: note, warning, error.
    """

    gravity: str
    subject: str
    text: str
    remedy: str = ""
    since: datetime | None = None


class AlertView(View, kw_only=True):
    """Topic `alerts`: something that is wrong; `id` is its stable key.

    `severity`: info, warning, error (urgent: told in quiet hours too). `cleared_at`: it is over,
    and not told everywhere yet. `told`: what each way out was told last, as `mail: raised`.
    """

    severity: str
    machine: str = ""
    title: str
    text: str
    remedy: str = ""
    raised_at: datetime
    cleared_at: datetime | None = None
    acked_at: datetime | None = None
    acked_by: str = ""
    note: str = ""
    told: list[str] = []


class TargetView(View, kw_only=True):
    """Topic `targets`; `id` is the target's name. `state`: ready, opening, lost (cannot be used).

    `away`: why its store cannot be used; what else is in the way stands in `findings` too.
    `looked_at`: when it was last checked by night. `slow`: why fewer jobs are begun on it;
    `latency_s`: of a small durable write, `call_latency_s`: of a small question to its hypervisor.
    `fold`: bytes that the largest pending consolidation copies. `days_left`: until it is full.
    """

    kind: str
    state: str
    accelerator: str = ""
    store: str = ""
    store_path: str = ""
    free: int | None = None
    reserve: int | None = None
    standbys: int = 0
    findings: list[str] = []
    looked_at: datetime | None = None
    away: str = ""
    slow: str = ""
    latency_s: float | None = None
    usual_latency_s: float | None = None
    call_latency_s: float | None = None
    usual_call_latency_s: float | None = None
    total: int | None = None
    fold: int = 0
    days_left: float | None = None


class JournalView(View, kw_only=True):
    """One journal line; `id` is its number as text. `severity`: info, warning, error."""

    at: datetime
    severity: str
    machine: str
    key: str
    text: str
    unchanged: str = ""
    remedy: str = ""


class StandbyView(View, kw_only=True):
    """One standby's definition; `file` is where it is kept. `conversion`: auto or none.

    `retention`: what its own file says beside `keep`; `retention_hold`: why nothing is retired.
    """

    images: str
    machine: str = ""
    target: str
    trigger: str
    keep: int
    rpo_s: int | None = None
    silence_s: int | None = None
    held: str = ""
    held_until: datetime | None = None
    backlog: str = "every"
    blackouts: list[str] = []
    own_blackouts: bool = False
    retention: dict[str, int] = {}
    retention_hold: str = ""
    blackout_until: datetime | None = None
    next: Next | None = None
    file: str = ""
    conversion: str = "auto"


class Since(msgspec.Struct, kw_only=True):
    """Where a console was when it lost the line: `epoch` and `seq` of its last picture."""

    epoch: str
    seq: int


class LastView(msgspec.Struct, kw_only=True):
    """What `view/last.json` holds: the last known picture, for when no engine answers."""

    schema: int = 1
    site: str
    epoch: str
    as_of: datetime
    fleet: list[FleetView]
    targets: list[TargetView] = []
    jobs: list[JobView] = []


class Hello(msgspec.Struct, kw_only=True):
    """Answer to `hello`. `epoch` differs after each start of the engine."""

    proto: int
    engine: str
    epoch: str
    role: str
    user: str
    site: str
    now: datetime
    up_s: float = 0.0


class Step(msgspec.Struct, kw_only=True):
    """One step of a plan; `expected_s` by measured history, None without any."""

    text: str
    expected_s: float | None = None


class Plan(msgspec.Struct, kw_only=True):
    """Answer to `plan`: what `run` will do.

    `confirm`: text to type back, empty when none is asked. `review`: what a start may choose from.
    """

    plan: str
    action: str
    machine: str = ""
    point: str = ""
    steps: list[Step] = []
    checks: list[str] = []
    lost_s: float | None = None
    expected_s: float | None = None
    confirm: str = ""
    expires: datetime
    review: ReviewView | None = None


class Done(msgspec.Struct, kw_only=True):
    """Answer to `run`: what was set going. `job` is a number as text, empty when all is done."""

    text: str
    job: str = ""


class Picture(msgspec.Struct, kw_only=True):
    """Answer to `subscribe`, and the params of a `changes` notification.

    `full` True: everything of the topics, forget what you had. Lists hold whole objects; `gone`
    holds `topic/id`. `more`: the rest follows at once in `changes`. `journal`: number of the
    newest journal line.
    """

    epoch: str
    seq: int
    full: bool = False
    more: bool = False
    fleet: list[FleetView] = []
    jobs: list[JobView] = []
    sets: list[SetView] = []
    findings: list[FindingView] = []
    targets: list[TargetView] = []
    alerts: list[AlertView] = []
    machines: list[MachineView] = []
    gone: list[str] = []
    journal: int = 0
