r"""The fallback loader of UEFI: entries in NVRAM do not travel with disks.

Firmware without an entry starts `\EFI\BOOT\BOOTX64.EFI`. Shim that is started there starts
`fbx64.efi` beside it, if there is one, which reads `BOOTX64.CSV` in the system's own folder, writes
the entry into NVRAM again and starts it: a sixth of the bytes, and updates of the guest stay
effective. Without these two, shim loads `grubx64.efi` and `mmx64.efi` from the folder it was
started from, so they are copied with it. The boot manager of Windows finds its configuration in
the folder of Microsoft wherever it was started from.

Source: UEFI specification 2.10, 3.5.1.1 "Removable Media Boot Behavior"; shim's README.fallback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.guests.linux.draft import Draft
from engine.model.errors import Failure

PROGRAM = 16 << 20
"""Longest EFI program in bytes that is copied."""
_LIST = 64 << 10
"""Longest list of loaders in bytes that is read."""
_REASON = "Firmware that does not know this disk starts the loader from here."


LINUX = (b"shimx64.efi", b"grubx64.efi", b"systemd-bootx64.efi")
WINDOWS = (b"bootmgfw.efi",)
"""Loaders that may become the fallback, the best first."""


def plan_fallback(draft: Draft, wanted: Sequence[bytes] = LINUX, own: Sequence[bytes] = ()) -> None:
    """Collect the copies that make a fallback loader where there is none.

    Args:
        draft: Over a tree that has only the EFI system partition in it.
        wanted: Names of the loaders of this guest's family in lower case, the best first.
        own: UUIDs of the guest's volumes: of several loaders that one is its own whose stub of a
            menu names one of them.
    """
    efi = _child(draft, b"", b"efi")
    if not efi:
        draft.warn("The EFI system partition holds no loader.")
        return
    boot = _child(draft, efi, b"boot") or efi + b"/BOOT"
    if _child(draft, boot, b"bootx64.efi"):
        return
    copies = _loader(draft, efi, wanted, own)
    if not copies:
        draft.warn("No boot loader for x86-64 was found in the EFI system partition.")
    for name, source in copies.items():
        if _child(draft, boot, name.lower()):
            continue
        try:
            content = draft.tree.read(source, PROGRAM)
        except Failure as failure:
            draft.warn(f"A boot loader cannot be copied. {failure.problem.happened}")
            return
        if content is not None:
            draft.write(boot + b"/" + name, content, _REASON, PROGRAM)


def _loader(
    draft: Draft, efi: bytes, wanted: Sequence[bytes], own: Sequence[bytes]
) -> Mapping[bytes, bytes]:
    """Return what to copy, by its new name: the loader, shim with its followers."""
    folders = [efi + b"/" + name for name in draft.tree.list(efi)[:64]]
    microsoft = _child(draft, efi, b"microsoft")
    if microsoft:
        folders.append(_child(draft, microsoft, b"boot") or microsoft)
    # A loader of the best kind that is of another system would start that one's menu.
    mine = [folder for folder in folders if _names(draft, folder, own)] if own else []
    ways = [(loader, folder) for some in (mine, folders) for loader in wanted for folder in some]
    for loader, folder in ways:
        source = _child(draft, folder, loader)
        if not source:
            continue
        copies = {b"BOOTX64.EFI": source}
        if loader == b"shimx64.efi":
            restores = _restores(draft, folder, folders)
            followers = (b"fbx64.efi",) if restores else (b"grubx64.efi", b"mmx64.efi")
            found = {name: _child(draft, folder, name) for name in followers}
            copies |= {name: path for name, path in found.items() if path}
        return copies
    return {}


def _names(draft: Draft, folder: bytes, own: Sequence[bytes]) -> bool:
    """Return whether the menu beside a loader, mostly a stub that leads on, names one of these."""
    path = _child(draft, folder, b"grub.cfg")
    try:
        menu = draft.tree.read(path, _LIST) if path else None
    except Failure:
        return False
    return menu is not None and any(identity in menu for identity in own)


def _restores(draft: Draft, folder: bytes, folders: Sequence[bytes]) -> bool:
    """Return whether shim's own fallback would start this folder's loader, and no other one."""
    listed = {
        place: path
        for place in folders
        if place.lower() != b"/efi/boot"
        for path in [_child(draft, place, name) for name in (b"bootx64.csv", b"boot.csv")]
        if path
    }
    if list(listed) != [folder] or not _child(draft, folder, b"fbx64.efi"):
        return False
    try:
        text = draft.tree.read(listed[folder], _LIST) or b""
    except Failure:
        return False
    lines = text.decode("utf-16-le", "replace").lstrip("\ufeff").splitlines()
    names = [line.partition(",")[0] for line in lines if line.strip("\0 ")]
    return bool(names) and all(
        _child(draft, folder, name.lower().encode(errors="replace")) for name in names
    )


def _child(draft: Draft, folder: bytes, wanted: bytes) -> bytes:
    """Return the path of a name in any case, as FAT has it; empty when there is none."""
    for name in draft.tree.list(folder or b"/"):
        if name.lower() == wanted:
            return folder + b"/" + name
    return b""
