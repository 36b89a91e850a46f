r"""The half of the uml backend that is init of the throw-away kernel; a program, never imported.

    ttyS0: "7\n" ─► /x/7.ask ─► verb ─► /x/7.answer ─► ttyS0: "7\n"

Uses the standard library only. It follows no link of the guest. A question in the exchange folder
is a length (big-endian, 4 bytes), JSON, and bytes; an answer is the same from its end: bytes, which
are written while they are read, JSON, and its length.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import stat
import struct
import subprocess
import sys
import termios
import tty
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

EXCHANGE = Path("/x")
MODULES = "/usr/lib/uml/modules"
LIMIT = 64 << 20
MANY = 300
"""Names of a folder that are told at once: a question costs as much as a hundred of them."""
SMALL = 1 << 16
"""Bytes of a file that is told because its folder was asked for."""
AHEAD = 4 << 20
ALL_AHEAD = 24 << 20
"""Bytes of one file, and of all files, that are told ahead."""
_FLAGS = {"ro": 1, "noatime": 1024}
_CAREFUL = 2 | 4 | 8  # nosuid, nodev, noexec
_POWER_OFF = 0x4321FEDC
_LABEL = b"security.selinux"
_SUBVOLUME = 256
"""Number of the top folder of each subvolume of btrfs."""
_GET_ATTRIBUTES, _SET_ATTRIBUTES, _FROZEN = 0x80086601, 0x40086602, 0x10 | 0x20
"""Source: Linux, include/uapi/linux/fs.h, FS_IOC_GETFLAGS and SETFLAGS; chattr +i and +a."""
_GET_FLAGS, _SET_FLAGS, _READ_ONLY = 0x80089419, 0x4008941A, 2
"""Source: Linux, include/uapi/linux/btrfs.h, BTRFS_IOC_SUBVOL_GETFLAGS and SETFLAGS."""
_WORDS = 4000
_TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
_LVM = """
devices { dir="/dev" scan=["/dev"] use_devicesfile=0 obtain_device_list_from_udev=0
 external_device_info_source="none" filter=["a|^/dev/vd|","a|^/dev/md|","r|.*|"] sysfs_scan=1 }
global { locking_dir="/run/lvm-lock" use_lvmpolld=0 event_activation=0 use_lvmlockd=0 }
activation { udev_sync=0 udev_rules=0 monitoring=0 verify_udev_operations=0 %s }
backup { backup=0 archive=0 }
log { syslog=0 }
"""
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin", "LVM_SYSTEM_DIR": "/run/lvm",
                "LVM_SUPPRESS_FD_WARNINGS": "1", "HOME": "/run"}  # fmt: skip
_BUFFER = memoryview(bytearray(1 << 18))
_libc = ctypes.CDLL(None, use_errno=True)


class GuestError(Exception):
    """What was asked cannot be done; in words."""


def mount(device: str, point: str, kind: str, options: str = "") -> None:
    """Mount a file system, or raise OSError."""
    words = [word for word in options.split(",") if word]
    flags = sum(_FLAGS.get(word, 0) for word in words) | _CAREFUL
    data = ",".join(word for word in words if word not in _FLAGS)
    _try(_libc.mount(device.encode(), point.encode(), kind.encode(), flags, data.encode()))


def unmount(point: str) -> None:
    """Unmount, or raise OSError."""
    _try(_libc.umount2(point.encode(), 0))


def _try(code: int) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def load(*names: str) -> None:
    """Load modules of this kernel in this order; one that is built in has no file."""
    folder = Path(MODULES) / os.uname().release / "kernel"
    for name in names:
        path = folder / f"{name}.ko"
        if not path.exists():
            continue
        with path.open("rb") as file:
            if _libc.syscall(313, file.fileno(), b"", 0) and ctypes.get_errno() != 17:
                raise OSError(ctypes.get_errno(), f"the module {name} cannot be loaded")


def run(*argv: str, timeout_s: float = 60) -> tuple[int, bytes]:
    """Run a program; return its exit code (124: took too long) and the end of what it printed."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=_ENVIRONMENT, timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, b""
    except OSError as error:
        return 127, f"{argv[0]}: {error.strerror}".encode()
    return done.returncode, done.stdout[-_WORDS:]


