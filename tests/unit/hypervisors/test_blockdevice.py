"""A disk that was attached is found by what it is, and by nothing less."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.hypervisors.esxi.blockdevice import AttachedDisk, Wanted, names_in
from engine.model.errors import LayerError
from tests.vcsim.plugged import Plugged, page_83

MIB = 1 << 20
UUID = "6000C29e-4f21-9f1d-1b27-0a0b0c0d0e0f"
OTHER = "6000C29e-4f21-9f1d-1b27-ffffffffffff"


@pytest.fixture
def plugged(tmp_path: Path) -> Iterator[Plugged]:
    """Yield a machine without disks."""
    made = Plugged(tmp_path / "machine")
    yield made
    made.close()


def test_the_disk_on_which_all_three_agree_is_found(plugged: Plugged) -> None:
    """Among the machine's own disk and a neighbour, in any order of letters."""
    plugged.show("sda", 0, OTHER, 8 * MIB, slot=160)
    plugged.show("sdc", 2, OTHER[:-1] + "e", MIB)
    plugged.show("sdb", 1, UUID, MIB)
    found = plugged.devices().find(Wanted(192, 1, UUID, MIB))
    assert (found.name, found.address[1:]) == ("sdb", (0, 1, 0))


@pytest.mark.parametrize(
    ("unit", "uuid", "size", "slot", "why"),
    [
        (1, OTHER, MIB, 192, "no disk has its name, and sdb in its place has another"),
        (2, UUID, MIB, 192, "sdb has its name and hangs elsewhere"),
        (1, UUID, MIB, 160, "sdb has its name and hangs elsewhere"),
        (1, UUID, 2 * MIB, 192, "sdb has 2097152 bytes"),
    ],
)
def test_two_of_three_are_not_enough(
    plugged: Plugged, unit: int, uuid: str, size: int, slot: int, why: str
) -> None:
    """A disk that differs in name, place or size alone is not written to, and it is said why."""
    plugged.show("sdb", unit, uuid, size, slot=slot)
    pauses: list[float] = []
    with pytest.raises(LayerError, match=why):
        plugged.devices(pauses.append).find(Wanted(192, 1, UUID, MIB))
    assert len(pauses) == 40


def test_two_disks_of_one_name_are_a_doubt(plugged: Plugged) -> None:
    """Two layers of one disk have the same name: with both attached none is taken."""
    plugged.show("sdb", 1, UUID, MIB)
    plugged.show("sdc", 2, UUID, MIB)
    assert plugged.devices().look(Wanted(192, 1, UUID, MIB)) == (
        None,
        "2 disks have its name: sdb, sdc",
    )


def test_a_controller_without_a_slot_is_taken_when_nothing_else_is_there(plugged: Plugged) -> None:
    """A host that does not tell the slot still needs unit, name and size, and one place only."""
    wanted = Wanted(None, 1, UUID, MIB)
    plugged.show("sdb", 1, UUID, MIB)
    assert plugged.devices().find(wanted).name == "sdb"
    plugged.show("sda", 1, OTHER, MIB, slot=160)
    assert "several" in plugged.devices().look(wanted)[1]


def test_a_host_that_tells_no_name_finds_nothing(plugged: Plugged) -> None:
    """Without disk.EnableUUID disks tell no name; a name that is too short is none."""
    plugged.show("sdb", 1, UUID, MIB)
    assert "by what name" in plugged.devices().look(Wanted(192, 1, "", MIB))[1]
    assert plugged.devices().look(Wanted(192, 1, "6000c29e", MIB))[0] is None


def test_a_disk_that_comes_late_is_waited_for(plugged: Plugged) -> None:
    """The kernel shows a disk some time after the host said so, and is asked to look."""
    (plugged.sys / "class/scsi_host/host3").mkdir()

    def pause(_seconds: float) -> None:
        if (plugged.sys / "class/scsi_host/host3/scan").exists():
            plugged.show("sdb", 1, UUID, MIB)

    assert plugged.devices(pause).find(Wanted(192, 1, UUID, MIB)).name == "sdb"
    assert (plugged.sys / "class/scsi_host/host3/scan").read_text() == "0 1 0"


@pytest.mark.parametrize(
    "page", [b"", b"\0\x80\0\0", page_83("6000c29e")[:-1], b"\0\x83\0\x08\x01\x03\0\xff1234"]
)
def test_a_damaged_page_names_nothing(page: bytes) -> None:
    """What a disk says of itself is hostile input: too short, another page, too long inside."""
    try:
        assert names_in(page) == frozenset()
    except ValueError:
        return


def test_what_is_written_is_there_and_nothing_else_is(plugged: Plugged, tmp_path: Path) -> None:
    """Writes and zeros at odd offsets reach the very bytes, and survive the unplugging."""
    file = tmp_path / "disk"
    file.write_bytes(b"p" * MIB)
    plugged.plug(file, 1, UUID)
    devices = plugged.devices()
    disk = AttachedDisk(devices, devices.find(Wanted(192, 1, UUID, MIB)), MIB, writable=True)
    want = bytearray(b"p" * MIB)
    for offset, length in ((1, 3), (700, 90_000), (200_000, 0), (MIB - 5, 5), (512, 1024)):
        disk.zero(offset, length)
        want[offset : offset + length] = bytes(length)
    disk.write(300_001, memoryview(b"x" * 70_000))
    want[300_001:370_001] = b"x" * 70_000
    disk.flush()
    disk.evict()
    back = bytearray(MIB)
    disk.read(0, memoryview(back))
    disk.close()
    plugged.close()
    assert back == want == file.read_bytes()


def test_a_disk_that_is_in_use_or_became_another_is_not_opened(
    plugged: Plugged, tmp_path: Path
) -> None:
    """Held by somebody else, exchanged after it was found, or no device at all: refused."""
    file = tmp_path / "disk"
    file.write_bytes(bytes(MIB))
    name = plugged.plug(file, 1, UUID)
    devices = plugged.devices()
    found = devices.find(Wanted(192, 1, UUID, MIB))
    holder = os.open(plugged.dev / name, os.O_RDONLY | os.O_EXCL)
    with pytest.raises(LayerError, match="Something on this machine uses"):
        devices.open(found, writable=True)
    os.close(holder)
    (plugged.dev / name).unlink()
    (plugged.dev / name).write_bytes(bytes(MIB))
    with pytest.raises(LayerError, match="another disk"):
        devices.open(found, writable=True)
