"""ext2, ext3 and ext4 on a raw disk, through the programs of e2fsprogs.

Reading goes by inode numbers (`ls -p <12>`, `cat <13>`): no name of the guest is ever part of a
command. Writing names files, hence refuses names that debugfs would read as something else.
"""

from __future__ import annotations

import re
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.backend import Stat, Type
from engine.guests.backends.cage import caged
from engine.guests.backends.debugfs import FAKE_TIME, Session, TooMuch
from engine.guests.backends.verify import (
    components,
    damaged,
    no_link,
    parent,
    refusal,
    told_by,
    unreadable,
)
from engine.local.tools import ToolFailed, run_tool
from engine.model.errors import Failure
from engine.model.guest import Action, FileEdit, Owner, Volume
from engine.model.text import safe

ROOT = 2
CHECK_S = 120.0
CHECK_USED = 64 << 30
"""A full check has these limits: seconds, and bytes in use."""
_LINE = re.compile(rb"^/(\d+)/(\d{6})/(\d+)/(\d+)/([^/\n]+)/(\d*)/$", re.MULTILINE)
_TYPES = {0o100000: Type.FILE, 0o040000: Type.FOLDER, 0o120000: Type.LINK}
_TYPE_BITS = {Type.FILE: 0o100000, Type.FOLDER: 0o040000, Type.LINK: 0o120000}
_UNSPEAKABLE = re.compile(rb"[\x00-\x1f\x7f\"'\\]")
_NEEDS_RECOVERY, _SCATTERED, _WIDE, _ORPHANS = 0x4, 0x10, 0x80, 0x10000
_CLUSTERS = 0x200
_TABLE = 16 << 20
"""Longest table of groups in bytes that is added up: 32 TiB with blocks of 4 KiB."""
_NEEDS_KERNEL = {"inline_data": (0, 0x8000), "mmp": (0, 0x100), "quota": (1, 0x100),
                 "project": (1, 0x2000)}  # fmt: skip
"""Features by their bits in those that forbid reading (0) or writing (1) where unknown."""
_KNOWN = (0x3E7D6, 0x1F77B)
"""Features in the same order that e2fsprogs 1.47 can write.

Source: e2fsprogs 1.47, lib/ext2fs/ext2fs.h, `EXT2_LIB_FEATURE_…_SUPP`.
"""
_PASS = re.compile(rb"(?m)^(?:e2fsck [\d.]+ .*|Pass \d: .*)$")
"""Lines of e2fsck that tell what it does, not what it found."""
_JOURNAL = b"\xc0\x3b\x39\x98"
_LABEL = b"security.selinux"


@dataclass(frozen=True, slots=True)
class _Node:
    """An entry of a folder."""

    inode: int
    stat: Stat


@dataclass(frozen=True, slots=True)
class _Super:
    """What is needed of the superblock.

    Attributes:
        block, size, used: Bytes of a block, of all blocks, of those in use.
        has_orphans: There are files that were deleted while they were open.
        written: The newest of its times, in seconds.
        features: Those that forbid reading, and writing, to whoever does not know them.
    """

    block: int
    size: int
    used: int
    needs_recovery: bool
    has_orphans: bool
    written: int
    features: tuple[int, int]


