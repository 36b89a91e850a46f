"""Passwords by reference: configuration names where one is, never what it is.

    file:/etc/bootpoint/esx-01.password    a file that only its owner can read
    credential:esx-01                      systemd's LoadCredential(Encrypted)=

A password is read when it is needed and kept nowhere.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from engine.local.durable import read_bounded
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

FORMS = "expected credential:NAME or file:/absolute/path"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST = 4096


def is_reference(text: str) -> bool:
    """Tell whether a text says where a password is."""
    kind, _, place = text.partition(":")
    if kind == "file":
        return place.startswith("/") and "\0" not in place
    return kind == "credential" and bool(_NAME.fullmatch(place))


def read_secret(reference: str) -> str:
    """Return the password that a reference names.

    One line break at its end does not count, and a byte order mark before it neither: some editors
    write one, and nobody sees it.

    Raises:
        WrongUse: It is no reference, or what it names is missing, empty, or open to others.
    """
    if not is_reference(reference):
        raise _wrong("what is configured as its place says no place", f"Configure it: {FORMS}.")
    kind, _, place = reference.partition(":")
    path = Path(place) if kind == "file" else _credential(place)
    try:
        if kind == "file":
            _check_closed(path)
        text = read_bounded(path, _LONGEST).decode("utf-8-sig")
    except OSError as error:
        why = f"{safe(str(path))}: {os.strerror(error.errno or 0)}"
        raise _wrong(why, "Write the password into this file, for its owner only.") from error
    except UnicodeDecodeError:
        raise _wrong(f"{safe(str(path))} is not text", "Write it as UTF-8.") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _wrong(f"{safe(str(path))} is empty", "Write the password into it, one line.")
    if "\n" in text:
        raise _wrong(f"{safe(str(path))} holds more than one line", "Leave one line in it.")
    return text


def _credential(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        raise _wrong(
            f"systemd gave this process no credentials, so {safe(name)} is not among them",
            f"Add LoadCredentialEncrypted={safe(name)} to the service, or use file:PATH. A command "
            "in a shell gets them only through systemd-run.",
        )
    return Path(folder) / name


def _check_closed(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        is_link = stat.S_ISLNK(found.st_mode)
        what = "is a link" if is_link else "is no plain file"
        raise _wrong(f"{safe(str(path))} {what}", "Name the file itself that holds the password.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise _wrong(
            f"{safe(str(path))} can be read by others (mode {stat.S_IMODE(found.st_mode):04o})",
            f"Close it: chmod 0600 {safe(str(path))}. Change the password if others saw it.",
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise _wrong(f"{safe(str(path))} belongs to another user", "Give it to this user.")


def _wrong(why: str, remedy: str) -> WrongUse:
    return WrongUse(Problem("secret.unreadable", f"A password cannot be read: {why}.", "", remedy))
