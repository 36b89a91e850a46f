"""Drivers out of ISO files and folders, hostile ones too."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from engine.guests.windows.drivers import reading
from engine.guests.windows.drivers.inf import Arch, Target
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.model.errors import Failure
from engine.model.machine import Gravity
from tests.guests.phony_drivers import files, iso, put, virtio_win, vmware_tools

SERVER_2019 = Target(Arch.AMD64, 10, 0, 17763, 3)
SERVER_2008_R2 = Target(Arch.AMD64, 6, 1, 7601, 3)
WINDOWS_8_32 = Target(Arch.X86, 6, 2, 9200, 1)


def chosen(shelf: DriverShelf, target: Target) -> dict[str, str]:
    """Return the folders of the drivers that a Windows gets, by role."""
    return {one.role.name: one.package.folder for one in shelf.choose(target).drivers}


@pytest.mark.parametrize("kind", ["iso", "folder"])
def test_an_iso_and_a_folder_give_the_same_drivers(tmp_path: Path, kind: str) -> None:
    """Each Windows gets what was built for it; symbols and other devices are passed over."""
    folder = virtio_win(tmp_path / "virtio-win")
    path = iso(folder, tmp_path / "v.iso") if kind == "iso" else folder
    shelf = DriverShelf([path], tmp_path / "cache")

    assert chosen(shelf, SERVER_2019) == {
        "viostor": "viostor/2k19/amd64",
        "vioscsi": "vioscsi/2k19/amd64",
        "netkvm": "NetKVM/2k19/amd64",
    }
    assert chosen(shelf, SERVER_2008_R2)["viostor"] == "viostor/2k8R2/amd64"
    assert chosen(shelf, WINDOWS_8_32)["netkvm"] == "NetKVM/w8/x86"
    (source,) = shelf.sources()
    assert source.findings == ()
    assert len(source.drivers) == 15
    packages = shelf.choose(SERVER_2019).drivers[0].package.files
    assert sorted(packages) == ["viostor.cat", "viostor.inf", "viostor.sys"]


def test_drivers_of_vmware_are_found_where_its_iso_has_them(tmp_path: Path) -> None:
    """Folders with spaces, no matter how deep; both sources count."""
    tools = iso(vmware_tools(tmp_path / "tools"), tmp_path / "tools.iso")
    shelf = DriverShelf([virtio_win(tmp_path / "v"), tools], tmp_path / "cache")

    assert set(chosen(shelf, SERVER_2019)) == {"viostor", "vioscsi", "netkvm", "pvscsi", "vmxnet3"}
    assert chosen(shelf, SERVER_2019)["pvscsi"].endswith("Drivers/pvscsi/Win8/amd64")
    assert chosen(shelf, SERVER_2008_R2)["vmxnet3"].endswith("Win7/amd64")
    facts = {fact.folder: fact for fact in shelf.sources()[1].drivers}
    told = facts["Program Files/VMware/VMware Tools/Drivers/pvscsi/Win7/amd64/pvscsi.inf"]
    assert (told.device, told.version, told.refused) == (
        "VMware PVSCSI", "100.95.104.26200 2024-03-04", "",
    )  # fmt: skip
    assert told.systems == ("7 amd64", "2008 R2 amd64")


def test_an_iso_is_read_once_and_again_when_it_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second engine takes what the first one kept; a damaged or outdated copy is made anew."""
    read: list[Path] = []
    really = reading.read_files

    def counted(path: Path) -> Mapping[str, bytes]:
        read.append(path)
        return really(path)

    monkeypatch.setattr("engine.guests.windows.drivers.shelf.read_files", counted)
    folder = tmp_path / "v"
    put(folder / "a", files("viostor"))
    disc = iso(folder, tmp_path / "v.iso")
    cache = tmp_path / "cache"
    for _ in range(2):
        shelf = DriverShelf([disc], cache)
        assert set(chosen(shelf, SERVER_2019)) == {"viostor"}
        assert set(chosen(shelf, SERVER_2019)) == {"viostor"}
    assert len(read) == 1

    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    assert set(chosen(DriverShelf([disc], cache), SERVER_2019)) == {"viostor"}
    assert len(read) == 2

    put(folder / "b", files("netkvm"))
    iso(folder, disc)
    assert set(chosen(shelf, SERVER_2019)) == {"viostor", "netkvm"}
    assert len(read) == 3
    assert len(list(cache.iterdir())) == 1


