"""JSON-RPC 2.0, one object a line: what both ends of the door agree on.

Methods and their params (all objects) and results:

    hello            {proto, client, want, tty?, ssh?}     Hello
    subscribe        {topics, max_hz, since?}              Picture; then `changes`
    ping             {}                                    {}
    fleet            {}                                    [FleetView]
    machine          {machine}                             MachineView
    jobs | sets | findings | targets   {}                  [JobView] …
    job              {job}                                 JobView
    journal.read     {after, before?, limit, machine?}     [JournalView]
    standby.list     {}                                    [StandbyView]
    standby.add      {name, images, …as StandbyView}       Done
    standby.text     {name}                                DefinitionView
    standby.check    {name, text, new?}                    CheckView
    standby.put      {name, text, base, confirm?}          Done
    standby.reload   {}                                    ReloadView
    standby.remove   {name, confirm}                       Done
    plan             {action, machine, point?, job?, reason?}   Plan
    run              {plan, confirm, key}                  Done
    serial           {machine, after, raw?}                SerialView
    serial.type      {machine, data}                       TypedView
    question         {machine}                             [QuestionView]: none or one
    answer           {machine, question, choice, key?}     Done
    screen           {machine}                             ScreenView
    picture          {machine, columns, rows, known?}      PictureView
    guest            {machine, point?}                     GuestView
    ledger           {machine, point?, against?, first?}   LedgerView
    conversion.plan  {machine, point?}                     ConversionView
    guard            {machine}                             GuardView
    retention        {machine, settings?}                  RetentionView
    retention.set    {machine, settings, confirm}          Done
    guest.report     {machine, point?, report}             GuestView
    target.check     {target, definition?}                 CheckedView
    target.contact   {name, url, user, password, ..}       ContactView
    target.add       {.., pin, anyway?, key?}              AddedView
    target.take      {target, definition?}                 Done
    target.meet      {target}                              ContactView
    target.trust     {target, pin, key?}                   AddedView
    target.removal   {target}                              RemovalView
    target.remove    {name, confirm, key?}                 RemovalView
    drivers          {}                                    [DriverSourceView]

`changes` is a notification with a Picture. `plan` knows the actions start, stop, build, convert,
cancel (with `job`), hold (with `reason`), resume, pin (`reason`: its note), unpin, hold-retention
(with `reason`), release-retention, release-guard (`reason`: its note). `serial` gives safe text
lines from byte offset `after` on. A `run`, `answer` or `standby.*` call with a `key` that was used
before gives the answer of that time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

MAX_FRAME = 1 << 20
"""Longest line in bytes, each way."""

REFUSED, ROLE, MOVED, BUSY, NOT_FOUND, BAD_VALUE, FAILED = (
    -32010,
    -32011,
    -32012,
    -32013,
    -32014,
    -32015,
    -32016,
)
PARSE, INVALID, NO_METHOD, INTERNAL = -32700, -32600, -32601, -32603


class ErrorData(msgspec.Struct, kw_only=True):
    """`data` of an error: the parts of a `Problem`."""

    key: str = ""
    happened: str = ""
    unchanged: str = ""
    remedy: str = ""
    facts: dict[str, str | int] = {}


class WireError(msgspec.Struct, kw_only=True):
    """A JSON-RPC error object."""

    code: int
    message: str
    data: ErrorData | None = None


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A request, notification or response; which one follows from what is set.

    `params` and `result` are empty bytes when they are not there.
    """

    jsonrpc: str = "2.0"
    id: int | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: WireError | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """Return the message as one line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode(line: bytes) -> Message:
    """Read one line. Raises `msgspec.DecodeError` (or its ValidationError) on anything else."""
    return _decoder.decode(line)


def raw_params(params: Mapping[str, object]) -> msgspec.Raw:
    """Return params encoded. WrongUse when a text among them is none, such as a name in latin-1."""
    try:
        return raw(params)
    except UnicodeEncodeError as error:
        raise WrongUse(
            Problem(
                "wire.text",
                f"{safe(error.object)} is no text in UTF-8.",
                "Nothing was changed.",
                "Names of machines, targets and alerts are UTF-8: use a terminal that is.",
            )
        ) from None


def raw(value: Any) -> msgspec.Raw:  # noqa: ANN401  (any struct, list or dict of ours)
    """Return a value encoded for `params` or `result`."""
    return msgspec.Raw(_encoder.encode(value))
