r"""Reads drivers out of ISO files and folders: only regular files, only so many, never mounted.

    ISO ─► bsdtar in the sandbox ─► tar stream ─┐
    folder ─► opened below, no links ───────────┴─► files ─► Package for each `.inf` of use

An ISO and what is in it are hostile: bsdtar sees nothing but the ISO, its output is capped by the
kernel, and the names in the stream are only dictionary keys here.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.backends.cage import caged
from engine.guests.windows.drivers.inf import parse
from engine.guests.windows.drivers.inftext import LONGEST, InfDamaged
from engine.guests.windows.drivers.package import Package, roles_of
from engine.local.safedir import SafeDir
from engine.local.tools import ToolFailed, run_tool
from engine.model.errors import Failure, Problem
from engine.model.text import safe

TOTAL, FILE, COUNT, INFS, DEPTH = 60 << 20, 16 << 20, 20_000, 2000, 16
"""Most bytes of all files of use, bytes of one, files of any kind, `.inf` files, folders deep."""
_LEAVE_OUT = ("pdb", "iso", "img", "vfd", "flp", "msi", "msp", "zip", "cab", "wim", "vmdk", "tar")
"""Kinds of files that no driver package needs and that are long."""
_ISO_MARK, _ISO_AT = b"CD001", 0x8001
_INF = re.compile(r"\.inf\Z", re.IGNORECASE)
_MEMORY, _CPU_S, _TIMEOUT_S = 1 << 30, 120, 300.0
_FOLDERS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Found:
    """What one source holds. `odd`: sentences about what in it cannot be used."""

    packages: tuple[Package, ...]
    odd: tuple[str, ...]


def identity_of(path: Path) -> str:
    """Return what changes whenever the ISO, or any file of the folder, changes.

    Raises:
        Failure: Nothing usable is there.
    """
    try:
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return f"iso {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"
        if not stat.S_ISDIR(found.st_mode):
            raise _unusable(path, "is neither a file nor a folder")
        lines = sorted(
            f"{name}\0{mark.st_size} {mark.st_mtime_ns} {mark.st_ino}" for name, mark in _walk(path)
        )
    except OSError as error:
        raise _unusable(path, os.strerror(error.errno or 0).lower()) from error
    whole = "\n".join(lines).encode("utf-8", "surrogateescape")
    return f"folder {hashlib.sha256(whole).hexdigest()}"


def read_files(path: Path) -> Mapping[str, bytes]:
    """Return the files of all driver packages of use in an ISO or a folder, by their paths.

    Raises:
        Failure: It cannot be read, or holds more than is taken.
    """
    try:
        if path.is_dir():
            return _of_folder(path)
        _refuse_no_iso(path)
        return _of_iso(path)
    except OSError as error:
        raise _unusable(path, os.strerror(error.errno or 0).lower()) from error


def packages_in(path: Path, files: Mapping[str, bytes]) -> Found:
    """Return the packages of use among files, sorted by where they are."""
    by_folder: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        by_folder.setdefault(_folder(name), {})[name] = content
    packages, odd = [], []
    for name in sorted(filter(_INF.search, files)):
        try:
            inf = parse(files[name])
        except InfDamaged as error:
            odd.append(f"{safe(name, 200)} cannot be read: {error}.")
            continue
        if not roles_of(inf):
            continue
        folder = _folder(name)
        start = len(folder) + 1 if folder else 0
        mine = {
            whole[start:]: content
            for place, content_of in by_folder.items()
            if place == folder or _is_part(place, folder, by_folder)
            for whole, content in content_of.items()
        }
        lower = {short.lower(): content for short, content in mine.items()}
        spelled = {short.lower(): short for short in mine}
        packages.append(Package(str(path), folder, name[start:], inf, lower, spelled))
    return Found(tuple(packages), tuple(odd))


def _is_part(place: str, folder: str, by_folder: Mapping[str, Mapping[str, bytes]]) -> bool:
    """Return whether a folder below a package's own belongs to it: no `.inf` is in between."""
    if not place.startswith(f"{folder}/" if folder else ""):
        return False
    while place != folder:
        if any(_INF.search(name) for name in by_folder.get(place, ())):
            return False
        place = _folder(place)
    return True


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


