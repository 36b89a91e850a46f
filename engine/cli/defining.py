"""The commands that define standbys."""

from __future__ import annotations

from pathlib import Path

from engine.cli.option import DRY, Command, Option, assignment, count, memory, silence, span

FULL_NAME = Option(("name",), "the standby's name", "NAME", kind="machine")
NAME_AGAIN = Option(("--yes-i-mean",), "the name again", "NAME", default="", kind="machine")

STANDBY = (
    Command(
        "standby add",
        "Define a standby for the images in a folder.",
        "defining:add",
        (
            "bootpoint standby add erp --images /mnt/replica/erp",
            "bootpoint standby add web --images /mnt/replica/web --trigger daily@22:00 --dry-run",
            "bootpoint standby add hr --images /mnt/hr --rpo 4h --trigger 'cron:0 */2 * * mon-fri'",
        ),
        (
            Option(("name",), "small letters, digits, hyphens", "NAME"),
            Option(
                ("--images",),
                "the folder the images come to",
                "DIR",
                Path,
                required=True,
                kind="file",
            ),
            Option(("--machine",), "name or UUID, if the folder holds several", "TEXT"),
            Option(("--target",), "where the VM is kept (default local)", "TARGET", kind="target"),
            Option(("--trigger",), "immediate, daily@HH:MM, every:N or cron:EXPR", "WHEN"),
            Option(("--keep",), "boot points to keep (default 24)", "N", count),
            Option(
                ("--backlog",),
                "newest: of increments that piled up, one boot point (default every)",
                choices=("every", "newest"),
            ),
            Option(
                ("--blackouts",),
                "windows in which none is begun, such as 'mon-fri 08:00-18:00'",
                "WINDOW",
                nargs="+",
            ),
            Option(
                ("--priority",),
                "who goes first (default normal)",
                choices=("high", "normal", "low"),
            ),
            Option(("--rpo",), "goal for the age of the data, such as 4h", "TIME", span),
            Option(
                ("--silence",), "alarm after so long without an image, or never", "TIME", silence
            ),
            Option(("--memory",), "of the VM, such as 4G", "SIZE", memory),
            Option(("--cpus",), "of the VM", "N", count),
            Option(("--firmware",), "of the VM", choices=("bios", "uefi")),
            Option(
                ("--bus",),
                "of the disks (default: the best it has drivers for)",
                choices=("virtio", "scsi", "pvscsi", "sata"),
            ),
            Option(
                ("--conversion",),
                "none: leave disks as in the images (default auto)",
                choices=("auto", "none"),
            ),
            Option(
                ("--set",),
                "any key of its file, such as retention.daily=7",
                "KEY=VALUE",
                assignment,
                nargs="+",
            ),
            DRY,
        ),
    ),
    Command(
        "standby set",
        "Change keys of a standby's definition; KEY=usual takes one out.",
        "defining:set_keys",
        (
            "bootpoint standby set erp trigger=every:4 rpo_s=4h",
            "bootpoint standby set erp keep=30 retention.daily=7 --dry-run",
            "bootpoint standby set web blackouts='mon-fri 08:00-18:00, sun 00:00-06:00'",
        ),
        (
            FULL_NAME,
            Option(("keys",), "what to change", "KEY=VALUE", assignment, nargs="+", kind="key"),
            DRY,
            NAME_AGAIN,
        ),
    ),
    Command(
        "standby edit",
        "Edit a standby's definition in $EDITOR; what is not taken is kept.",
        "defining:edit",
        (
            "bootpoint standby edit erp",
            "bootpoint standby edit erp --file erp.toml --dry-run",
            "bootpoint standby edit web --yes-i-mean web",
        ),
        (
            FULL_NAME,
            Option(
                ("--file",),
                "take the text from here (-: standard input)",
                "FILE",
                Path,
                kind="file",
            ),
            DRY,
            NAME_AGAIN,
        ),
    ),
    Command(
        "standby reload",
        "Take up what was changed in standbys.d by hand, now.",
        "defining:reload",
        (
            "bootpoint standby reload",
            "bootpoint standby reload --json",
            "bootpoint --json standby reload",
        ),
    ),
    Command(
        "standby list",
        "List all standbys.",
        "listing:standby_list",
        (
            "bootpoint standby list",
            "bootpoint standby list --json",
            "bootpoint --json standby list",
        ),
    ),
    Command(
        "standby show",
        "Show one standby's definition.",
        "listing:standby_show",
        (
            "bootpoint standby show erp",
            "bootpoint standby show erp --json",
            "bootpoint standby show web",
        ),
        (FULL_NAME,),
    ),
    Command(
        "standby remove",
        "Forget a standby; its layers are set aside, not deleted.",
        "defining:remove",
        (
            "bootpoint standby remove erp",
            "bootpoint standby remove erp --yes-i-mean erp",
            "bootpoint standby remove erp --anew",
        ),
        (
            FULL_NAME,
            NAME_AGAIN,
            Option(("--anew",), "define it again at once, just as it was", flag=True),
        ),
    ),
)
