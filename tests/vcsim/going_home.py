"""An engine's process that brings a VM home, to be killed in the middle.

    python -m tests.vcsim.going_home URL PIN STATE RUN PLACE TO

Prints how far it is, and at the end the datastore.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi.host import EsxiHypervisor, Place
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.session import Account
from engine.hypervisors.esxi.trust import Trust
from engine.model.progress import Progress
from engine.ports import DiskChain, NeverCancelled
from tests.vcsim.simulator import PASSWORD, USER
from tests.vcsim.stage import VM
from tests.vcsim.standby import TARGET


def _none(_vm: str) -> DiskChain:
    raise AssertionError("bringing home asks for no layers")


def _tell(told: Progress) -> None:
    print(told.step, told.done, told.total, flush=True)


def main(url: str, pin: str, state: str, run: str, place: str, to: str) -> None:
    """Bring the VM home."""
    target = EsxiHypervisor(
        Account(TARGET, url, USER, lambda: PASSWORD, Trust(pin)),
        Wishes(place, "LocalDS_0", "VM Network", "bp-isolated", "127.0.0.1", run),
        Place(Path(state), Path(run)),
        _none,
        SystemClock().now,
        timeout_s=20,
    )
    came = target.bring_home(VM, to, NeverCancelled(), _tell)
    print("home", came.datastore, came.stays, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
