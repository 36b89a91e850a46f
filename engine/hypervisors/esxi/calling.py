"""Each call to a host: what is asked again, and what becomes of a lost reply.

caller ─► pyvmomi method ─► Stub ─► pinned TLS, time-out ─► host
                             │ session expired: log in once, ask once more
                             │ connection lost: ask again if asking has no effect, else ReplyLost
                             │ the host cannot now: ask again after a pause, if that has no effect
                             └ fault: raised in our words
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from pyVmomi import vmodl
from pyVmomi.SoapAdapter import SoapStubAdapter

from engine.hypervisors.esxi import answers, faults
from engine.hypervisors.esxi.gate import wait
from engine.hypervisors.esxi.patience import WHOLE, at_most
from engine.hypervisors.esxi.trust import PinMismatch

log = logging.getLogger(__name__)

CALL_S = 60.0
"""A call that brought no byte for so long is given up."""
_TRIES = 3
_PAUSE_S = 1.0
"""Before a question is asked again to which the host has no answer now."""
_NEUTRAL = frozenset(
    {
        "RetrieveServiceContent",
        "RetrievePropertiesEx",
        "ContinueRetrievePropertiesEx",
        "CurrentTime",
        "FindByUuid",
        "FindAllByUuid",
        "HasPrivilegeOnEntities",
        "CreateContainerView",
    }
)
"""Methods that may be called again after a lost reply: they change nothing that lasts."""
_HARMLESS = _NEUTRAL | {"Login", "Logout"}


class Stub(SoapStubAdapter):  # type: ignore[misc]  # pyvmomi's class has no types
    """Every call to the host goes through `InvokeMethod`."""

    login: Callable[[int], None]
    logins = 0
    target = ""
    whole_s = WHOLE * CALL_S

    def InvokeMethod(  # noqa: N802 - the library's name
        self,
        mo: Any,
        info: Any,
        args: Any,
        outerStub: Any = None,  # noqa: N803 - the library's
    ) -> Any:
        """Call; after an expired session log in once; ask again what is harmless and may pass."""
        name: str = info.wsdlName
        logins = self.logins
        tries = _TRIES if name in _NEUTRAL else 1
        for attempt in range(1, tries + 1):
            try:
                return self._once(name, mo, info, args, outerStub)
            except faults.LoggedOut:
                if name in ("Login", "Logout"):
                    raise
                self.login(logins)
                return self._once(name, mo, info, args, outerStub)
            except faults.HostFailure as failure:
                if attempt == tries or not _is_passing(failure):
                    raise
                log.info("target %s: %s is asked again: %s", self.target, name, failure)
                if not isinstance(failure, faults.ReplyLost):
                    wait(_PAUSE_S)
        raise AssertionError  # the last attempt returns or raises

    def _once(self, name: str, mo: Any, info: Any, *args: Any) -> Any:
        try:
            with at_most(self.whole_s), answers.to(name):
                return answers.told(answers.whole(super().InvokeMethod(mo, info, *args), info))
        except vmodl.MethodFault as fault:
            raise faults.translate(fault, self.target, name) from None
        except (OSError, HTTPException, PinMismatch) as error:
            raise faults.lost(error, self.target, name, changes=name not in _HARMLESS) from error
        except Exception as error:
            # Whatever else the library's XML reader stumbles over came from the host.
            log.debug("target %s: answer to %s", self.target, name, exc_info=True)
            raise faults.lost(error, self.target, name, changes=name not in _HARMLESS) from error


def _is_passing(failure: faults.HostFailure) -> bool:
    """Tell whether a host may answer the same question now, or a little later."""
    facts = failure.problem.facts
    if isinstance(failure, faults.ReplyLost):
        return facts.get("error") not in ("TimeoutError", "TooLong")
    return isinstance(failure, faults.HostBusy) or facts.get("fault") == "SystemError"
