"""The few kernel modules that the sample guest keeps, with indexes as depmod makes them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from engine.guests.initrd import WANTED
from engine.guests.modules import closure, parse
from engine.local.durable import remove_tree
from engine.local.tools import run_tool
from engine.sample.packages import Packages

OWN = (b"ata_piix", b"sd_mod")
"""What the machine's own initrd holds: an old IDE controller and its disks, nothing else."""
_EXTRA = (b"button", b"evdev")
_MEMORY = 1 << 30


def keep_modules(packages: Packages, root: Path, names: Iterable[bytes] = ()) -> Path:
    """Copy modules, and all that these need, into a root folder; return `lib/modules/RELEASE`.

    Args:
        packages: Its kernel has the modules.
        root: Folder that gets them, with fresh indexes.
        names: Which; all that a standby VM could want when none is given.
    """
    release, source = packages.release, packages.modules
    scratch = root.with_name(f"{root.name}.all")
    whole = scratch / "lib/modules" / release
    shutil.copytree(source, whole)
    _depmod(scratch, release)
    known = parse((whole / "modules.dep").read_bytes())
    wanted = tuple(names) or (*WANTED, *OWN, *_EXTRA)
    paths = [os.fsdecode(path) for path in closure(known, [n for n in wanted if n in known.paths])]
    kept = root / "lib/modules" / release
    for path in (*paths, "modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (kept / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, kept / path)
    _depmod(root, release)
    remove_tree(scratch)
    return kept


def _depmod(root: Path, release: str) -> None:
    run_tool(["depmod", "-b", str(root), release], cpu_s=120, memory=_MEMORY, timeout_s=300)
