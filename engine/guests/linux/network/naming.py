"""Gives each new card the name that the old one had, so that its configuration fits.

Names are bound to addresses: by the guest's own rules where it has them, else by a `.link` file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from engine.guests.linux.draft import Draft
from engine.guests.linux.network import STACKS, networkd, udev
from engine.guests.linux.network.others import keep_connman
from engine.guests.linux.network.stack import MAC, NAME, Card, Stack
from engine.model.cards import CardChange
from engine.model.text import safe

_CLOUD = b"/etc/cloud/cloud.cfg.d"
_CLOUD_OFF = b"network: {config: disabled}\n"
_CLOUD_FILES = (b"/etc/netplan/50-cloud-init.yaml",
                b"/etc/network/interfaces.d/50-cloud-init",
                b"/etc/network/interfaces.d/50-cloud-init.cfg")  # fmt: skip
_UDEV = (b"/usr/lib/systemd/systemd-udevd", b"/lib/systemd/systemd-udevd", b"/lib/systemd/systemd",
         b"/usr/lib/systemd/systemd")  # fmt: skip


_ANY = b"02:00:00:00:00:00"
NicChange = CardChange


@dataclass(frozen=True, slots=True)
class _Config:
    """A file, what cards it names and makes, and whether it gives them their names."""

    cards: Sequence[Card]
    is_rule: bool
    made: Sequence[str] = ()

    def without(self, made: AbstractSet[str]) -> _Config:
        """Return it without what some file makes of cards."""
        return replace(self, cards=[card for card in self.cards if card.name not in made])


def plan_network(draft: Draft, nics: Sequence[NicChange]) -> None:
    """Collect the changes that let every card keep its name and its configuration."""
    usable = [nic for nic in nics if MAC.fullmatch(nic.new.encode("utf-8", "replace"))]
    if len(usable) < len(nics):
        draft.warn("A network card of the VM has no valid address; it is left out.")
    macs = {nic.old.lower().replace("-", ":"): nic.new.lower() for nic in usable if nic.old}
    configs = _convert(draft, macs)
    keep_connman(draft, macs)
    if not usable:
        return
    made = {name for config in configs for name in config.made}
    configs = [config.without(made) for config in configs]
    names = _names(draft, usable, configs)
    _unbind(draft, usable, names)
    ruled = {card for config in configs if config.is_rule for card in config.cards}
    for nic, name in zip(usable, names, strict=True):
        if name and Card(name, nic.new.lower()) not in ruled:
            _write_link(draft, nic, name, is_alone=len(usable) == 1)
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
            made = [name.decode("ascii", "replace") for name in stack.makes(path, new)]
            configs.append(_Config(stack.cards(path, new), is_rule, made))
    return configs


def _names(draft: Draft, nics: Sequence[NicChange], configs: Sequence[_Config]) -> Sequence[str]:
    """Return each card's name: as told, as bound to its address, or by elimination."""
    cards = _settled([card for config in configs for card in config.cards])
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


def _settled(cards: Sequence[Card]) -> Sequence[Card]:
    """Return cards of patterns under a name that is told elsewhere and fits, where there is one."""
    told = list(dict.fromkeys(card.name for card in cards if not card.pattern))
    fitting = ((card, [n for n in told if fnmatchcase(n, card.pattern)]) for card in cards)
    return [replace(card, name=names[0], pattern="") if names else card for card, names in fitting]


def _unbind(draft: Draft, nics: Sequence[NicChange], names: Sequence[str]) -> None:
    """Bind to an address what is bound to the slot or driver of an old card."""
    files = [(stack, path, content) for stack in STACKS for path in stack.files(draft.tree)
             if (content := draft.read(path)) is not None]  # fmt: skip
    said = b"\n".join(content for _, _, content in files).lower()
    left = [nic.new.lower().encode() for nic, name in zip(nics, names, strict=True) if not name]
    left = [mac for mac in left if mac not in said and mac.replace(b":", b"-") not in said]
    count = len(left)
    for stack, path, content in files:
        while (new := _without(stack, path, content, left)) != content:
            content = new
            draft.write(path, new, "It is bound to the slot or the driver of the old network card.")
        if stack.unbind(path, content, _ANY) != content:
            draft.warn(
                f"{safe(path)} is bound to the slot or the driver of an old network card, and the "
                "VM has no card left for it."
            )
    if count - len(left) > 1:
        draft.warn("Which network card has which configuration is decided by their order.")


def _without(stack: Stack, path: bytes, content: bytes, left: list[bytes]) -> bytes:
    """Return a file without one thing that binds it; the first address left is used if needed."""
    new = stack.unbind(path, content, b"")
    if new == content and left:
        new = stack.unbind(path, content, left[0])
        if new != content:
            left.pop(0)
    return new


def _told(nic: NicChange) -> str:
    return nic.name if NAME.fullmatch(nic.name.encode("utf-8", "replace")) else ""


def _write_link(draft: Draft, nic: NicChange, name: str, *, is_alone: bool) -> None:
    if not any(draft.tree.has(path) for path in _UDEV):
        if is_alone and name == "eth0":
            return  # what the kernel calls the only card
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
