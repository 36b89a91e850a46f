"""What a driver's file and its catalogue say of themselves: processor, digests, signatures.

Structure only: whether Windows trusts a signature, only Windows can tell. Pure; both are hostile
input, and every offset is checked.

Source: Microsoft, "PE Format"; "Windows Authenticode Portable Executable Signature Format" (2008),
"Calculating the PE Image Hash"; RFC 5652, SignedData.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

MACHINES = {0x14C: "x86", 0x8664: "amd64", 0xAA64: "arm64"}
_NATIVE = 1
_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_TRUST_LIST = bytes.fromhex("06092b0601040182370a01")
"""Object identifiers, DER: 1.2.840.113549.1.7.2 and 1.3.6.1.4.1.311.10.1."""


class NoProgram(Exception):
    """The bytes are no program of Windows; its words say why."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program's head.

    Attributes:
        arch: `x86`, `amd64`, `arm64`, or the number of another processor.
        is_native: Whether it is made to run in the kernel.
        is_signed: Whether a signature is embedded in it.
        is_altered: Whether that signature is about other bytes than these.
        digests: What catalogues know it by: SHA-1 and SHA-256 without what signing changes.
    """

    arch: str
    is_native: bool
    is_signed: bool
    is_altered: bool
    digests: Sequence[bytes]


def read_program(data: bytes) -> Program:
    """Return what a `.sys` file says of itself.

    Raises:
        NoProgram: It has not the form of one.
    """
    if data[:2] != b"MZ":
        raise NoProgram("it does not begin as a program")
    try:
        start = _number("<I", data, 60)
        if data[start : start + 4] != b"PE\0\0":
            raise NoProgram("it is a program for DOS")
        machine = _number("<H", data, start + 4)
        optional = start + 24
        directories = {0x10B: optional + 96, 0x20B: optional + 112}.get(
            _number("<H", data, optional), 0
        )
        if not directories:
            raise NoProgram("its optional header is of no known kind")
        subsystem = _number("<H", data, optional + 68)
        has_table = _number("<I", data, directories - 4) > 4
        where, size = struct.unpack_from("<II", data, directories + 32) if has_table else (0, 0)
    except struct.error:
        raise NoProgram("it ends within its head") from None
    if where + size > len(data):
        raise NoProgram("it ends before its signature")
    table = data[where : where + size] if where else b""
    end = where or len(data)
    if where and where < directories + 40:
        raise NoProgram("its signature lies in its head")
    hashed = data[: optional + 64] + data[optional + 68 : directories + 32]
    hashed += data[directories + 40 if has_table else directories + 32 : end] + data[end + size :]
    digests = (hashlib.sha1(hashed).digest(), hashlib.sha256(hashed).digest())  # noqa: S324 - as catalogues have it
    is_signed = len(table) > 8 and is_signed_data(table[8:])
    is_altered = is_signed and not any(digest in table for digest in digests)
    arch = MACHINES.get(machine, hex(machine))
    return Program(arch, subsystem == _NATIVE, is_signed, is_altered, digests)


def is_signed_data(data: bytes) -> bool:
    """Return whether this begins with a signed message as Authenticode has it."""
    outer = _open(data, 0x30)
    return outer is not None and outer.startswith(_SIGNED_DATA)


def is_catalogue(data: bytes) -> bool:
    """Return whether this is a signed message about a list of trusted files."""
    outer = _open(data, 0x30)
    if outer is None or not outer.startswith(_SIGNED_DATA):
        return False
    explicit = _open(outer[len(_SIGNED_DATA) :], 0xA0)
    signed = _open(explicit, 0x30) if explicit is not None else None
    if signed is None:
        return False
    # version, then the set of digest algorithms, then what is signed
    for tag in (0x02, 0x31):
        length = _length(signed, tag)
        if length is None:
            return False
        signed = signed[length:]
    content = _open(signed, 0x30)
    return content is not None and content.startswith(_TRUST_LIST)


def _open(data: bytes, tag: int) -> bytes | None:
    """Return the content of a DER value with this tag; None when it is another one, or cut off."""
    whole = _length(data, tag)
    if whole is None:
        return None
    return data[2 + (data[1] & 0x7F if data[1] & 0x80 else 0) : whole]


def _length(data: bytes, tag: int) -> int | None:
    """Return the length of a DER value with its head."""
    if len(data) < 2 or data[0] != tag:
        return None
    first, head = data[1], 2
    if first & 0x80:
        count = first & 0x7F
        if not 1 <= count <= 4 or len(data) < 2 + count:
            return None
        head, first = 2 + count, int.from_bytes(data[2 : 2 + count], "big")
    return head + first if head + first <= len(data) else None


def _number(form: str, data: bytes, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0])
