"""Fixtures that the contract suites share."""

from tests.contract.disk_chains import lab, xfs

__all__ = ["lab", "xfs"]
