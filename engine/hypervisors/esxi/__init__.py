"""Standby VMs on an ESXi host or a vCenter."""
