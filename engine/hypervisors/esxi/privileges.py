"""Pure: every privilege that is needed, on what, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class On(StrEnum):
    """The kinds of objects that a role is given for."""

    FOLDER = "folder of the VMs"
    POOL = "resource pool"
    DATASTORE = "datastore"
    NETWORK = "network"
    HOST = "host"
    APPLIANCE = "appliance's VM"


@dataclass(frozen=True, slots=True)
class Privilege:
    """One privilege.

    Attributes:
        purpose: Goes on after "is needed to".
        must: Without it nothing works; otherwise an administrator can do its work once, by hand.
        vcenter: Only a vCenter has use for it.
    """

    id: str
    on: On
    purpose: str
    must: bool = True
    vcenter: bool = False


_VM, _DS = "VirtualMachine.", "Datastore."
_SHAPE = "give a standby VM its shape"
_DISKS = "put a boot point's disks into a VM"

_HOME = "bring a running VM home"

MOVING: Sequence[Privilege] = (
    Privilege("Resource.HotMigrate", On.POOL, f"{_HOME} by Storage vMotion", False, vcenter=True),
    Privilege("Resource.ColdMigrate", On.POOL, "bring home a VM that is off", False, vcenter=True),
    Privilege(_DS + "AllocateSpace", On.DATASTORE, _HOME),
)
"""For the way home with a vCenter."""

COPYING: Sequence[Privilege] = (
    Privilege(_DS + "AllocateSpace", On.DATASTORE, _HOME),
    Privilege(_DS + "FileManagement", On.DATASTORE, "copy its disks"),
    Privilege(_VM + "Config.AddExistingDisk", On.FOLDER, "point it to the copies"),
    Privilege(_VM + "Config.RemoveDisk", On.FOLDER, "point it to the copies"),
    Privilege(_VM + "Interact.PowerOff", On.FOLDER, "stop it while its disks are copied"),
    Privilege(_VM + "Interact.PowerOn", On.FOLDER, "start it again"),
)
"""For the way home on a single host."""

NEEDED: Sequence[Privilege] = (
    Privilege(_VM + "Inventory.Create", On.FOLDER, "create standby and test VMs"),
    Privilege(_VM + "Inventory.Delete", On.FOLDER, "delete VMs of its own"),
    Privilege(_VM + "Inventory.Unregister", On.FOLDER, "delete VMs of its own"),
    Privilege(_VM + "Config.AddExistingDisk", On.FOLDER, _DISKS),
    Privilege(_VM + "Config.RemoveDisk", On.FOLDER, _DISKS),
    Privilege(_VM + "Config.AddRemoveDevice", On.FOLDER, _SHAPE),
    Privilege(_VM + "Config.EditDevice", On.FOLDER, "connect a VM's network card"),
    Privilege(_VM + "Config.AdvancedConfig", On.FOLDER, "mark VMs as its own"),
    Privilege(_VM + "Config.Settings", On.FOLDER, _SHAPE),
    Privilege(_VM + "Config.CPUCount", On.FOLDER, _SHAPE),
    Privilege(_VM + "Config.Memory", On.FOLDER, _SHAPE),
    Privilege(_VM + "Config.Annotation", On.FOLDER, "say in a VM's notes what it is"),
    Privilege(_VM + "Interact.PowerOn", On.FOLDER, "start a boot point"),
    Privilege(_VM + "Interact.PowerOff", On.FOLDER, "stop a VM"),
    Privilege(_VM + "Interact.AnswerQuestion", On.FOLDER, "go on when a VM asks at its start"),
    Privilege(_VM + "Interact.DeviceConnection", On.FOLDER, "connect a VM's network card"),
    Privilege(_VM + "Interact.CreateScreenshot", On.FOLDER, "show a VM's screen", must=False),
    Privilege("Resource.AssignVMToPool", On.POOL, "create standby and test VMs"),
    Privilege(_DS + "AllocateSpace", On.DATASTORE, "keep a VM's own small files"),
    Privilege(_DS + "Browse", On.DATASTORE, "find a VM's own files"),
    Privilege(_DS + "FileManagement", On.DATASTORE, "delete a VM's own files"),
    Privilege("Network.Assign", On.NETWORK, "connect a VM's network card"),
    Privilege(
        "Host.Config.Storage", On.HOST, "mount the appliance's share as a datastore", must=False
    ),
    Privilege("Host.Config.Network", On.HOST, "create the isolated port group", must=False),
    *(one for one in MOVING if one.vcenter),
)

_SNAPSHOTS = "make a boot point, which is a snapshot of the standby VM"
_MINE = "attach a standby VM's disk to this appliance"

HOTADD: Sequence[Privilege] = (
    Privilege(_VM + "State.CreateSnapshot", On.FOLDER, _SNAPSHOTS),
    Privilege(_VM + "State.RevertToSnapshot", On.FOLDER, "begin a boot point or a start"),
    Privilege(_VM + "State.RemoveSnapshot", On.FOLDER, "retire a boot point"),
    Privilege(_VM + "Config.AddNewDisk", On.FOLDER, "make the first disks of a standby VM"),
    Privilege(_VM + "Config.Rename", On.FOLDER, "set a removed standby's VM aside", must=False),
    Privilege(_VM + "Config.AddExistingDisk", On.APPLIANCE, _MINE),
    Privilege(_VM + "Config.RemoveDisk", On.APPLIANCE, _MINE),
    Privilege(_VM + "Config.AddRemoveDevice", On.APPLIANCE, _MINE),
)
"""What transport `hotadd` needs beyond that. It mounts no share."""


def needed_for(transport: str) -> Sequence[Privilege]:
    """Return what a target with this transport needs, but for the appliance's VM."""
    if transport != "hotadd":
        return NEEDED
    more = [one for one in HOTADD if one.on is not On.APPLIANCE]
    return [*(one for one in NEEDED if one.id != "Host.Config.Storage"), *more]
