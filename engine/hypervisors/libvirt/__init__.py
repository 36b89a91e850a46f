"""Standby VMs on libvirt: embedded in this process by default, or any libvirt URI."""

import os

# Read when the library is loaded, so before that. What fails is raised; printed as well it would
# fill the engine's log: even asking for a VM that does not exist is an error to it.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")

from engine.hypervisors.libvirt.hypervisor import LibvirtHypervisor as LibvirtHypervisor
