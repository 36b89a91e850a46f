"""What every target demands before it touches anything, and the words it refuses with."""

from __future__ import annotations

import re

from engine.model.errors import HypervisorError, LayerError, Problem, Refused, WrongUse
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import Asked, Network
from engine.model.text import safe
from engine.ports import DiskChain

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}")


def check_name(name: str) -> None:
    """Raise `HypervisorError` unless a VM may be called so; the name becomes a folder's, too."""
    if not _NAME.fullmatch(name):
        raise HypervisorError(
            Problem(
                "vm.name",
                f"{safe(name)!r} cannot be the name of a VM.",
                "Nothing was created.",
                "Use letters, digits, points, hyphens and underscores, at most 63.",
            )
        )


def check_scratch(chain: DiskChain, layer: LayerName) -> None:
    """Raise `LayerError` unless the layer exists and a running VM may write to it."""
    found = chain.layers().get(layer)
    if found is not None and found.kind is LayerKind.SCRATCH and not found.sealed:
        return
    what = "does not exist" if found is None else f"is a {found.kind} layer"
    raise LayerError(
        Problem(
            "vm.not-scratch",
            f"No VM was started: layer {safe(layer)} {what}, and a VM writes to scratch only.",
            "No layer was touched.",
            "Start the boot point again; it gets a scratch layer of its own.",
            {"layer": safe(layer)},
        )
    )


def no_network(name: str, network: Network) -> Refused:
    """Return the refusal to connect a VM to a network that the target has not."""
    return Refused(
        Problem(
            "vm.no-network",
            f"Target {safe(name)} has no {network} network.",
            "No VM was started.",
            "Start the boot point on an isolated network.",
        )
    )


def runs_already(vm: str, layer: str) -> Refused:
    """Return the refusal to start a VM that runs on another layer."""
    return Refused(
        Problem(
            "vm.running",
            f"VM {safe(vm)} runs already, on layer {safe(layer)}.",
            "It was left alone.",
            "Stop it first.",
        )
    )


def unknown(vm: str) -> HypervisorError:
    """Return the error for a VM that was never created here."""
    return HypervisorError(
        Problem(
            "vm.unknown", f"VM {safe(vm)} does not exist on this target.", "Nothing was changed."
        )
    )


def no_input(vm: str) -> HypervisorError:
    """Return the error for typing into a serial console that only prints."""
    return HypervisorError(
        Problem(
            "vm.no-input",
            f"The serial console of VM {safe(vm)} takes no input.",
            "Nothing was typed; what it prints is kept as before.",
            "Stop the VM and start it again if it was started by an older version of this program.",
        )
    )


def chosen(vm: str, asked: Asked | None, mark: str, choice: int) -> Asked:
    """Return what is asked, if a choice of it may be given; see `Hypervisor.answer`."""
    if asked is None:
        raise asks_nothing(vm)
    if asked.mark != mark:
        raise asks_otherwise(vm)
    if not 1 <= choice <= len(asked.choices):
        raise WrongUse(
            Problem(
                "vm.no-choice",
                f"There is no choice {choice}: the question of VM {safe(vm)} has "
                f"{len(asked.choices)}.",
                "Nothing was answered.",
                "Read the question and its choices again.",
                {"vm": safe(vm)},
            )
        )
    return asked


def asks_nothing(vm: str) -> Refused:
    """Return the refusal to answer where nothing is asked."""
    return Refused(
        Problem(
            "vm.asks-nothing",
            f"Nothing is asked: VM {safe(vm)} waits for no answer.",
            "Nothing was answered.",
            facts={"vm": safe(vm)},
        )
    )


def foreign(target: str, vm: str) -> Refused:
    """Return the refusal to touch a VM that has the name of ours and not its marks."""
    return Refused(
        Problem(
            "vm.foreign",
            f"Target {safe(target)} has a VM named {safe(vm)} that this engine did not create.",
            "It was left alone.",
            "Rename that VM, or give the standby another name.",
            {"vm": safe(vm)},
        )
    )


def asks_otherwise(vm: str) -> Refused:
    """Return the refusal to answer another question than the one that was read."""
    return Refused(
        Problem(
            "vm.asks-otherwise",
            f"VM {safe(vm)} asks something else by now, or was answered by somebody else.",
            "Nothing was answered from here.",
            "Read again what it asks, then answer that.",
            {"vm": safe(vm)},
        )
    )


def no_arming(name: str) -> HypervisorError:
    """Return the error for arming on a target that starts VMs by us only."""
    return HypervisorError(
        Problem("target.no-arming", f"Target {safe(name)} cannot arm VMs.", "Nothing was changed.")
    )


def no_homing(name: str) -> HypervisorError:
    """Return the error for bringing a VM home on a target that runs VMs where they are at home."""
    return HypervisorError(
        Problem(
            "target.no-homing",
            f"Target {safe(name)} runs its VMs from its own store: they are at home there.",
            "Nothing was changed.",
        )
    )


def is_home(vm: str, datastore: str) -> Refused:
    """Return the refusal to delete or change a VM that holds the only copy of its data."""
    return Refused(
        Problem(
            "vm.home",
            f"VM {safe(vm)} was brought home to datastore {safe(datastore)}: what it wrote is "
            "there and nowhere else.",
            "It was left alone.",
            "Stop it here to throw that away, or keep it and rename it on its host.",
            {"vm": safe(vm), "datastore": safe(datastore)},
        )
    )


def is_off(vm: str) -> HypervisorError:
    """Return the error for asking a VM that is off for its screen."""
    return HypervisorError(
        Problem("vm.off", f"VM {safe(vm)} is off, so its console shows nothing.")
    )
