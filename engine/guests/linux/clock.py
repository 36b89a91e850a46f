"""The hardware clock: that of a VM runs in UTC, that of the old machine may have run in local time.

Source: hwclock(8), "The Adjtime File"; file-hierarchies of sysvinit (Debian), initscripts (RHEL),
aaa_base (SUSE) and OpenRC for where systems without systemd keep it.
"""

from __future__ import annotations

import re

from engine.guests.linux.draft import Draft

_REASON = "The clock of a VM runs in UTC; the old machine's ran in local time."
_WAYS = (
    (b"/etc/adjtime", re.compile(rb"\A([^\n]*\n[^\n]*\n)LOCAL(?=\s|\Z)"), rb"\1UTC"),
    (b"/etc/default/rcS", re.compile(rb"(?m)^([ \t]*UTC=)[\"']?no[\"']?"), rb"\1yes"),
    (b"/etc/sysconfig/clock", re.compile(rb"(?m)^([ \t]*UTC=)[\"']?(?:false|no)[\"']?"),
     rb"\1true"),
    (b"/etc/sysconfig/clock", re.compile(rb"(?m)^([ \t]*HWCLOCK=)[\"']?--localtime[\"']?"),
     rb'\1"-u"'),
    (b"/etc/conf.d/hwclock", re.compile(rb"(?m)^([ \t]*clock=)[\"']?local[\"']?"), rb'\1"UTC"'),
)  # fmt: skip
CLOCKS = tuple(dict.fromkeys(path for path, _, _ in _WAYS))
"""Files that say in what the clock runs."""


def plan_clock(draft: Draft) -> None:
    """Collect the changes that let the system take its clock for UTC."""
    for path, local, utc in _WAYS:
        content = draft.read(path)
        new = local.sub(utc, content) if content else content
        if new and new != content:
            draft.write(path, new, _REASON)
