"""Reads image formats, watches folders, writes the native format."""
