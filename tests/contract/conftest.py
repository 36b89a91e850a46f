"""Fixtures that the contract suites share."""

from disk_chains import lab as lab
from disk_chains import xfs as xfs
