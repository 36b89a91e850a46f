"""What a host refuses, in the engine's words; the only module that knows the names of faults.

Each failure also says how to go on: by itself later, or only after a human changed something. A
lost reply is a case of its own: the effect may be there, so one looks before doing it again.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPException

from engine.hypervisors.esxi.trust import PinMismatch, shown_pin
from engine.model.errors import HypervisorError, Problem, Refused
from engine.model.text import safe

TRIES = 3


class HostFailure(HypervisorError):
    """A host refused or failed; it may be tried again by itself."""


class HostBusy(HostFailure):
    """The host cannot now; it is asked again after a pause."""


class NeedsHuman(HostFailure):
    """Asking again changes nothing, or does harm (accounts lock), until somebody acts."""


class ReplyLost(HostFailure):
    """No answer came, so nobody knows whether the call had an effect: look, then decide."""


class AlreadyThere(HostFailure):
    """Something of that name exists."""


class Gone(HostFailure):
    """The object a call was about does not exist any more."""


class WrongState(HostFailure):
    """The VM is not in the state that the call needs, most often because it was done already."""


class NoFile(HostFailure):
    """A file that the call was about is not there."""


class NoMethod(HostFailure):
    """The API has no such call: each host has it, what stands for one may not."""


class LoggedOut(HostFailure):
    """The session has expired; nothing was done."""


@dataclass(frozen=True, slots=True)
class _Words:
    """Key, sentence, remedy and class of one fault."""

    key: str
    text: str
    remedy: str
    kind: type[HostFailure] = HostFailure


_LICENCE = _Words(
    "target.licence",
    "its licence allows programs to look only: the API of the free ESXi licence is read-only",
    "Give the host a licence with write access to its API (a paid vSphere edition).",
    NeedsHuman,
)
_AGAIN = "Try again in a few minutes; what nobody asked for by hand is tried again by itself."
_CUT_OFF = (
    "See in the vCenter why it does not reach the host, and connect it again; what nobody asked "
    "for by hand is tried again by itself."
)
_NAMED = "Look on the host at what has the name; rename it, or give ours another one."
_CONFIG = "See the host's own task list for the device and the reason."
_KNOWN: Mapping[str, _Words] = {
    "RestrictedVersion": _LICENCE,
    "LicenseRestricted": _LICENCE,
    "InvalidLogin": _Words(
        "target.login",
        "it does not accept user and password",
        "Correct user or password. A running engine tries the same pair again only after its next "
        "start, because hosts lock accounts.",
        NeedsHuman,
    ),
    "NoPermission": _Words(
        "target.privilege",
        "the user's role does not allow it",
        "Give the role the privilege; the page on ESXi lists all that are needed, and why.",
        NeedsHuman,
    ),
    "NotAuthenticated": _Words("target.session", "the session has expired", _AGAIN, LoggedOut),
    "TaskInProgress": _Words("target.busy", "another task works on the same VM", _AGAIN, HostBusy),
    "ResourceInUse": _Words("target.busy", "something else uses it", _AGAIN, HostBusy),
    "FileLocked": _Words(
        "target.locked",
        "a file is open in another place",
        "See which VM, host or backup has it open; it is asked again, and then told.",
        HostBusy,
    ),
    "ConcurrentAccess": _Words(
        "target.busy", "somebody else changed it at the same moment", _AGAIN, HostBusy
    ),
    "HostCommunication": _Words(
        "target.host-away", "vCenter does not reach the host", _CUT_OFF, HostBusy
    ),
    "HostNotConnected": _Words(
        "target.host-away", "the host is not connected to vCenter", _CUT_OFF, HostBusy
    ),
    "RequestCanceled": _Words("target.cancelled", "somebody cancelled the task", _AGAIN),
    "NoDiskSpace": _Words(
        "target.full", "the datastore has no room left", "Free space on the datastore."
    ),
    "InsufficientResourcesFault": _Words(
        "target.resources",
        "the host has not enough free memory or processors",
        "Stop VMs that are not needed, or give the VM less.",
    ),
    "TooManySnapshotLevels": _Words(
        "target.depth",
        "the VM's chain of snapshots is as long as the host allows",
        "Older boot points are folded away first.",
    ),
    "DuplicateName": _Words("target.exists", "the name is taken", _NAMED, AlreadyThere),
    "AlreadyExists": _Words("target.exists", "it exists already", _NAMED, AlreadyThere),
    "InvalidPowerState": _Words(
        "target.power",
        "the VM's power state does not allow it",
        "Look at the VM in the host's own client, then try again.",
        WrongState,
    ),
    "InvalidState": _Words(
        "target.state",
        "the state it is in does not allow it",
        "Look at the VM and the datastore in the host's own client, then try again.",
        WrongState,
    ),
    "InvalidDatastore": _Words(
        "target.datastore",
        "a datastore is not there, or not accessible",
        "See that the host reaches the datastore and the appliance's share.",
    ),
    "ManagedObjectNotFound": _Words(
        "target.gone", "the object does not exist any more", _AGAIN, Gone
    ),
    "FileNotFound": _Words(
        "target.no-file",
        "a file it needs is not there",
        "See that the host reaches the appliance's share.",
        NoFile,
    ),
    "FileAlreadyExists": _Words("target.exists", "the file exists already", _NAMED, AlreadyThere),
    "InvalidDeviceSpec": _Words("target.device", "it does not take a device of the VM", _CONFIG),
    "NotSupported": _Words("target.unsupported", "it cannot do that", _CONFIG),
    "VmConfigFault": _Words("target.vm-config", "it does not take the VM's configuration", _CONFIG),
    "MethodNotFound": _Words(
        "target.no-method",
        "its API has no such call",
        "See that ESXi or vCenter answers there, 6.7 or newer, and nothing in its place.",
        NoMethod,
    ),
    "PlatformConfigFault": _Words(
        "target.config",
        "it failed while changing its own configuration",
        "See the host's own log for the reason.",
    ),
}
_STATUS = re.compile(r"(?:HTTP )?([345]\d\d)\b")
_REACH = "See that the host runs and is reachable; a running engine asks again by itself."
_ADDRESS = (
    "See that the address is the host's own, and that no web proxy or sign-in page answers in its "
    "place; a running engine asks again by itself."
)
_NAME = "Check the spelling and this machine's name servers, or give the host's address instead."
_PORT = "Check address and port: ESXi and vCenter answer with TLS on 443."
_TLS = "Let the host offer TLS 1.2 or 1.3; older ones are not safe, and not spoken here."
_NO_TLS = ("answers without TLS", _PORT)
_OLD_TLS = ("offers no version of TLS from 1.2 on", _TLS)
_SSL = {
    **dict.fromkeys(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"), _NO_TLS),
    **dict.fromkeys(("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"), _OLD_TLS),
}
"""OpenSSL's own name of what went wrong, `ssl.SSLError.reason` -> how it is told."""
_UNKNOWN = "Nobody knows yet whether it was done: one looks before anything is done again."
_OTHER = _Words("target.fault", "it answered with a fault", "See the host's own task list.")


