"""What a VM stands on: its place on the hosts, the mounted share, the networks."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence

from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.gate import wait
from engine.hypervisors.esxi.inventory import Inventory, NetworkPlace, look
from engine.hypervisors.esxi.needs import known, no_server, not_isolated
from engine.hypervisors.esxi.network import isolation, make_isolated
from engine.hypervisors.esxi.nfs import mount, taken, unmount
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.session import Session
from engine.model.errors import HypervisorError, Problem, Refused, WrongUse
from engine.model.machine import Network
from engine.model.text import safe

log = logging.getLogger(__name__)


class Ground:
    """What hosts are asked for once and then have. Thread-safe."""

    def __init__(
        self,
        session: Session,
        wishes: Wishes,
        datastore: str,
        busy: Callable[[float], object] = wait,
    ) -> None:
        """Prepare nothing yet.

        Args:
            datastore: Under which name hosts mount the share.
            busy: Waits some seconds, after a host said that it cannot now.
        """
        self._busy = busy
        self._session, self._wishes, self._datastore = session, wishes, datastore
        self._lock, self._starting = threading.Lock(), 0
        self._spread_to: frozenset[str] = frozenset()

    def look(self) -> Inventory:
        """Return what is there."""
        return look(self._session, self._wishes.place)

    def mounted(self) -> Inventory:
        """Return what is there, after every host has the share.

        Raises:
            WrongUse: Nobody said under which address hosts reach us.
        """
        wishes = self._wishes
        if not wishes.server:
            raise WrongUse(no_server(self._session.account.target))
        inventory = self.look()
        with self._lock:
            mount(
                self._session, inventory, self._datastore, wishes.server, wishes.share, self._busy
            )
        return inventory

    def taken(self, there: Inventory) -> Problem | None:
        """Return what to say when hosts have another share under our name; None: none has."""
        wishes = self._wishes
        source = f"{wishes.server}:{wishes.share}"
        return taken(self._session, there.datastores, self._datastore, source)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Keep the share mounted while a VM is given disks on it."""
        with self._lock:
            self._starting += 1
        try:
            yield
        finally:
            with self._lock:
                self._starting -= 1

    def unmounted(self, users: Sequence[str]) -> str:
        """Take the share off the hosts if nothing needs it; return why it stays, if it does.

        Args:
            users: Standbys whose disks lie on it.
        """
        wishes = self._wishes
        with self._lock:
            if users:
                return f"disks of {', '.join(users[:8])} lie on it"
            if self._starting:
                return "a VM is being started from it"
            source = f"{wishes.server}:{wishes.share}"
            return unmount(self._session, self.look(), self._datastore, source, self._busy)

    def isolated(self, inventory: Inventory) -> tuple[Inventory, NetworkPlace]:
        """Return the isolated port group, made where it is missing.

        Raises:
            Refused: It has a way out.
        """
        name = self._wishes.isolated
        with self._lock:
            for host, why in isolation(self._session, inventory, name):
                if why:
                    raise Refused(not_isolated(name, host.name, why))
            known_one = inventory.network(name)
            if known_one is None:
                make_isolated(self._session, inventory.reached, name, self._busy)
                inventory = look(self._session, self._wishes.place)
            elif known_one.standard:
                self._spread(inventory, name)
        return inventory, known(inventory, name, self._session.account.target)

    def _spread(self, inventory: Inventory, name: str) -> None:
        """Make the isolated port group on hosts that lack it, once; a start waits for none."""
        hosts = [one for one in inventory.reached if ref_id(one.ref) not in self._spread_to]
        if not inventory.hosts[1:] or not hosts:  # one host alone has what is there
            return
        try:
            make_isolated(self._session, hosts, name, lambda _seconds: None)
        except HypervisorError as failure:
            log.warning("port group %s is not on every host: %s", safe(name), failure)
        self._spread_to |= {ref_id(one.ref) for one in hosts}

    def port(self, inventory: Inventory, network: Network) -> tuple[Inventory, NetworkPlace]:
        """Return the port group of a start. HypervisorError without one."""
        if network is Network.PRODUCTION:
            return inventory, known(
                inventory, self._wishes.production, self._session.account.target
            )
        return self.isolated(inventory)
