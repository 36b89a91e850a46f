"""Gives each new card the name that the old one had, so that its configuration fits.

Names are bound to addresses: by the guest's own rules where it has them, else by a `.link` file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.guests.linux.draft import Draft
from engine.guests.linux.network import STACKS, networkd, udev
from engine.guests.linux.network.stack import MAC, NAME, Card
from engine.model.cards import CardChange
from engine.model.text import safe

_CLOUD = b"/etc/cloud/cloud.cfg.d"
_CLOUD_OFF = b"network: {config: disabled}\n"
_CLOUD_FILES = (b"/etc/netplan/50-cloud-init.yaml",
                b"/etc/network/interfaces.d/50-cloud-init",
                b"/etc/network/interfaces.d/50-cloud-init.cfg")  # fmt: skip
_UDEV = (b"/usr/lib/systemd/systemd-udevd", b"/lib/systemd/systemd-udevd", b"/lib/systemd/systemd",
         b"/usr/lib/systemd/systemd")  # fmt: skip


NicChange = CardChange


@dataclass(frozen=True, slots=True)
class _Config:
    """A file, what cards it names, and whether it gives them their names."""

    cards: Sequence[Card]
    is_rule: bool


def plan_network(draft: Draft, nics: Sequence[NicChange]) -> None:
    """Collect the changes that let every card keep its name and its configuration."""
    usable = [nic for nic in nics if MAC.fullmatch(nic.new.encode("utf-8", "replace"))]
    if len(usable) < len(nics):
        draft.warn("A network card of the VM has no valid address; it is left out.")
    macs = {nic.old.lower().replace("-", ":"): nic.new.lower() for nic in usable if nic.old}
    configs = _convert(draft, macs)
    if not usable:
        return
    names = _names(draft, usable, configs)
    ruled = {card for config in configs if config.is_rule for card in config.cards}
    for nic, name in zip(usable, names, strict=True):
        if name and Card(name, nic.new.lower()) not in ruled:
            _write_link(draft, nic, name)
    _stop_cloud_init(draft)


def _convert(draft: Draft, macs: Mapping[str, str]) -> Sequence[_Config]:
    """Replace addresses in all stacks; return what each file names afterwards."""
    configs = []
    for stack in STACKS:
        for path in stack.files(draft.tree):
            content = draft.read(path)
            if content is None:
                continue
            new = stack.convert(content, macs)
            if new != content:
                reason = "It is bound to the address of the old network card."
                draft.write(path, new, reason)
            is_rule = stack is udev.STACK or networkd.is_rule(path, new)
            configs.append(_Config(stack.cards(path, new), is_rule))
    return configs


def _names(draft: Draft, nics: Sequence[NicChange], configs: Sequence[_Config]) -> Sequence[str]:
    """Return each card's name: as told, as bound to its address, or by elimination."""
    cards = [card for config in configs for card in config.cards]
    bound = {card.mac: card.name for card in reversed(cards) if card.mac}
    names = [_told(nic) or bound.get(nic.new.lower(), "") for nic in nics]
    free = list(dict.fromkeys(c.name for c in cards if not c.mac and c.name not in names))
    open_nics = [number for number, name in enumerate(names) if not name]
    for number, name in zip(open_nics, free, strict=False):
        names[number] = name
    if open_nics and free and (len(open_nics) > 1 or len(free) > 1):
        pairs = ", ".join(f"{safe(nics[n].new)} is {names[n] or 'unnamed'}" for n in open_nics)
        draft.warn(f"Which network card has which name is decided by their order: {pairs}.")
    elif open_nics and cards and not free:
        draft.warn("The guest's configuration names no network card for some card of the VM.")
    return names


def _told(nic: NicChange) -> str:
    return nic.name if NAME.fullmatch(nic.name.encode("utf-8", "replace")) else ""


def _write_link(draft: Draft, nic: NicChange, name: str) -> None:
    if not any(draft.tree.has(path) for path in _UDEV):
        draft.warn(
            f"The guest has no systemd: its network card {safe(nic.new)} may get another name "
            f"than {name}."
        )
        return
    text = f"[Match]\nMACAddress={nic.new.lower()}\n\n[Link]\nName={name}\n"
    path = f"/etc/systemd/network/00-bootpoint-{name}.link".encode()
    if draft.read(path) != text.encode():
        draft.write(path, text.encode(), f"The VM's network card keeps the name {name}.")


def _stop_cloud_init(draft: Draft) -> None:
    """Switch cloud-init's network step off where it would write its files anew."""
    if not any(draft.tree.has(path) for path in _CLOUD_FILES) or not draft.tree.has(_CLOUD):
        return
    for name in draft.tree.list(_CLOUD):
        content = draft.read(_CLOUD + b"/" + name) or b""
        if b"config: disabled" in content and b"network" in content:
            return
    draft.write(
        _CLOUD + b"/99-bootpoint-network.cfg",
        _CLOUD_OFF,
        "cloud-init would write the network configuration anew for the new network card.",
    )
