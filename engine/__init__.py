"""Bootpoint's engine: from image files to boot points that are ready to start."""

__version__ = "0.1.0"
