"""Stores of every kind."""

from tests.contract.disk_chains import lab, xfs

__all__ = ["lab", "xfs"]
