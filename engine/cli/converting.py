"""The commands about conversion (P2V), for the table of commands."""

from __future__ import annotations

from pathlib import Path

from engine.cli.option import DRY, MACHINE, POINT, WAIT, Command, Option

CONVERTING = (
    Command(
        "guest",
        "Say what was found in a machine's disks: system, boot loader, volumes.",
        "converting:guest",
        (
            "bootpoint guest erp",
            "bootpoint guest erp --self-check > check.ps1",
            "bootpoint guest erp --import-report check.json",
        ),
        (
            MACHINE,
            POINT,
            Option(
                ("--import-report",),
                "keep what the self-check script wrote in the VM",
                "FILE",
                Path,
                kind="file",
            ),
            Option(("--self-check",), "print that script, to be run in the VM", flag=True),
        ),
    ),
    Command(
        "drivers",
        "List the drivers for Windows that engine.toml registers, and who gets them.",
        "converting:drivers",
        ("bootpoint drivers", "bootpoint drivers --json", "bootpoint drivers --color never"),
    ),
    Command(
        "ledger",
        "Show what the conversion of a boot point changed, before and after.",
        "converting:ledger",
        (
            "bootpoint ledger erp",
            "bootpoint ledger erp --point bp000042 --against bp000041",
            "bootpoint ledger erp --export erp-ledger.json",
        ),
        (
            MACHINE,
            POINT,
            Option(
                ("--against",),
                "another boot point: show only what differs",
                "ID",
                default="",
                kind="point",
            ),
            Option(("--export",), "write it as JSON", "FILE", Path, kind="file"),
        ),
    ),
    Command(
        "convert",
        "Convert a boot point from its disks as imaged: one that failed, or again.",
        "converting:convert",
        (
            "bootpoint convert erp --dry-run",
            "bootpoint convert erp --point bp000042 --again --wait",
            "bootpoint convert erp --point bp000043",
        ),
        (
            MACHINE,
            POINT,
            Option(("--again",), "also one that is converted already", flag=True),
            WAIT,
            DRY,
        ),
    ),
)
