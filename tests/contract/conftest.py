"""Fixtures that the contract suites share."""

from tests.contract.disk_chains import lab, xfs
from tests.contract.doors import client, door, line, place, service
from tests.contract.state_stores import store
from tests.contract.targets import libvirt_folder, site

__all__ = [
    "client",
    "door",
    "lab",
    "libvirt_folder",
    "line",
    "place",
    "service",
    "site",
    "store",
    "xfs",
]
