"""Pure: the text file that tells a host what a flat disk is.

    disk0.vmdk        text, below 1 KiB: size, geometry, name of the next
    disk0-flat.vmdk   the disk's bytes, nothing else

Source: VMware, *Virtual Disk Format 5.0*, "The Descriptor File"; the fields are those that hosts
write themselves.
"""

from __future__ import annotations

from uuid import UUID

SECTOR = 512
UNIT = 1 << 20
_HEADS, _SECTORS = 255, 63


def whole_units(size: int) -> int:
    """Return a disk's size in bytes, rounded up to whole MiB: hosts count in KiB."""
    return -(-size // UNIT) * UNIT


def descriptor(flat: str, size: int, identity: UUID, adapter: str = "lsilogic") -> bytes:
    """Return the descriptor of a thin flat disk.

    Args:
        flat: Name of the file with the bytes, in the same folder.
        size: Bytes, whole MiB.
        identity: Unique to this disk of this VM.
        adapter: Kind of controller, as hosts write it: `lsilogic` for PVSCSI too, or `ide`.

    Raises:
        ValueError: The size is no whole number of MiB, or the name would break the text.
    """
    if size <= 0 or size % UNIT:
        raise ValueError(f"{size} bytes are no whole number of MiB")
    if not flat.isascii() or any(char in '"\n\r\0/' for char in flat):
        raise ValueError("the name of the flat file is not plain")
    content = identity.hex
    # The last part of the long id is the content id, which is neither of two reserved values.
    check = int(content[-8:], 16) & 0xFFFFFFF0
    cylinders = min(size // SECTOR // (_HEADS * _SECTORS), 65535) or 1
    lines = (
        "# Disk DescriptorFile",
        "version=1",
        'encoding="UTF-8"',
        f"CID={check:08x}",
        "parentCID=ffffffff",
        'createType="vmfs"',
        "",
        "# Extent description",
        f'RW {size // SECTOR} VMFS "{flat}"',
        "",
        "# The Disk Data Base",
        "#DDB",
        f'ddb.adapterType = "{adapter}"',
        f'ddb.geometry.cylinders = "{cylinders}"',
        f'ddb.geometry.heads = "{_HEADS}"',
        f'ddb.geometry.sectors = "{_SECTORS}"',
        f'ddb.longContentID = "{content[:-8]}{check:08x}"',
        'ddb.thinProvisioned = "1"',
        f'ddb.uuid = "{_spelt(identity)}"',
        'ddb.virtualHWVersion = "13"',
        "",
    )
    return "\n".join(lines).encode("ascii")


def _spelt(identity: UUID) -> str:
    """Return a disk's id as hosts spell it; they begin with 60 00 C2 9."""
    digits = "6000C29" + identity.hex[7:].upper()
    pairs = [digits[at : at + 2] for at in range(0, 32, 2)]
    return " ".join(pairs[:8]) + "-" + " ".join(pairs[8:])
