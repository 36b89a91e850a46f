"""The native image format `.bpi`: plain zstd streams that need no tool of ours to restore."""

from engine.images.bpi.format import BpiFormat

__all__ = ["BpiFormat"]
