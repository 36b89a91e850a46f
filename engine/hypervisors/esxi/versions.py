"""Which version of the API a host and this program have in common, asked before any login."""

from __future__ import annotations

import ssl
from http.client import HTTPException, HTTPSConnection
from xml.etree import ElementTree as ET

from pyVmomi import VmomiSupport

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.patience import WHOLE, at_most
from engine.hypervisors.esxi.trust import PinMismatch
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe

_LARGEST = 1 << 20


def agreed(target: str, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> str:
    """Return the newest version of the API that both sides speak, in pyvmomi's words.

    Raises:
        HypervisorError: There is none, or the host does not answer.
    """
    doing = "vimServiceVersions.xml"
    connection = HTTPSConnection(host, port, context=context, timeout=timeout_s)
    try:
        with at_most(WHOLE * timeout_s):
            connection.request("GET", f"/sdk/{doing}")
            answer = connection.getresponse()
            body = answer.read(_LARGEST)
        if answer.status != 200:
            raise HTTPException(f"HTTP {answer.status}")
        theirs = _offered(body)
    except (OSError, HTTPException, PinMismatch) as error:
        raise faults.lost(error, target, doing) from error
    finally:
        connection.close()
    for version in VmomiSupport.GetServiceVersions("vim25"):
        if VmomiSupport.versionIdMap[version] in theirs:
            return str(version)
    raise HypervisorError(
        Problem(
            "target.version",
            f"Target {safe(target)} speaks no version of the vSphere API that this program knows.",
            "Nothing was sent to it but this question.",
            "Use ESXi or vCenter 6.7 to 9.",
        )
    )


def _offered(body: bytes) -> frozenset[str]:
    """Return the version numbers that a host's list names; HTTPException when it is none."""
    if b"<!" in body:  # neither a document type nor an entity belongs here
        raise HTTPException("the list of versions is not what a host sends")
    try:
        root = ET.fromstring(body)  # noqa: S314 - bounded, and without entities, see above
    except (ET.ParseError, LookupError, ValueError) as error:  # the latter: of its encoding
        raise HTTPException("the list of versions cannot be read") from error
    return frozenset(
        (version.text or "").strip()
        for space in root.iter("namespace")
        if space.findtext("name") == "urn:vim25"
        for version in space.iter("version")
    )