class Server:
    """Answers what is asked."""

    def __init__(self) -> None:
        """Name the verbs."""
        self._points: list[str] = []
        self._verbs: dict[str, Callable[[Mapping[str, Any], memoryview, int], object]] = {
            "devices": self._devices,
            "inner": self._inner,
            "pread": self._pread,
            "mount": self._mount,
            "unmount": self._unmount,
            "look": self._look,
            "folder": self._folder,
            "list": self._list,
            "read": self._read,
            "link": self._link,
            "ahead": self._ahead,
            "used": self._used,
            "free": self._free,
            "edit": self._edit,
            "run": self._run,
            "sync": self._sync,
            "stop": self._stop,
        }

    def answer(self, asked: Mapping[str, Any], body: memoryview, out: int) -> object:
        """Return JSON and write bytes; GuestError or OSError when it cannot be done."""
        return self._verbs[asked["verb"]](asked, body, out)

    def _stop(self, _asked: Mapping[str, Any], _body: memoryview, _out: int) -> None:
        """Unmount and take everything apart that was put together."""
        for point in self._points:
            unmount(point)
        if Path("/run/lvm/lvm.conf").exists():
            run("lvm", "vgchange", "-an")
        for path in Path("/sys/block").glob("md*"):
            run("mdadm", "--stop", f"/dev/{path.name}")
        os.sync()

    def _devices(self, _asked: Mapping[str, Any], _body: memoryview, _out: int) -> object:
        found = {}
        for path in Path("/sys/class/block").glob("vd*"):
            start = path / "start"
            first = int(start.read_text()) if start.exists() else 0
            found[path.name] = [first * 512, int((path / "size").read_text()) * 512]
        return found

    def _inner(self, asked: Mapping[str, Any], _body: memoryview, _out: int) -> object:
        """Put arrays and volume groups together; return a line for each device made of others."""
        if asked["raid"]:
            load("drivers/md/md-mod", "drivers/md/raid1", "drivers/md/raid0", "drivers/md/linear",
                 "drivers/md/raid10")  # fmt: skip
            Path("/sys/module/md_mod/parameters/start_ro").write_text("1")
            # A superblock at the end of the last partition looks like its whole disk's as well.
            among = " ".join(asked.get("members") or ["/dev/vd*"])
            Path("/run/mdadm.conf").write_text(f"DEVICE {among}\nHOMEHOST <ignore>\nAUTO +all\n")
            run("mdadm", "--assemble", "--scan", "--no-degraded", "--config=/run/mdadm.conf")
        if asked["lvm"]:
            load("drivers/md/dm-mod")
            Path("/run/lvm").mkdir()
            Path("/run/lvm-lock").mkdir()
            only = "" if asked["writing"] else 'read_only_volume_list=["@*"]'
            Path("/run/lvm/lvm.conf").write_text(_LVM % only)
            if not asked["writing"]:
                self._read_only(only)
            run("lvm", "vgchange", "-ay", "--sysinit")
        made = [path for name in ("md*", "dm-*") for path in sorted(Path("/sys/block").glob(name))]
        # An array without all its members is not started and has no size.
        return [self._line(path) for path in made if int((path / "size").read_text())]

    def _read_only(self, before: str) -> None:
        """Let LVM open nothing for writing: the disks cannot be written."""
        _, said = run("lvm", "vgs", "--noheadings", "-o", "vg_name")
        names = [line.strip() for line in said.decode("ascii", "replace").splitlines()]
        good = [name for name in names if re.fullmatch(r"[A-Za-z0-9+_.-]+", name)]
        listed = ",".join(f'"{name}"' for name in good) or '"@*"'
        conf = Path("/run/lvm/lvm.conf")
        conf.write_text(conf.read_text().replace(before, f"read_only_volume_list=[{listed}]"))

    def _line(self, path: Path) -> str:
        def of(name: str) -> str:
            file = path / name
            return file.read_text().strip().replace("|", "?") if file.exists() else ""

        name = ""
        if path.name.startswith("md"):
            _, said = run("mdadm", "--detail", "--export", f"/dev/{path.name}")
            match = re.search(rb"^MD_NAME=(.*)$", said, re.MULTILINE)
            name = match[1].decode("ascii", "replace").replace("|", "?") if match else ""
        parts = (path.name, of("dm/name"), of("dm/uuid"), of("size"), of("md/degraded"), name)
        if parts[1] and not Path("/dev/mapper", parts[1]).exists():
            Path("/dev/mapper").mkdir(exist_ok=True)
            Path("/dev/mapper", parts[1]).symlink_to(f"/dev/{path.name}")
        return "|".join(parts)

    def _pread(self, asked: Mapping[str, Any], _body: memoryview, out: int) -> None:
        fd = os.open(asked["device"], os.O_RDONLY)
        try:
            _send(out, os.pread(fd, asked["length"], asked["offset"]))
        finally:
            os.close(fd)

    def _mount(self, asked: Mapping[str, Any], _body: memoryview, _out: int) -> None:
        if asked["type"] == "vfat":
            load(*(f"fs/nls/nls_{name}" for name in ("cp437", "iso8859-1", "ascii", "utf8")),
                 "fs/fat/fat", "fs/fat/vfat")  # fmt: skip
        point = asked["point"]
        Path(point).mkdir(exist_ok=True)
        try:
            mount(asked["device"], point, asked["type"], asked["options"])
        except ProcessLookupError:  # ext4 with the feature quota: the form of its books is unknown
            load("fs/quota/quota_tree", "fs/quota/quota_v2")
            mount(asked["device"], point, asked["type"], asked["options"])
        self._points.append(point)

    def _unmount(self, asked: Mapping[str, Any], _body: memoryview, _out: int) -> None:
        unmount(asked["point"])
        self._points.remove(asked["point"])

    def _look(self, asked: Mapping[str, Any], _body: memoryview, _out: int) -> object:
        found = _find(asked)
        return None if found is None else _told(found)

    def _folder(self, asked: Mapping[str, Any], _body: memoryview, _out: int) -> object:
        """Return all names of a folder with what they are; null when it is none or has many."""
        found = _find(asked)
        if found is None or not stat.S_ISDIR(found.st_mode):
            return {}
        return _names(os.fsencode(_there(asked)))

    def _ahead(self, asked: Mapping[str, Any], _body: memoryview, out: int) -> object:
        """Tell what is at some paths and on the way to them, all at once."""
        found = _Ahead(asked["point"], out)
        for path in asked["paths"]:
            found.add(path)
        return {"folders": found.folders, "stats": found.stats, "files": found.files}

    def _list(self, asked: Mapping[str, Any], _body: memoryview, out: int) -> None:
        found = _find(asked)
        if found is not None and stat.S_ISDIR(found.st_mode):
            names = sorted(map(os.fsencode, (path.name for path in _there(asked).iterdir())))
            _send(out, b"\0".join(names))

    def _read(self, asked: Mapping[str, Any], _body: memoryview, out: int) -> None:
        if _find(asked) is None:
            raise GuestError("it is no file")
        _copy(_there(asked), asked["offset"], min(asked["length"], LIMIT), out)

    def _link(self, asked: Mapping[str, Any], _body: memoryview, out: int) -> None:
        # A Path would lose what it thinks is redundant in the target, such as a slash at its end.
        _send(out, os.fsencode(os.readlink(_there(asked))))  # noqa: PTH115 - see above

    def _used(self, asked: Mapping[str, Any], _body: memoryview, _out: int) -> object:
        seen = os.statvfs(asked["point"])
        return (seen.f_blocks - seen.f_bfree) * seen.f_frsize

    def _free(self, asked: Mapping[str, Any], _body: memoryview, _out: int) -> object:
        seen = os.statvfs(asked["point"])
        return seen.f_bfree * seen.f_frsize

    def _run(self, asked: Mapping[str, Any], _body: memoryview, out: int) -> object:
        code, said = run(*asked["argv"], timeout_s=asked["check_s"])
        _send(out, said)
        return code

    def _sync(self, _asked: Mapping[str, Any], _body: memoryview, _out: int) -> None:
        os.sync()

    def _edit(self, asked: Mapping[str, Any], body: memoryview, _out: int) -> None:
        at = 0
        with contextlib.ExitStack() as opened:
            for edit in asked["edits"]:
                after = body[at : at + edit["length"]]
                at += edit["length"]
                try:
                    _change_unlocked(edit, after, opened)
                except OSError as error:
                    raise GuestError(f"{edit['path']}: {error.strerror}") from error


