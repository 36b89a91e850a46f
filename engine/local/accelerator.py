"""Does a guest make progress under KVM on this host? Asked by running one.

/dev/kvm opens on hosts whose KVM cannot run a guest: in clouds that emulate each instruction
outside 64-bit mode, a boot loader alone would take hours. So a guest of 512 bytes waits for timer
interrupts with HLT, counts to 10⁸ in 32-bit and then in 64-bit mode, and prints a mark. A processor
does that in half a second, an emulator of single instructions never.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import threading
from pathlib import Path

from engine.local.durable import durable_replace, make_folder, open_folder, read_bounded
from engine.local.tools import ToolFailed, run_tool

log = logging.getLogger(__name__)

KVM, TCG = "kvm", "tcg"
DEVICE = Path("/dev/kvm")
EMULATOR = "qemu-system-x86_64"
LIMIT_S = 5.0
MARK = b"OK"
_MEMORY = 4 << 30
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_ANSWER = "accelerator.json"

# Loaded at 0x7c00, 16-bit mode. In order: three ticks of the BIOS clock, waited for with HLT;
# A20, GDT, protected mode; ecx = 10⁸, `dec ecx`, `jnz`; page tables at 0x10000 (one page of 2 MiB),
# CR4.PAE, EFER.LME, CR0.PG, 64-bit mode; the same loop; "OK" to port 0xE9; reset by port 0x64.
_CODE = bytes.fromhex(
    "fa31c08ed88ed0bc007cfbb903008b1e6c04f43b1e6c0474f9e2f3fae4920c02e6920f0116e87c0f20c00c01"
    "0f22c0ea347c080066b810008ed88ed0b900e1f5054975fdc7050000010003100100c7050400010000000000"
    "c7050010010003200100c7050410010000000000c7050020010083000000c7050420010000000000b8000001"
    "000f22d80f20e00c200f22e0b9800000c00f3280cc010f300f20c00d000000800f22c0eaae7c00001800b900"
    "e1f505ffc975fcb04fe6e9b04be6e9b0fee664f4ebfd66900000000000000000ffff0000009acf00ffff0000"
    "0092cf00ffff0000009aaf001f00c87c"
)
BOOT_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"

_lock = threading.Lock()
_known: dict[Path, str] = {}


def accelerator(folder: Path) -> str:
    """Return `kvm` where a guest makes progress under it, else `tcg`.

    The answer is kept for the process, and in the folder until the host or its QEMU changes.
    """
    with _lock:
        if folder not in _known:
            _known[folder] = _remembered(folder) or _found_out(folder)
        return _known[folder]


def makes_progress(accel: str, processor: str) -> bool:
    """Tell whether the guest of 512 bytes comes to its end within 5 seconds."""
    with tempfile.NamedTemporaryFile(prefix="bootpoint-probe-") as disk:
        disk.write(BOOT_SECTOR)
        disk.flush()
        command = [
            EMULATOR, "-M", "pc", "-accel", accel, "-cpu", processor, "-m", "32", "-nodefaults",
            "-no-user-config", "-display", "none", "-no-reboot", "-debugcon", "stdio",
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-drive", f"file={disk.name},format=raw,if=ide,snapshot=off",
        ]  # fmt: skip
        try:
            said = run_tool(command, cpu_s=20, memory=_MEMORY, timeout_s=LIMIT_S)
        except ToolFailed as failed:
            log.info("no guest makes progress under %s: %s", accel, failed)
            return False
    return MARK in said


def _found_out(folder: Path) -> str:
    usable = os.access(DEVICE, os.R_OK | os.W_OK) and makes_progress(KVM, "host")
    found = KVM if usable else TCG
    log.info("accelerator=%s", found)
    answer = json.dumps({"host": _host(), "accelerator": found})
    with contextlib.suppress(OSError):
        make_folder(folder)
        with open_folder(folder) as at:
            durable_replace(at, _ANSWER, answer.encode())
    return found


def _remembered(folder: Path) -> str:
    """Return what an earlier process found out on this host; empty if none did."""
    try:
        told = json.loads(read_bounded(folder / _ANSWER, 4096))
        same = told["host"] == _host() and told["accelerator"] in (KVM, TCG)
        return str(told["accelerator"]) if same else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _host() -> str:
    """Return what an answer is good for: this boot, this QEMU, this user's access to KVM."""
    try:
        boot = _BOOT_ID.read_text().strip()
        emulator = Path("/usr/bin", EMULATOR).stat().st_mtime_ns
    except OSError:
        return os.urandom(8).hex()
    return f"{boot} {emulator} {os.access(DEVICE, os.R_OK | os.W_OK)}"
