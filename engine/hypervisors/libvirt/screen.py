"""The picture on a VM's console."""

from __future__ import annotations

import libvirt

from engine.hypervisors.png import to_png
from engine.model.errors import HypervisorError, Problem

_LARGEST = 64 << 20


def screenshot(connection: libvirt.virConnect, domain: libvirt.virDomain) -> bytes:
    """Return what the console shows now, as PNG.

    Raises:
        libvirt.libvirtError: libvirt cannot tell.
        HypervisorError: What it drew is no picture.
    """
    stream = connection.newStream()
    domain.screenshot(stream, 0)
    picture = bytearray()
    try:
        stream.recvAll(_take, picture)
        stream.finish()
        return to_png(bytes(picture))
    except ValueError as error:
        raise HypervisorError(
            Problem("vm.screen", f"The console's picture cannot be read: {error}.")
        ) from error


def _take(_stream: libvirt.virStream, data: bytes, picture: bytearray) -> int:
    if len(picture) + len(data) > _LARGEST:
        return -1
    picture += data
    return len(data)
