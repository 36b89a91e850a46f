"""What consoles are told when alerts are tried and values measured."""

from __future__ import annotations

import msgspec


class TriedView(msgspec.Struct, kw_only=True):
    """How a test of one way out went; `problem` is empty when it worked."""

    name: str
    where: str
    problem: str = ""


class MetricsView(msgspec.Struct, kw_only=True):
    """Answer to `metrics`: Prometheus' text format, and its content type."""

    text: str
    type: str
