"""What the engine says in single words, or puts together of several texts. Only data.

Every other text of the engine is collected from its sources (`.ci/spoken.py`). A single word is
not: there it could be a name as well as something that is said. And of a sentence that is put
together of parts, the parts are collected; here are those that read wrong in another order of
words. A test holds each against the engine's sources.
"""

from __future__ import annotations

from tui.words import N_

WORDS = (
    N_("System"),
    N_("Boot disk"),
    N_("Boot loader"),
    N_("Kernel"),
    N_("Network"),
    N_("Drivers"),
    N_("Others"),
    N_("When"),
    N_("Keeps"),
    N_("Also"),
    N_("Space"),
    N_("Time"),
    N_("Lost"),
    N_("check"),
    N_("measure"),
    N_("fold"),
    N_("written"),
    N_("arrived"),
    N_("verified"),
    N_("ready"),
    N_("proven"),
    N_("never"),
    N_("damaged"),
    N_("Images"),
    N_("Machine"),
    N_("Target"),
    N_("Trigger"),
    N_("Backlog"),
    N_("Blackouts"),
    N_("Priority"),
    N_("Keep"),
    N_("hours"),
    N_("days"),
    N_("weeks"),
    N_("months"),
    N_("years"),
    N_("Oldest"),
    N_("Floor"),
    N_("Goal"),
    N_("Silence"),
    N_("Memory"),
    N_("Firmware"),
    N_("Conversion"),
)
PUT_TOGETHER = (
    N_("{number} changes"),
    N_("1 change"),
    N_("{number} files"),
    N_("1 file"),
    N_("{number} doubts"),
    N_("1 doubt"),
    N_("waits for a slot"),
    N_("waits for a slot of its target"),
    N_("waits for a slot of its datastore"),
    N_("waits for a slow target"),
    N_("waits for its target"),
    N_("waits for room"),
    N_("waits for its own job"),
    N_("waits for an answer, see bootpoint answer {machine}: {question}"),
    N_("<- time is lost here"),
    N_("{time} no newer image was taken"),
    N_("{time} on the way here"),
    N_("{time} before a boot point was begun"),
    N_("{time} making the boot point"),
    N_("the newest came {age} ago; silence is no alarm"),
    N_("the newest came {age} ago; silent from {when}"),
    N_("usually every {usual}, the newest came {age} ago; silence is no alarm"),
    N_("usually every {usual}, the newest came {age} ago; silent from {when}"),
    N_("usually every {usual}, the newest came {age} ago; SILENT since {when}"),
    N_("about {time} to power on; no guest's sign of life was measured yet"),
    N_("The newest boot point of {machine} holds data that is {age} old; the goal is {goal}."),
    N_(
        "{machine} has no boot point that is ready since it was added {age} ago; the goal is "
        "{goal}."
    ),
    N_("Boot point {point} of {machine} is NOT BOOTABLE: {reason}"),
    N_(
        "Boot point {point} of {machine} failed {count} times and is not tried again until its "
        "images change: {reason}"
    ),
    N_("Boot point {point} of {machine} failed: {reason}"),
    N_(
        "On the datastore of target {target} {free} GiB of {total} GiB are free; {kept} GiB "
        "stay in reserve."
    ),
    N_("Correct its settings, and try: bootpoint alert --test."),
    N_("1 start"),
    N_("about {time} to power on, about {later} to {sign}"),
    N_("a cache of flash disks (VFFS), which holds no VM"),
    N_("persistent memory (PMEM), which holds only disks of that kind"),
)
PERIODS = (N_("Hourly"), N_("Daily"), N_("Weekly"), N_("Monthly"), N_("Yearly"))
"""Labels that the engine makes of other words."""
