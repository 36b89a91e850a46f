"""Params of the door's calls. Unknown fields are ignored, wrong ones are named."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from engine.api.views import Since

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Topic = Annotated[str, Meta(min_length=1, max_length=220)]
"""Such as `machine:` and a name."""
Words = Annotated[str, Meta(max_length=1000)]


class Ask(msgspec.Struct, kw_only=True):
    """Base of all params; enough for calls without any."""


class HelloAsk(Ask, kw_only=True):
    """Params of `hello`; `tty` and `ssh` are claims, kept in the log."""

    proto: int
    client: Words = ""
    want: Words = "admin"
    tty: Words = ""
    ssh: Words = ""


class SubscribeAsk(Ask, kw_only=True):
    """Params of `subscribe`."""

    topics: Annotated[list[Topic], Meta(max_length=64)]
    max_hz: Annotated[float, Meta(gt=0, le=1000)] = 4.0
    since: Since | None = None


class MachineAsk(Ask, kw_only=True):
    """Params of `machine`, `question` and `screen`."""

    machine: Name


class PointAsk(Ask, kw_only=True):
    """Params of `guest` and `conversion.plan`; without a point the newest that fits."""

    machine: Name
    point: Words = ""


class LedgerAsk(PointAsk, kw_only=True):
    """Params of `ledger`: `against` another boot point; `first`: entry the page begins with."""

    against: Words = ""
    first: Annotated[int, Meta(ge=0)] = 0


class JobAsk(Ask, kw_only=True):
    """Params of `job`."""

    job: int | str


class JournalAsk(Ask, kw_only=True):
    """Params of `journal.read`."""

    after: Annotated[int, Meta(ge=0)] = 0
    before: int | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 200
    machine: Words = ""


class StandbyAsk(Ask, kw_only=True):
    """Params of `standby.add`; memory in bytes."""

    name: Name
    images: Annotated[str, Meta(min_length=1, max_length=4096)]
    machine: Words = ""
    target: Name = "local"
    trigger: Words = "immediate"
    keep: Annotated[int, Meta(ge=1, le=10000)] = 24
    rpo_s: Annotated[int, Meta(ge=1)] | None = None
    silence_s: Annotated[int, Meta(ge=0)] | None = None
    memory: Annotated[int, Meta(ge=1 << 26)] | None = None
    cpus: Annotated[int, Meta(ge=1, le=1024)] | None = None
    firmware: Words = ""
    conversion: Words = "auto"
    backlog: Words = "every"
    key: Words = ""


class StandbyTextAsk(Ask, kw_only=True):
    """Params of `standby.text`."""

    name: Name


class StandbyCheckAsk(Ask, kw_only=True):
    """Params of `standby.check`: a definition's whole text, TOML.

    `new`: the standby must not be there yet.
    """

    name: Words
    new: bool = False
    text: Annotated[str, Meta(max_length=1 << 16)]


class StandbyPutAsk(StandbyCheckAsk, kw_only=True):
    """Params of `standby.put`.

    `base`: digest of the text that was changed, empty for a new standby; `confirm`: the name,
    typed, where boot points would go by it.
    """

    base: Words = ""
    confirm: Words = ""
    key: Words = ""


class RemoveAsk(Ask, kw_only=True):
    """Params of `standby.remove` and `target.remove`; `confirm` is the name, typed."""

    name: Name
    confirm: Words = ""
    key: Words = ""


class PlanAsk(Ask, kw_only=True):
    """Params of `plan`.

    `until`: end of a pause, such as `4h`, `18:00` or a whole date; `to`: a datastore.
    """

    action: Name
    machine: Words = ""
    point: Words = ""
    job: int | str | None = None
    reason: Words = ""
    until: Words = ""
    to: Words = ""


class RunAsk(Ask, kw_only=True):
    """Params of `run`; `key` is chosen by the client, the same for each try of one wish."""

    plan: Name
    confirm: Words = ""
    key: Words = ""


class TargetAsk(Ask, kw_only=True):
    """Params of `target.check`, `target.take`, `target.meet` and `target.removal`.

    `definition`: tells it from another one; empty: any will do.
    """

    target: Name
    definition: Words = ""


class NewTargetAsk(Ask, kw_only=True):
    """Params of `target.contact`: a target as somebody words it; what is empty is left out.

    `password`: a reference, never the password; `pin`: SHA-256 of the certificate.
    """

    name: Words
    url: Words
    user: Words
    password: Words
    pin: Words = ""
    authority: Words = ""
    transport: Words = ""
    place: Words = ""
    datastore: Words = ""
    production: Words = ""
    isolated: Words = ""
    server: Words = ""
    store: Words = ""


class TargetAddAsk(NewTargetAsk, kw_only=True):
    """Params of `target.add`; `anyway`: although something stands in the way."""

    anyway: bool = False
    key: Words = ""


class TrustAsk(Ask, kw_only=True):
    """Params of `target.trust`; `pin`: SHA-256 of the certificate that was compared."""

    target: Name
    pin: Words
    key: Words = ""


class AlertTestAsk(Ask, kw_only=True):
    """Params of `alert.test`; without a way all are tested."""

    way: Words = ""


class AlertAckAsk(Ask, kw_only=True):
    """Params of `alert.ack`."""

    alert: Name
    note: Words = ""


class TypeAsk(Ask, kw_only=True):
    """Params of `serial.type`; `data` in base64, at most 4 KiB of it."""

    machine: Name
    data: Annotated[str, Meta(min_length=1, max_length=4096)]


class AnswerAsk(Ask, kw_only=True):
    """Params of `answer`: `question` is the id of what was read, `choice` a number from 1."""

    machine: Name
    question: Name
    choice: Annotated[int, Meta(ge=1, le=1000)]
    key: Words = ""


class PictureAsk(Ask, kw_only=True):
    """Params of `picture`: the cells to fill; `known` the digest of what stands there."""

    machine: Name
    columns: Annotated[int, Meta(ge=1, le=400)] = 80
    rows: Annotated[int, Meta(ge=1, le=200)] = 24
    known: Words = ""


class SerialAsk(Ask, kw_only=True):
    """Params of `serial`."""

    machine: Name
    after: Annotated[int, Meta(ge=0)] = 0
    raw: bool = False
