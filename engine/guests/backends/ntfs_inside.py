"""The half of the NTFS volume that runs in the sandbox; started as a program, never imported.

    /tmp/disk ─ qemu-storage-daemon ─► /tmp/slice ─ ntfs-3g ─► /tmp/mount ─ we ─► stdin, stdout

Uses the standard library only, since nothing else is in the sandbox. It follows no link of the
guest. Messages are two lengths (big-endian, 4 bytes each), JSON, and bytes.

    python ntfs_inside.py try                      can anything be mounted here?
    python ntfs_inside.py read|write OFFSET SIZE   serve the file system at OFFSET
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TEMPORARY = Path("/tmp")  # noqa: S108 - the sandbox's own
DISK, SLICE, POINT, DRIVER = (TEMPORARY / name for name in ("disk", "slice", "mount", "ntfs-3g"))
PAGE, CHUNK = 4096, 1 << 20
LIMIT = 256 << 20
"""Longest file in bytes that is read."""
HIBERNATED, UNCLEAN = 14, 15
START_S, RECOVER_S, END_S = 20.0, 100.0, 60.0
_TIMES, _ACCESS = "system.ntfs_times", "system.ntfs_acl"
_NEW = struct.pack("<4Q", *[(1_700_000_000 + 11_644_473_600) * 10**7] * 4)
"""Times of what is made here, in 100 ns since 1601: repeated runs must write the same."""
_HIBERNATION = (b"hibr", b"HIBR")


class TroubleError(Exception):
    """The file system cannot be opened: `state` for programs, and the tool's words."""

    def __init__(self, state: str, words: str) -> None:
        """Remember both."""
        super().__init__(words)
        self.state = state


