"""Templates of what the engine says about what is wrong and about a definition's keys. Only data.

`tui/heard.py` finds them in the engine's sentences; each is translated like any text of the
console, and a test holds each against the engine's sources.
"""

from __future__ import annotations

from tui.words import N_

WRONG = (
    # Alerts: title, what happened, what to do.
    N_("{machine}: data is older than its goal"),
    N_("The newest boot point of {machine} holds data that is {age} old; the goal is {goal}."),
    N_(
        "{machine} has no boot point that is ready since it was added {age} ago; the goal is "
        "{goal}."
    ),
    N_("Most time is lost at the rung {rung}."),
    N_("It is on hold: {why}."),
    N_("Check that the backup ran and that replication brings its files."),
    N_("{machine}: no new image"),
    N_("{machine}: newest boot point is not bootable"),
    N_("Boot point {point} of {machine} is NOT BOOTABLE: {reason}"),
    N_("Earlier boot points can start."),
    N_("Convert it again after a fix."),
    N_("{machine}: no boot point can be made"),
    N_(
        "Boot point {point} of {machine} failed {count} times and is not tried again until its "
        "images change: {reason}"
    ),
    N_("See the journal for the reason of each try."),
    N_("{machine}: a boot point could not be made"),
    N_("Boot point {point} of {machine} failed: {reason}"),
    N_("It is tried again by itself."),
    N_("Watched folder {folder} is not available"),
    N_("The watched folder {folder} is not available: {reason}"),
    N_("Mount it again or check the network; ready boot points can be started."),
    N_("{count} image files or points in {folder} cannot be used."),
    N_("Many image files in {folder} cannot be used"),
    N_("See the findings; replicate the files again from where they were made."),
    N_("An image in {folder} cannot be used"),
    N_("Target {target} cannot be used"),
    N_("Target {target} cannot be used: {reason}"),
    N_("Its boot points cannot be started there until it can."),
    N_("Target {target} needs attention ({what})"),
    N_("Target {target} has no room left"),
    N_("Target {target} has little room left"),
    N_(
        "On the datastore of target {target} {free} GiB of {total} GiB are free; {kept} GiB stay "
        "in reserve."
    ),
    N_("Full in {days} days at the present growth."),
    N_("Free space there, keep fewer boot points, or enlarge it."),
    N_("The engine is unwell"),
    N_("Look at the engine's log; restart it if it does not recover."),
    N_("may be encrypted by ransomware"),
    N_("Retention of {machine} is on hold by {who}"),
    N_("{machine}: retention is on hold"),
    N_("Alerts do not come through by {way}"),
    N_("Alerts do not come through by {way}: {reason}"),
    N_("Correct its settings, and try: bootpoint alert --test."),
    # Findings about files and folders.
    N_("Replicate the file again."),
    N_("Replicate the file again; if that does not help, it is no good image."),
    N_("Replicate the missing file again."),
    N_("Replicate the missing files again, or start a new chain with a full."),
    N_("Replicate its files again from where they were made."),
    N_("Mount or replicate the folder again; what was known of it is kept."),
    N_("Nothing needs to be done."),
    N_("Nothing needs to be done; the copy may be deleted at the source."),
    N_("Nothing needs to be done, unless one of them should be an image."),
    N_("Look at the folder: it may hold more than image files."),
    N_("Look at the listed ones first."),
    N_("Check the medium and the connection; it is tried again with every scan."),
    N_("Give the user the engine runs as the right to read it."),
    N_("Move the images to a folder with a shorter path."),
    N_("{file} is still arriving: {size} bytes so far."),
    N_("{file} cannot be read: {why}."),
    N_("{file} could not be understood; the log tells more."),
    N_("{file} is a second copy of {other}; it is ignored."),
    N_("{count} more files of this folder cannot be used."),
    N_("{count} more files cannot be used; they are not listed one by one."),
    N_("bootpoint does not read this format."),
    # What the review of a start says.
    N_("increment {number}, {size}: {fate}"),
    N_("still arriving"),
    N_("damaged"),
    N_("encrypted, its key is not known here"),
    N_("arrived, nothing was made of it yet"),
    N_("is being made into a boot point"),
    N_("its boot point failed"),
    N_("Median of {many} of this machine."),
    N_("{count} starts"),
    N_("1 start"),
    N_("about {time} to power on, about {later} to {sign}"),
    N_("waits its turn"),
    # Ledgers that are not there.
    N_("Boot point {point} of {machine} was made without a conversion."),
    N_("What a conversion would change can be seen by a dry run."),
    N_("The engine met an error it does not know: {error}."),
    N_("Look at the engine's log, which has the details."),
)

KEYS = (
    N_("Images"),
    N_("The folder that the image files are replicated to."),
    N_("must be given"),
    N_("Machine"),
    N_("Name or UUID of the machine, where the folder holds several."),
    N_("the only one there"),
    N_("Target"),
    N_("Where the standby VM is kept and runs."),
    N_("Trigger"),
    N_(
        "When boot points are made: immediate (each increment), daily@22:00, every:4 (increments), "
        "or cron:0 6-20/2 * * mon-fri."
    ),
    N_("Backlog"),
    N_(
        "Of increments that piled up: every makes a boot point of each, the newest first; newest "
        "makes one of all."
    ),
    N_("Blackouts"),
    N_(
        "Windows in which no boot point is begun, with commas between them, such as mon-fri "
        "08:30-11:00, sun 00:00-06:00; none: never."
    ),
    N_("as in engine.toml"),
    N_("Priority"),
    N_("Who goes first where slots are scarce."),
    N_("Keep"),
    N_("Boot points to keep, the newest ones."),
    N_("Of the newest so many {period} the first boot point stays. 0: none."),
    N_("hours"),
    N_("days"),
    N_("weeks"),
    N_("months"),
    N_("years"),
    N_("Oldest"),
    N_("Days after which a boot point goes. 0: none does."),
    N_("Floor"),
    N_("Proven boot points that always stay."),
    N_("Goal"),
    N_("How old the newest data may be before it is LATE, such as 4h."),
    N_("no goal"),
    N_("Silence"),
    N_("Alarm after so long without a new image, such as 12h; never: no alarm."),
    N_("by the machine's own rhythm"),
    N_("Memory"),
    N_("Of the VM, such as 4G."),
    N_("as the image says"),
    N_("Of the VM."),
    N_("Firmware"),
    N_("What the VM boots with."),
    N_("Disk bus"),
    N_("Controller of the disks. Windows needs drivers for all but sata."),
    N_("the best the guest has drivers for"),
    N_("Conversion"),
    N_(
        "auto: each boot point gets the drivers of virtual machines; none: it starts from the "
        "bytes as imaged and must have them already."
    ),
)
PERIODS = (N_("Hourly"), N_("Daily"), N_("Weekly"), N_("Monthly"), N_("Yearly"))
"""Labels that the engine makes of other words."""
