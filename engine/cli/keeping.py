"""The commands about what stays: retention, pins, holds."""

from __future__ import annotations

from engine.cli.option import MACHINE, Command, Option, count, number, setting

ID = Option(("point",), "the boot point", "POINT", kind="point")
NAME = Option(("--yes-i-mean",), "the machine's name again", "NAME", default="", kind="machine")
_PERIOD = "of the newest N {} with boot points the first stays"

KEEPING = (
    Command(
        "guard",
        "Say whether a machine's increments look like ransomware; release its hold.",
        "guarding:guard",
        (
            "bootpoint guard erp",
            "bootpoint guard erp --json",
            "bootpoint guard release erp --note 'the new archive was copied'",
        ),
        (
            Option(
                ("words",), "the machine; or: release MACHINE", "MACHINE", nargs="+", kind="machine"
            ),
            Option(("--note",), "why all is well, for the journal", "TEXT", default=""),
        ),
    ),
    Command(
        "retention",
        "Say which boot points of a machine stay, which go, and why.",
        "keeping:retention",
        (
            "bootpoint retention erp --preview",
            "bootpoint retention erp --preview --keep 10 --daily 7 --monthly 12",
            "bootpoint retention erp --set keep=10 daily=7 --yes-i-mean erp",
        ),
        (
            MACHINE,
            Option(("--preview",), "what would go, also with the settings given", flag=True),
            Option(("--keep",), "preview: the newest N stay", "N", count),
            Option(("--max-age-days",), "preview: older ones go; 0: none", "N", number),
            Option(("--hourly",), f"preview: {_PERIOD.format('hours')}", "N", number),
            Option(("--daily",), f"preview: {_PERIOD.format('days')}", "N", number),
            Option(("--weekly",), f"preview: {_PERIOD.format('weeks')}", "N", number),
            Option(("--monthly",), f"preview: {_PERIOD.format('months')}", "N", number),
            Option(("--yearly",), f"preview: {_PERIOD.format('years')}", "N", number),
            Option(("--floor",), "preview: N proven ones always stay", "N", count),
            Option(
                ("--set",),
                "write settings: keep, max_age_days, hourly, … floor (usual: as engine.toml)",
                "KEY=N",
                setting,
                nargs="+",
            ),
            Option(("--hold",), "take nothing away until --release; why", "TEXT"),
            Option(("--release",), "end a hold", flag=True),
            NAME,
        ),
    ),
    Command(
        "pin",
        "Keep a boot point whatever retention is set to.",
        "keeping:pin",
        (
            "bootpoint pin erp bp000042 --note 'before the upgrade'",
            "bootpoint pin erp 42 --note 'month end' --json",
            "bootpoint pin web bp000007",
        ),
        (MACHINE, ID, Option(("--note",), "why, for the others", "TEXT", default="")),
    ),
    Command(
        "unpin",
        "Let retention judge a pinned boot point again.",
        "keeping:unpin",
        (
            "bootpoint unpin erp bp000042",
            "bootpoint unpin erp 42 --json",
            "bootpoint unpin web bp000007",
        ),
        (MACHINE, ID),
    ),
)
