"""The part of a target's definition that only ESXi and vCenter have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engine.config.reading import Section, wrong
from engine.local.secret import FORMS, is_reference
from engine.model.addresses import host_and_port

Transport = Literal["nfs", "hotadd"]
_PIN = re.compile(r"[0-9a-f]{64}")
_Name = Annotated[str, Meta(max_length=80)]


@dataclass(frozen=True, slots=True)
class EsxiConfig:
    """How to reach a host or vCenter, and what of it to use. Empty texts: what there is one of.

    Attributes:
        password: A reference, `credential:NAME` or `file:PATH`.
        pin: SHA-256 of the host's certificate, 64 hex digits; empty: `authority` decides.
        authority: PEM file; None: the system's own.
        transport: `nfs`: disks are on the appliance; `hotadd`: on the datastore, as snapshots.
        datastore: For the VMs' own files, and with `hotadd` for their disks.
        place: Resource pool, cluster or host for the VMs.
        production, isolated: Port groups; without `production` no VM gets onto a real network.
        server: The appliance's address as hosts see it.
        share: What is exported there; empty: `.run` in the target's store.
    """

    user: str
    password: str
    pin: str
    authority: Path | None
    transport: Transport
    datastore: str
    place: str
    production: str
    isolated: str
    server: str
    share: str


class EsxiSection(Section):
    """`[targets.NAME.esxi]`."""

    user: Annotated[str, Meta(min_length=1, max_length=255)]
    password: str
    pin: str = ""
    authority: str = ""
    transport: Transport = "nfs"
    datastore: _Name = ""
    place: Annotated[str, Meta(max_length=400)] = ""
    production: _Name = ""
    isolated: Annotated[str, Meta(min_length=1, max_length=80)] = "bootpoint-isolated"
    server: str = ""
    share: str = ""


def read_esxi(told: EsxiSection, uri: str, file: Path, key: str) -> EsxiConfig:
    """Check what the types cannot.

    Args:
        key: Dotted key of the target, such as `targets.esx-01`; empty in a file of its own.

    Raises:
        WrongUse: Naming file, key, value and expectation.
    """
    dot = f"{key}." if key else ""
    try:
        host_and_port(uri)
    except ValueError:
        # What stands before an @ may be a password: it is not shown.
        shown = f"…@{uri.rpartition('@')[2]}" if "@" in uri else uri
        raise wrong(
            file, f"{dot}uri", shown, "expected https://HOST/ or https://HOST:PORT/"
        ) from None
    if not is_reference(told.password):
        # The value may be the password itself: it is not shown.
        raise wrong(file, f"{dot}esxi.password", "what stands there", FORMS)
    _check_trust(told, file, dot)
    _check_share(told, file, dot)
    return EsxiConfig(
        user=told.user,
        password=told.password,
        pin=told.pin,
        authority=Path(told.authority) if told.authority else None,
        transport=told.transport,
        datastore=told.datastore,
        place=told.place,
        production=told.production,
        isolated=told.isolated,
        server=told.server,
        share=told.share,
    )


def _check_trust(told: EsxiSection, file: Path, dot: str) -> None:
    if told.pin and not _PIN.fullmatch(told.pin):
        expected = "expected the certificate's SHA-256 as 64 small hexadecimal digits"
        raise wrong(file, f"{dot}esxi.pin", told.pin, expected)
    if told.pin and told.authority:
        expected = "expected pin or authority, not both"
        raise wrong(file, f"{dot}esxi.authority", told.authority, expected)
    _check_path(told.authority, file, f"{dot}esxi.authority")


def _check_share(told: EsxiSection, file: Path, dot: str) -> None:
    _check_path(told.share, file, f"{dot}esxi.share")
    if told.transport == "hotadd":
        for name, value in (("server", told.server), ("share", told.share)):
            if value:
                expected = "expected nothing: with transport hotadd no share is mounted"
                raise wrong(file, f"{dot}esxi.{name}", value, expected)


def _check_path(path: str, file: Path, key: str) -> None:
    if path and (not path.startswith("/") or "\0" in path):
        raise wrong(file, key, path, "expected an absolute path")


def defaults() -> Mapping[str, Any]:
    """Return the keys of `[targets.NAME.esxi]` and what they are when not given."""
    told: dict[str, Any] = msgspec.to_builtins(EsxiSection("", ""))
    return told
