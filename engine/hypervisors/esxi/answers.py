"""Takes nothing for an answer of the host but the answer to what was asked.

The library takes any well-formed XML, such as the sign-in page of a web proxy, for an answer
without a result: then a VM is "not there", and the next one is made. So each answer must be named
after the method, or be a fault.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl
from pyVmomi.VmomiSupport import F_OPTIONAL

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.lenient import Lenient
from engine.hypervisors.esxi.patience import Measured

_SEPARATOR: str = SoapAdapter.NS_SEP


def ref_id(ref: Any) -> str:
    """Return the id of a managed object, unique within its host or vCenter."""
    return str(ref._moId)  # noqa: SLF001 - the library has no other name for it


class Told(dict[str, Any]):
    """Properties of one object by path; those that are unset are missing.

    Attributes:
        untold: Why others are not told, which is not the same as unset, by path.
    """

    def __init__(self, one: Any) -> None:
        """Take them from what the host said of an object; one without a value is not told."""
        found = ((told.name, told.val) for told in one.propSet or () if told.val is not None)
        super().__init__(found)
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

    def __init__(self, stub: Any) -> None:
        """Read for a connection."""
        super().__init__(stub)
        self.deser = Lenient(stub)

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


@lru_cache(maxsize=1024)
def _declared(kind: Any, path: str) -> Any:
    """Return the type that the API gives a property by its path; None where none is known."""
    for part in path.split("."):
        try:
            kind = kind._GetPropertyInfo(part).type  # noqa: SLF001 - the library's, for its own
        except AttributeError:
            return None
    return kind


def _check(value: Any, wanted: Any) -> None:
    """Raise NoAnswer when a value is not of the type that the API gives it.

    The library checks fields of data objects as it reads them, results and properties never: a
    text would be a list of devices, one for each letter.
    """
    if value is None or wanted is None:
        return
    is_list = issubclass(wanted, list)
    if is_list and not isinstance(value, list):
        raise NoAnswer(f"it is of another type: no list, but {type(value).__name__}")
    declared = VmomiSupport.Object(
        name="it", type=wanted.Item if is_list else wanted, flags=F_OPTIONAL
    )
    # A list of managed objects is one of no kind in particular; those in it have their own.
    for one in value if is_list else (value,):
        try:
            VmomiSupport.CheckField(declared, one)
        except TypeError as error:
            raise NoAnswer(f"it is of another type: {error}") from None


def whole(result: Any, info: Any) -> Any:
    """Return a result. NoAnswer when it is none of the method's, or missing where it has one.

    A fault that came with HTTP status 200 is raised: the library returns it, and a login would have
    succeeded. Source: SOAP 1.1, 6.2, wants 500; what stands between need not know that.
    """
    if isinstance(result, vmodl.MethodFault):
        raise result
    if info.result is type(None):
        return result
    if result is None:
        if not info.resultFlags & F_OPTIONAL:
            raise NoAnswer("the result is missing")
        return result
    _check(result, info.result)
    for one in getattr(result, "objects", None) or ():
        if one.obj is None:
            raise NoAnswer("it does not say of which object")
        for found in one.propSet or ():
            _check(found.val, _declared(one.obj.__class__, str(found.name)))
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
