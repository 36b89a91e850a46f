"""The part of the table of commands that is about image files and the sample site."""

from __future__ import annotations

from pathlib import Path

from engine.cli.option import Command, Option, count, memory, moment, span

IMAGE = (
    Command(
        "image create",
        "Make a recovery point of a machine's disks: full, then what changed.",
        "imaging:create",
        (
            "bootpoint image create --machine ERP01 --to /mnt/images /dev/vda",
            "bootpoint image create --machine ERP01 --to /mnt/images disk0.raw disk1.raw",
            "bootpoint image create --machine ERP01 --to /mnt/images --full /dev/vda",
        ),
        (
            Option(("--machine",), "the machine's name", "NAME", required=True),
            Option(("--to",), "the folder of all images", "DIR", Path, required=True, kind="file"),
            Option(("--full",), "begin a new set", flag=True),
            Option(("--taken-at",), "time of the snapshot (default now)", "TIME", moment),
            Option(("--memory",), "hint for the VM, such as 4G", "SIZE", memory),
            Option(("--cpus",), "hint for the VM", "N", count),
            Option(("--firmware",), "hint for the VM", choices=("bios", "uefi")),
            Option(("--os",), "hint for the VM", "TEXT", default=""),
            Option(
                ("disks",),
                "raw files or block devices, boot disk first",
                "DISK",
                Path,
                nargs="+",
                kind="file",
            ),
        ),
    ),
    Command(
        "image info",
        "Say what an image file or a manifest says about itself.",
        "imaging:info",
        (
            "bootpoint image info /mnt/images/erp/erp-000001-d00.bpi",
            "bootpoint image info /mnt/images/erp/erp-000001.json",
            "bootpoint image info --json erp-000002-d00.bpi",
        ),
        (Option(("file",), "a .bpi file or a manifest", "FILE", Path, kind="file"),),
    ),
    Command(
        "image verify",
        "Check every hash of image files and the links between them.",
        "imaging:verify",
        (
            "bootpoint image verify /mnt/images/erp",
            "bootpoint image verify erp-000001-d00.bpi",
            "bootpoint image verify /mnt/images --json",
        ),
        (Option(("path",), "a file, a manifest or a folder", "PATH", Path, kind="file"),),
    ),
    Command(
        "image export",
        "Write the disk of a chain of image files as qcow2 or raw.",
        "imaging:export",
        (
            "bootpoint image export full.bpi --qcow2 disk.qcow2",
            "bootpoint image export full.bpi inc1.bpi inc2.bpi --qcow2 disk.qcow2",
            "bootpoint image export full.bpi inc1.bpi --raw disk.raw",
        ),
        (
            Option(
                ("files",),
                "full and increments of one disk",
                "FILE",
                Path,
                nargs="+",
                kind="file",
            ),
            Option(("--qcow2",), "the qcow2 file to write", "OUT", Path, kind="file"),
            Option(("--raw",), "the raw file to write", "OUT", Path, kind="file"),
        ),
    ),
)

SITE = Option(
    ("--site",), "its folder (default ./sample-site)", "DIR", Path, Path("sample-site"), kind="file"
)
RATE = Option(("--rate",), "of the replication a second, such as 4M", "SIZE", memory)

SAMPLE = (
    Command(
        "sample build",
        "Build a sample site: a small real guest, imaged once.",
        "sampling:build",
        (
            "bootpoint sample build",
            "bootpoint sample build --site /srv/sample",
            "bootpoint sample build --json",
        ),
        (SITE,),
    ),
    Command(
        "sample grow",
        "Add one more increment to the sample site.",
        "sampling:grow",
        (
            "bootpoint sample grow",
            "bootpoint sample grow --site /srv/sample",
            "bootpoint sample grow --rate 1M",
        ),
        (SITE, RATE),
    ),
    Command(
        "sample live",
        "Let the sample site live: replicate, grow, replicate.",
        "sampling:live",
        (
            "bootpoint sample live",
            "bootpoint sample live --increments 10 --pause 20s",
            "bootpoint sample live --site /srv/sample --rate 1M",
        ),
        (
            SITE,
            Option(("--increments",), "how many (default 5)", "N", count, 5),
            Option(("--pause",), "between two, such as 40s", "TIME", span, 40),
            RATE,
        ),
    ),
    Command(
        "sample run",
        "Open the console on the sample site; build and start what is missing.",
        "sampling:run",
        (
            "bootpoint sample run",
            "bootpoint sample run --site /srv/sample",
            "bootpoint sample run --read-only",
        ),
        (SITE,),
    ),
    Command(
        "sample stop",
        "End the sample site's VMs, its engine and its life.",
        "sampling:stop",
        (
            "bootpoint sample stop",
            "bootpoint sample stop --site /srv/sample",
            "bootpoint sample stop --json",
        ),
        (SITE,),
    ),
)
