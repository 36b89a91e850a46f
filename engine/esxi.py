"""How ESXi targets are put together: as the engine uses them, and before they are configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from engine.config.engine import EngineConfig, TargetConfig, load_engine
from engine.config.esxi import EsxiConfig
from engine.daemon.adding import CONTACT_S, Adding
from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi import hotaddlook, hotaddtest, preflight
from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.hypervisors.esxi.hotaddlink import HotaddLink, appliance
from engine.hypervisors.esxi.hotaddtest import HotaddSelfTest
from engine.hypervisors.esxi.lastlife import LastLife
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.selftest import SelfTest
from engine.hypervisors.esxi.session import Account, Session
from engine.hypervisors.esxi.trust import Trust
from engine.hypervisors.owner import known_owner, owner
from engine.local.durable import make_folder, remove_tree
from engine.local.secret import read_secret
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import Finding
from engine.stores.probe import hindrance, open_store

RUN = ".run"
"""Folder in an ESXi target's store that hosts mount; a point keeps it apart from standbys."""


def esxi_adding(config: Path | None) -> Adding:
    """Return what adds targets beside a configuration file, None: where it usually is."""
    look = partial(_look_once, CONTACT_S)
    return Adding(partial(load_engine, config), look, _share)


def _look_once(timeout_s: float, told: EngineConfig, one: TargetConfig) -> Sequence[Finding]:
    return esxi_findings(told, one, timeout_s)


def _share(one: TargetConfig) -> str:
    if one.esxi is None or one.store.kind != "reflink":
        return ""
    return esxi_wishes(one, one.esxi).share


def esxi_link(
    told: EngineConfig,
    one: TargetConfig,
    esxi: EsxiConfig,
    account: Account,
    life: LastLife | None = None,
) -> HotaddLink:
    """Return a connection to a target whose layers are on the host; it is not opened yet."""
    wishes, folder = esxi_wishes(one, esxi), folder_of(one, told)
    return HotaddLink(account, wishes, folder, SystemClock().now, life=life)


def folder_of(one: TargetConfig, told: EngineConfig) -> Path:
    """Return where this engine keeps what it knows of a target."""
    return told.state_dir / "targets" / one.name


def esxi_account(name: str, uri: str, told: EsxiConfig) -> Account:
    """Return how to log in to an ESXi host or a vCenter."""
    return Account(
        name, uri, told.user, partial(read_secret, told.password), Trust(told.pin, told.authority)
    )


def esxi_findings(told: EngineConfig, one: TargetConfig, timeout_s: float) -> Sequence[Finding]:
    """Look at an ESXi target, logged in, and at its store; it need not be in the configuration yet.

    Raises:
        HypervisorError: The host cannot be reached, is not the trusted one, or refuses us.
    """
    if one.esxi is None:
        raise AssertionError
    return [*_of_store(one), *_of_host(told, one, one.esxi, timeout_s)]


def _of_store(one: TargetConfig) -> Sequence[Finding]:
    """Return what hinders the folder of a target's store, which no engine may have opened yet."""
    try:
        why = hindrance(one.store.path, one.store.kind)
    except OSError as error:
        text = f"Store {safe(str(one.store.path))} cannot be looked at: {error.strerror}."
        return [Finding(Gravity.WARNING, "store.unseen", text, "Look as a user who may use it.")]
    return [Finding(Gravity.ERROR, why.key, why.happened, why.remedy)] if why is not None else []


def _of_host(
    told: EngineConfig, one: TargetConfig, esxi: EsxiConfig, timeout_s: float
) -> Sequence[Finding]:
    wishes, now = esxi_wishes(one, esxi), SystemClock().now
    session = Session(esxi_account(one.name, one.uri, esxi), timeout_s=timeout_s)
    try:
        if wishes.transport != "hotadd":
            return preflight.findings(session, wishes, now)
        known = known_owner(folder_of(one, told))
        own = partial(hotaddlook.findings, session, wishes, appliance(session, known), known)
        return preflight.findings(session, wishes, now, own)
    finally:
        session.close()


@contextmanager
def esxi_selftest(told: EngineConfig, one: TargetConfig) -> Iterator[SelfTest | HotaddSelfTest]:
    """Yield a self-test of an ESXi target, logged in until the block ends.

    Raises:
        HypervisorError: The host cannot be reached, is not the trusted one, or refuses us.
    """
    if one.esxi is None:
        raise AssertionError
    make_folder(one.store.path)
    if one.esxi.transport == "hotadd":
        link = esxi_link(told, one, one.esxi, esxi_account(one.name, one.uri, one.esxi))
        papers = one.store.path / f".{hotaddtest.NAME}"
        with closing(link.store(open_store(papers, "hotadd", one.name))) as store:
            target = HotaddHypervisor(link, store.chain)
            yield HotaddSelfTest(store, link, target)
            target.close()
        remove_tree(papers)
        return
    session = Session(esxi_account(one.name, one.uri, one.esxi))
    try:
        wishes, run = esxi_wishes(one, one.esxi), one.store.path / RUN
        yield SelfTest(session, wishes, owner(folder_of(one, told)), run, SystemClock().now)
    finally:
        session.close()


def esxi_wishes(one: TargetConfig, told: EsxiConfig) -> Wishes:
    """Return what a target shall be used for."""
    return Wishes(
        place=told.place,
        datastore=told.datastore,
        production=told.production,
        isolated=told.isolated,
        server=told.server,
        share=told.share or str(one.store.path / RUN),
        transport=told.transport,
    )