class _Ahead:
    """What is told ahead; paths are of latin-1, as in questions.

    Attributes:
        folders: Names and what they are, by folder; None where they are many.
        stats: What is at a path in a folder with many names.
        files: Path and length of each content, in the order in which they were written.
    """

    def __init__(self, point: str, out: int) -> None:
        self._point = os.fsencode(point)
        self._out = out
        self._left = ALL_AHEAD
        self._done: set[str] = set()
        self.folders: dict[str, dict[str, list[object]] | None] = {}
        self.stats: dict[str, list[object] | None] = {}
        self._look("/")
        self.files: list[tuple[str, int]] = []

    def add(self, path: str) -> None:
        """Tell what is at a path: a file's content; a folder's names and its small files."""
        here = ""
        for part in path.split("/")[1:] if path != "/" else ():
            names = self._list(here)
            here += f"/{part}"
            told = self._look(here) if names is None else names.get(part)
            if told is None or told[0] == "link":
                return
            if told[0] != "folder":
                if here == path and told[0] == "file":
                    self._content(here, cast("int", told[1]), AHEAD)
                return
        for name, told in (self._list(here) or {}).items():
            if told[0] == "file":
                self._content(f"{here}/{name}", cast("int", told[1]), SMALL)

    def _list(self, folder: str) -> dict[str, list[object]] | None:
        key = folder or "/"
        if key not in self.folders:
            self.folders[key] = _names(self._at(folder))
        return self.folders[key]

    def _look(self, path: str) -> list[object] | None:
        try:
            self.stats[path] = _told(os.lstat(self._at(path.rstrip("/"))))
        except (FileNotFoundError, NotADirectoryError):
            self.stats[path] = None
        return self.stats[path]

    def _content(self, path: str, size: int, limit: int) -> None:
        if size > min(limit, self._left) or path in self._done:
            return
        self._done.add(path)
        before = os.lseek(self._out, 0, os.SEEK_CUR)
        try:
            _copy(self._at(path), 0, size, self._out)
        except (OSError, GuestError):  # to be met again by whoever really reads it
            os.ftruncate(self._out, before)
        length = os.lseek(self._out, 0, os.SEEK_END) - before
        self._left -= length
        self.files.append((path, length))

    def _at(self, path: str) -> bytes:
        return self._point + path.encode("latin-1")


