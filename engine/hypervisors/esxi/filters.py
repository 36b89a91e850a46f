"""What to ask a host for: which objects, and which of their properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyVmomi import vmodl


def asking(
    specs: Sequence[Any], wanted: Mapping[Any, Sequence[str]], *, gone_is_missing: bool = False
) -> Any:
    """Return what to ask of some objects, by their kinds.

    Args:
        gone_is_missing: Objects that are gone are left out of the answer, instead of failing it.
    """
    collector = vmodl.query.PropertyCollector
    properties = [
        collector.PropertySpec(type=kind, pathSet=list(paths), all=False)
        for kind, paths in wanted.items()
    ]
    return collector.FilterSpec(
        objectSet=list(specs),
        propSet=properties,
        reportMissingObjectsInResults=gone_is_missing or None,
    )


def each(things: Sequence[Any], paths: Sequence[str], *, gone_is_missing: bool = True) -> Any:
    """Return what to ask of some objects of one kind."""
    told = [vmodl.query.PropertyCollector.ObjectSpec(obj=one, skip=False) for one in things]
    return asking(told, {type(things[0]): paths}, gone_is_missing=gone_is_missing)
