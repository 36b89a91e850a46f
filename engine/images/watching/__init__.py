"""Watches folders and makes image sets of what arrives."""
