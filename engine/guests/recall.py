"""Remember what was read out of large files that seldom change: an initrd, a list of modules.

A conversion looks at each twice, before and after; the next boot point has mostly the same again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from blake3 import blake3

R = TypeVar("R")
P = ParamSpec("P")
KEPT = 8
"""Answers that are remembered of each function."""


def by_content(
    worth: Callable[[R], bool],
) -> Callable[[Callable[Concatenate[bytes, P], R]], Callable[Concatenate[bytes, P], R]]:
    """Let a pure function of one file's bytes, and little else, answer the same bytes from memory.

    The bytes themselves are not kept, only their hash. Failures are not remembered.

    Args:
        worth: Whether an answer is small enough to be kept; hostile guests make large ones.
    """

    def decorate(
        function: Callable[Concatenate[bytes, P], R],
    ) -> Callable[Concatenate[bytes, P], R]:
        known: OrderedDict[Hashable, R] = OrderedDict()
        lock = threading.Lock()

        @wraps(function)
        def recall(data: bytes, *args: P.args, **more: P.kwargs) -> R:
            key = blake3(data).digest(), args, *sorted(more.items())
            with lock:
                if (found := known.get(key)) is not None:
                    known.move_to_end(key)
                    return found
            found = function(data, *args, **more)
            if worth(found):
                with lock:
                    known[key] = found
                    while len(known) > KEPT:
                        known.popitem(last=False)
            return found

        return cast("Callable[Concatenate[bytes, P], R]", recall)

    return decorate