class ExtVolume:
    """One file system; the verbs of a backend without the volume's name."""

    def __init__(self, disk: Path, volume: Volume) -> None:
        """Remember where it lies; nothing is opened yet."""
        self._disk = disk
        self._volume = volume
        self._device = f"{disk.absolute()}?offset={volume.start}"
        self._session: Session | None = None
        self._listings: dict[int, Mapping[bytes, _Node]] = {}

    def stat(self, path: bytes) -> Stat | None:
        """Return what is at a path; None when nothing is."""
        node = self._node(path)
        return node.stat if node else None

    def list(self, path: bytes) -> Sequence[bytes]:
        """Return the sorted names in a folder; empty when there is none."""
        node = self._node(path)
        if node is None or node.stat.type != Type.FOLDER:
            return []
        return sorted(self._listing(node.inode).keys() - {b".", b".."})

    def read(self, path: bytes, limit: int) -> bytes:
        """Return a regular file's content."""
        node = self._node(path)
        if node is None or node.stat.type != Type.FILE or node.stat.size > limit:
            raise unreadable(path, node.stat if node else None, limit)
        content = self._ask(b"cat <%d>" % node.inode, node.stat.size)
        if len(content) != node.stat.size:
            raise self._damaged(f"the file {safe(path, 200)} cannot be read to its end")
        return content

    def link(self, path: bytes) -> bytes:
        """Return where a symbolic link points."""
        node = self._node(path)
        if node is None or node.stat.type != Type.LINK:
            raise no_link(path)
        size = min(node.stat.size, 4096)
        shown = self._ask(b"stat <%d>" % node.inode)
        _, found, rest = shown.rpartition(b'Fast link dest: "')
        target = rest[:size] if found else self._ask(b"cat <%d>" % node.inode, size)
        if len(target) != node.stat.size:
            raise self._damaged(f"the link {safe(path, 200)} cannot be read")
        return target

    def close(self) -> None:
        """Forget everything read; the next question reads again."""
        if self._session is not None:
            self._session.close()
        self._session = None
        self._listings.clear()

    def unable(self) -> str:
        """Return why the programs of e2fsprogs cannot be trusted with it; empty when they can.

        debugfs 1.47 pads files that lie in their inode, looks for the block of mmp as if there
        were no partitions, and no program of e2fsprogs keeps the books of quotas; a kernel does.
        """
        features = self._super().features
        odd = [name for name, (place, bit) in _NEEDS_KERNEL.items() if features[place] & bit]
        foreign = [bits & ~known for bits, known in zip(features, _KNOWN, strict=True)]
        odd += [f"feature {bits:#x}" for bits in foreign if bits]
        return ", ".join(odd)

    def room(self) -> int | None:
        """Return the free bytes as the groups count them; None when they lie scattered.

        The superblock's own number is out of date while a file system is in use.
        Source: Linux, Documentation/filesystems/ext4/group_descr.rst.
        """
        raw, shape = self._at(1024, 1024), self._super()
        each = max(32, int.from_bytes(raw[254:256], "little")) if _number(raw, 96) & _WIDE else 32
        groups = -(-shape.size // shape.block // max(1, _number(raw, 32)))
        if _number(raw, 96) & _SCATTERED or groups * each > _TABLE:
            return None
        first = (_number(raw, 20) + 1) * shape.block
        table = self._at(first, groups * each)
        free = sum(
            int.from_bytes(table[at + 12 : at + 14], "little")
            + (int.from_bytes(table[at + 44 : at + 46], "little") << 16 if each > 45 else 0)
            for at in range(0, len(table), each)
        )
        is_clustered = bool(_number(raw, 100) & _CLUSTERS)
        return free * (1024 << min(_number(raw, 28), 20) if is_clustered else shape.block)

    def is_dirty(self) -> bool:
        """Whether the journal holds changes, or files that were deleted while open."""
        found = self._super()
        return found.needs_recovery or found.has_orphans

    def recover(self) -> None:
        """Do what the guest's kernel does first when it mounts: replay the journal, drop orphans.

        Raises:
            Failure: The journal cannot be replayed.
        """
        self.close()
        if self._super().needs_recovery:
            self._replay_journal()
        if self._super().has_orphans:
            self._fsck(("-p",), (0, 1), CHECK_S)
        if self.is_dirty():
            raise self._damaged("its journal or its deleted files could not be dealt with")

    def _replay_journal(self) -> None:
        """Let e2fsck replay the journal, and finish what it cannot at an offset.

        e2fsck 1.47 forgets `?offset=` when it opens the file system again after the replay: all
        blocks are written and the journal is empty, but it ends with code 12 before it clears
        the flag. Only an empty journal allows us to clear it.
        """
        self._fsck(("-p", "-E", "journal_only"), (0, 1, 12), CHECK_S)
        if not self._super().needs_recovery:
            return
        shown = self._ask(b"bmap <8> 0", 4096).split()
        self.close()
        block = int(shown[-1]) if shown and shown[-1].isdigit() else 0
        raw = self._at(block * self._super().block, 64)
        if not block or raw[:4] != _JOURNAL or raw[28:32] != bytes(4):
            raise self._damaged("its journal could not be replayed")
        with Session(self._device, disk=self._disk, is_writing=True) as session:
            session.do(b"feature -needs_recovery")
            session.finish()

    def refuse_unspeakable(self, edits: Sequence[FileEdit]) -> None:
        """Refuse edits that debugfs could misunderstand, or a file system larger than its volume.

        Raises:
            Failure: A path or link target holds a quote, backslash or control character, or a
                name starts like an option or an inode number.
        """
        if self._super().size > self._volume.size:
            raise self._damaged("it claims to be larger than its partition")
        for edit in edits:
            paths = [edit.path, *([edit.after] if edit.action == Action.RENAME else [])]
            targets = [edit.after] if edit.action == Action.SYMLINK else []
            odd = any(part[:1] in b"<-" for path in paths for part in components(path))
            if odd or any(_UNSPEAKABLE.search(text) for text in (*paths, *targets)):
                why = "has a name or target that debugfs cannot be given; another backend can"
                raise refusal(edit.path, why)

    def write(self, edits: Sequence[FileEdit]) -> None:
        """Make edits that were seen to fit.

        Raises:
            Failure: debugfs complained; the twig must be dropped.
        """
        with tempfile.TemporaryDirectory(prefix="bootpoint-edits-") as folder:
            commands = [
                command
                for number, edit in enumerate(edits)
                for command in self._commands(edit, number, Path(folder))
            ]
            self.close()
            try:
                self._run(commands, Path(folder))
            except ToolFailed as failed:
                said = str(failed.problem.facts.get("said", ""))
                raise told_by(self._volume.id, said) or failed from failed
        if self._super().needs_recovery:
            raise self._damaged("its journal became needed while it was changed")

    def _run(self, commands: Sequence[bytes], folder: Path) -> None:
        with Session(self._device, disk=self._disk, is_writing=True, folder=folder) as session:
            for command in commands:
                session.do(command)
            session.finish()

    def check(self) -> str:
        """Check without writing; return `full` or `skipped(reason)`.

        Raises:
            Failure: It is damaged.
        """
        used = self._super().used
        if used > CHECK_USED:
            return f"skipped({used >> 30} GiB are in use, too many for a full check)"
        begin = time.monotonic()
        try:
            self._fsck(("-fn",), (0,), CHECK_S)
        except ToolFailed as error:
            if time.monotonic() - begin >= CHECK_S:
                return f"skipped(a full check takes longer than {CHECK_S:.0f} s)"
            words = self._fsck(("-fn",), (0, 4, 8, 12), CHECK_S)
            said = safe(b" ".join(_PASS.sub(b"", words).split()), 400)
            raise self._damaged(f"e2fsck said: {said}") from error
        return "full"

    def _fsck(self, how: Sequence[str], accept: Sequence[int], seconds: float) -> bytes:
        # e2fsck repairs times that lie in its future: its clock is the file system's own.
        now = str(max(FAKE_TIME, self._super().written))
        return run_tool(
            caged(["e2fsck", *how, self._device], self._disk, is_writing="-p" in how),
            cpu_s=int(seconds) + 1,
            memory=4 << 30,
            timeout_s=seconds,
            accept=accept,
            settings={"E2FSPROGS_FAKE_TIME": now, "E2FSCK_TIME": now},
        )

    def _node(self, path: bytes) -> _Node | None:
        """Walk a path by inode numbers; a link or file on the way ends it."""
        here = self._listing(ROOT).get(b".")
        if here is None:
            raise self._damaged("its root folder cannot be read")
        for part in [] if path == b"/" else components(path):
            if here is None or here.stat.type != Type.FOLDER:
                return None
            here = self._listing(here.inode).get(part)
        return here

    def _listing(self, inode: int) -> Mapping[bytes, _Node]:
        if inode not in self._listings:
            answer = self._ask(b"ls -p <%d>" % inode)
            self._listings[inode] = {
                match[5]: _node(match) for match in _LINE.finditer(answer) if match[1] != b"0"
            }
        return self._listings[inode]

    def _ask(self, command: bytes, limit: int = 64 << 20) -> bytes:
        if self._session is None or not self._session.is_running():
            self.close()
            self._session = Session(self._device, disk=self._disk)
        try:
            return self._session.ask(command, limit)
        except TooMuch as more:
            raise self._damaged("more is in a file or folder than it says of itself") from more

    def _at(self, offset: int, length: int) -> bytes:
        with self._disk.open("rb") as file:
            file.seek(self._volume.start + offset)
            return file.read(length)

    def _super(self) -> _Super:
        raw = self._at(1024, 1024)
        if len(raw) < 1024 or raw[56:58] != b"\x53\xef":
            raise self._damaged("its superblock cannot be read")
        blocks, free = _number(raw, 4), _number(raw, 12)
        incompatible = _number(raw, 96)
        if incompatible & _WIDE:
            blocks += _number(raw, 336) << 32
            free += _number(raw, 344) << 32
        block = 1024 << min(_number(raw, 24), 6)
        return _Super(
            block=block,
            size=blocks * block,
            used=max(0, blocks - free) * block,
            needs_recovery=bool(incompatible & _NEEDS_RECOVERY),
            has_orphans=bool(_number(raw, 232) or _number(raw, 100) & _ORPHANS),
            written=max(_number(raw, 44), _number(raw, 48), _number(raw, 64)),
            features=(incompatible, _number(raw, 100)),
        )

    def _commands(self, edit: FileEdit, number: int, folder: Path) -> Sequence[bytes]:
        """Return the commands of one edit; files they need are put into `folder`."""
        name = _quoted(edit.path.rpartition(b"/")[2])
        enter = [b"cd /", b"cd " + _quoted(parent(edit.path))]
        node = self._node(edit.path)
        gone = [b"rm " + name] if edit.before is not None else []
        match edit.action:
            case Action.WRITE:
                (folder / f"{number}.new").write_bytes(edit.after)
                made = [*gone, b"write %d.new %s" % (number, name)]
                bits = _TYPE_BITS[Type.FILE] | edit.owner.mode
            case Action.MKDIR:
                made, bits = [b"mkdir " + name], _TYPE_BITS[Type.FOLDER] | edit.owner.mode
            case Action.SYMLINK:
                made = [*gone, b"symlink " + name + b" " + _quoted(edit.after)]
                bits = _TYPE_BITS[Type.LINK] | 0o777
            case Action.RENAME:
                return [*enter, b"ln " + name + b" " + _quoted(edit.after), b"unlink " + name]
            case Action.REMOVE:
                is_folder = node is not None and node.stat.type == Type.FOLDER
                return [*enter, (b"rmdir " if is_folder else b"rm ") + name]
        owned = [
            b"sif %s mode 0%o" % (name, bits),
            b"sif %s uid %d" % (name, edit.owner.uid),
            b"sif %s gid %d" % (name, edit.owner.gid),
        ]
        return [*enter, *made, *owned, *self._labelled(edit, number, folder, name)]

    def _labelled(self, edit: FileEdit, number: int, folder: Path, name: bytes) -> Sequence[bytes]:
        """Return the commands that give a file the SELinux label it had, or its folder's."""
        node = self._node(edit.path) or self._node(parent(edit.path))
        if node is None or _LABEL not in self._ask(b"ea_list <%d>" % node.inode):
            return []
        shown = self._ask(b"ea_get -V <%d> %s" % (node.inode, _LABEL), 4096)
        if not shown.strip():
            return []
        (folder / f"{number}.label").write_bytes(shown.removesuffix(b"\n"))
        return [b"ea_set -f %d.label %s %s" % (number, name, _LABEL)]

    def _damaged(self, why: str) -> Failure:
        return damaged(self._volume.id, why)


def _node(match: re.Match[bytes]) -> _Node:
    mode = int(match[2], 8)
    kind = _TYPES.get(mode & 0o170000, Type.OTHER)
    owner = Owner(mode & 0o7777, int(match[3]), int(match[4]))
    return _Node(int(match[1]), Stat(kind, int(match[6] or b"0"), owner))


def _quoted(text: bytes) -> bytes:
    return b'"' + text + b'"'


def _number(raw: bytes, at: int) -> int:
    """Return a 32-bit number of the superblock."""
    return int(struct.unpack_from("<I", raw, at)[0])
