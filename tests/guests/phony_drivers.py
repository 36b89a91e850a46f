"""Driver packages that look like those of virtio-win and VMware Tools; nothing in them runs."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.guests.windows.drivers.inf import Inf, parse
from engine.guests.windows.drivers.package import Package

MACHINES = {"x86": 0x14C, "amd64": 0x8664, "arm64": 0xAA64}
SCSI = ("SCSIAdapter", "{4D36E97B-E325-11CE-BFC1-08002BE10318}")
NET = ("Net", "{4D36E972-E325-11CE-BFC1-08002BE10318}")
IDS = {
    "viostor": (r"PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00", r"PCI\VEN_1AF4&DEV_1042"),
    "vioscsi": (r"PCI\VEN_1AF4&DEV_1004", r"PCI\VEN_1AF4&DEV_1048&SUBSYS_11001AF4"),
    "netkvm": (r"PCI\VEN_1AF4&DEV_1000", r"PCI\VEN_1AF4&DEV_1041"),
    "pvscsi": (r"PCI\VEN_15AD&DEV_07C0",),
    "vmxnet3": (r"PCI\VEN_15AD&DEV_07B0",),
    "balloon": (r"PCI\VEN_1AF4&DEV_1002",),
}


def der(tag: int, content: bytes) -> bytes:
    """Return one DER value."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes(4, "big")
    return bytes([tag, 0x84]) + length + content


def signed(kind: str, content: bytes) -> bytes:
    """Return a signed message whose content has a type (`1.3.6…` as hex of its DER)."""
    inner = der(0x30, bytes.fromhex(kind) + der(0xA0, der(0x04, content)))
    body = der(0x02, b"\1") + der(0x31, der(0x30, b"\5\0")) + inner
    return der(0x30, bytes.fromhex("06092a864886f70d010702") + der(0xA0, der(0x30, body)))


def catalogue(*digests: bytes) -> bytes:
    """Return a catalogue that lists digests."""
    return signed("06092b0601040182370a01", b"".join(digests))


