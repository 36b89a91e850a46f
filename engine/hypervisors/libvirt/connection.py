"""A connection to libvirt, its errors in our words.

`qemu:///embed?root=FOLDER` is libvirt's QEMU driver inside this process: no daemon, all its files
below one folder, VMs that outlive us. It needs an event loop, one process a folder, and, for root
only, the system user its package expects.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import libvirt

from engine.local.durable import LockHeld, durable_replace, file_lock, make_folder, open_folder
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe

log = logging.getLogger(__name__)

EMBED_USER = "libvirt-qemu"
LONGEST_ROOT = 48
_SETTINGS = """# Written by Bootpoint at each start.
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
dynamic_ownership = 0
stdio_handler = "file"
seccomp_sandbox = 1
max_core = 0
"""
_embedding = threading.Lock()
_loop_lock = threading.Lock()
_loop: threading.Thread | None = None
_embedded: dict[Path, libvirt.virConnect] = {}
"""The embedded driver's folder and only connection; libvirt has one such driver a process."""
_holding = contextlib.ExitStack()


def embedded_uri(root: Path) -> str:
    """Return the URI of the embedded driver with its files below `root`."""
    return f"qemu:///embed?root={quote(str(root))}"


def embedded_root(uri: str) -> Path | None:
    """Return the folder of an embedded driver's URI; None for any other."""
    if not uri.startswith("qemu:///embed"):
        return None
    return Path(unquote(uri.partition("?root=")[2]))


def is_local(uri: str) -> bool:
    """Tell whether the VMs of a URI run on this host."""
    parts = urlsplit(uri)
    return not parts.netloc and "+" not in parts.scheme


class Connection:
    """An open connection that opens itself again after it broke. Thread-safe."""

    def __init__(self, uri: str) -> None:
        """Open it.

        Raises:
            HypervisorError: libvirt cannot be reached.
        """
        self.uri = uri
        self._lock = threading.Lock()
        self._open: libvirt.virConnect | None = None
        self.get()

    def get(self) -> libvirt.virConnect:
        """Return the open connection."""
        with self._lock:
            if self._open is not None and self._open.isAlive():
                return self._open
            root = embedded_root(self.uri)
            self._open = _open(self.uri) if root is None else _open_embedded(self.uri, root)
            return self._open

    def close(self) -> None:
        """Let go; VMs go on. Repeatable."""
        with self._lock, contextlib.suppress(libvirt.libvirtError):
            if self._open is not None and embedded_root(self.uri) is None:
                self._open.close()
            self._open = None


def _open(uri: str) -> libvirt.virConnect:
    _run_events()
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise HypervisorError(_not_open(uri, error)) from error


def _open_embedded(uri: str, root: Path) -> libvirt.virConnect:
    """Open the embedded driver once, and keep it and its folder until the process ends.

    Each opening registers another driver with libvirt, which has room for ten; so a folder that
    another process holds must be found out before.
    """
    with _embedding:
        if root not in _embedded:
            if _embedded:
                raise HypervisorError(_other_folder(root, next(iter(_embedded))))
            _prepare(root)
            with contextlib.ExitStack() as held:
                try:
                    held.enter_context(file_lock(root / "bootpoint.lock"))
                except LockHeld as error:
                    raise HypervisorError(_in_use(uri)) from error
                _embedded[root] = _open(embedded_uri(short_path(root)))
                _holding.push(held.pop_all())
        return _embedded[root]


@contextlib.contextmanager
def in_our_words(vm: str, doing: str) -> Iterator[None]:
    """Turn libvirt's errors about a VM into ours.

    Args:
        doing: What failed when it fails, such as `start`.
    """
    try:
        yield
    except libvirt.libvirtError as error:
        said = safe(" ".join(str(error).split()), 600)
        raise HypervisorError(
            Problem(
                f"vm.{doing}",
                f"libvirt could not {doing} VM {safe(vm)}: {said}.",
                "Boot points are not touched by this.",
                "Look at the words above and at the host's memory and disks, then try again.",
                {"vm": safe(vm), "said": said},
            )
        ) from error


