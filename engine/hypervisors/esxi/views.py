"""Views of a target's whole inventory: made once in a session, and read as often as one likes.

A host keeps a view up to date for as long as the session lasts; one that expired takes its views
along. Source: `ContainerView` of VMware's vSphere API reference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pyVmomi import vim, vmodl

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.filters import asking

Found = TypeVar("Found")


class Views:
    """The views of one session. Thread-safe."""

    def __init__(self, make: Callable[[Sequence[Any]], Any]) -> None:
        """Have none.

        Args:
            make: Makes a view of all objects of some kinds.
        """
        self._make, self._lock = make, threading.Lock()
        self._known: dict[frozenset[Any], Any] = {}

    def read(
        self, wanted: Mapping[Any, Sequence[str]], collect: Callable[[Any], Iterable[Found]]
    ) -> Sequence[Found]:
        """Return what is collected of all objects of some kinds, each with its properties.

        A view that is gone is made again, once.
        """
        kinds = frozenset(wanted)
        with self._lock:
            view, is_old = self._known.get(kinds), kinds in self._known
            if view is None:
                view = self._known[kinds] = self._make(list(wanted))
        try:
            return list(collect(asking([_members(view)], wanted)))
        except faults.Gone:
            with self._lock:
                if self._known.get(kinds) is view:
                    del self._known[kinds]
            if not is_old:
                raise
        return self.read(wanted, collect)


def _members(view: Any) -> Any:
    collector = vmodl.query.PropertyCollector
    members = collector.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
    return collector.ObjectSpec(obj=view, skip=True, selectSet=[members])
