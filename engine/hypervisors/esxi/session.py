"""The connection to one host or vCenter: one API session, shared by all threads.

Properties are read by narrow paths in one call; the library's attribute reads (`vm.name`) ask for
one property each, and some hosts drop the connection when one is unset.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException, HTTPSConnection
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from pyVmomi import vim, vmodl

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.answers import Told, ref_id
from engine.hypervisors.esxi.calling import CALL_S, Stub
from engine.hypervisors.esxi.filters import each
from engine.hypervisors.esxi.patience import WHOLE, at_most
from engine.hypervisors.esxi.trust import PinMismatch, Trust, trusting
from engine.hypervisors.esxi.versions import agreed
from engine.hypervisors.esxi.views import Views
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe

log = logging.getLogger(__name__)

IDLE_S = 20.0
"""Connections idle for longer are not used again: hosts close them, and the next call is lost."""
_PAGE = 200
_NOT_FOUND = vmodl.fault.ManagedObjectNotFound


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in where.

    Attributes:
        target: The target's name, for messages.
        url: `https://host[:port]/`.
        password: Reads the password when it is needed; it is kept nowhere.
    """

    target: str
    url: str
    user: str
    password: Callable[[], str]
    trust: Trust

    @property
    def host(self) -> str:
        """Return the host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port, 443 where none is given."""
        return urlsplit(self.url).port or 443


