"""UEFI variables with one boot entry, as an installer leaves them in a machine's NVRAM.

A disk's image never holds them: that is why a copied machine does not find its loader.
"""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

_EMPTY = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
_STORE = 0x48
"""Where the variable store begins: after the header of the firmware volume."""
_FIRST = _STORE + 28
_GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")


def fresh(out: Path) -> Path:
    """Make the variables of a machine that was just bought."""
    out.write_bytes(_EMPTY.read_bytes())
    return out


def with_entry(out: Path, loader: str, partition: uuid.UUID, start: int, sectors: int) -> Path:
    r"""Make variables whose first choice is a loader in an ESP.

    Args:
        loader: Such as `\EFI\debian\grubx64.efi`.
        partition: The ESP's own GUID in the GPT, where it is number 1.
        start, sectors: Where the ESP is, in sectors of 512 bytes.

    Source:
        UEFI specification 2.10, 3.1.3 (load options), 10.3.5 (hard drive and file path nodes);
        EDK II, MdeModulePkg/Include/Guid/VariableFormat.h (AUTHENTICATED_VARIABLE_HEADER).
    """
    name = (loader + "\0").encode("utf-16-le")
    nodes = (
        struct.pack("<BBHIQQ16sBB", 4, 1, 42, 1, start, sectors, partition.bytes_le, 2, 2)
        + struct.pack("<BBH", 4, 4, 4 + len(name))
        + name
        + struct.pack("<BBH", 0x7F, 0xFF, 4)
    )
    option = struct.pack("<IH", 1, len(nodes)) + "debian\0".encode("utf-16-le") + nodes
    variables = _variable("Boot0000", option)
    variables += bytes(-len(variables) % 4)
    variables += _variable("BootOrder", struct.pack("<H", 0))
    store = bytearray(_EMPTY.read_bytes())
    assert store[_FIRST : _FIRST + len(variables)] == b"\xff" * len(variables)
    store[_FIRST : _FIRST + len(variables)] = variables
    out.write_bytes(store)
    return out


def _variable(name: str, data: bytes) -> bytes:
    """Return a variable that is stored for good, for boot services and the running system."""
    title = (name + "\0").encode("utf-16-le")
    head = struct.pack("<HBBIQ16sIII16s", 0x55AA, 0x3F, 0, 7, 0, bytes(16), 0, len(title),
                       len(data), _GLOBAL.bytes_le)  # fmt: skip
    return head + title + data