def program(
    arch: str = "amd64", *, native: bool = True, sign: bool = True, body: bytes = b"driver"
) -> bytes:
    """Return a driver's file: a head as Windows wants it, some bytes, an embedded signature."""
    head = bytearray(512)
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 60, 128)
    head[128:132] = b"PE\0\0"
    is_wide = arch != "x86"
    struct.pack_into("<H", head, 132, MACHINES[arch])
    struct.pack_into("<H", head, 152, 0x20B if is_wide else 0x10B)
    struct.pack_into("<H", head, 152 + 68, 1 if native else 3)
    directories = 152 + (112 if is_wide else 96)
    struct.pack_into("<I", head, directories - 4, 16)
    whole = head + body.ljust(-(-len(body) // 8) * 8, b"\0")
    if not sign:
        return bytes(whole)
    digest = digest_of(bytes(whole), directories)
    table = signed("060a2b060104018237020104", digest)
    entry = struct.pack("<IHH", 8 + len(table), 0x200, 2) + table
    struct.pack_into("<II", whole, directories + 32, len(whole), len(entry))
    return bytes(whole) + entry


def digest_of(data: bytes, directories: int) -> bytes:
    """Return the digest that signing is about, of a program that has no signature yet."""
    parts = data[: 152 + 64], data[152 + 68 : directories + 32], data[directories + 40 :]
    return hashlib.sha256(b"".join(parts)).digest()


def inf_text(
    name: str,
    *,
    decorations: Sequence[str] = ("NTamd64",),
    version: str = "03/04/2024,100.95.104.26200",
    ids: Sequence[str] = (),
    extra: str = "",
) -> str:
    """Return an `.inf` in the form those of virtio-win have."""
    kind, guid = NET if name in ("netkvm", "vmxnet3") else SCSI
    start = 3 if kind == "Net" else 0
    models = "\r\n".join(
        f"[Devices.{decoration}]\r\n%Device% = Install, {', '.join(ids or IDS[name])}"
        for decoration in decorations
    )
    return "\r\n".join(
        [
            f"; {name} - a comment; and more",
            "[Version]",
            'Signature="$Windows NT$"',
            f"Class={kind}",
            f"ClassGUID={guid}",
            "Provider=%Vendor%",
            f"DriverVer={version} ; stamped",
            f"CatalogFile={name}.cat",
            "[SourceDisksNames]",
            '1 = %Disk%,,,""',
            "[SourceDisksFiles]",
            f"{name}.sys = 1,,",
            "[DestinationDirs]",
            "Files = 12",
            "[Manufacturer]",
            f"%Vendor% = Devices,{','.join(decorations)}",
            models,
            "[Files]",
            f"{name}.sys,,,2",
            "[Install]",
            "CopyFiles=Files",
            "[Install.Services]",
            f"AddService = {name}, 0x00000002, Service, EventLog",
            "[Service]",
            "ServiceType    = %KERNEL%",
            f"StartType      = {start}",
            "ErrorControl   = 1",
            f"ServiceBinary  = %12%\\{name}.sys",
            "LoadOrderGroup = SCSI miniport" if kind == "SCSIAdapter" else "LoadOrderGroup = NDIS",
            "AddReg         = Parameters",
            "[Parameters]",
            r'HKR, "Parameters\PnpInterface", "5", %REG_DWORD%, 0x00000001',
            r'HKR, "Parameters", "BusType", %REG_DWORD%, \ ',
            "   0x00000001",
            r'HKR,,EventMessageFile,%EXPAND%,"%%SystemRoot%%\IoLogMsg.dll"',
            extra,
            "[Strings]",
            'Vendor = "Phony, Inc."',
            'Device = "Phony ""100"" device"',
            'Disk = "Disk; 1"',
            "REG_DWORD = 0x00010001",
            "KERNEL = 1",
            "EXPAND = 0x00020000",
            "",
        ]
    )


def files(name: str, arch: str = "amd64", **told: object) -> dict[str, bytes]:
    """Return the files of one whole package."""
    driver = program(arch, body=f"{name} {told}".encode())
    digest = hashlib.sha256(b"").digest()
    where = driver.rfind(bytes.fromhex("060a2b060104018237020104"))
    if where > 0:
        digest = driver[-32:]
    text = inf_text(name, **told)  # type: ignore[arg-type]  # as inf_text takes them
    return {
        f"{name}.inf": b"\xff\xfe" + text.encode("utf-16-le"),
        f"{name}.sys": driver,
        f"{name}.cat": catalogue(digest),
    }


def package(content: Mapping[str, bytes], folder: str = "", source: str = "/iso") -> Package:
    """Return the package in a folder's files."""
    name = next(path for path in content if path.lower().endswith(".inf"))
    inf: Inf = parse(content[name])
    lower = {path.lower(): data for path, data in content.items()}
    return Package(source, folder, name, inf, lower, {path.lower(): path for path in content})


def virtio_win(top: Path) -> Path:
    """Lay out a folder as the virtio-win ISO is: drivers, then Windows, then processors."""
    for name, title in (("viostor", "viostor"), ("vioscsi", "vioscsi"), ("netkvm", "NetKVM"),
                        ("balloon", "Balloon")):  # fmt: skip
        for system, decoration in (("2k8R2", "6.1"), ("w8", "6.2"), ("2k19", "10.0...17763"),
                                   ("2k22", "10.0...20348")):  # fmt: skip
            for arch in ("amd64", "x86"):
                if arch == "x86" and system.startswith("2k"):
                    continue
                content = files(name, arch, decorations=(f"NT{arch}.{decoration}",))
                put(top / title / system / arch, content)
                (top / title / system / arch / f"{name}.pdb").write_bytes(b"symbols" * 1000)
    (top / "readme.txt").write_text("phony")
    return top


def vmware_tools(top: Path) -> Path:
    """Lay out a folder as VMware Tools' drivers are."""
    for name, title in (("pvscsi", "pvscsi"), ("vmxnet3", "vmxnet3")):
        for system, decoration in (("Win7", "6.1"), ("Win8", "6.2")):
            content = files(name, decorations=(f"NTamd64.{decoration}",))
            put(top / "Program Files/VMware/VMware Tools/Drivers" / title / system / "amd64",
                content)  # fmt: skip
    return top


def put(folder: Path, content: Mapping[str, bytes]) -> None:
    """Write files into a folder."""
    for path, data in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def iso(folder: Path, to: Path) -> Path:
    """Make an ISO of a folder with a program of the distribution."""
    command = ["genisoimage", "-quiet", "-J", "-R", "-V", "PHONY", "-o", str(to), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return to
