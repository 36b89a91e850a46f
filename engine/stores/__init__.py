"""Holds: layers on local file systems, and simulated ones."""
