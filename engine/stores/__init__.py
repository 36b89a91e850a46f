"""Holds layers on local disks."""
