"""What every target promises."""

from __future__ import annotations

import contextlib
import struct
import threading
import zlib

import pytest

from engine.hypervisors.png import MAGIC
from engine.model.errors import HypervisorError, LayerError, Refused
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import DiskBus, Network, Power, VMRef
from engine.ports import Hypervisor
from tests.contract.disk_chains import grow, put, seen
from tests.contract.targets import BOOTLESS, KINDS, NAME, Site, await_serial, boot_sector, is_off

VM = VMRef(NAME)


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
def test_a_created_vm_is_off(site: Site) -> None:
    """Creating a VM starts nothing, and creating it again changes nothing."""
    assert site.create() == VM
    assert site.create() == VM
    assert site.target.signs_of_life(VM).power is Power.OFF


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
def test_a_ping_is_answered_and_changes_nothing(site: Site) -> None:
    """Asking how quickly a target answers starts nothing, and can be done at any time."""
    site.create()
    for _ in range(3):
        site.target.ping()
    assert site.target.signs_of_life(VM).power is Power.OFF


@pytest.mark.parametrize("site", KINDS, indirect=True)
def test_a_started_vm_prints_what_its_layer_makes_it_print(site: Site) -> None:
    """A VM on scratch runs the guest that the twig below holds."""
    layer = site.boot_point("boot sector guest, counter 7")
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    said = await_serial(site.target, VM, b"login: ")
    assert b"counter" in said
    assert site.kind == "simulated" or b"boot sector guest, counter 7" in said
    assert site.target.signs_of_life(VM).power is Power.ON


def test_starting_twice_is_starting_once(site: Site) -> None:
    """A repeated start of the same layer leaves the running guest alone."""
    layer = site.boot_point("once")
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    said = await_serial(site.target, VM, b"login: ")
    site.target.power_on(VM, layer, Network.ISOLATED)
    assert site.target.signs_of_life(VM).serial_tail == said


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
def test_a_running_vm_is_not_moved_to_another_layer(site: Site) -> None:
    """A VM that runs refuses to start on another scratch layer and goes on.

    Where a VM has one leaf, the other layer is refused already.
    """
    layer = site.boot_point("first")
    site.create()
    site.target.power_on(VM, layer, Network.NONE)
    other = LayerName("other-scratch")
    with contextlib.suppress(Refused):
        grow(site.chain, other, "bp000001-conversion", kind=LayerKind.SCRATCH)
    assert (other in site.chain.layers()) is (site.kind != "hotadd")
    with pytest.raises((Refused, LayerError)):
        site.target.power_on(VM, other, Network.NONE)
    assert site.target.signs_of_life(VM).power is Power.ON


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
@pytest.mark.parametrize("layer", ["bp000001-replica", "bp000001-conversion", "no-such-layer"])
def test_a_vm_writes_to_scratch_only(site: Site, layer: str) -> None:
    """No VM starts on a sealed layer or on one that does not exist."""
    site.boot_point("never seen")
    site.create()
    with pytest.raises(LayerError) as refused:
        site.target.power_on(VM, LayerName(layer), Network.ISOLATED)
    assert refused.value.problem.key == "vm.not-scratch"
    assert is_off(site.target, VM)


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
def test_no_answer_is_taken_where_nothing_is_asked(site: Site) -> None:
    """A VM that waits for nothing refuses every answer; so does one that is not there."""
    site.create()
    assert site.target.signs_of_life(VM).question is None
    for vm in (VM, VMRef("nobody")):
        with pytest.raises(Refused, match="Nothing is asked"):
            site.target.answer(vm, "7", 1)


@pytest.mark.parametrize("site", KINDS, indirect=True)
def test_trunk_and_twig_stay_as_they_were(site: Site) -> None:
    """A run changes no byte of the sealed layers below its scratch."""
    layer = site.boot_point("trunk")
    before = seen(site.chain, "bp000001-replica"), seen(site.chain, "bp000001-conversion")
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    await_serial(site.target, VM, b"login: ")
    site.target.power_off(VM, grace=0)
    after = seen(site.chain, "bp000001-replica"), seen(site.chain, "bp000001-conversion")
    assert after == before


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
def test_power_off_is_repeatable(site: Site) -> None:
    """A VM is off after power_off, and stays off; an unknown one is nothing to switch off."""
    layer = site.boot_point("off")
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    site.target.power_off(VM, grace=0.5)
    assert is_off(site.target, VM)
    site.target.power_off(VM, grace=0)
    site.target.power_off(VMRef("nobody"), grace=0)
    site.chain.drop(layer)


def test_a_stopped_vm_starts_on_a_new_layer(site: Site) -> None:
    """After a stop the same VM runs another guest, and its console begins anew."""
    first = site.boot_point("the first guest")
    site.create()
    site.target.power_on(VM, first, Network.ISOLATED)
    await_serial(site.target, VM, b"login: ")
    site.target.power_off(VM, grace=0)
    site.chain.drop(first)
    second = site.boot_point("the second guest", "bp000002")
    site.create()
    site.target.power_on(VM, second, Network.ISOLATED)
    said = await_serial(site.target, VM, b"login: ")
    assert b"the first guest" not in said


