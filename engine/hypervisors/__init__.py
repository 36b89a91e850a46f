"""Hosts standby VMs."""
