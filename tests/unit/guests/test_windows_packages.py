"""Which driver packages are used for a Windows, and why others are not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from engine.guests.windows.drivers.inf import Arch, Target
from engine.guests.windows.drivers.package import Driver, Package, Refusal, best, driver_of
from engine.guests.windows.drivers.pe import (
    NoProgram,
    is_catalogue,
    is_signed_data,
    read_program,
)
from tests.guests.phony_drivers import catalogue, files, package, program, signed

SERVER_2019 = Target(Arch.AMD64, 10, 0, 17763, 3)
SERVER_2008_R2 = Target(Arch.AMD64, 6, 1, 7601, 3)
WINDOWS_7_32 = Target(Arch.X86, 6, 1, 7601, 1)


def driver(content: Mapping[str, bytes], target: Target = SERVER_2019, folder: str = "") -> Driver:
    """Return the driver of a package that must be usable."""
    found = driver_of(package(content, folder), target)
    assert isinstance(found, Driver), found
    return found


def refused(content: Mapping[str, bytes], target: Target = SERVER_2019) -> str:
    """Return why a package is refused."""
    found = driver_of(package(content), target)
    assert isinstance(found, Refusal), found
    assert found.remedy
    return found.why


def test_a_whole_package_is_a_driver() -> None:
    """Role, service, file and the two ids of the device come out; nothing is doubted."""
    found = driver(files("viostor"))

    assert (found.role.name, found.service.name, found.file) == (
        "viostor", "viostor", "viostor.sys",
    )  # fmt: skip
    assert found.ids == (r"PCI\VEN_1AF4&DEV_1001", r"PCI\VEN_1AF4&DEV_1042")
    assert found.content == files("viostor")["viostor.sys"]
    assert found.doubts == ()


@pytest.mark.parametrize("name", ["vioscsi", "pvscsi", "netkvm", "vmxnet3"])
def test_each_virtual_device_has_its_role(name: str) -> None:
    """Controllers and cards of KVM and of ESXi are told apart by their ids."""
    assert driver(files(name)).role.name == name


@pytest.mark.parametrize(
    ("content", "target", "folder"),
    [
        (files("balloon"), SERVER_2019, ""),
        (files("viostor", decorations=("NTamd64.10.0",)), SERVER_2008_R2, ""),
        (files("viostor", "x86", decorations=("NTx86",)), SERVER_2019, ""),
        (files("viostor"), SERVER_2019, "viostor/2k22/amd64"),
        (files("viostor"), SERVER_2008_R2, "Drivers/pvscsi/Win8/amd64"),
    ],
)
def test_what_is_for_others_is_passed_over(
    content: Mapping[str, bytes], target: Target, folder: str
) -> None:
    """Another device, another Windows, another processor: no finding, no driver."""
    assert driver_of(package(content, folder), target) is None


def without(name: str) -> dict[str, bytes]:
    """Return a package of which one file is gone."""
    return {path: content for path, content in files("viostor").items() if path != name}


def changed(name: str, content: bytes) -> dict[str, bytes]:
    """Return a package of which one file is another one."""
    return files("viostor") | {name: content}


def inf(old: str, new: str) -> dict[str, bytes]:
    """Return a package with another text in its `.inf`."""
    text = files("viostor")["viostor.inf"].decode("utf-16")
    assert old in text
    return changed("viostor.inf", text.replace(old, new).encode("utf-16"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (without("viostor.sys"), "viostor.sys is missing"),
        (without("viostor.cat"), "catalogue viostor.cat is missing"),
        (changed("viostor.cat", b"no catalogue"), "no signed list of files"),
        (changed("viostor.cat", signed("06092a864886f70d010701", b"x")), "no signed list"),
        (changed("viostor.cat", catalogue(b"x")[:-1]), "no signed list of files"),
        (changed("viostor.sys", b"MZ"), "is damaged: it ends within its head"),
        (changed("viostor.sys", b"ELF"), "is damaged: it does not begin as a program"),
        (changed("viostor.sys", program("x86")), "is for x86, not for amd64"),
        (changed("viostor.sys", program("arm64")), "is for arm64, not for amd64"),
        (changed("viostor.sys", program(native=False)), "does not run in the kernel"),
        (changed("viostor.sys", program(sign=False)), "carries no signature"),
        (
            changed("viostor.sys", program().replace(b"driver", b"DRIVER")),
            "was changed after it was signed",
        ),
        (inf("CatalogFile=", "Cat="), "names no catalogue"),
        (inf("AddService", "NoService"), "names no service"),
        (inf("0x00000002, Service", "0x00000000, Service"), "names no service"),
        (inf("AddService = viostor", r"AddService = ..\viostor"), "a name that is not taken"),
        (inf(r"%12%\viostor.sys", r"%12%\vio:stor.sys"), "a name that is not taken"),
        (inf(r"%12%\viostor.sys", r"%12%\other.sys"), "driver other.sys is missing"),
        (inf(r"%12%\viostor.sys", r"%11%\cmd.exe"), "is no driver but cmd.exe"),
        (inf("viostor.sys,,,2", "viostor.sys,,,2\r\nviostor.dll"), "viostor.dll is missing"),
    ],
)
def test_a_package_that_is_not_whole_is_refused(content: dict[str, bytes], why: str) -> None:
    """Each refusal says what is wrong with which file."""
    assert why in refused(content)


def test_a_driver_that_its_catalogue_does_not_list_is_doubted() -> None:
    """It is used all the same, for a boot driver carries a signature of its own."""
    (doubt,) = driver(changed("viostor.cat", catalogue(b"something else"))).doubts

    assert "is not listed in its catalogue" in doubt


def test_a_card_needs_no_signature_of_its_own_nor_a_disk_of_32_bits() -> None:
    """Only a 64-bit Windows asks it of the drivers that it starts with."""
    unsigned = {"netkvm.sys": program(sign=False)}
    assert driver(files("netkvm") | unsigned).role.name == "netkvm"
    old = files("viostor", "x86", decorations=("NTx86",))
    old["viostor.sys"] = program("x86", sign=False)
    assert driver(old, WINDOWS_7_32).file == "viostor.sys"


def test_of_several_the_nearest_and_newest_is_taken() -> None:
    """First what was built for the nearest Windows, then the newest, then the first by name."""
    old = driver(files("viostor", version="01/01/2020,1.0.0.1"), folder="viostor/2k19/amd64")
    new = driver(files("viostor", version="01/02/2024,1.0.0.2"), folder="viostor/2k16/amd64")
    newer = driver(files("viostor", version="01/02/2021,1.0.0.1"), folder="viostor/2k19/amd64")
    twin = driver(files("viostor", version="01/02/2021,1.0.0.1"), folder="A/2k19/amd64")

    assert best([old, new]) is old
    assert best([old, new, newer]) is newer
    assert best([newer, twin]) is twin


@pytest.mark.parametrize("cut", [1, 59, 63, 131, 150, 200, 300, 511, 600])
def test_a_program_that_is_cut_off_is_an_error_with_words(cut: int) -> None:
    """No offset leads out of the bytes that are there."""
    with pytest.raises(NoProgram, match=r"\w"):
        read_program(program()[:cut])


def test_offsets_that_lead_astray_are_refused() -> None:
    """A signature in the head or behind the end is none."""
    for where, size in ((8, 16), (2**32 - 8, 16), (520, 2**32 - 1)):
        raw = bytearray(program())
        raw[152 + 112 + 32 : 152 + 112 + 40] = where.to_bytes(4, "little") + size.to_bytes(
            4, "little"
        )
        with pytest.raises(NoProgram, match="signature"):
            read_program(bytes(raw))


@pytest.mark.parametrize(
    "raw", [b"", b"\x30", b"\x30\x85" + b"\1" * 9, b"\x30\x84\xff\xff\xff\xff", b"\x30\x80" * 20]
)
def test_what_is_no_der_is_no_signature(raw: bytes) -> None:
    """Lengths that lead out of the bytes, or that are not told, are refused."""
    assert not is_signed_data(raw)
    assert not is_catalogue(raw)


def test_names_are_found_in_any_case() -> None:
    """An `.inf` spells its files as it likes."""
    content = {name.upper(): data for name, data in files("viostor").items()}
    made: Package = package(content)

    assert isinstance(driver_of(made, SERVER_2019), Driver)
    assert made.spelled["viostor.sys"] == "VIOSTOR.SYS"
