"""Fixtures that the contract suites share."""

from tests.contract.disk_chains import lab, xfs
from tests.contract.targets import libvirt_folder, site

__all__ = ["lab", "libvirt_folder", "site", "xfs"]
