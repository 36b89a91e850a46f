"""The shape of a standby VM: what its guest has drivers for, and the cards it was converted for."""

from __future__ import annotations

import pytest

from engine.jobs.power import Shape, vm_spec
from engine.model.cards import assigned_mac, card_changes
from engine.model.conversion import ConversionMode
from engine.model.images import hints_from_json, hints_to_json
from engine.model.machine import Capabilities, CardModel, DiskBus, Hints, Nic
from engine.model.standby import Standby

NIC = Nic("enp3s0", "00:25:90:aa:bb:cc", ("192.0.2.10/24",))


KVM = Capabilities(None, "kvm", screen=True, serial=True)
ESXI = Capabilities(
    30,
    "esxi",
    screen=True,
    serial=False,
    buses=(DiskBus.PVSCSI, DiskBus.SATA),
    cards=(CardModel.VMXNET3, CardModel.E1000E),
)
BOTH = ("storahci", "viostor", "vioscsi", "pvscsi", "netkvm", "vmxnet3")


@pytest.mark.parametrize(
    ("os", "bus", "expected"),
    [
        ("Debian GNU/Linux 12", None, (DiskBus.VIRTIO, CardModel.VIRTIO)),
        ("Windows Server 2019", None, (DiskBus.SATA, CardModel.E1000E)),
        ("Windows Server 2019", DiskBus.VIRTIO, (DiskBus.VIRTIO, CardModel.VIRTIO)),
        ("", DiskBus.SATA, (DiskBus.SATA, CardModel.VIRTIO)),
    ],
)
def test_a_vm_has_hardware_that_its_guest_has_drivers_for(
    os: str, bus: DiskBus | None, expected: tuple[DiskBus, CardModel]
) -> None:
    """Windows gets its in-box controllers unless an operator says it has others."""
    spec = vm_spec(Standby("erp", "/images", bus=bus), Hints(os=os), Shape(), KVM)
    assert (spec.bus, spec.card) == expected


@pytest.mark.parametrize(
    ("drivers", "bus", "target", "expected"),
    [
        (BOTH, None, KVM, (DiskBus.VIRTIO, CardModel.VIRTIO)),
        (BOTH, None, ESXI, (DiskBus.PVSCSI, CardModel.VMXNET3)),
        (("storahci",), None, KVM, (DiskBus.SATA, CardModel.E1000E)),
        (("storahci", "vioscsi"), None, KVM, (DiskBus.SCSI, CardModel.E1000E)),
        (("storahci", "netkvm"), None, KVM, (DiskBus.SATA, CardModel.VIRTIO)),
        (("storahci", "viostor", "netkvm"), None, ESXI, (DiskBus.SATA, CardModel.E1000E)),
        (("storahci", "pvscsi", "vmxnet3"), None, KVM, (DiskBus.SATA, CardModel.VMXNET3)),
        (BOTH, DiskBus.SATA, KVM, (DiskBus.SATA, CardModel.VIRTIO)),
        (("storahci",), DiskBus.SCSI, KVM, (DiskBus.SCSI, CardModel.E1000E)),
    ],
)
def test_a_windows_gets_what_conversion_gave_it_drivers_for(
    drivers: tuple[str, ...],
    bus: DiskBus | None,
    target: Capabilities,
    expected: tuple[DiskBus, CardModel],
) -> None:
    """The best that the target offers and the guest can drive; else SATA and e1000e."""
    hints = Hints(os="Windows Server 2019", drivers=drivers)
    spec = vm_spec(Standby("erp", "/images", bus=bus), hints, Shape(), target)
    assert (spec.bus, spec.card) == expected
    assert hints_from_json(hints_to_json(hints)) == hints


def test_a_vm_has_the_cards_that_its_guest_was_converted_for() -> None:
    """The address in the VM's definition is the one that conversion writes into the guest."""
    hints = Hints(nics=(NIC, Nic("enp4s0", "00:25:90:aa:bb:cd")))
    spec = vm_spec(Standby("erp", "/images"), hints, Shape(), KVM)
    changes = card_changes("erp", hints)
    assert [nic.mac for nic in spec.nics] == [change.new for change in changes]
    assert [change.old for change in changes] == [nic.mac for nic in hints.nics]
    assert spec.nics[0].addresses == NIC.addresses


def test_without_conversion_a_vm_has_the_source_s_cards() -> None:
    """A guest that is not converted may know its card by its address."""
    standby = Standby("erp", "/images", conversion=ConversionMode.NONE)
    assert vm_spec(standby, Hints(nics=(NIC,)), Shape(), KVM).nics == (NIC,)


def test_assigned_addresses_are_stable_different_and_in_the_range_for_manual_ones() -> None:
    """00:50:56:00:00:00 to 00:50:56:3f:ff:ff, as vCenter wants addresses that people assign."""
    made = [assigned_mac(name, number) for name in ("a", "erp", "web") for number in range(4)]
    assert made == [
        assigned_mac(name, number) for name in ("a", "erp", "web") for number in range(4)
    ]
    assert len(set(made)) == len(made)
    for mac in made:
        assert mac.startswith("00:50:56:")
        assert int(mac[9:11], 16) <= 0x3F
