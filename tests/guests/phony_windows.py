"""Disks that look like a Windows machine's: real NTFS and FAT, real hives, nothing that runs.

BIOS: [ MBR | System Reserved (NTFS): bootmgr, Boot/BCD | Windows (NTFS) ]
UEFI: [ GPT | ESP (FAT): EFI/Microsoft/Boot             | Windows (NTFS) ]
"""

import os
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.guests.backends.ntfs import NtfsVolume
from engine.model.guest import Action, FileEdit, FileSystem, Owner, Volume, VolumeId
from engine.model.machine import Firmware

MIB = 1 << 20
SYSTEM_RESERVED, WINDOWS, SECOND = 1 * MIB, 16 * MIB, 48 * MIB
"""Where volumes start, in bytes."""
SIZES = {SYSTEM_RESERVED: 14 * MIB, WINDOWS: 30 * MIB, SECOND: 14 * MIB}
DISK = 64 * MIB
CONFIG = b"/Windows/System32/config/"
LOADER = b"MZ bootmgfw" * 500

Value = str | int
Tree = Mapping[str, "Tree | Value"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one phony machine is.

    Attributes:
        files: Beside those that every Windows has, or instead of them; by path on the system
            volume.
        hibernated, bitlocker, journal: As the words say; `journal`: a log that is not finished.
        second: Another installation on a third volume.
        boots: Whether there is a boot manager with its BCD.
    """

    firmware: Firmware = Firmware.BIOS
    version: Tree = field(default_factory=lambda: SERVER_2019)
    files: Mapping[bytes, bytes] = field(default_factory=dict)
    hibernated: bool = False
    bitlocker: bool = False
    journal: bool = False
    second: bool = False
    boots: bool = True


SERVER_2019: Tree = {
    "ProductName": "Windows Server 2019 Standard",
    "InstallationType": "Server",
    "CurrentVersion": "6.3",
    "CurrentMajorVersionNumber": 10,
    "CurrentMinorVersionNumber": 0,
    "CurrentBuild": "17763",
    "CurrentBuildNumber": "17763",
    "ReleaseId": "1809",
    "UBR": 5329,
}
SERVER_2008_R2: Tree = {
    "ProductName": "Windows Server 2008 R2 Enterprise",
    "InstallationType": "Server",
    "CurrentVersion": "6.1",
    "CurrentBuild": "7601",
    "CurrentBuildNumber": "7601",
    "CSDVersion": "Service Pack 1",
}
WINDOWS_11: Tree = {
    "ProductName": "Windows 10 Pro",
    "InstallationType": "Client",
    "CurrentVersion": "6.3",
    "CurrentMajorVersionNumber": 10,
    "CurrentMinorVersionNumber": 0,
    "CurrentBuild": "22631",
    "CurrentBuildNumber": "22631",
    "ReleaseId": "2009",
    "DisplayVersion": "23H2",
    "UBR": 3007,
}


def software(version: Tree) -> bytes:
    """Return a hive SOFTWARE that names a version, among many other keys."""
    fillers: dict[str, Tree | Value] = {f"Filler {number:03}": {} for number in range(300)}
    return hive({"Microsoft": {**fillers, "Windows NT": {"CurrentVersion": version}}})


def files_of(recipe: Recipe) -> Mapping[bytes, bytes]:
    """Return the files of the system volume."""
    winload = b"winload.efi" if recipe.firmware is Firmware.UEFI else b"winload.exe"
    hives = {
        CONFIG + b"SYSTEM": hive({"Select": {"Current": 1, "Default": 1}, "ControlSet001": {}}),
        CONFIG + b"SOFTWARE": software(recipe.version),
        CONFIG + b"SYSTEM.LOG1": b"",
    }
    programs = {
        b"/Windows/System32/ntoskrnl.exe": b"MZ kernel" * 100,
        b"/Windows/System32/" + winload: b"MZ loader" * 100,
        b"/Windows/System32/drivers/storahci.sys": b"MZ driver" * 100,
        b"/Windows/explorer.exe": b"MZ",
        b"/Program Files/desktop.ini": b"[x]",
        b"/Users/Public/desktop.ini": b"[x]",
        b"/pagefile.sys": bytes(1 << 16),
    }
    memory = b"hibr" if recipe.hibernated else b"\0\0\0\0"
    return {**programs, **hives, b"/hiberfil.sys": memory + bytes(8192), **recipe.files}


def build(path: Path, recipe: Recipe) -> Path:
    """Make the raw disk of one phony machine."""
    with path.open("wb") as file:
        file.truncate(DISK)
    is_efi = recipe.firmware is Firmware.UEFI
    run("sfdisk", "-q", "--no-tell-kernel", str(path), feed=_table(recipe, is_efi=is_efi))
    if is_efi:
        _make_esp(path, has_loader=recipe.boots)
    else:
        boot = {b"/bootmgr": b"MZ bootmgr" * 100, b"/Boot/BCD": hive({"Objects": {}})}
        make_ntfs(path, SYSTEM_RESERVED, boot if recipe.boots else {}, label="System Reserved")
    make_ntfs(path, WINDOWS, files_of(recipe), label="Windows")
    if recipe.second:
        make_ntfs(path, SECOND, files_of(Recipe(version=SERVER_2008_R2)), label="Old")
    if recipe.journal:
        leave_journal(path, WINDOWS)
    if recipe.bitlocker:
        patch(path, WINDOWS + 3, b"-FVE-FS-")
    return path


def make_ntfs(disk: Path, start: int, files: Mapping[bytes, bytes], label: str = "") -> Volume:
    """Make NTFS in one of the places of a disk, with files in it."""
    part = disk.with_name(f"{disk.name}.part")
    with part.open("wb") as file:
        file.truncate(SIZES[start])
    run("mkntfs", "-F", "-Q", "-q", "-T", "-L", label, "-p", str(start // 512), "-H", "255",
        "-S", "63", str(part))  # fmt: skip
    run("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={start // MIB}", "conv=notrunc,sparse")
    part.unlink()
    volume = Volume(VolumeId(label), 0, 1, start, SIZES[start], FileSystem.NTFS)
    NtfsVolume(disk, volume).write(_edits(volume.id, files))
    return volume


def _edits(volume: VolumeId, files: Mapping[bytes, bytes]) -> Sequence[FileEdit]:
    folders: dict[bytes, None] = {}
    for path in files:
        parts = path.split(b"/")
        folders |= {b"/".join(parts[:depth]): None for depth in range(2, len(parts))}
    made = [(path, Action.MKDIR, b"") for path in folders]
    made += [(path, Action.WRITE, content) for path, content in files.items()]
    return [FileEdit(volume, path, what, None, new, Owner(), "") for path, what, new in made]


def _table(recipe: Recipe, *, is_efi: bool) -> str:
    starts = [SYSTEM_RESERVED, WINDOWS, *([SECOND] if recipe.second else [])]
    kinds = ["7", "7", "7"]
    if is_efi:
        data = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
        kinds = ["C12A7328-F81F-11D2-BA4B-00A0C93EC93B", data, data]
    head = "label: gpt\n" if is_efi else "label: dos\nlabel-id: 0x1234abcd\n"
    return head + "".join(
        f"start={start // 512}, size={SIZES[start] // 512}, type={kind}\n"
        for start, kind in zip(starts, kinds, strict=False)
    )


def _make_esp(disk: Path, *, has_loader: bool) -> None:
    image = f"{disk}@@{SYSTEM_RESERVED}"
    sectors = str(SIZES[SYSTEM_RESERVED] // 512)
    run("mformat", "-i", image, "-N", "CAFE0816", "-T", sectors, "-h", "16", "-s", "32", "::")
    if not has_loader:
        return
    run("mmd", "-i", image, "::/EFI", "::/EFI/Microsoft", "::/EFI/Microsoft/Boot")
    for name, content in (("bootmgfw.efi", LOADER), ("BCD", hive({"Objects": {}}))):
        file = disk.with_name(f"{disk.name}.{name}")
        file.write_bytes(content)
        run("mcopy", "-i", image, str(file), f"::/EFI/Microsoft/Boot/{name}")
        file.unlink()


def patch(disk: Path, at: int, content: bytes) -> None:
    """Overwrite bytes of a disk."""
    with disk.open("r+b") as file:
        file.seek(at)
        file.write(content)


def leave_journal(
    disk: Path,
    start: int,
    *,
    is_clean: bool = False,
    version: int = 1,
    numbers: tuple[int, int] = (0x100000, 0x100000),
) -> int:
    """Leave a log with one client in it that has not ended, or has; return where it lies.

    Args:
        version: 2 is the log of a Windows since 8 that is running.
        numbers: Of the record from which on records are to be replayed, and of the newest one.
    """
    run_list = run("ntfsinfo", "-v", "-i", "2", _slice(disk, start)).decode()
    cluster = int(run_list.rpartition("Runlist:")[2].split()[4], 16)
    where = start + cluster * 4096
    for page in (0, 4096):
        patch(disk, where + page, _restart_page(version, numbers, is_clean=is_clean))
    return where


def _slice(disk: Path, start: int) -> str:
    """Return a copy of one volume, for programs that know no offsets."""
    part = disk.with_name(f"{disk.name}.slice")
    part.write_bytes(disk.read_bytes()[start : start + SIZES[start]])
    return str(part)


def _restart_page(version: int, numbers: tuple[int, int], *, is_clean: bool) -> bytes:
    """Return a restart page of the log of NTFS 3.1.

    Source: Linux, fs/ntfs/logfile.h (6.8), RESTART_PAGE_HEADER, RESTART_AREA, LOG_CLIENT_RECORD.
    """
    none, log_size, (oldest, newest) = 0xFFFF, 2 * MIB, numbers
    in_use, free, flags = (none, 0, 2) if is_clean else (0, none, 0)
    bits = 67 - log_size.bit_length()
    page = bytearray(4096)
    struct.pack_into(
        "<4sHHQIIHhh", page, 0, b"RSTR", 0x1E, 9, 0, 4096, 4096, 0x30, 2 - version, version
    )
    struct.pack_into("<QHHHHIHHQIHHII", page, 0x30, newest, 1, free, in_use, flags, bits, 0xD0,
                     0x30, log_size, 0, 0x30, 0x40, 1, 0)  # fmt: skip
    struct.pack_into("<QQHHHxxxxxxI8s", page, 0x60, oldest, oldest, none, none, 0, 8,
                     "NTFS".encode("utf-16-le"))  # fmt: skip
    for sector in range(8):  # fix-ups: each sector ends with the number, its bytes are kept
        end = 512 * sector + 510
        page[0x20 + 2 * sector : 0x22 + 2 * sector] = page[end : end + 2]
        page[end : end + 2] = b"\1\0"
    page[0x1E:0x20] = b"\1\0"
    return bytes(page)


def hive(tree: Tree, *, sequences: tuple[int, int] = (1, 1)) -> bytes:
    """Return a registry hive: keys are mappings, texts REG_SZ, numbers REG_DWORD.

    Source: Windows registry file format specification (M. Suhanov), "Format of primary files".
    """
    cells = bytearray(32)
    root = _key(cells, "ROOT", tree, 0x2C)
    size = -(-len(cells) // 4096) * 4096
    cells[:32] = struct.pack("<4sII8xQI", b"hbin", 0, size, 0, 0)
    rest = size - len(cells)
    if rest:
        cells += struct.pack("<i", rest).ljust(rest, b"\0")
    head = bytearray(4096)
    struct.pack_into("<4sIIQIIIIII", head, 0, b"regf", *sequences, 0, 1, 5, 0, 1, root, size)
    total = 0
    for word in struct.unpack_from("<127I", head):
        total ^= word
    struct.pack_into("<I", head, 44, 1)
    struct.pack_into("<I", head, 508, total ^ 1)
    return bytes(head + cells)


def _cell(cells: bytearray, content: bytes) -> int:
    """Append one cell; return its offset."""
    at = len(cells)
    size = -(-(len(content) + 4) // 8) * 8
    cells += struct.pack("<i", -size) + content.ljust(size - 4, b"\0")
    return at


def _key(cells: bytearray, name: str, tree: Tree, flags: int = 0x20) -> int:
    keys = {key: value for key, value in tree.items() if isinstance(value, Mapping)}
    pairs = [(n.upper(), _key(cells, n, t)) for n, t in sorted(keys.items(), key=_upper)]
    table = b"".join(struct.pack("<II", at, _hash(key)) for key, at in pairs)
    children = _cell(cells, struct.pack("<2sH", b"lh", len(pairs)) + table) if pairs else none
    values = [(n, v) for n, v in tree.items() if not isinstance(v, Mapping)]
    offsets = [_value(cells, n, v) for n, v in values]
    count = len(offsets)
    listed = _cell(cells, struct.pack(f"<{count}I", *offsets)) if offsets else none
    body = struct.pack("<2sHQIIIIIIIIII", b"nk", flags, 0, 0, 0, len(pairs), 0, children, none,
                       count, listed, none, none)  # fmt: skip
    body += struct.pack("<5IHH", 0, 0, 0, 0, 0, len(name), 0) + name.encode("latin-1")
    return _cell(cells, body)


none = 0xFFFFFFFF


def _upper(item: tuple[str, object]) -> str:
    return item[0].upper()


def _value(cells: bytearray, name: str, value: object) -> int:
    if isinstance(value, int):
        size, data, kind = 0x80000004, value, 4
    else:
        raw = str(value).encode("utf-16-le") + b"\0\0"
        size, data, kind = len(raw), _cell(cells, raw), 1
    head = struct.pack("<2sHIIIHH", b"vk", len(name), size, data, kind, 1, 0)
    return _cell(cells, head + name.encode("latin-1"))


def _hash(name: str) -> int:
    total = 0
    for character in name:
        total = (total * 37 + ord(character)) & 0xFFFFFFFF
    return total


def run(*argv: str, feed: str = "") -> bytes:
    """Run a program that must succeed."""
    times = {"SOURCE_DATE_EPOCH": "1600000000", "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run(
        argv, input=feed.encode(), capture_output=True, env=os.environ | times, check=False
    )
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout
