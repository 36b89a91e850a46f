"""What the sample guest is made of: packages of the distribution, unpacked and never installed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.local.durable import file_lock, make_folder, move_folder, remove_tree
from engine.local.tools import ToolFailed, run_tool
from engine.model.errors import Failure, Problem

Say = Callable[[str], None]
"""Told in a few words what is being done now."""

KERNEL = "linux-image-cloud-amd64"
_MEMORY = 4 << 30
_KERNEL_NAME = re.compile(r"\blinux-image-[0-9][^ ,()]*-cloud-amd64\b")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Packages:
    """Folders with the unpacked packages."""

    kernel: Path
    busybox: Path
    grub: Path
    grub_tools: Path

    @property
    def release(self) -> str:
        """Return the kernel's release, such as `6.1.0-56-cloud-amd64`."""
        return next((self.kernel / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")

    @property
    def modules(self) -> Path:
        """Return the folder of the kernel's modules."""
        found = (self.kernel / place / "lib/modules" / self.release for place in (".", "usr"))
        return next(path for path in found if path.is_dir())

    @property
    def shell(self) -> Path:
        """Return the statically linked busybox."""
        found = (self.busybox / place / "busybox" for place in ("bin", "usr/bin"))
        return next(path for path in found if path.is_file())


def fetch(cache: Path, say: Say) -> Packages:
    """Download the packages that are not in the cache yet, and unpack them there.

    Raises:
        Failure: They cannot be downloaded or unpacked; what is in the cache stays usable.
    """
    debs = cache / "packages"
    make_folder(debs)
    with file_lock(debs / ".lock", wait=True):
        return _fetch(debs, say)


def _fetch(debs: Path, say: Say) -> Packages:
    kernel = _cached(debs, "linux-image-[0-9]*-cloud-amd64")
    wanted = {
        "kernel": kernel.name.split("_")[0] if kernel else "",
        "busybox": "busybox-static",
        "grub": "grub-pc-bin",
        "grub_tools": "grub-common",
    }
    try:
        wanted["kernel"] = wanted["kernel"] or _kernel_package()
        missing = [name for name in wanted.values() if _cached(debs, name) is None]
        if missing:
            say(f"downloading {', '.join(missing)}")
            _download(missing, debs)
        return Packages(**{role: _unpacked(debs, name, say) for role, name in wanted.items()})
    except ToolFailed as failed:
        raise Failure(_problem(failed)) from failed


def _cached(debs: Path, name: str) -> Path | None:
    found = sorted(debs.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _kernel_package() -> str:
    """Return the package that the distribution's kernel package stands for now."""
    told = run_tool(
        ["apt-cache", "show", "--no-all-versions", KERNEL], cpu_s=60, memory=_MEMORY, timeout_s=60
    ).decode("utf-8", "replace")
    depends = [line for line in told.splitlines() if line.startswith("Depends:")]
    if found := _KERNEL_NAME.search("\n".join(depends)):
        return found[0]
    return KERNEL


def _download(names: list[str], debs: Path) -> None:
    proxies = [f"{name}={os.environ[name]}" for name in _PROXIES if name in os.environ]
    command = ["env", *proxies, "apt-get", "download", "-q", *names]
    run_tool(command, cpu_s=300, memory=_MEMORY, timeout_s=1800, cwd=debs)


def _unpacked(debs: Path, name: str, say: Say) -> Path:
    deb = _cached(debs, name)
    if deb is None:
        raise Failure(_problem(f"no package file of {name} appeared in {debs}"))
    place = debs / deb.stem
    if not place.is_dir():
        say(f"unpacking {deb.name}")
        draft = debs / f".{deb.stem}.draft"
        remove_tree(draft)
        run_tool(
            ["dpkg-deb", "-x", deb.name, draft.name],
            cpu_s=600,
            memory=_MEMORY,
            timeout_s=600,
            cwd=debs,
        )
        move_folder(draft, place)
    return place


def _problem(why: object) -> Problem:
    return Problem(
        "sample.packages",
        f"The packages of the sample guest cannot be fetched: {why}",
        "Nothing was built.",
        "Look whether this machine reaches its package mirror (apt-get update), then build again.",
    )
