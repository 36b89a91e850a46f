"""Drivers of the user: read from ISO files and folders, checked, chosen for a Windows."""
