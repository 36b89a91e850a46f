"""Knows: pure data and pure decisions. Standard library only, no I/O, no clock."""
