"""One check of a selftest: doing it, and telling how it went without the names of the site."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from engine.model.errors import Failure
from engine.model.selftests import Check, Outcome, redacted
from engine.model.text import safe

_LONGEST = 600


class Unlike(Exception):
    """What was seen is not what the claim says."""


class NotTried(Exception):
    """A check before it failed."""


def tried(
    key: str,
    claim: str,
    check: Callable[[], str],
    secrets: Callable[[], Mapping[str, str]],
    items: Sequence[int] = (),
) -> Check:
    """Do a check and return how it went.

    Args:
        check: Returns what was seen; raises `Unlike`, `NotTried`, Failure or OSError.
        secrets: Names of the site -> what stands for each in the report; asked afterwards.
        items: Numbers in the list of docs/ESXI.md.
    """
    began = time.monotonic()
    try:
        outcome, said = Outcome.PASSED, check()
    except Unlike as unlike:
        outcome, said = Outcome.FAILED, str(unlike)
    except NotTried as missing:
        outcome, said = Outcome.SKIPPED, str(missing)
    except (Failure, OSError) as failure:
        outcome, said = Outcome.FAILED, str(failure)
    seconds = round(time.monotonic() - began, 2)
    return Check(key, claim, outcome, redacted(safe(said, _LONGEST), secrets()), seconds, items)