class Mounted:
    """The programs that show the file system as a folder."""

    def __init__(self, offset: int, size: int, *, is_writing: bool) -> None:
        """Start them.

        Raises:
            TroubleError: The file system cannot be opened that way.
        """
        POINT.mkdir()
        SLICE.touch()
        # Set-uid programs lose their rights in a user namespace; a copy without the bit does not.
        shutil.copyfile("/usr/bin/ntfs-3g", DRIVER)
        DRIVER.chmod(0o700)
        self.has_recovered = False
        self._slice = self._cut(offset, size, is_writing=is_writing)
        if is_writing:
            self._make_ready()
        self._driver = self._mount(is_writing=is_writing)

    def close(self) -> None:
        """Write everything out and end the programs.

        Raises:
            TroubleError: One of them failed.
        """
        self._unmount(self._driver)
        self._slice.terminate()
        if _ended(self._slice):
            raise TroubleError("lost", "qemu-storage-daemon could not write the disk")

    def _cut(self, offset: int, size: int, *, is_writing: bool) -> subprocess.Popen[bytes]:
        how = "off" if is_writing else "on"
        driver = "host_device" if stat.S_ISBLK(DISK.stat().st_mode) else "file"
        file = f"driver={driver},filename={DISK},node-name=disk,locking=off,read-only={how}"
        part = f"driver=raw,file=disk,node-name=part,offset={offset},size={size},read-only={how}"
        export = f"type=fuse,id=slice,node-name=part,mountpoint={SLICE}"
        export += ",writable=on" if is_writing else ""
        argv = ["qemu-storage-daemon", "--blockdev", file, "--blockdev", part, "--export", export]
        daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        _await(daemon, SLICE)
        return daemon

    def _make_ready(self) -> None:
        """Replay the journal where it holds something; refuse what Windows has not finished."""
        code, words = _run("ntfs-3g.probe", "--readwrite", str(SLICE))
        if code in (HIBERNATED, UNCLEAN):
            if self._is_hibernated():
                raise TroubleError("hibernated", words)
            code, words = _run("ntfsrecover", str(SLICE))
            if code and "Fast restart" in words:
                # Every Windows since 8 that runs keeps its log in that mode. What it had in its
                # cache is in no file, since it is not hibernated: as after a power failure.
                code, words = _run("ntfsrecover", "--kill-fast-restart", str(SLICE))
            self.has_recovered = True
            if code:
                raise TroubleError("journal", words)
            code, words = _run("ntfs-3g.probe", "--readwrite", str(SLICE))
        if code:
            raise TroubleError("journal" if code in (HIBERNATED, UNCLEAN) else "damaged", words)

    def _is_hibernated(self) -> bool:
        driver = self._mount(is_writing=False)
        try:
            return is_hibernated()
        finally:
            self._unmount(driver)

    def _mount(self, *, is_writing: bool) -> subprocess.Popen[bytes]:
        options = "noatime,windows_names,big_writes,"
        options += "norecover" if is_writing else "ro"
        argv = [str(DRIVER), "-o", f"{options},no_detach", str(SLICE), str(POINT)]
        driver = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        _await(driver, POINT)
        # ntfs-3g falls back to read-only without a word in its exit code.
        if is_writing and "rw" not in _mounts()[str(POINT)].split(","):
            raise TroubleError("damaged", "ntfs-3g can only read it")
        return driver

    def _unmount(self, driver: subprocess.Popen[bytes]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.umount2(os.fsencode(POINT), 0):
            raise TroubleError("lost", os.strerror(ctypes.get_errno()))
        if _ended(driver):
            raise TroubleError("lost", f"ntfs-3g ended with code {driver.returncode}")


def _ended(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code at once; Popen with a limit looks every 50 ms."""
    waiting = select.poll()
    handle = os.pidfd_open(process.pid)
    waiting.register(handle, select.POLLIN)
    waiting.poll(END_S * 1000)
    os.close(handle)
    return process.wait(1)


def _await(process: subprocess.Popen[bytes], point: Path) -> None:
    end = time.monotonic() + START_S
    while str(point) not in _mounts():
        if process.poll() is not None or time.monotonic() > end:
            state = "sandbox" if point == SLICE else "damaged"
            raise TroubleError(state, f"{point.name} could not be mounted")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.005)


def _mounts() -> Mapping[str, str]:
    """Return the options of everything that is mounted, by its place."""
    parts = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {part[1]: part[3] for part in parts}


def _run(*argv: str) -> tuple[int, str]:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=RECOVER_S, check=False
    )
    said = (done.stderr or done.stdout)[-2000:].decode("utf-8", "replace").strip()
    return done.returncode, said or f"{argv[0]} ended with code {done.returncode}"


def is_hibernated() -> bool:
    """Whether Windows left its memory in hiberfil.sys, or half of it (fast start-up)."""
    path = find("/hiberfil.sys")
    if path is None or path.is_symlink() or not path.is_file():
        return False
    return _content(path, 4) in _HIBERNATION


def find(path: str) -> Path | None:
    """Return where a path of the volume is, its names in any case; None when it is not there."""
    here = POINT
    for part in path.split("/"):
        if not part:
            continue
        name = _entry(here, part) if _is_folder(here) else None
        if name is None:
            return None
        here /= name
    return here


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _entry(folder: Path, name: str) -> str | None:
    """Return the name that NTFS would find in a folder."""
    if os.path.lexists(folder / name):
        return name
    wanted = _fold(name)
    return min((each.name for each in folder.iterdir() if _fold(each.name) == wanted), default=None)


def _fold(name: str) -> str:
    """Return a name as NTFS compares it: character by character in upper case."""
    return "".join(up if len(up := c.upper()) == 1 else c for c in name)


def _content(path: Path, limit: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb") as file:
        return file.read(limit)


def _stat(path: str, _payload: bytes) -> tuple[object, bytes]:
    place = find(path)
    if place is None:
        return None, b""
    found = place.lstat()
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    kind = kinds.get(stat.S_IFMT(found.st_mode), "other")
    return [kind, 0 if kind == "folder" else found.st_size], b""


def _list(path: str, _payload: bytes) -> tuple[object, bytes]:
    place = find(path)
    names = [each.name for each in place.iterdir()] if place and _is_folder(place) else []
    return [os.fsencode(name).decode("latin-1") for name in names], b""


def _read(path: str, _payload: bytes) -> tuple[object, bytes]:
    place = find(path)
    return None, _content(place, LIMIT) if place else b""


def _part(path: str, payload: bytes) -> tuple[object, bytes]:
    """Read a part of a file; `payload`: offset and length."""
    offset, length = struct.unpack(">QI", payload)
    place = find(path)
    if place is None:
        return None, b""
    handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb") as file:
        return None, os.pread(file.fileno(), length, offset)


def _link(path: str, _payload: bytes) -> tuple[object, bytes]:
    place = find(path)
    return None, os.fsencode(place.readlink()) if place else b""


def _hibernated(_path: str, _payload: bytes) -> tuple[object, bytes]:
    return is_hibernated(), b""


def _write(path: str, payload: bytes) -> tuple[object, bytes]:
    """Replace a file's content, or make the file; return the bytes that were written."""
    place = _place(path)
    if not os.path.lexists(place):
        with _making(place):
            return _patch(place, payload), b""
    times = os.getxattr(place, _TIMES, follow_symlinks=False)
    written = _patch(place, payload)
    os.setxattr(place, _TIMES, times, follow_symlinks=False)
    return written, b""


def _patch(place: Path, content: bytes) -> int:
    """Write the pages that are not the same; return how many bytes."""
    written = 0
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    with open(os.open(place, flags, 0o666), "r+b", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > len(content):
            file.truncate(len(content))
        for at in range(0, len(content), CHUNK):
            new = content[at : at + CHUNK]
            for start, end in _runs(os.pread(file.fileno(), len(new), at), new):
                written += os.pwrite(file.fileno(), new[start:end], at + start)
    return written


def _runs(old: bytes, new: bytes) -> Iterator[tuple[int, int]]:
    """Yield where pages differ, neighbours together."""
    start = None
    for at in range(0, len(new), PAGE):
        is_same = old[at : at + PAGE] == new[at : at + PAGE]
        if is_same and start is not None:
            yield start, at
            start = None
        elif not is_same and start is None:
            start = at
    if start is not None:
        yield start, len(new)


def _mkdir(path: str, _payload: bytes) -> tuple[object, bytes]:
    place = _place(path)
    with _making(place):
        place.mkdir()
    return None, b""


def _rename(path: str, payload: bytes) -> tuple[object, bytes]:
    place, to = _place(path), _place(os.fsdecode(payload))
    with _same_times(place.parent), _same_times(to.parent):
        place.rename(to)
    return None, b""


def _remove(path: str, _payload: bytes) -> tuple[object, bytes]:
    place = _place(path)
    with _same_times(place.parent):
        if _is_folder(place):
            place.rmdir()
        else:
            place.unlink()
    return None, b""


@contextlib.contextmanager
def _making(place: Path) -> Iterator[None]:
    """Give what is made the access rights of the folder it is in, and a fixed time.

    Without rights of its own it would be everybody's to change: also a script that SYSTEM runs.
    """
    rights = _rights(place.parent)
    with _same_times(place.parent):
        yield
        os.setxattr(place, _ACCESS, rights, follow_symlinks=False)
        os.setxattr(place, _TIMES, _NEW, follow_symlinks=False)


def _rights(place: Path) -> bytes:
    """Return who may do what there, as NTFS keeps it.

    `os.getxattr` asks for 128 bytes first; ntfs-3g answers with more, which the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = ctypes.create_string_buffer(1 << 16)
    size = libc.getxattr(os.fsencode(place), _ACCESS.encode(), found, len(found))
    if size < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found.raw[:size]


@contextlib.contextmanager
def _same_times(folder: Path) -> Iterator[None]:
    times = os.getxattr(folder, _TIMES)
    yield
    os.setxattr(folder, _TIMES, times)


def _place(path: str) -> Path:
    """Return where an edit is made; the name is the one that is there."""
    folder, _, name = path.rpartition("/")
    above = find(folder)
    if above is None or not _is_folder(above):
        raise FileNotFoundError(2, "The folder above is not there")
    return above / (_entry(above, name) or name)


def _check(_path: str, _payload: bytes) -> tuple[object, bytes]:
    """Let a program look at the main structures without writing; its exit code and words."""
    done = subprocess.run(
        ["ntfsfix", "-n", str(SLICE)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=RECOVER_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout[-4000:]


_VERBS: Mapping[str, Callable[[str, bytes], tuple[object, bytes]]] = {
    "stat": _stat,
    "list": _list,
    "read": _read,
    "part": _part,
    "link": _link,
    "hibernated": _hibernated,
    "check": _check,
    "write": _write,
    "mkdir": _mkdir,
    "rename": _rename,
    "remove": _remove,
}


def _send(answer: object, payload: bytes = b"") -> None:
    words = json.dumps(answer).encode()
    sys.stdout.buffer.write(struct.pack(">II", len(words), len(payload)) + words + payload)
    sys.stdout.buffer.flush()


def _receive() -> tuple[Mapping[str, Any], bytes] | None:
    head = sys.stdin.buffer.read(8)
    if len(head) < 8:
        return None
    words, size = struct.unpack(">II", head)
    return json.loads(sys.stdin.buffer.read(words)), sys.stdin.buffer.read(size)


def serve(mounted: Mounted) -> None:
    """Answer questions until the other side has no more."""
    while (message := _receive()) is not None:
        ask, payload = message
        if ask["verb"] == "finish":
            mounted.close()
            _send({"answer": None})
            return
        try:
            answer, content = _VERBS[ask["verb"]](
                os.fsdecode(ask["path"].encode("latin-1")), payload
            )
        except OSError as error:
            _send({"error": error.strerror or "unknown error"})
        else:
            _send({"answer": answer}, content)


def can_mount() -> bool:
    """Whether FUSE can be mounted here."""
    libc = ctypes.CDLL(None, use_errno=True)
    POINT.mkdir()
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
    return not libc.mount(b"try", os.fsencode(POINT), b"fuse", 0, options)


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return the exit code."""
    if argv[0] == "try":
        return 0 if can_mount() else 1
    try:
        mounted = Mounted(int(argv[1]), int(argv[2]), is_writing=argv[0] == "write")
        _send({"answer": "recovered" if mounted.has_recovered else "ready"})
        serve(mounted)
    except TroubleError as trouble:
        _send({"trouble": trouble.state, "words": str(trouble)[:2000]})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
