"""Takes nothing for an answer of the host but the answer to what was asked.

The library takes any well-formed XML, such as the sign-in page of a web proxy, for an answer
without a result: then a VM is "not there", and the next one is made. So each answer must be named
after the method, or be a fault.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from pyVmomi import SoapAdapter, vim
from pyVmomi.VmomiSupport import F_OPTIONAL

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.patience import Measured

_SEPARATOR: str = SoapAdapter.NS_SEP


class Told(dict[str, Any]):
    """Properties of one object by path; those that are unset are missing.

    Attributes:
        untold: Why others are not told, which is not the same as unset, by path.
    """

    def __init__(self, one: Any) -> None:
        """Take them from what the host said of an object."""
        super().__init__((found.name, found.val) for found in one.propSet or ())
        self.untold = gaps(one)


def gaps(one: Any) -> Mapping[str, Exception]:
    """Return why properties of an object are not told, by path; empty: all that are set are.

    Source: `MissingProperty` of VMware's vSphere API reference.
    """
    return {gap.path: gap.fault for gap in getattr(one, "missingSet", None) or ()}


def check(seen: Told, target: str, *paths: str) -> None:
    """Raise ReplyLost when the host failed to tell one of these.

    What the role hides is passed over, and so is what a host that is away does not tell.
    """
    for path in paths:
        if (fault := seen.untold.get(path)) is not None:
            failure = faults.untold(fault, target, path)
            if isinstance(failure, faults.ReplyLost):
                raise failure


class NoAnswer(Exception):
    """What came is XML, but no answer to what was asked."""


class _Asked(threading.local):
    """Name of the method that this thread has asked for; empty: any is taken for it."""

    method: str = ""


_ASKED = _Asked()


class Answers(SoapAdapter.SoapResponseDeserializer):  # type: ignore[misc]  # has no types
    """Reads an answer, and sees that it is one."""

    _answered = False

    def Deserialize(  # noqa: N802 - the library's name
        self,
        response: Any,
        resultType: Any,  # noqa: N803 - the library's
        nsMap: Any = None,  # noqa: N803 - the library's
    ) -> Any:
        """Return what the library makes of it. NoAnswer when it answers something else."""
        self._answered = False
        result = super().Deserialize(Measured(response), resultType, nsMap)
        if not self._answered:
            raise NoAnswer("it is not what a host says")
        return result

    def StartElementHandler(self, tag: str, attr: Any) -> None:  # noqa: N802 - the library's name
        """Note the element that makes an answer one."""
        name, wanted = tag.rpartition(_SEPARATOR)[2], f"{_ASKED.method}Response"
        if tag == self.soapFaultTag or name.endswith(wanted):
            self._answered = True
        super().StartElementHandler(tag, attr)


# The library's stub makes its reader by this name, and takes no other.
SoapAdapter.SoapResponseDeserializer = Answers


@contextlib.contextmanager
def to(method: str) -> Iterator[None]:
    """Take only answers to this method, or faults, for answers in this thread."""
    before, _ASKED.method = _ASKED.method, method
    try:
        yield
    finally:
        _ASKED.method = before


def whole(result: Any, info: Any) -> Any:
    """Return a result. NoAnswer when it is missing and the method always has one."""
    if result is None and info.result is not type(None) and not info.resultFlags & F_OPTIONAL:
        raise NoAnswer("the result is missing")
    return result


def told(result: Any) -> Any:
    """Return a result. NotAuthenticated when it leaves properties out for want of a session.

    Without this a VM would be without power, marks and disks, instead of one that was not told.
    Source: `MissingProperty` of VMware's vSphere API reference; vcsim answers so.
    """
    for one in getattr(result, "objects", None) or ():
        for fault in gaps(one).values():
            if isinstance(fault, vim.fault.NotAuthenticated):
                raise fault
    return result
