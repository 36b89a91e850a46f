"""What the engine tells of guests and conversions; as `views.py`."""

from __future__ import annotations

from datetime import datetime

import msgspec


class VolumeView(msgspec.Struct, kw_only=True):
    """A volume of a guest; `start` and `size` on its disk, `mounted` in the guest."""

    id: str
    disk: int
    number: int
    start: int
    size: int
    kind: str
    label: str = ""
    mounted: list[str] = []


class ReportView(msgspec.Struct, kw_only=True):
    """A self-check's report, judged: what it proves, and what is not as conversion promised.

    `as_expected`: there are no doubts.
    """

    at: datetime
    actor: str
    as_expected: bool
    facts: list[str] = []
    doubts: list[str] = []


class GuestView(msgspec.Struct, kw_only=True):
    """Answer to `guest`: what inspection found; `id` is the boot point's.

    `source`: `record` of its conversion, or `now` where there is none and the trunk layer was
    looked at. Texts are empty where nothing is known. `drivers`: of a converted Windows, those of
    controllers and cards that its VM can have. `others`: volumes with further systems, left as they
    are. `boot_disk`: number of the disk that its firmware starts, from 0. `report`: of a self-check
    in a VM started from it.
    """

    id: str
    machine: str
    data_as_of: datetime | None = None
    source: str = "record"
    family: str
    name: str = ""
    version: str = ""
    firmware: str
    boot_loader: str = ""
    kernels: list[str] = []
    networks: list[str] = []
    volumes: list[VolumeView] = []
    drivers: list[str] = []
    others: list[str] = []
    boot_disk: int = 0
    report: ReportView | None = None


class DriverView(msgspec.Struct, kw_only=True):
    """One driver package of a registered source; `refused`: why it is not used, empty when it is.

    `systems`: the Windows that take it, such as `2019 amd64`.
    """

    device: str
    name: str
    version: str = ""
    folder: str = ""
    systems: list[str] = []
    refused: str = ""


class DriverSourceView(msgspec.Struct, kw_only=True):
    """Answer to `drivers`: one registered ISO or folder; `findings`: what is wrong with it."""

    path: str
    drivers: list[DriverView] = []
    findings: list[str] = []


class RegistryView(msgspec.Struct, kw_only=True):
    """One change inside a registry hive; None: is not there. `value` empty: the whole key."""

    hive: str
    key: str
    value: str = ""
    type: str = ""
    before: str | None = None
    after: str | None = None
    reason: str = ""


class ChangeView(msgspec.Struct, kw_only=True):
    """One change of one file. `action`: write, mkdir, symlink, rename, remove.

    `before` and `after`: texts in full, lines ended by a newline; empty for what is no text or
    too long, which has digests (SHA-256) and `after_size` only. `cut`: the answer had no room
    for the texts. `registry`: what changed inside a hive of Windows.
    """

    volume: str
    path: str
    action: str
    reason: str
    before: str = ""
    after: str = ""
    before_digest: str = ""
    after_digest: str = ""
    after_size: int = 0
    cut: bool = False
    registry: list[RegistryView] = []


class DifferenceView(msgspec.Struct, kw_only=True):
    """One place where two conversions differ; None: not changed by that one."""

    volume: str
    path: str
    earlier: ChangeView | None = None
    later: ChangeView | None = None


class LedgerView(msgspec.Struct, kw_only=True):
    """Answer to `ledger`: what one conversion changed; `id` is the boot point's.

    With `against` (the other boot point, the one with the older data) only `differences` are
    told, else only `entries`. Both come in pages: `next` is the number to ask on from, None with
    the last; `total` counts all. `check`: full, files, or skipped(reason).
    """

    id: str
    machine: str
    data_as_of: datetime | None = None
    backend: str
    seconds: float
    bytes_written: int
    check: str
    warnings: list[str] = []
    total: int = 0
    entries: list[ChangeView] = []
    next: int | None = None
    against: str = ""
    against_as_of: datetime | None = None
    differences: list[DifferenceView] = []


class ConversionView(msgspec.Struct, kw_only=True):
    """Answer to `conversion.plan`: a dry run, all on one page; long texts may be `cut`."""

    guest: GuestView
    ledger: LedgerView
