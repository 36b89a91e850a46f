"""A FUSE file system that shows a folder, and hangs in the middle of a file while it is told to.

    python -m tests.hanging FOLDER PLACE SIGN

Shows the files of FOLDER at PLACE, read-only and flat. While the file SIGN is there, a read of
what lies within a file, a MiB from its ends, gets no answer, and neither does anything after it.
It knows no FLUSH: with one, the start of any program would hang, too, for that closes whatever
its parent has open.

Source: Linux, include/uapi/linux/fuse.h, protocol 7.31.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

MIB = 1 << 20
_IN, _OUT = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE = 1, 2, 3, 14, 15, 18
_STATFS, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _FORGETS = 17, 26, 27, 28, 29, 36, 42
_SILENT = (_FORGET, _INTERRUPT, _FORGETS)
_DIRECT = 1
_ALWAYS = {
    _INIT: struct.pack("=IIIIHHIIHH32x", 7, 31, MIB, 0, 8, 8, 65_536, 1, 0, 0),
    _STATFS: struct.pack("=40x4I24x", 4096, 255, 4096, 0),
    _OPEN: struct.pack("=QII", 0, _DIRECT, 0),
    _OPENDIR: bytes(16),
    _RELEASE: b"",
    _RELEASEDIR: b"",
}
"""What is answered whatever the file."""
_LAZILY = 2
_ROOT = 1


class Server:
    """Answers one request after the other."""

    def __init__(self, folder: Path, sign: Path) -> None:
        """Know no file yet."""
        self._folder, self._sign = folder, sign
        self._names: list[str] = []

    def serve(self, device: int) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                request = os.read(device, MIB + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                raise
            _, code, unique, node, *_ = _IN.unpack_from(request)
            if code in _SILENT:
                continue
            try:
                data, wrong = self._answer(code, node, request[_IN.size :]), 0
            except OSError as error:
                data, wrong = b"", error.errno or errno.EIO
            os.write(device, _OUT.pack(_OUT.size + len(data), -wrong, unique) + data)

    def _answer(self, code: int, node: int, body: bytes) -> bytes:
        if code in _ALWAYS:
            return _ALWAYS[code]
        if code == _LOOKUP:
            number = self._number(body[:-1].decode())
            return struct.pack("=Q32x", number) + self._attributes(number)
        if code == _GETATTR:
            return bytes(16) + self._attributes(node)
        if code not in (_READ, _READDIR):
            raise OSError(errno.ENOSYS, "not needed here")
        _, offset, size = struct.unpack_from("=QQI", body)
        if code == _READ:
            return self._read(self._path(node), offset, size)
        return b"" if offset else self._list()

    def _path(self, node: int) -> Path:
        return self._folder if node == _ROOT else self._folder / self._names[node - _ROOT - 1]

    def _number(self, name: str) -> int:
        (self._folder / name).stat()
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name) + _ROOT + 1

    def _attributes(self, node: int) -> bytes:
        s = self._path(node).stat()
        times = [s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns]
        return struct.pack(
            "=6Q10I", node, s.st_size, s.st_blocks, *(t // 10**9 for t in times),
            *(t % 10**9 for t in times), s.st_mode, 1, 0, 0, 0, 4096, 0,
        )  # fmt: skip

    def _read(self, path: Path, offset: int, size: int) -> bytes:
        while MIB <= offset < path.stat().st_size - MIB and self._sign.exists():
            Event().wait(0.02)
        with path.open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    def _list(self) -> bytes:
        found = b""
        for number, name in enumerate(sorted(one.name for one in self._folder.iterdir()), 1):
            raw = name.encode()
            entry = struct.pack("=QQII", self._number(name), number, len(raw), stat.S_IFREG >> 12)
            found += entry + raw + bytes(-len(raw) % 8)
        return found


@contextmanager
def hanging(folder: Path, place: Path, sign: Path) -> Iterator[None]:
    """Show `folder` at the empty folder `place`; root only. What hangs then gets an error."""
    argv = [sys.executable, "-m", "tests.hanging", str(folder), str(place), str(sign)]
    with subprocess.Popen(argv) as server:
        try:
            while not os.path.ismount(place):
                assert server.poll() is None, "the file system could not be mounted"
                Event().wait(0.02)
            yield
        finally:
            if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(place), _LAZILY):
                raise OSError(ctypes.get_errno(), "umount")
            server.kill()


def main() -> int:
    """Mount, and answer."""
    folder, place, sign = map(Path, sys.argv[1:])
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hanging", os.fsencode(place), b"fuse", ctypes.c_ulong(0), options):
        raise OSError(ctypes.get_errno(), "mount")
    Server(folder, sign).serve(device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