def translate(fault: Exception, target: str, doing: str) -> HostFailure:
    """Return a host's fault in our words.

    Args:
        fault: A vim or vmodl fault, raised by a call or found in a task.
        target: Name of the target.
        doing: The method that was called.
    """
    names = [kind.__name__.rpartition(".")[2] for kind in type(fault).__mro__]
    words = next((_KNOWN[name] for name in names if name in _KNOWN), _OTHER)
    facts: dict[str, str | int] = {"fault": names[0], "method": doing, "target": target}
    happened = f"Target {safe(target)} refused {doing}: {words.text}"
    # An expired session names a privilege too, which is not what is missing.
    if words.kind is NeedsHuman and (privilege := getattr(fault, "privilegeId", None)):
        happened += f" ({safe(str(privilege))} is missing)"
        facts["privilege"] = safe(str(privilege))
    said = _said(fault)
    happened += f". It says: {said}." if said else f" ({names[0]})."
    return words.kind(Problem(words.key, happened, "", words.remedy, facts))


@contextmanager
def leaving(unchanged: str) -> Iterator[None]:
    """Let a host's refusal tell what is as it was, which only the use-case knows."""
    try:
        yield
    except HostFailure as failure:
        if failure.problem.unchanged:
            raise
        raise type(failure)(replace(failure.problem, unchanged=unchanged)) from failure


def _said(fault: Exception) -> str:
    """Return what the host itself says about a fault, one line, made safe."""
    said = [fault, *(getattr(fault, "faultMessage", None) or ())]
    parts = [getattr(one, "msg", "") or getattr(one, "message", "") or "" for one in said]
    lines = (" ".join(str(part).split()) for part in parts if part)
    return safe("; ".join(lines), 300).rstrip(".")


