"""Asks: the protocols between the rooms of the house.

Offsets and lengths are bytes, times aware UTC. Four promises keep the protocols small:

* *repeatable*: add, create, drop, fold, delete do nothing the second time;
* *names come from ids*: a retry finds what it left;
* *the target is the truth*, not memory;
* *whole buffers*: a read fills, a write writes all, or it raises.

Every protocol has one contract suite in `tests/contract/` that every implementation passes, and
a simulated implementation that is product code.
"""

from __future__ import annotations

from engine.ports.alerts import Beat, Way
from engine.ports.guests import Converted, Converter, DriverFacts, DriverSource
from engine.ports.images import DiskReader, ImageFormat, ImageSource, PointReader
from engine.ports.layers import BlockDevice, DiskChain, DiskFile, Store
from engine.ports.state import StateStore, Transaction
from engine.ports.targets import Finding, Hypervisor
from engine.ports.work import (
    NEVER,
    Cancel,
    CancelFlag,
    Clock,
    Copied,
    NeverCancelled,
    Reading,
    Report,
    Unpaced,
    unreported,
    unseen,
)

__all__ = [
    "NEVER",
    "Beat",
    "BlockDevice",
    "Cancel",
    "CancelFlag",
    "Clock",
    "Converted",
    "Converter",
    "Copied",
    "DiskChain",
    "DiskFile",
    "DiskReader",
    "DriverFacts",
    "DriverSource",
    "Finding",
    "Hypervisor",
    "ImageFormat",
    "ImageSource",
    "NeverCancelled",
    "PointReader",
    "Reading",
    "Report",
    "StateStore",
    "Store",
    "Transaction",
    "Unpaced",
    "Way",
    "unreported",
    "unseen",
]
