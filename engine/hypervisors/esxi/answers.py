"""Takes nothing for an answer of the host but the answer to what was asked.

The library takes any well-formed XML, such as the sign-in page of a web proxy, for an answer
without a result: then a VM is "not there", and the next one is made. So each answer must be named
after the method, or be a fault.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from pyVmomi import SoapAdapter, vim
from pyVmomi.VmomiSupport import F_OPTIONAL

from engine.hypervisors.esxi.patience import Measured

_SEPARATOR: str = SoapAdapter.NS_SEP


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
        for gap in getattr(one, "missingSet", None) or ():
            if isinstance(gap.fault, vim.fault.NotAuthenticated):
                raise gap.fault
    return result
