"""Looks at a target and says what stands in the way, each finding with its fix. Changes nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from engine.hypervisors.esxi import faults, homestore
from engine.hypervisors.esxi.exports import exports, is_above
from engine.hypervisors.esxi.gate import SLOW_S
from engine.hypervisors.esxi.homestore import near
from engine.hypervisors.esxi.inventory import Host, Inventory, look
from engine.hypervisors.esxi.naming import listed, shown
from engine.hypervisors.esxi.network import isolation, lacking
from engine.hypervisors.esxi.privileges import On, Privilege, needed_for
from engine.hypervisors.esxi.session import Session, clock_skew
from engine.hypervisors.esxi.validity import validity
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import Finding

VERIFIED = "verified against vcsim, QEMU and NFS clients only"
_SKEW_S = 60.0
_VERSIONS = ((6, 7), (10, 0))
_NFS_PORTS = (111, 2049, 20048)
_PORT_S = 3.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the configuration wants to use of a target; see `EsxiConfig`.

    Attributes:
        server: Empty: nothing is mounted, and disks cannot be shown to hosts.
        share: Absolute path of what is exported.
        transport: `nfs` or `hotadd`: where the disks are.
    """

    place: str
    datastore: str
    production: str
    isolated: str
    server: str
    share: str
    transport: str = "nfs"


Own = Callable[[Inventory | None], Iterator[Finding]]
"""What a transport alone has to say, told the inventory; None where the place is not found."""


def _nothing(_there: Inventory | None) -> Iterator[Finding]:
    return iter(())


def findings(
    session: Session, wishes: Wishes, now: Callable[[], datetime], own: Own = _nothing
) -> Sequence[Finding]:
    """Return all findings of a target, the worst first. The inventory is read once.

    Args:
        now: This machine's clock.

    Raises:
        HostFailure: The host does not answer any more.
    """
    found = [*_about(session), *_clock(session, now), *validity(session.account, now())]
    found += _allowed(_licence(session))
    there: Inventory | None = None
    try:
        there = look(session, wishes.place)
    except Failure as failure:
        found.append(as_finding(failure.problem))
    else:
        found += _hosts(session, there)
        found += homestore.findings(there, wishes.datastore)
        found += _allowed(_networks(session, there, wishes))
        found += _allowed(_privileges(session, there, wishes))
        if wishes.transport == "nfs":
            found += _nfs(there, wishes)
    found += _allowed(own(there))
    order = (Gravity.ERROR, Gravity.WARNING, Gravity.NOTE)
    return sorted(dict.fromkeys(found), key=lambda one: order.index(one.gravity))