# --- folders ----------------------------------------------------------------------------------


def _walk(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    with SafeDir(str(path)) as folder:
        yield from _counted(folder, path)


def _counted(folder: SafeDir, path: Path) -> Iterator[tuple[str, os.stat_result]]:
    files = folder.walk(lambda name: name.startswith("."), lambda _name, _error: None)
    for number, (name, found) in enumerate(files):
        if number >= COUNT:
            raise _too_much(path, f"more than {COUNT} files")
        if stat.S_ISREG(found.st_mode):
            yield name, found


def _of_folder(path: Path) -> Mapping[str, bytes]:
    with SafeDir(str(path)) as folder:
        sizes = {name: found.st_size for name, found in _counted(folder, path)}
        infs = _checked_infs(path, [name for name in sizes if _INF.search(name)])
        heads = {name: _read(folder, name, LONGEST + 1) for name in infs}
        wanted = _wanted(sizes, _useful(heads))
        if sum(sizes[name] for name in wanted) > TOTAL:
            raise _too_much(path, f"more than {TOTAL >> 20} MiB of drivers")
        return {
            name: heads[name] if name in heads else _read(folder, name, FILE) for name in wanted
        }


def _read(folder: SafeDir, name: str, most: int) -> bytes:
    with os.fdopen(folder.open(name), "rb") as file:
        return file.read(most)


# --- ISO --------------------------------------------------------------------------------------


def _of_iso(path: Path) -> Mapping[str, bytes]:
    infs = _stream(path, ["*.[iI][nN][fF]"])
    folders = _useful({name: infs[name] for name in _checked_infs(path, list(infs))})
    files: dict[str, bytes] = {}
    patterns = [f"{_literal(folder)}/*" if folder else "*" for folder in folders]
    for at in range(0, len(patterns), _FOLDERS_AT_ONCE):
        files |= _stream(path, patterns[at : at + _FOLDERS_AT_ONCE])
        if sum(map(len, files.values())) > TOTAL:
            raise _too_much(path, f"more than {TOTAL >> 20} MiB of drivers")
    sizes = {name: len(content) for name, content in files.items()}
    return {name: files[name] for name in _wanted(sizes, folders)}


def _refuse_no_iso(path: Path) -> None:
    """Refuse what is no ISO, and one of which the end is missing.

    Source: ECMA-119, 8.4 "Primary Volume Descriptor".
    """
    with path.open("rb") as file:
        file.seek(_ISO_AT)
        head = file.read(2047)
        size = file.seek(0, os.SEEK_END)
    blocks = int.from_bytes(head[79:83], "little")
    if not head.startswith(_ISO_MARK) or not blocks:
        raise _unusable(path, "is no ISO")
    told = blocks * int.from_bytes(head[127:129], "little")
    if told > size:
        raise _unusable(path, f"has only {size} of the {told} bytes of its ISO")


def _stream(path: Path, patterns: Sequence[str]) -> dict[str, bytes]:
    """Return the files of an ISO whose names fit one of the patterns."""
    excluded = [f"*.{_any_case(kind)}" for kind in _LEAVE_OUT]
    command = ["bsdtar", "-c", "-f", "-", "--format=pax"]
    command += [word for pattern in patterns for word in ("--include", pattern)]
    command += [word for pattern in excluded for word in ("--exclude", pattern)]
    argv = caged([*command, f"@{path.absolute()}"], path)
    # The kernel ends whoever writes more: a name may stand for the same bytes many times.
    argv = ["prlimit", f"--fsize={TOTAL + (2 << 20)}", "--", *argv]
    try:
        made = run_tool(
            argv,
            cpu_s=_CPU_S,
            memory=_MEMORY,
            timeout_s=_TIMEOUT_S,
            settings={"LC_ALL": "C.UTF-8"},
        )
    except ToolFailed as failure:
        raise _unreadable(path, failure) from failure
    return _unpacked(path, made)


def _unpacked(path: Path, stream: bytes) -> dict[str, bytes]:
    """Return the regular files in a tar stream; one that is a second name of another, too."""
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(stream), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= COUNT:
                    raise _too_much(path, f"more than {COUNT} files")
                name = _plain(member.name)
                if not name or member.size > FILE:
                    continue
                if member.islnk():
                    links[name] = _plain(member.linkname)
                elif member.isreg():
                    content = archive.extractfile(member)
                    files[name] = content.read() if content else b""
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _unusable(path, f"cannot be read as an ISO: {safe(str(error), 200)}") from error
    return files | {name: files[to] for name, to in links.items() if to in files}


def _plain(name: str) -> str:
    """Return a relative path without odd parts; empty when it has some."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "/".join(parts) if parts and ".." not in parts and len(parts) <= DEPTH else ""


def _literal(text: str) -> str:
    """Return a pattern of bsdtar that fits this text only."""
    return re.sub(r"([\\*?\[\]^$])", r"\\\1", text)


def _any_case(text: str) -> str:
    return "".join(f"[{c}{c.upper()}]" for c in text)


# --- what is of use ---------------------------------------------------------------------------


def _checked_infs(path: Path, names: list[str]) -> list[str]:
    if len(names) > INFS:
        raise _too_much(path, f"more than {INFS} .inf files")
    return names


def _useful(infs: Mapping[str, bytes]) -> Sequence[str]:
    """Return the folders whose `.inf` is for a device that is looked for, or cannot be read."""
    found: dict[str, None] = {}
    for name, content in infs.items():
        try:
            is_useful = bool(roles_of(parse(content)))
        except InfDamaged:
            is_useful = _may_be_useful(content)
        if is_useful:
            found[_folder(name)] = None
    return sorted(found)


def _may_be_useful(content: bytes) -> bool:
    """Return whether a damaged `.inf` speaks of a vendor whose devices are looked for."""
    flat = content.replace(b"\0", b"").upper()
    return b"VEN_1AF4" in flat or b"VEN_15AD" in flat


def _wanted(sizes: Mapping[str, int], folders: Iterable[str]) -> Sequence[str]:
    """Return the files in these folders and below, without what is too long or of no use."""
    tops = set(folders)
    return [
        name
        for name, size in sizes.items()
        if size <= FILE
        and name.rpartition(".")[2].lower() not in _LEAVE_OUT
        and name.count("/") < DEPTH
        and not tops.isdisjoint(_above(name))
    ]


def _above(name: str) -> Iterator[str]:
    while name:
        name = _folder(name)
        yield name


# --- words ------------------------------------------------------------------------------------


def _unusable(path: Path, why: str) -> Failure:
    return Failure(
        Problem(
            "drivers.source",
            f"The drivers in {safe(str(path), 200)} cannot be used: {why}.",
            "Windows guests are converted without them; they get the hardware that they know.",
            "Correct conversion.drivers in engine.toml, or put the ISO or folder there again.",
        )
    )


def _too_much(path: Path, what: str) -> Failure:
    return Failure(
        Problem(
            "drivers.too-much",
            f"The drivers in {safe(str(path), 200)} cannot be used: it holds {what}.",
            "Windows guests are converted without them; they get the hardware that they know.",
            "Name the ISO of virtio-win or VMware Tools, or a folder with drivers only.",
        )
    )


def _unreadable(path: Path, failure: ToolFailed) -> Failure:
    happened = failure.problem.happened
    if any(words in happened for words in _FULL):
        return _too_much(path, f"more than {TOTAL >> 20} MiB of drivers")
    if "No such file" in happened or "could not be started" in happened:
        remedy = "Install the package libarchive-tools, or name a folder instead of an ISO."
    else:
        remedy = "Download the ISO again and compare its checksum with its maker's."
    return Failure(
        Problem(
            "drivers.iso",
            f"The ISO {safe(str(path), 200)} cannot be read. {happened}",
            "Windows guests are converted without its drivers.",
            remedy,
        )
    )


_FULL = ("printed more", "signal 25", "code 153", "File too large", "Write error")
"""How it is told that the kernel let a program write no more."""
