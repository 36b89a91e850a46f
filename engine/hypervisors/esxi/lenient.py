"""Reads values of the API, also from a host that is newer than the library, or breaks its schema.

A field that nobody knows is passed over, and an enumeration may have a value that nobody knows:
whoever needs the one or the other sees that it is not what he knows. An object of a kind that
nobody knows is still no answer, for it may be a disk.
"""

from __future__ import annotations

from typing import Any

from pyVmomi import SoapAdapter, VmomiSupport, vmodl

_QUERY = vmodl.query.PropertyCollector
_WRAPPERS = (
    _QUERY.RetrieveResult,
    _QUERY.ObjectContent,
    _QUERY.MissingProperty,
    vmodl.DynamicProperty,
)
"""What properties come in: with a field passed over, they would seem to be unset."""


class Lenient(SoapAdapter.SoapDeserializer):  # type: ignore[misc]  # has no types
    """The library's reader of values, which gives up a whole answer for one such field."""

    _over = 0

    def Deserialize(self, *args: Any, **named: Any) -> None:  # noqa: N802 - the library's name
        """Begin with a value."""
        self._over = 0
        super().Deserialize(*args, **named)

    def StartElementHandler(self, tag: str, attr: Any) -> None:  # noqa: N802 - the library's name
        """Begin with an element, or pass over it with all that is in it."""
        if self._over or self._is_unknown(tag):
            self._over += 1
        else:
            super().StartElementHandler(tag, attr)

    def EndElementHandler(self, tag: str) -> None:  # noqa: N802 - the library's name
        """End an element."""
        if self._over:
            self._over -= 1
            return
        kind: Any = self.stack[-1] if self.stack else None
        if isinstance(kind, type) and issubclass(kind, VmomiSupport.Enum):
            self.stack[-1] = _with(kind, self.data)
        super().EndElementHandler(tag)

    def _is_unknown(self, tag: str) -> bool:
        """Tell whether an element is a field that its object has not."""
        holder = self.stack[-1] if self.stack else None
        if not isinstance(holder, VmomiSupport.DataObject) or isinstance(holder, _WRAPPERS):
            return False
        try:
            holder._GetPropertyInfo(self.SplitTag(tag)[1])  # noqa: SLF001 - the library's
        except AttributeError:
            return True
        return False


def _with(kind: Any, value: str) -> Any:
    """Return an enumeration that has a value: the library takes it by its name from there."""
    return kind if value in kind.values else type(kind.__name__, (kind,), {value: kind(value)})