def lost(error: Exception, target: str, doing: str, *, changes: bool = False) -> HostFailure:
    """Return the failure of a connection in our words.

    Args:
        error: OSError (TLS errors among them), HTTPException, PinMismatch, or what reading an
            answer raised.
        target: Name of the target.
        doing: The method that was called.
        changes: It was no mere question: its effect may be there.
    """
    facts: dict[str, str | int] = {"method": doing, "target": target}
    if isinstance(error, PinMismatch):
        return NeedsHuman(_other_certificate(error, target))
    if type(error).__name__ in ("SSLCertVerificationError", "CertificateError"):
        return NeedsHuman(
            Problem(
                "target.certificate",
                f"Target {safe(target)} shows a certificate that is not trusted: "
                f"{safe(str(error), 300)}.",
                "Nothing was sent to it, no password either.",
                "Pin the certificate after comparing it, or name the authority that signed it.",
                facts,
            )
        )
    facts["error"] = type(error).__name__
    said = safe(str(error), 200) or type(error).__name__
    what, remedy = how(error, said)
    return ReplyLost(
        Problem(
            "target.away",
            f"Target {safe(target)} {what} ({doing}: {said}).",
            _UNKNOWN if changes else "",
            remedy,
            facts,
        )
    )


def how(error: Exception, said: str) -> tuple[str, str]:
    """Return how a call ended without an answer, and what to do.

    Args:
        error: As for `lost`.
        said: Its text.
    """
    if isinstance(error, TimeoutError):
        return "did not answer in time", _REACH
    if isinstance(error, socket.gaierror):
        return "is not found: its name cannot be resolved", _NAME
    if isinstance(error, ssl.SSLError):
        return _SSL.get(error.reason or "", ("broke the connection", _REACH))
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections", _REACH
    if status := _STATUS.match(said):
        told = "answered with an HTTP error instead of an answer"
        if status[1].startswith("3"):
            return "sends us to another address, where nobody goes", _ADDRESS
        return told, _REACH if status[1].startswith("5") else _ADDRESS
    if isinstance(error, OSError | HTTPException):
        return "broke the connection", _REACH
    return "gave an answer that cannot be read", _ADDRESS


def _other_certificate(error: PinMismatch, target: str) -> Problem:
    return Problem(
        "target.certificate-changed",
        f"Target {safe(target)} shows another certificate than the pinned one: SHA-256 "
        f"{shown_pin(error.seen)} instead of {shown_pin(error.expected)}.",
        "Nothing was sent to it, no password either.",
        "Was the host's certificate renewed? Compare it with the host's own console and pin it: "
        f"bootpoint target trust {safe(target)}. If not, somebody stands between.",
        {"target": target, "expected": error.expected, "seen": error.seen},
    )


def untold(fault: Exception, target: str, path: str) -> HostFailure:
    """Return the failure of a host to tell a property: it is not unset, nobody knows what it is.

    Args:
        fault: What the host says of it, such as NoPermission or SystemError.
        path: The property.
    """
    failure = translate(fault, target, "RetrievePropertiesEx")
    if type(failure) is not HostFailure:
        return failure
    facts: dict[str, str | int] = {**failure.problem.facts, "property": path}
    happened = (
        f"Target {safe(target)} does not tell {safe(path)} of an object: "
        f"{_said(fault) or facts['fault']}."
    )
    return ReplyLost(Problem("target.untold", happened, "Nothing was changed.", _AGAIN, facts))


def left_out(target: str, path: str) -> Problem:
    """Return the words for a property that is always set, and was not told all the same."""
    return Problem(
        "target.left-out",
        f"Target {safe(target)} left {safe(path)} out of its answer.",
        "Nothing was changed.",
        _AGAIN,
        {"target": target, "property": path},
    )


def no_effect(
    target: str,
    doing: str,
    last: HostFailure | None,
    unchanged: str,
    remedy: str = "See the host's own task list.",
) -> ReplyLost:
    """Return the failure of a change that was made `TRIES` times, and is not found done.

    Args:
        target: Name of the target.
        doing: The method that was called.
        last: What the last try that did not end well came to; None: each ended well.
        unchanged: What is as it was.
        remedy: What to do.
    """
    said = (
        f"The last failure: {last.problem.happened}"
        if last is not None
        else "The host called each try a success."
    )
    facts: dict[str, str | int] = {"method": doing, "target": target}
    facts |= {"last": last.problem.key} if last is not None else {}
    happened = (
        f"Target {safe(target)} was asked for {doing} {TRIES} times, and it had no effect. {said}"
    )
    return ReplyLost(Problem("target.no-effect", happened, unchanged, remedy, facts))


def drifted(vm: str, why: str) -> Refused:
    """Return the refusal to touch a VM that somebody else changed."""
    return Refused(
        Problem(
            "vm.changed-by-others",
            f"VM {safe(vm)} is not as this engine left it: {why}.",
            "Nothing was changed.",
            "Undo the change on the host, or take the VM over and give the standby another name.",
            {"vm": safe(vm)},
        )
    )
