"""What is read out of `.inf` files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.guests.windows.drivers.inf import Arch, Target, number, parse
from engine.guests.windows.drivers.inftext import InfDamaged
from tests.guests.phony_drivers import IDS, inf_text

SERVER_2019 = Target(Arch.AMD64, 10, 0, 17763, 3)
SERVER_2008_R2 = Target(Arch.AMD64, 6, 1, 7601, 3)
WINDOWS_7_32 = Target(Arch.X86, 6, 1, 7601, 1)
WINDOWS_11 = Target(Arch.AMD64, 10, 0, 22631, 1)


@pytest.mark.parametrize("form", ["utf-16", "utf-8-sig", "cp1252", "utf-16-le"])
def test_an_inf_is_read_in_any_encoding(form: str) -> None:
    """Vendors write UTF-16, UTF-8 with a mark, and ANSI; all say the same."""
    inf = parse(inf_text("viostor").encode(form))

    assert (inf.class_name, inf.provider) == ("SCSIAdapter", "Phony, Inc.")
    assert inf.class_guid == "{4D36E97B-E325-11CE-BFC1-08002BE10318}"
    assert (inf.date, inf.version) == ("2024-03-04", (100, 95, 104, 26200))


def test_quotes_comments_strings_and_long_lines() -> None:
    """A semicolon in quotes is text, two percent signs are one, a backslash goes on."""
    inf = parse(inf_text("viostor").encode("utf-16"))
    (model,) = inf.models(SERVER_2019)

    assert model.description == 'Phony "100" device'
    assert model.ids == IDS["viostor"]
    assert inf.value("SourceDisksNames", "1") == "Disk; 1"
    assert inf.files("Install", SERVER_2019) == ["viostor.sys"]
    service = inf.service("Install", SERVER_2019)
    assert service is not None
    assert (service.name, service.binary, service.type, service.start) == (
        "viostor", "viostor.sys", 1, 0,
    )  # fmt: skip
    assert service.group == "SCSI miniport"
    assert [(s.key, s.name, s.kind, s.data) for s in service.settings] == [
        (r"Parameters\PnpInterface", "5", 0x10001, ("0x00000001",)),
        ("Parameters", "BusType", 0x10001, ("0x00000001",)),
        ("", "EventMessageFile", 0x20000, (r"%SystemRoot%\IoLogMsg.dll",)),
    ]


@pytest.mark.parametrize(
    ("decorations", "target", "chosen"),
    [
        (["NTamd64.6.1", "NTamd64.10.0"], SERVER_2019, "ntamd64.10.0"),
        (["NTamd64.6.1", "NTamd64.10.0"], SERVER_2008_R2, "ntamd64.6.1"),
        (["NTamd64.6.2", "NTx86.6.1"], SERVER_2008_R2, None),
        (["NTamd64.10.0...20348", "NTamd64.10.0...14393"], SERVER_2019, "ntamd64.10.0...14393"),
        (["NTamd64.6.1.1", "NTamd64.6.1.3"], SERVER_2008_R2, "ntamd64.6.1.3"),
        (["NTamd64.6.1.1"], SERVER_2008_R2, None),
        (["NTamd64...2"], SERVER_2008_R2, None),
        (["NT.6.1", "NTx86.5.1"], WINDOWS_7_32, "nt.6.1"),
        (["NT.6.1"], SERVER_2008_R2, None),
        (["NTamd64", "NTia64"], WINDOWS_7_32, None),
        (["NTamd64.x.1"], SERVER_2019, None),
        (["NTamd64.6.1.......9"], SERVER_2019, None),
    ],
)
def test_the_closest_models_section_is_taken(
    decorations: list[str], target: Target, chosen: str | None
) -> None:
    """Processor, version, kind of product and build decide, as Windows decides."""
    text = inf_text("viostor", decorations=decorations)
    for decoration in decorations:
        text = text.replace(
            f"[Devices.{decoration}]\r\n%Device%", f"[Devices.{decoration}]\r\n{decoration.lower()}"
        )
    found = [model.description for model in parse(text.encode("utf-16")).models(target)]

    assert found == ([chosen] if chosen else [])


def test_an_undecorated_section_is_for_32_bits_only() -> None:
    """Since Server 2003 a 64-bit Windows asks for its processor's name."""
    text = inf_text("viostor").replace("Devices,NTamd64", "Devices").replace(".NTamd64]", "]")
    inf = parse(text.encode("cp1252"))

    assert len(inf.models(WINDOWS_7_32)) == 1
    assert inf.models(SERVER_2019) == []


def test_files_lie_where_the_disks_say() -> None:
    """Folders of SourceDisksNames and SourceDisksFiles are put before a file's name."""
    text = inf_text("viostor", extra='[SourceDisksNames.amd64]\r\n1 = %Disk%,,,"\\amd64"\r\n')
    text = text.replace("viostor.sys = 1,,", "viostor.sys = 1,sub")
    inf = parse(text.encode("utf-16"))

    assert inf.files("install", SERVER_2019) == ["amd64/sub/viostor.sys"]
    assert inf.files("install", WINDOWS_7_32) == ["sub/viostor.sys"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 64,
        b"MZ\x90\0binary",
        b"[Version",
        b"[Version]\r\nClass=Net",
        b"[Version]\nSignature=x\n" + b"a" * 5000,
        b"[Version]\nSignature=x\n" + b"a\n" * 30_000,
        b"[Version]\nSignature=x\n" + b"a," * 1000,
        b"[Version]\nSignature=x\n" + b"a,\\\n" * 3000,
        b"x" * (3 << 20),
    ],
)
def test_what_is_no_inf_is_refused(raw: bytes) -> None:
    """Too long, binary, without form: one kind of error, with words."""
    with pytest.raises(InfDamaged, match=r"\w"):
        parse(raw)


def test_strings_that_name_one_another_end() -> None:
    """A text is replaced once: no loop, no growth."""
    text = '[Version]\nSignature=%a%\n[Strings]\na = "%b%%b%"\nb = "%a%%a%"\n'
    assert parse(text.encode()).value("version", "signature") == "%b%%b%"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(
    ["[", "]", "=", ",", '"', "%", ";", "\\", "\n", "\r\n", "\0", "Version", "Signature", "$",
     "Manufacturer", "Devices", "NTamd64", ".6.1", "a", "\ud7ff", "PCI\\VEN_1AF4&DEV_1001"]
), max_size=120))  # fmt: skip
def test_only_one_kind_of_error_leaves_the_parser(parts: list[str]) -> None:
    """Whatever a file holds: it is read, or refused in words."""
    head = "[Version]\nSignature=x\n[Manufacturer]\nv=Devices,NTamd64\n"
    for raw in ("".join(parts).encode("utf-16"), (head + "".join(parts)).encode("utf-16")):
        try:
            inf = parse(raw)
        except InfDamaged:
            continue
        for model in inf.models(SERVER_2019):
            inf.service(model.install, SERVER_2019)
            inf.files(model.install, SERVER_2019)


@pytest.mark.parametrize("text", ["", "x", "0x", "9" * 20, "-1", "\u0663"])
def test_what_is_no_number_is_the_default(text: str) -> None:
    """Decimal and hexadecimal are read; everything else is the default."""
    assert (number("3"), number("0x10"), number(" 2 ")) == (3, 16, 2)
    assert number(text, 7) == 7