def test_a_folder_is_read_again_when_a_file_in_it_changes(tmp_path: Path) -> None:
    """Drivers can be put there, and taken away, while the engine runs."""
    shelf = DriverShelf([tmp_path], tmp_path / "cache")
    assert chosen(shelf, SERVER_2019) == {}
    assert [one.key for one in shelf.sources()[0].findings] == ["driver:none"]
    put(tmp_path, files("viostor"))
    assert set(chosen(shelf, SERVER_2019)) == {"viostor"}
    (tmp_path / "viostor.sys").unlink()
    assert chosen(shelf, SERVER_2019) == {}
    (finding,) = shelf.sources()[0].findings
    assert finding.text == (
        "Driver package viostor.inf is not used: its file viostor.sys is missing."
    )
    assert finding.gravity is Gravity.WARNING
    assert finding.remedy


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _path: None, "no such file or directory"),
        (lambda path: path.write_bytes(b"no iso" * 10_000), "is no ISO"),
        (lambda path: path.write_bytes(bytes(0x8001) + b"CD001" + bytes(9000)), "is no ISO"),
        (os.mkfifo, "is neither a file nor a folder"),
    ],
)
def test_a_bad_source_is_a_finding(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    """Others are used all the same, and the finding says what to do."""
    make(tmp_path / "bad")
    put(tmp_path / "good", files("viostor"))
    shelf = DriverShelf([tmp_path / "bad", tmp_path / "good"], tmp_path / "cache")

    assert set(chosen(shelf, SERVER_2019)) == {"viostor"}
    (finding,) = shelf.sources()[0].findings
    assert words in finding.text
    assert finding.remedy


def test_a_cut_off_iso_is_a_finding(tmp_path: Path) -> None:
    """A download that ended early is told as such."""
    disc = iso(virtio_win(tmp_path / "v"), tmp_path / "v.iso")
    whole = disc.read_bytes()
    for size in (40_000, len(whole) // 2, len(whole) - 2048):
        disc.write_bytes(whole[:size])
        shelf = DriverShelf([disc], tmp_path / "cache")

        assert shelf.choose(SERVER_2019).drivers == ()
        assert f"has only {size} of the {len(whole)} bytes" in shelf.sources()[0].findings[0].text


def test_bits_that_flip_in_an_iso_never_raise(tmp_path: Path) -> None:
    """Whatever a damaged ISO holds: drivers that are whole, or findings."""
    put(tmp_path / "v" / "w10", files("viostor"))
    disc = iso(tmp_path / "v", tmp_path / "v.iso")
    whole = disc.read_bytes()
    for at in (0x8001 + 155, 0x8800 + 10, 0x9000 + 30, 20 * 2048 + 5, 28 * 2048 + 34):
        raw = bytearray(whole)
        raw[at : at + 8] = b"\xff" * 8
        disc.write_bytes(bytes(raw))
        DriverShelf([disc], tmp_path / "cache").choose(SERVER_2019)


def test_an_iso_that_would_fill_the_disk_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel ends the program that reads it, long before a disk is full."""
    monkeypatch.setattr(reading, "TOTAL", 1 << 20)
    put(tmp_path / "v", files("viostor"))
    with (tmp_path / "v" / "big.inf").open("wb") as file:
        file.truncate(8 << 20)
    disc = iso(tmp_path / "v", tmp_path / "v.iso")

    with pytest.raises(Failure, match="more than 1 MiB of drivers") as caught:
        reading.read_files(disc)
    assert "ISO of virtio-win" in caught.value.problem.remedy


def test_a_folder_with_too_many_files_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole file system that was named by mistake is not read."""
    monkeypatch.setattr(reading, "COUNT", 20)
    put(tmp_path / "v", {f"{number}.txt": b"" for number in range(30)})
    shelf = DriverShelf([tmp_path / "v"], tmp_path / "cache")

    assert shelf.choose(SERVER_2019).drivers == ()
    assert "more than 20 files" in shelf.sources()[0].findings[0].text


def test_links_lead_nowhere(tmp_path: Path) -> None:
    """A link in a folder is not followed; in an ISO it is no file."""
    secret = tmp_path / "secret"
    put(secret, files("viostor"))
    top = tmp_path / "v"
    put(top, files("netkvm"))
    (top / "other").symlink_to(secret)
    (top / "viostor.inf").symlink_to(secret / "viostor.inf")
    for path in (top, iso(top, tmp_path / "v.iso")):
        assert set(chosen(DriverShelf([path], tmp_path / "cache"), SERVER_2019)) == {"netkvm"}


def test_names_that_steer_patterns_are_only_names(tmp_path: Path) -> None:
    """Stars, brackets and backslashes in folders of an ISO; a file with two names."""
    odd = tmp_path / "v" / "^a[1]*b$" / "ünï"
    put(odd, files("viostor"))
    put(tmp_path / "v" / "z", files("netkvm"))
    (tmp_path / "v" / "z" / "viostor.sys").hardlink_to(odd / "viostor.sys")
    put(tmp_path / "v" / "z", {"viostor.cat": files("viostor")["viostor.cat"]})
    shelf = DriverShelf([iso(tmp_path / "v", tmp_path / "v.iso")], tmp_path / "cache")

    assert set(chosen(shelf, SERVER_2019)) == {"viostor", "netkvm"}
    assert shelf.sources()[0].findings == ()


def test_a_damaged_inf_is_told(tmp_path: Path) -> None:
    """One that speaks of our devices and cannot be read is a finding, others are nobody's."""
    put(tmp_path, {"a/x.inf": b"PCI\\VEN_1AF4 without form" + b"x" * 5000, "b/y.inf": b"junk"})
    shelf = DriverShelf([tmp_path], tmp_path / "cache")

    assert shelf.choose(SERVER_2019).drivers == ()
    (finding,) = shelf.sources()[0].findings
    assert finding.text.startswith("a/x.inf cannot be read: a line of it is longer")
