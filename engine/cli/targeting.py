"""The part of the table of commands that is about the places where standby VMs run."""

from __future__ import annotations

from pathlib import Path

from engine.cli.defining import NAME_AGAIN
from engine.cli.option import Command, Option

TARGET = (
    Command(
        "target add",
        "Add an ESXi host or a vCenter, after comparing its certificate.",
        "target:add",
        (
            "bootpoint target add esx-01 --url https://esx-01/ --user bp --password file:/etc/e1",
            "bootpoint target add vc --url https://vc/ --user bp --password file:/v --place C1",
            "bootpoint target add e --url https://e --user b --password file:/p --transport hotadd",
        ),
        (
            Option(("name",), "small letters, digits, hyphens", "NAME"),
            Option(("--url",), "https://HOST/ of its API", "URL", required=True),
            Option(
                ("--user",), "who logs in; needs a role, see docs/ESXI.md", "USER", required=True
            ),
            Option(
                ("--password",),
                "where it is: file:PATH (mode 0600) or credential:NAME",
                "REF",
                required=True,
            ),
            Option(("--pin",), "SHA-256 of the certificate, compared before", "SHA256"),
            Option(
                ("--authority",), "PEM file of who signed it, instead", "FILE", Path, kind="file"
            ),
            Option(
                ("--transport",),
                "where boot points are: nfs (here) or hotadd (on the datastore)",
                choices=("nfs", "hotadd"),
            ),
            Option(("--place",), "pool, cluster or host, or a way: cluster/pool", "TEXT"),
            Option(("--datastore",), "for the VMs' own files (hotadd: and their disks)", "TEXT"),
            Option(("--production",), "port group of the real network", "TEXT"),
            Option(("--isolated",), "port group without uplink", "TEXT"),
            Option(("--server",), "this appliance's address, as hosts see it", "HOST"),
            Option(
                ("--store",),
                "folder for the boot points, on XFS or btrfs; hosts mount .run in it",
                "DIR",
                Path,
                kind="file",
            ),
            Option(("--anyway",), "add it although something stands in the way", flag=True),
        ),
    ),
    Command(
        "target list",
        "List the targets and the room they have.",
        "listing:targets",
        (
            "bootpoint target list",
            "bootpoint target list --json",
            "bootpoint --read-only target list",
        ),
    ),
    Command(
        "target check",
        "Look at a target now and say what stands in the way.",
        "target:check",
        (
            "bootpoint target check esx-01",
            "bootpoint target check esx-01 --json",
            "bootpoint target check local",
        ),
        (Option(("name",), "the target's name", "TARGET", kind="target"),),
    ),
    Command(
        "target trust",
        "Pin a host's new certificate, after comparing it; the running engine goes by it at once.",
        "trusting:trust",
        (
            "bootpoint target trust esx-01",
            "bootpoint target trust esx-01 --pin 2F:6A:...",
            "bootpoint target trust esx-01 --pin 2f6a... --json",
        ),
        (
            Option(("name",), "the target's name", "TARGET", kind="target"),
            Option(("--pin",), "SHA-256 of the certificate, compared before", "SHA256"),
        ),
    ),
    Command(
        "target remove",
        "Take a target without standbys out of the configuration; its store and host stay.",
        "removing:remove",
        (
            "bootpoint target remove esx-01",
            "bootpoint target remove esx-01 --dry-run",
            "bootpoint target remove esx-01 --yes-i-mean esx-01 --json",
        ),
        (
            Option(("name",), "the target's name", "TARGET", kind="target"),
            Option(("--dry-run",), "only say what would go and what stays", flag=True),
            NAME_AGAIN,
        ),
    ),
    Command(
        "target selftest",
        "Try on your own host what only a real one can show, with a VM that is thrown away.",
        "target:selftest",
        (
            "bootpoint target selftest esx-01",
            "bootpoint target selftest esx-01 --json > report.json",
            "bootpoint target selftest vc --json",
        ),
        (Option(("name",), "the target's name", "TARGET", kind="target"),),
    ),
)