def test_the_serial_console_is_read_piece_by_piece(site: Site) -> None:
    """Reading on from the returned offset gives every byte once; a foreign offset begins anew."""
    layer = site.boot_point("piece by piece")
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    whole = await_serial(site.target, VM, b"login: ")
    data, after = site.target.serial(VM, 0)
    assert (data, after) == (whole, len(whole))
    assert site.target.serial(VM, after) == (b"", after)
    assert site.target.serial(VM, 5) == (whole[5:], after)
    assert site.target.serial(VM, after + 1000) == (whole, after)
    assert site.target.serial(VMRef("nobody"), 0) == (b"", 0)


def test_what_is_typed_reaches_the_guest_and_nothing_printed_is_lost(site: Site) -> None:
    """A guest that echoes its serial line gets every byte; the log goes on, without us and with."""
    layer = site.boot_point("echo", echoes=True)
    site.create()
    with pytest.raises(HypervisorError):
        site.target.serial_input(VM, b"x")
    site.target.power_on(VM, layer, Network.ISOLATED)
    before = await_serial(site.target, VM, b"login: ")
    assert site.target.serial_input(VM, b"root\r") == 5
    said = await_serial(site.target, VM, b"root\r")
    assert said.startswith(before)
    letters = bytes(range(97, 123)) * 20
    assert site.target.serial_input(VM, letters) == len(letters)
    await_serial(site.target, VM, letters)
    assert site.again().serial_input(VM, b"again") == 5
    assert site.target.serial(VM, 0)[0].startswith(before)


def test_the_screen_is_a_picture_while_the_vm_runs(site: Site) -> None:
    """The console is a valid PNG that is not all black; there is none when the VM is off."""
    layer = site.boot_point("picture")
    site.create()
    with pytest.raises(HypervisorError):
        site.target.screen(VM)
    site.target.power_on(VM, layer, Network.ISOLATED)
    await_serial(site.target, VM, b"login: ")
    picture = site.target.screen(VM)
    assert picture.startswith(MAGIC)
    assert set(_pixels(picture)) != {0}


def _pixels(png: bytes) -> bytes:
    at, data = len(MAGIC), b""
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return zlib.decompress(data)


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
def test_a_deleted_vm_is_unknown(site: Site) -> None:
    """Deleting switches off and forgets the VM, not its layers; it can be done twice."""
    layer = site.boot_point("deleted")
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    site.target.delete(VM)
    site.target.delete(VM)
    assert site.target.signs_of_life(VM).serial_tail == b""
    assert is_off(site.target, VM)
    assert layer in site.chain.layers()
    with pytest.raises(HypervisorError):
        site.target.power_on(VM, layer, Network.ISOLATED)


def test_a_vm_goes_on_when_the_engine_opens_its_target_again(site: Site) -> None:
    """Closing a target stops no VM; the next one sees it run and can stop it."""
    layer = site.boot_point("goes on")
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    await_serial(site.target, VM, b"login: ")
    site.target.close()
    site.target = site.again()
    assert site.target.signs_of_life(VM).power is Power.ON
    site.target.power_on(VM, layer, Network.ISOLATED)
    site.target.power_off(VM, grace=0)
    assert is_off(site.target, VM)


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
def test_no_vm_gets_onto_a_network_that_is_not_configured(site: Site) -> None:
    """A start on the production network is refused where the target has none."""
    layer = site.boot_point("production")
    site.create()
    with pytest.raises(Refused):
        site.target.power_on(VM, layer, Network.PRODUCTION)
    assert is_off(site.target, VM)


@pytest.mark.parametrize("site", BOOTLESS, indirect=True)
@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "ä", "x" * 64, "a\nb"])
def test_a_name_that_leads_elsewhere_is_no_vm(site: Site, name: str) -> None:
    """A VM's name can be neither a path nor an option."""
    with pytest.raises(HypervisorError):
        site.create(name=name)


@pytest.mark.parametrize("site", KINDS, indirect=True)
def test_a_vm_has_the_shape_it_was_given_last(site: Site) -> None:
    """Creating an existing VM that is off gives it the new shape: bus, memory, processors."""
    layer = site.boot_point("reshaped")
    site.create()
    site.create(memory=48 << 20, cpus=2, bus=DiskBus.SATA)
    site.target.power_on(VM, layer, Network.NONE)
    said = await_serial(site.target, VM, b"login: ")
    assert site.kind == "simulated" or b"reshaped" in said


def test_what_a_guest_wrote_is_gone_with_its_scratch(site: Site) -> None:
    """A new scratch layer shows the twig again, whatever was written to the last one."""
    layer = site.boot_point("twig")
    put(site.chain, layer, 0, (0, boot_sector("written by a guest")))
    site.chain.drop(layer)
    grow(site.chain, layer, "bp000001-conversion", kind=LayerKind.SCRATCH)
    site.create()
    site.target.power_on(VM, layer, Network.ISOLATED)
    assert b"written by a guest" not in await_serial(site.target, VM, b"login: ")


def test_many_threads_start_one_vm(site: Site) -> None:
    """Threads that start the same VM at once all succeed, and it runs once."""
    layer = site.boot_point("threads")
    site.create()
    failed: list[Exception] = []

    def start(target: Hypervisor) -> None:
        try:
            target.power_on(VM, layer, Network.ISOLATED)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    threads = [threading.Thread(target=start, args=(site.target,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert b"threads" in await_serial(site.target, VM, b"login: ") or site.kind == "simulated"