class Refusals:
    """Logins that a host refused: not tried again with the same password, accounts lock."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[bytes, faults.HostFailure]] = {}

    def check(self, account: Account, password: str) -> None:
        """Raise what the host said, if this very login was refused before."""
        with self._lock:
            known = self._known.get((account.url, account.user))
        if known is not None and known[0] == _digest(password):
            raise known[1]

    def add(self, account: Account, password: str, failure: faults.HostFailure) -> None:
        """Remember a refused login for as long as this process lives."""
        with self._lock:
            self._known[account.url, account.user] = (_digest(password), failure)


REFUSALS = Refusals()


def _digest(password: str) -> bytes:
    return hashlib.blake2b(password.encode(), key=b"refused login").digest()


class Session:
    """A logged-in API session. Thread-safe."""

    def __init__(
        self, account: Account, *, timeout_s: float = CALL_S, refusals: Refusals = REFUSALS
    ) -> None:
        """Connect, agree on a version of the API, log in.

        Args:
            timeout_s: Seconds without a byte after which a call is given up; a whole answer may
                take five times as long.

        Raises:
            HypervisorError: The host cannot be reached, is not the trusted one, or refuses us.
            WrongUse: The password cannot be read.
        """
        self.account, self._refusals = account, refusals
        self._lock, self._views = threading.Lock(), Views(self._view)
        self.hosts: dict[str, Sequence[Any]] = {}  # of each place, at the last look: to ask at once
        try:
            context = trusting(account.trust)
        except OSError as error:
            raise HypervisorError(_no_authority(account, error)) from error
        self._context, self._timeout_s, self._takes_password = context, timeout_s, True
        version = agreed(account.target, account.host, account.port, context, timeout_s)
        self._stub = Stub(
            host=account.host,
            port=account.port,
            path="/sdk",
            version=version,
            sslContext=context,
            httpConnectionTimeout=timeout_s,
            connectionPoolTimeout=IDLE_S,
        )
        self._stub.target = account.target
        self._stub.whole_s = WHOLE * timeout_s
        self._stub.login = self._login_again
        self.instance = vim.ServiceInstance("ServiceInstance", self._stub)
        try:
            self.content = self.instance.RetrieveContent()
            self._login()
        except BaseException:
            self.drop_connections()
            raise

    # --- logging in ------------------------------------------------------------------------

    def _login(self) -> None:
        account = self.account
        password = account.password()
        self._refusals.check(account, password)
        try:
            self.content.sessionManager.Login(account.user, password)
        except faults.NeedsHuman as failure:
            if failure.problem.key == "target.login":
                self._refusals.add(account, password, failure)
            raise
        self._stub.logins += 1

    def _login_again(self, seen: int) -> None:
        """Log in, unless another thread did since `seen` logins."""
        with self._lock:
            if self._stub.logins == seen:
                log.info("target %s: session expired, logging in", self.account.target)
                # With the old session's cookie the host would refuse a correct password.
                self._stub.SetSessionId(None)
                self._login()

    def drop_connections(self) -> None:
        """Let go of idle connections; the next call opens a new one."""
        self._stub.DropConnections()

    def close(self) -> None:
        """Log out, as far as the host still listens."""
        with contextlib.suppress(HypervisorError):
            self.content.sessionManager.Logout()
        self.drop_connections()

    # --- reading ---------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the host's clock, aware UTC."""
        found: datetime = self.instance.CurrentTime()
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    def read(self, thing: Any, *paths: str) -> Mapping[str, Any]:
        """Return properties of one managed object; those that are unset are missing.

        Raises:
            Gone: It does not exist any more.
        """
        found = self.collect(each([thing], paths, gone_is_missing=False))
        return next((values for _, values in found), {})

    def need(self, thing: Any, *paths: str) -> Mapping[str, Any]:
        """Return properties that are always set, as `read` does. ReplyLost when one is missing."""
        seen = self.read(thing, *paths)
        for path in (one for one in paths if seen.get(one) is None):
            raise faults.ReplyLost(faults.left_out(self.account.target, path))
        return seen

    def read_by_id(self, things: Sequence[Any], *paths: str) -> Mapping[str, Mapping[str, Any]]:
        """Return properties of several managed objects of one kind by their ids, in one call.

        Raises:
            Gone: One of them does not exist any more.
            ReplyLost: One of them was left out.
        """
        if not things:
            return {}
        asked = each(things, paths, gone_is_missing=False)
        found = {ref_id(one): seen for one, seen in self.collect(asked)}
        if any(ref_id(one) not in found for one in things):
            raise faults.ReplyLost(faults.left_out(self.account.target, paths[0]))
        return found

    def read_each(self, things: Iterable[Any], *paths: str) -> Sequence[tuple[Any, Told]]:
        """Read the same of several objects of one kind at once, as far as they are told.

        Those that are gone are left out.
        """
        if not (wanted := list(things)):
            return []
        return list(self.collect(each(wanted, paths), in_part=True))

    def read_all(self, kind: Any, *paths: str) -> Sequence[tuple[Any, Told]]:
        """Return all objects of a kind, such as `vim.Datastore`, with some properties each."""
        return self.read_many({kind: paths})

    def read_many(
        self, wanted: Mapping[Any, Sequence[str]], *beside: Any
    ) -> Sequence[tuple[Any, Told]]:
        """Return all objects of several kinds at once, each with the properties of its kind.

        What the role hides is missing, and what fails at one object hides no other. What else is
        asked in the same call is told first.
        """
        return self._views.read(wanted, partial(self.collect, *beside, in_part=True))

    def _view(self, kinds: Sequence[Any]) -> Any:
        root = self.content.rootFolder
        return self.content.viewManager.CreateContainerView(root, list(kinds), True)

    def collect(self, *asked: Any, in_part: bool = False) -> Iterable[tuple[Any, Told]]:
        """Yield what one call brings of all that is `asking`, each object with its properties.

        Args:
            asked: What to ask of which objects.
            in_part: What the role hides, or the host fails to tell, is left out.

        Raises:
            HostFailure: Otherwise, and a property is not told that is not just unset.
            Gone: An object does not exist any more, where that is not just missing.
        """
        options = vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=_PAGE)
        page = self.content.propertyCollector.RetrievePropertiesEx(list(asked), options)
        without_gone = in_part or all(one.reportMissingObjectsInResults for one in asked)
        while page is not None:
            for one in page.objects:
                told = Told(one)
                is_gone = any(isinstance(why, _NOT_FOUND) for why in told.untold.values())
                if is_gone and without_gone:
                    continue
                for path, fault in told.untold.items():
                    if not in_part:
                        raise faults.untold(fault, self.account.target, path)
                    log.debug("%s of %s is not told: %r", path, one.obj, fault)
                yield one.obj, told
            token = getattr(page, "token", None)
            if not token:
                return
            page = self.content.propertyCollector.ContinueRetrievePropertiesEx(token)

    def get(self, path: str, most: int) -> tuple[int, bytes]:
        """Return HTTP status and body of something beside the API, such as `/screen?id=7`.

        It is asked for with the API session's cookie; a host that does not take that gets the
        password, once, and no second time in this session when it refuses it.

        Args:
            most: Bytes of the body that are read.

        Raises:
            ReplyLost: No answer came.
        """
        told = SimpleCookie(self._stub.cookie or "")
        cookie = "; ".join(f"{name}={one.coded_value}" for name, one in told.items())
        status, body = self._get(path, most, {"Cookie": cookie})
        if status in (401, 403) and self._takes_password:
            pair = f"{self.account.user}:{self.account.password()}".encode()
            basic = f"Basic {base64.b64encode(pair).decode()}"
            status, body = self._get(path, most, {"Authorization": basic})
            self._takes_password = status not in (401, 403)
        return status, body

    def _get(self, path: str, most: int, headers: Mapping[str, str]) -> tuple[int, bytes]:
        account, doing = self.account, path.partition("?")[0]
        connection = HTTPSConnection(
            account.host, account.port, context=self._context, timeout=self._timeout_s
        )
        try:
            with at_most(WHOLE * self._timeout_s):
                connection.request("GET", path, headers=dict(headers))
                answer = connection.getresponse()
                return answer.status, answer.read(most)
        except (OSError, HTTPException, PinMismatch) as error:
            raise faults.lost(error, account.target, doing) from error
        finally:
            connection.close()

    @property
    def is_vcenter(self) -> bool:
        """Tell whether this is a vCenter, not a host by itself."""
        return bool(self.content.about.apiType == "VirtualCenter")


def clock_skew(session: Session, now: Callable[[], datetime]) -> tuple[float, float]:
    """Return how far the host's clock is ahead of ours, and how long the question took; seconds."""
    began = time.monotonic()
    theirs = session.now()
    took = time.monotonic() - began
    return (theirs - now()).total_seconds() + took / 2, took


def _no_authority(account: Account, error: OSError) -> Problem:
    return Problem(
        "target.authority",
        f"The certificate authority of target {safe(account.target)} cannot be read: "
        f"{safe(str(error), 200)}.",
        "Nothing was sent.",
        "Correct the path; the file is PEM.",
    )
