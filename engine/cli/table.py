"""The table of commands: parser, help, completion and tests come from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.cli.alerting import ALERTING
from engine.cli.converting import CONVERTING
from engine.cli.defining import NAME_AGAIN, STANDBY
from engine.cli.keeping import KEEPING
from engine.cli.option import (
    DRY,
    MACHINE,
    POINT,
    WAIT,
    Command,
    Option,
    count,
    memory,
    moment,
    span,
)
from engine.cli.pausing import PAUSING

GROUPS = {
    "job": "Deal with one job.",
    "alert": "Test the ways by which alerts leave; look after an alert.",
    "standby": "Define standbys.",
    "target": "Add, check and remove the places where standby VMs run.",
    "image": "Make and check image files.",
    "sample": "A small site to try everything with.",
}

_ENGINE = (
    Command(
        "engine",
        "Run the engine (the daemon).",
        "running:engine",
        (
            "bootpoint engine",
            "bootpoint engine --config /etc/bootpoint/engine.toml",
            "bootpoint engine --until-idle",
        ),
        (
            Option(("--until-idle",), "do all work that is due, then exit", flag=True),
            Option(("--rebuild-state",), "make the state anew from the stores", flag=True),
        ),
    ),
)

_LOOKING = (
    Command(
        "plain",
        "Open the console line by line: any terminal, pipe or screen reader.",
        "running:plain",
        (
            "bootpoint plain",
            "bootpoint plain --lang ja",
            "bootpoint plain --socket /run/bootpoint/engine.sock",
        ),
    ),
    Command(
        "status",
        "Say how each machine stands: one line each, worst first.",
        "looking:status",
        (
            "bootpoint status",
            "bootpoint status --json",
            "bootpoint status --fail-on late",
        ),
        (
            Option(("--offline",), "the last known state, without asking the engine", flag=True),
            Option(
                ("--fail-on",),
                "exit 1 if a machine is that bad (late: or worse)",
                choices=("late", "fail"),
                default="",
            ),
        ),
    ),
    Command(
        "show",
        "Say everything about one machine.",
        "looking:show",
        ("bootpoint show erp", "bootpoint show erp --json", "bootpoint --read-only show web"),
        (MACHINE,),
    ),
    Command(
        "sets",
        "List the image sets found in the watched folders.",
        "looking:sets",
        ("bootpoint sets", "bootpoint sets --json", "bootpoint sets --color never"),
    ),
    Command(
        "points",
        "List a machine's boot points, newest first.",
        "looking:points",
        ("bootpoint points erp", "bootpoint points erp --json", "bootpoint points web"),
        (MACHINE,),
    ),
    Command(
        "jobs",
        "List the jobs that run, wait, or ended lately.",
        "listing:jobs",
        ("bootpoint jobs", "bootpoint jobs --json", "bootpoint jobs --read-only"),
    ),
    Command(
        "journal",
        "Show the history: what happened, and what was to do.",
        "listing:journal",
        (
            "bootpoint journal",
            "bootpoint journal --follow",
            "bootpoint journal --machine erp --limit 50",
        ),
        (
            Option(("--follow",), "go on with each new line", flag=True),
            Option(("--limit",), "lines to begin with (default 50)", "N", count, 50),
            Option(("--machine",), "only of this machine", "MACHINE", default="", kind="machine"),
        ),
    ),
    Command(
        "findings",
        "List what is wrong with files, folders and targets.",
        "listing:findings",
        ("bootpoint findings", "bootpoint findings --json", "bootpoint findings --read-only"),
    ),
    Command(
        "who",
        "List who is connected to the engine, with which role, from where.",
        "listing:who",
        ("bootpoint who", "bootpoint who --json", "bootpoint who --read-only"),
    ),
    Command(
        "targets",
        "List the targets and the room they have.",
        "listing:targets",
        ("bootpoint targets", "bootpoint targets --json", "bootpoint targets --read-only"),
    ),
)

_ACTING = (
    Command(
        "start",
        "Run a boot point on a scratch layer, on an isolated network.",
        "acting:start",
        (
            "bootpoint start erp",
            "bootpoint start erp --point bp000042 --wait",
            "bootpoint start erp --dry-run",
        ),
        (
            MACHINE,
            POINT,
            WAIT,
            DRY,
        ),
    ),
    Command(
        "stop",
        "Power off a machine's VM and drop what it wrote.",
        "acting:stop",
        ("bootpoint stop erp", "bootpoint stop erp --wait", "bootpoint stop erp --dry-run"),
        (
            MACHINE,
            Option(("--yes-i-mean",), "the name again, for a VM at home", "NAME", default=""),
            WAIT,
            DRY,
        ),
    ),
    Command(
        "home",
        "Bring a VM that runs from this machine's disks home, to its target.",
        "acting:home",
        (
            "bootpoint home erp",
            "bootpoint home erp --to datastore2 --wait",
            "bootpoint home erp --dry-run",
        ),
        (
            MACHINE,
            Option(("--to",), "datastore (default: where its own files are)", "NAME", default=""),
            WAIT,
            DRY,
        ),
    ),
    Command(
        "answer",
        "Say what a machine's VM asks before it goes on, or answer it.",
        "answering:answer",
        (
            "bootpoint answer erp",
            "bootpoint answer erp 2",
            'bootpoint answer erp "I moved it"',
        ),
        (
            MACHINE,
            Option(
                ("choice",),
                "number or words of the answer (default: only show what is asked)",
                "CHOICE",
                default="",
                nargs="?",
                kind="choice",
            ),
        ),
    ),
    *PAUSING,
    Command(
        "job cancel",
        "Ask a job to end; it does within a second.",
        "acting:cancel",
        ("bootpoint job cancel 12", "bootpoint job cancel 12 --json", "bootpoint job cancel 7"),
        (Option(("job",), "the job's number", "N", kind="job"),),
    ),
    Command(
        "serial",
        "Show a running machine's serial line.",
        "guest:serial",
        (
            "bootpoint serial erp",
            "bootpoint serial erp --follow",
            "bootpoint serial erp --attach",
        ),
        (
            MACHINE,
            Option(("--attach",), "type at it as well; Ctrl-] leaves", flag=True),
            Option(("--follow",), "go on with each new line", flag=True),
            Option(("--raw",), "the bytes as they are (may steer a terminal)", flag=True),
            Option(("--lines",), "lines to begin with (default 200)", "N", count, 200),
        ),
    ),
    Command(
        "screen",
        "Draw a running machine's screen here, or save it as a picture.",
        "guest:screen",
        (
            "bootpoint screen erp",
            "bootpoint screen erp --save /tmp/erp.png",
            "bootpoint screen web --save web.png --json",
        ),
        (
            MACHINE,
            Option(("--to", "--save"), "the PNG file to write", "FILE", Path, kind="file"),
        ),
    ),
)

_TARGET = (
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

_IMAGE = (
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

_SAMPLE = (
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

_REST = (
    Command(
        "completion",
        "Print the completion script of a shell.",
        "completing:script",
        (
            "bootpoint completion bash > /etc/bash_completion.d/bootpoint",
            "bootpoint completion zsh > ~/.zfunc/_bootpoint",
            "bootpoint completion fish > ~/.config/fish/completions/bootpoint.fish",
        ),
        (Option(("shell",), "the shell", choices=("bash", "zsh", "fish")),),
    ),
    Command(
        "complete",
        "Print the names that may stand at a place (for completion scripts).",
        "completing:names",
        (
            "bootpoint complete machine",
            "bootpoint complete point erp",
            "bootpoint complete job",
        ),
        (
            Option(("what",), "what to name", choices=("machine", "point", "tried-point", "job")),
            Option(("machine",), "of which machine", "MACHINE", nargs="?", default=""),
        ),
        hidden=True,
    ),
)

COMMANDS: Sequence[Command] = (
    *_ENGINE,
    *_LOOKING,
    *ALERTING,
    *_ACTING,
    *CONVERTING,
    *KEEPING,
    *STANDBY,
    *_TARGET,
    *_IMAGE,
    *_SAMPLE,
    *_REST,
)