def _allowed(part: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings; what the user may not ask for, or a name of two, hides no other."""
    try:
        yield from part
    except (faults.NeedsHuman, WrongUse) as failure:
        yield as_finding(failure.problem)


def as_finding(problem: Problem) -> Finding:
    """Return an error that is found before it happens."""
    return Finding(Gravity.ERROR, problem.key, problem.happened, problem.remedy)


# --- the host itself --------------------------------------------------------------------------


def _about(session: Session) -> Iterator[Finding]:
    about = session.content.about
    product = safe(str(about.fullName))
    yield Finding(Gravity.NOTE, "esxi.version", f"This is {product}. The way there is {VERIFIED}.")
    numbers = tuple(int(part) for part in str(about.apiVersion).split(".")[:2] if part.isdigit())
    if not _VERSIONS[0] <= numbers < _VERSIONS[1]:
        yield Finding(
            Gravity.WARNING,
            "esxi.api-version",
            f"API version {safe(str(about.apiVersion))} is outside of 6.7 to 9, for which this "
            "program is meant.",
            "Use ESXi or vCenter 7.0 to 9, or try every step on a machine that does not matter.",
        )


def _clock(session: Session, now: Callable[[], datetime]) -> Iterator[Finding]:
    skew, took = clock_skew(session, now)
    if abs(skew) > _SKEW_S:
        yield Finding(
            Gravity.WARNING,
            "esxi.clock",
            f"The host's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours.",
            "Let both follow a time server; started guests take their time from the host.",
        )
    if took > SLOW_S:
        yield Finding(
            Gravity.WARNING,
            "esxi.slow",
            f"The host needs {took:.1f} s to tell the time.",
            "Look at its load and at the network; fewer things are done at once meanwhile.",
        )


def _licence(session: Session) -> Iterator[Finding]:
    if session.is_vcenter:
        return
    licences = session.read(session.content.licenseManager, "licenses").get("licenses", ())
    for one in licences:
        if str(one.editionKey).startswith("esxBasic"):
            yield Finding(
                Gravity.WARNING,
                "esxi.licence",
                f"The host's licence is {safe(str(one.name))}: the free one, as far as its key "
                f"({safe(str(one.editionKey))}) tells. Its API can be read, not used to change "
                "anything.",
                "Give the host a paid vSphere licence. The first change it refuses is the proof.",
            )


def _hosts(session: Session, there: Inventory) -> Iterator[Finding]:
    gravity = Gravity.WARNING if any(one.starts for one in there.hosts) else Gravity.ERROR
    if away := [one for one in there.hosts if not one.connected]:
        yield Finding(
            gravity,
            "esxi.host-away",
            f"These hosts are not connected to their vCenter: {_called(away)}.",
            "Connect them again.",
        )
    if kept := [one for one in there.hosts if one.maintenance]:
        yield Finding(
            gravity,
            "esxi.maintenance",
            f"These hosts are in maintenance mode, so no VM starts there: {_called(kept)}.",
            "Take them out of maintenance mode.",
        )
    if asleep := [one for one in there.hosts if one.sleeps]:
        yield Finding(
            gravity,
            "esxi.standby",
            f"These hosts are in standby to save power, so no VM starts there: {_called(asleep)}.",
            "Power them on before a failover; they get share and isolated network at a start "
            "thereafter.",
        )
    for host in there.hosts:
        name = safe(host.name)
        if host.manager and not session.is_vcenter:
            yield Finding(
                Gravity.WARNING,
                "esxi.managed",
                f"Host {name} is managed by the vCenter at {safe(host.manager)}, which may move "
                "or change VMs without telling.",
                "Make that vCenter the target instead of the host.",
            )


# --- what it shall be used for ----------------------------------------------------------------


def _called(hosts: Sequence[Host]) -> str:
    return listed([(one.name,) for one in hosts])


def _networks(session: Session, there: Inventory, wishes: Wishes) -> Iterator[Finding]:
    if not wishes.production:
        yield Finding(
            Gravity.NOTE,
            "esxi.no-production",
            "No production network is configured, so VMs start on the isolated one only.",
            "Name the port group of the real network as esxi.production before a failover.",
        )
    elif there.network(wishes.production) is None:
        names = near([one.name for one in there.networks], wishes.production)
        yield Finding(
            Gravity.ERROR,
            "esxi.production",
            f"There is no port group {shown(wishes.production)}. Port groups: {names}.",
            "Correct esxi.production (--production).",
        )
    else:
        if without := lacking(session, there, wishes.production):
            yield Finding(
                Gravity.WARNING,
                "esxi.production-missing",
                f"These hosts have no port group {safe(wishes.production)}, as far as they tell, "
                f"so no VM starts on the production network there: {_called(without)}.",
                "Make the port group on those hosts, or correct esxi.production.",
            )
    yield from _isolated(session, there, wishes)


def _isolated(session: Session, there: Inventory, wishes: Wishes) -> Iterator[Finding]:
    told = isolation(session, there, wishes.isolated)
    for host, why in told:
        if why:
            yield Finding(
                Gravity.ERROR,
                "esxi.isolated",
                f"Port group {safe(wishes.isolated)} on host {safe(host.name)} is not isolated: "
                f"{why}.",
                "Choose another name as esxi.isolated, or take the uplink off its switch.",
            )
    if there.network(wishes.isolated) is None and (lack := [host for host, why in told if not why]):
        yield Finding(
            Gravity.NOTE,
            "esxi.isolated-missing",
            f"These hosts have no port group {safe(wishes.isolated)} yet; it is made, on a switch "
            f"without uplink, when the first VM starts: {_called(lack)}.",
        )


def _privileges(session: Session, there: Inventory, wishes: Wishes) -> Iterator[Finding]:
    home = homestore.home_datastore(there, wishes.datastore)
    wanted = [there.network(name) for name in (wishes.production, wishes.isolated) if name]
    entities = {
        On.FOLDER: [there.folder],
        On.POOL: [there.pool],
        On.DATASTORE: [home.ref] if home else [],
        On.NETWORK: [one.ref for one in wanted if one is not None],
        On.HOST: [one.ref for one in there.hosts],
    }
    manager = session.content.sessionManager
    key = session.need(manager, "currentSession")["currentSession"].key
    lacking: list[Privilege] = []
    told = [one for one in needed_for(wishes.transport) if session.is_vcenter or not one.vcenter]
    for on, needed in groupby(sorted(told, key=lambda one: one.on), key=lambda one: one.on):
        if entities[on]:
            lacking += missing(session, entities[on], list(needed), key)
    for one in lacking:
        yield Finding(
            Gravity.ERROR if one.must else Gravity.WARNING,
            f"esxi.privilege.{one.id}",
            f"The user's role lacks {one.id} on the {one.on}, which is needed to {one.purpose}.",
            "Add it to the role."
            if one.must
            else "Add it to the role, or let an administrator do this once by hand.",
        )


def missing(
    session: Session, entities: list[object], needed: list[Privilege], key: str
) -> list[Privilege]:
    """Return the privileges that the session has not on some of the entities."""
    ids = [one.id for one in needed]
    answer = session.content.authorizationManager.HasPrivilegeOnEntities(list(entities), key, ids)
    refused = {
        told.privId
        for entity in answer or ()
        for told in entity.privAvailability
        if not told.isGranted
    }
    return [one for one in needed if one.id in refused]


def _nfs(there: Inventory, wishes: Wishes) -> Iterator[Finding]:
    if not wishes.server:
        yield Finding(
            Gravity.ERROR,
            "esxi.no-server",
            "The address under which hosts reach this appliance is not configured.",
            "Set esxi.server to it; the share must be exported by NFSv3 to the hosts' VMkernel "
            "addresses.",
        )
        return
    silent = [port for port in _NFS_PORTS if not _answers(wishes.server, port)]
    for port in silent:
        yield Finding(
            Gravity.WARNING,
            f"esxi.port-{port}",
            f"Port {port} of {safe(wishes.server)} does not answer, as seen from here.",
            "Start the NFS server (rpcbind 111, nfs 2049, mountd 20048), and open the port to the "
            "hosts.",
        )
    if not {111, 20048} <= set(silent):
        yield from _export(wishes)
    ours = f"{wishes.server}:{wishes.share}"
    for one in there.datastores:
        host, _, path = one.mounted.rpartition(":")
        if path == wishes.share and one.mounted != ours and host:
            yield Finding(
                Gravity.ERROR,
                "esxi.mounted-otherwise",
                f"Datastore {safe(one.name)} mounts {safe(one.mounted)}, not {safe(ours)}: hosts "
                "take two spellings of one server for two datastores.",
                "Use the same spelling on all hosts, or unmount that datastore.",
            )


def _export(wishes: Wishes) -> Iterator[Finding]:
    """Say whether the server exports the share; it is asked as a client asks it."""
    server, share = safe(wishes.server), safe(wishes.share)
    fix = f"Export {share}, and nothing above it, by NFSv3 to the hosts' VMkernel addresses."
    try:
        there = exports(wishes.server, timeout_s=_PORT_S)
    except OSError as error:
        yield Finding(
            Gravity.WARNING,
            "esxi.exports-untold",
            f"The NFS server {server} does not tell what it exports: {safe(str(error))}.",
            "See that rpcbind and mountd run there.",
        )
        return
    mine = [one for one in there if one.folder == wishes.share]
    above = [one for one in there if is_above(one.folder, wishes.share)]
    if above and not mine:
        yield Finding(
            Gravity.WARNING,
            "esxi.exported-above",
            f"The NFS server {server} exports {listed([(one.folder,) for one in above])}, which "
            f"holds more than {share}: hosts could change boot points.",
            fix,
        )
    elif not mine:
        told = listed([(one.folder,) for one in there])
        yield Finding(
            Gravity.WARNING,
            "esxi.not-exported",
            f"The NFS server {server} does not export {share}, as far as it tells. It exports: "
            f"{told}.",
            fix,
        )
    if any(one.is_open for one in [*mine, *above]):
        yield Finding(
            Gravity.WARNING,
            "esxi.exported-to-all",
            f"The NFS server {server} lets anybody mount {share}: whoever reaches it can read and "
            "change the disks of VMs that were started from here.",
            "Name the hosts' VMkernel addresses in the export, and keep that network apart.",
        )


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_PORT_S):
            return True
    except OSError:
        return False
