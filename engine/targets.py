"""How targets are put together: those an engine begins with, and one more while it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path

from engine.config.engine import EngineConfig, TargetConfig
from engine.config.targets import digest
from engine.daemon.clock import SystemClock
from engine.daemon.targets import Target
from engine.daemon.targetstore import Opened, TargetStore
from engine.esxi import RUN, esxi_account, esxi_link, esxi_wishes, folder_of
from engine.guests.convert import GuestConverter
from engine.guests.simulated import SimulatedConverter
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.hypervisors.esxi.host import EsxiHypervisor, Place
from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.hypervisors.esxi.hotaddlink import HotaddLink
from engine.hypervisors.esxi.lastlife import LastLife
from engine.hypervisors.esxi.session import Account
from engine.hypervisors.libvirt import LibvirtHypervisor
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.ports import Converter, Hypervisor, Store
from engine.stores.probe import open_store


class Targets:
    """Makes the targets of one engine, and opens none. Those that name one folder share a store."""

    def __init__(self, told: EngineConfig, shelf: DriverShelf) -> None:
        """Know what the engine was started with, and the registered drivers."""
        self._told, self._shelf = told, shelf
        self._stores: dict[tuple[Path, str], TargetStore] = {}

    def make(self, one: TargetConfig) -> Target:
        """Return a target as it is configured."""
        folder, to = folder_of(one, self._told), self._to(one)
        if one.esxi is None:
            store = self._store(one, None)
            own = partial(_at_home, one, store, folder)
            return Target(one.name, one.kind, store, own, to, folder, digest(one))
        life, account = LastLife(folder), esxi_account(one.name, one.uri, one.esxi)
        link = None
        if one.esxi.transport == "hotadd":
            link = esxi_link(self._told, one, one.esxi, account, life)
        store = self._store(one, link)
        opener: Callable[[], Hypervisor] = partial(_esxi, one, account, store, folder, life)
        if link is not None:
            opener = partial(HotaddHypervisor, link, store.chain)
        trust = account.trust.renew if account.trust.pin else None
        return Target(one.name, one.kind, store, opener, to, folder, digest(one), trust)

    def _to(self, one: TargetConfig) -> Converter:
        return SimulatedConverter() if one.kind == "simulated" else self._converter

    def _store(self, one: TargetConfig, link: HotaddLink | None) -> TargetStore:
        path, kind = one.store.path, one.store.kind
        found = self._stores.get((path, kind))
        if found is None or found.is_left:
            memory = folder_of(one, self._told) / "store.json"
            opener: Callable[[], Opened] = partial(open_store, path, kind, one.name, memory)
            if link is not None:
                opener = partial(_on_the_host, opener, link)
            found = self._stores[path, kind] = TargetStore(one.name, path, opener)
        return found

    @cached_property
    def _converter(self) -> Converter:
        converter = GuestConverter(
            self._told.state_dir / "conversion", self._told.backend, self._shelf
        )
        converter.clear()  # before its first conversion: later it would be at work
        return converter


def _on_the_host(papers: Callable[[], Opened], link: HotaddLink) -> Opened:
    return link.store(papers())


def _at_home(one: TargetConfig, store: Store, folder: Path) -> Hypervisor:
    if one.kind == "simulated":
        return SimulatedHypervisor(one.name, store.chain, folder)
    return LibvirtHypervisor(one.name, one.uri, folder, store.chain)


def _esxi(
    one: TargetConfig, account: Account, store: Store, folder: Path, life: LastLife
) -> Hypervisor:
    if one.esxi is None:
        raise AssertionError
    store.check()  # what hosts mount lies in it
    wishes, place = esxi_wishes(one, one.esxi), Place(folder, one.store.path / RUN)
    return EsxiHypervisor(account, wishes, place, store.chain, SystemClock().now, life=life)
