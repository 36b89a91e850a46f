"""The target that runs nothing, beyond what every target promises."""

from __future__ import annotations

from pathlib import Path

from engine.hypervisors.simulated import SimulatedHypervisor
from engine.model.layers import LayerKind
from engine.model.machine import Firmware, Network, Power, VMRef, VMSpec
from engine.stores.memory import MemoryStore
from tests.contract.disk_chains import MIB, grow, seen

SPEC = VMSpec("web01", Firmware.BIOS, 1, 64 * MIB, ())
VM = VMRef("web01")


def test_vms_survive_in_the_file(tmp_path: Path) -> None:
    """A new engine finds the VM running where the old one left it."""
    store = MemoryStore()
    chain = store.chain("web01")
    grow(chain, "base")
    layer = grow(chain, "run", "base", kind=LayerKind.SCRATCH)
    first = SimulatedHypervisor("demo", store.chain, tmp_path)
    first.create(SPEC)
    first.power_on(VM, layer, Network.ISOLATED)
    second = SimulatedHypervisor("demo", store.chain, tmp_path)
    assert second.signs_of_life(VM).power is Power.ON
    assert second.signs_of_life(VM) == first.signs_of_life(VM)


def test_the_prompt_tells_which_image_it_is(tmp_path: Path) -> None:
    """The console names the sequence number of the image below, as a real guest's counter."""
    store = MemoryStore()
    chain = store.chain("web01")
    grow(chain, "base")
    layer = grow(chain, "run", "base", kind=LayerKind.SCRATCH)
    target = SimulatedHypervisor("demo", store.chain)
    target.create(SPEC)
    target.power_on(VM, layer, Network.ISOLATED)
    assert b"counter 3\r\n" in target.signs_of_life(VM).serial_tail


def test_a_run_changes_scratch_as_a_real_one_does() -> None:
    """What runs writes, so that tests notice when it writes to the wrong layer."""
    store = MemoryStore()
    chain = store.chain("web01")
    grow(chain, "base")
    layer = grow(chain, "run", "base", kind=LayerKind.SCRATCH)
    target = SimulatedHypervisor("demo", store.chain)
    target.create(SPEC)
    target.power_on(VM, layer, Network.ISOLATED)
    assert seen(chain, "run") != seen(chain, "base") == bytes(MIB)