def short_path(root: Path) -> Path:
    """Return a path of the folder that leaves room for the names of sockets below it.

    QEMU's monitor is a Unix socket `lib/qemu/domain-ID-NAME/monitor.sock`, whose path must stay
    below 108 bytes. A link in the runtime folder stands for a folder that lies too deep.
    """
    if len(os.fsencode(root)) <= LONGEST_ROOT:
        return root
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run")
    place = next(one for one in (runtime, Path("/tmp")) if os.access(one, os.W_OK))  # noqa: S108 - judged below
    for old in place.glob("bootpoint-????????????"):
        if old.is_symlink() and old.lstat().st_uid == os.geteuid() and not old.exists():
            old.unlink(missing_ok=True)  # its folder is gone
    link = place / f"bootpoint-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
    with contextlib.suppress(FileExistsError):
        link.symlink_to(root)
    if link.lstat().st_uid != os.geteuid() or not link.is_symlink() or link.readlink() != root:
        raise HypervisorError(
            Problem(
                "target.too-deep",
                f"The folder {safe(str(root), 300)} lies too deep for QEMU's sockets, and "
                f"{safe(str(link))}, which should stand for it, is something else.",
                "No VM was touched.",
                f"Remove {safe(str(link))}, or move the engine's state to a shorter path.",
            )
        )
    return link


def _prepare(root: Path) -> None:
    """Write the embedded driver's settings; it reads them when it opens."""
    if not root.is_absolute():
        raise HypervisorError(
            Problem(
                "target.uri",
                "The embedded driver's URI names no absolute folder.",
                remedy="Write it as qemu:///embed?root=/some/folder.",
            )
        )
    settings = _SETTINGS
    if os.geteuid() == 0:
        _check_user()
        # The store's folders are closed to everybody but the engine's user.
        settings += 'user = "+0"\ngroup = "+0"\n'
    make_folder(root / "etc")
    with open_folder(root / "etc") as folder:
        durable_replace(folder, "qemu.conf", settings.encode())


def _check_user() -> None:
    """The driver's package looks this user up before it reads its settings."""
    try:
        pwd.getpwnam(EMBED_USER)
    except KeyError:
        raise HypervisorError(
            Problem(
                "target.no-user",
                f"libvirt's embedded driver, used by root, needs the system user {EMBED_USER}, "
                "which does not exist here.",
                "No VM was touched.",
                f"As root, run: useradd --system --user-group {EMBED_USER}",
            )
        ) from None


def _run_events() -> None:
    """Run libvirt's event loop in a thread, once a process and before the first connection."""
    global _loop  # noqa: PLW0603 - libvirt has one event loop a process
    with _loop_lock:
        if _loop is not None:
            return
        libvirt.registerErrorHandler(_forget, None)
        libvirt.virEventRegisterDefaultImpl()
        _loop = threading.Thread(target=_events, name="libvirt-events", daemon=True)
        _loop.start()


def _forget(_context: object, _error: object) -> None:
    """Print nothing: every error is raised as well."""


def _events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt's event loop")


def _not_open(uri: str, error: libvirt.libvirtError) -> Problem:
    said = safe(" ".join(str(error).split()), 600)
    return Problem(
        "target.unreachable",
        f"libvirt at {safe(uri, 300)} cannot be used: {said}.",
        "No VM was touched.",
        "Look whether libvirt is installed and running and whether this user may use it.",
        {"uri": safe(uri, 300), "said": said},
    )


def _in_use(uri: str) -> Problem:
    return Problem(
        "target.in-use",
        f"Another process uses the embedded driver of {safe(uri, 300)}.",
        "Its VMs were left alone.",
        "Stop the other engine first, or give this one a folder of its own.",
        {"uri": safe(uri, 300)},
    )


def _other_folder(wanted: Path, held: Path) -> Problem:
    return Problem(
        "target.second-folder",
        f"libvirt's embedded driver works in {safe(str(held), 300)} already and cannot work in "
        f"{safe(str(wanted), 300)} as well: it is one a process.",
        "No VM was touched.",
        "Give all embedded targets the same folder, or use a libvirt daemon for the others.",
    )