def _names(folder: bytes) -> dict[str, list[object]] | None:
    """Return all names of a folder with what they are; None when they are many."""
    seen: dict[str, list[object]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(seen) == MANY:
                return None
            told = _told(entry.stat(follow_symlinks=False))
            if told[0] == "link":
                told.append(os.readlink(entry.path).decode("latin-1"))  # noqa: PTH115 - see `_link`
            seen[entry.name.decode("latin-1")] = told
    return seen


def _told(found: os.stat_result) -> list[object]:
    kind = _TYPES.get(stat.S_IFMT(found.st_mode), "other")
    return [kind, found.st_size, found.st_mode & 0o7777, found.st_uid, found.st_gid]


def _there(asked: Mapping[str, Any]) -> Path:
    return _at(asked["point"], asked["path"].encode("latin-1"))


def _at(point: str, path: bytes) -> Path:
    return Path(point + os.fsdecode(path if path != b"/" else b""))


def _find(asked: Mapping[str, Any]) -> os.stat_result | None:
    """Return what is at a path that leads through folders only; None when nothing is."""
    here, there = Path(asked["point"]), _there(asked)
    found = here.lstat()
    for part in there.relative_to(here).parts:
        if not stat.S_ISDIR(found.st_mode):
            return None
        here /= part
        try:
            found = here.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
    return found


def _copy(there: bytes | Path, offset: int, length: int, out: int) -> None:
    """Write a part of a regular file out.

    Each page of memory that is touched for the first time costs this kernel a tenth of a
    millisecond: so there is one buffer, made once.
    """
    fd = os.open(there, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise GuestError("it is no file")
        end = offset + length
        while offset < end and (
            count := os.preadv(fd, [_BUFFER[: min(len(_BUFFER), end - offset)]], offset)
        ):
            _send(out, _BUFFER[:count])
            offset += count
    finally:
        os.close(fd)


def _send(out: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def _change_unlocked(
    edit: Mapping[str, Any], after: memoryview, opened: contextlib.ExitStack
) -> None:
    """Make one edit, in a read-only subvolume too, and of what chattr has frozen."""
    try:
        _change(edit, after)
    except OSError as error:
        ways = {errno.EROFS: _unlock, errno.EPERM: _thaw}
        if error.errno not in ways or not ways[error.errno](edit, opened):
            raise
        _change(edit, after)


def _thaw(edit: Mapping[str, Any], opened: contextlib.ExitStack) -> bool:
    """Let a frozen file, or folder, be changed until `opened` ends; False if none is frozen."""
    there = _there(edit)
    frozen = [path for path in (there, there.parent) if _attributes(path) & _FROZEN]
    for path in frozen:
        opened.callback(_attributes, path, more=_attributes(path) & _FROZEN)
        _attributes(path, keep=~_FROZEN)
    return bool(frozen)


def _attributes(path: Path, *, keep: int = -1, more: int = 0) -> int:
    """Return the attributes of a file or folder as they were; change them where that is asked."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        raw = bytearray(8)
        fcntl.ioctl(handle, _GET_ATTRIBUTES, raw)
        now = int.from_bytes(raw[:4], sys.byteorder)
        if (new := now & keep | more) != now:
            fcntl.ioctl(handle, _SET_ATTRIBUTES, new.to_bytes(4, sys.byteorder) + bytes(4))
    finally:
        os.close(handle)
    return now


def _unlock(edit: Mapping[str, Any], opened: contextlib.ExitStack) -> bool:
    """Let a read-only subvolume of btrfs be written until `opened` ends; False if it is none.

    Transactional systems (openSUSE MicroOS) have their root in such a one.
    """
    folder, top = _there(edit).parent, Path(edit["point"])
    while folder != top and folder.lstat().st_ino != _SUBVOLUME:
        folder = folder.parent
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    opened.callback(os.close, handle)
    raw = bytearray(8)
    fcntl.ioctl(handle, _GET_FLAGS, raw)
    flags = int.from_bytes(raw, sys.byteorder)
    if not flags & _READ_ONLY:
        return False
    fcntl.ioctl(handle, _SET_FLAGS, (flags & ~_READ_ONLY).to_bytes(8, sys.byteorder))
    opened.callback(fcntl.ioctl, handle, _SET_FLAGS, bytes(raw))
    return True


def _change(edit: Mapping[str, Any], after: memoryview) -> None:
    """Make one edit; its folders were seen to be folders."""
    there, has_owners = _there(edit), edit["has_owners"]
    label = _label(there) if has_owners else b""
    found = _find(edit)
    match edit["action"]:
        case "rename":
            there.rename(_at(edit["point"], bytes(after)))
        case "remove" if found is not None and stat.S_ISDIR(found.st_mode):
            there.rmdir()
        case "remove":
            there.unlink()
        case kind:
            if found is not None and has_owners:
                there.unlink()  # other hard links keep what they had
            _make(kind, there, after)
            if has_owners:
                _own(edit, there, label)


def _make(kind: str, there: Path, after: memoryview) -> None:
    match kind:
        case "write":
            _write(there, after)
        case "mkdir":
            there.mkdir()
        case "symlink":
            there.symlink_to(os.fsdecode(bytes(after)))


def _own(edit: Mapping[str, Any], there: Path, label: bytes) -> None:
    os.lchown(there, edit["uid"], edit["gid"])
    if edit["action"] != "symlink":
        there.chmod(edit["mode"])
    if label:
        os.setxattr(there, _LABEL, label, follow_symlinks=False)


def _write(there: Path, content: memoryview) -> None:
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
    fd = os.open(there, how, 0o600)
    try:
        _send(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)


def _label(there: Path) -> bytes:
    """Return the SELinux label of a file, or of the folder it will be in."""
    for path in (there, there.parent):
        with contextlib.suppress(OSError):
            return os.getxattr(path, _LABEL, follow_symlinks=False)
    return b""


def serve(line: int) -> None:
    """Answer until told to stop."""
    server = Server()
    os.write(line, b"0\n")
    asked = b""
    while True:
        asked += os.read(line, 64)
        while b"\n" in asked:
            word, _, asked = asked.partition(b"\n")
            verb = _serve_one(server, int(word))
            os.write(line, word + b"\n")
            if verb == "stop":
                return


def _serve_one(server: Server, number: int) -> str:
    """Answer one question; return its verb."""
    raw = (EXCHANGE / f"{number}.ask").read_bytes()
    length = struct.unpack_from(">I", raw)[0]
    request = json.loads(raw[4 : 4 + length])
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    out = os.open(EXCHANGE / f"{number}.answer", how, 0o600)
    try:
        answer = _answered(server, request, memoryview(raw)[4 + length :], out)
        told = json.dumps(answer).encode()
        _send(out, told + struct.pack(">I", len(told)))
    finally:
        os.close(out)
    return str(request["verb"])


def _answered(
    server: Server, request: Mapping[str, Any], body: memoryview, out: int
) -> dict[str, object]:
    try:
        return {"answer": server.answer(request, body, out)}
    except OSError as error:
        return {"error": error.strerror or str(error)}
    except GuestError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "Cannot allocate memory"}


def main() -> None:
    """Be init of this kernel."""
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    with contextlib.suppress(OSError):  # this kernel may have done it
        mount("dev", "/dev", "devtmpfs")
    mount("run", "/run", "tmpfs")
    mount("mnt", "/mnt", "tmpfs")
    mount("none", "/x", "hostfs", "/x")
    os.environ.clear()
    load("drivers/block/virtio_blk")
    line = os.open("/dev/ttyS0", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line, termios.TCSANOW)
    serve(line)
    os.sync()
    _libc.reboot(_POWER_OFF)


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        sys.stderr.write(f"bootpoint: {error!r}\n")
        raise
