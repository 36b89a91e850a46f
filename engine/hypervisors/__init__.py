"""Hosts: targets that run standby VMs."""
