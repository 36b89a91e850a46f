r"""Driver packages: what a folder with an `.inf` brings, if it is whole, and for which Windows.

    folder of files ─► Package ─► for a Windows: Driver, or Refusal with its reason
                                  of several the best one

Only drivers of virtual disk controllers and network cards are looked for; all else in an ISO is
passed over. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.guests.windows.drivers.inf import Arch, Inf, Model, Service, Target
from engine.guests.windows.drivers.pe import NoProgram, Program, is_catalogue, read_program
from engine.model.text import safe

SYS = 8 << 20
"""Longest driver file in bytes."""
_ID = re.compile(r"PCI\\VEN_[0-9A-F]{4}&DEV_[0-9A-F]{4}(?:&[A-Z0-9_]{1,40}){0,4}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
SCSI_CLASS = "{4D36E97B-E325-11CE-BFC1-08002BE10318}"


@dataclass(frozen=True, slots=True)
class Role:
    """A virtual device that a driver is wanted for. `name`: as its usual service is called."""

    name: str
    title: str
    ids: tuple[str, ...]
    is_disk: bool


ROLES = (
    Role("viostor", "virtio disk", (r"PCI\VEN_1AF4&DEV_1001", r"PCI\VEN_1AF4&DEV_1042"), True),
    Role("vioscsi", "virtio SCSI", (r"PCI\VEN_1AF4&DEV_1004", r"PCI\VEN_1AF4&DEV_1048"), True),
    Role("pvscsi", "VMware PVSCSI", (r"PCI\VEN_15AD&DEV_07C0",), True),
    Role("netkvm", "virtio network", (r"PCI\VEN_1AF4&DEV_1000", r"PCI\VEN_1AF4&DEV_1041"), False),
    Role("vmxnet3", "VMware vmxnet3", (r"PCI\VEN_15AD&DEV_07B0",), False),
)

_MADE_FOR: Mapping[str, tuple[int, int, int]] = {
    "xp": (5, 1, 0),
    "wxp": (5, 1, 0),
    "2k3": (5, 2, 0),
    "2k8": (6, 0, 0),
    "vista": (6, 0, 0),
    "w7": (6, 1, 0),
    "win7": (6, 1, 0),
    "2k8r2": (6, 1, 0),
    "w8": (6, 2, 0),
    "win8": (6, 2, 0),
    "2k12": (6, 2, 0),
    "w8.1": (6, 3, 0),
    "2k12r2": (6, 3, 0),
    "w10": (10, 0, 0),
    "win10": (10, 0, 0),
    "2k16": (10, 0, 14393),
    "2k19": (10, 0, 17763),
    "2k22": (10, 0, 20348),
    "w11": (10, 0, 22000),
    "2k25": (10, 0, 26100),
}
"""Folders that say for which Windows what is in them was built, in lower case.

Source: the folders of the virtio-win ISO; those of VMware Tools.
"""


@dataclass(frozen=True, slots=True)
class Package:
    """A folder with one `.inf`.

    Attributes:
        source: Configured path of the ISO or folder.
        folder: In it; parts divided by `/`, empty for the top.
        name: Of the `.inf`.
        files: Contents by path in the folder in lower case, the `.inf` among them.
        spelled: Paths as they are spelled, by path in lower case.
    """

    source: str
    folder: str
    name: str
    inf: Inf
    files: Mapping[str, bytes]
    spelled: Mapping[str, str]

    @property
    def title(self) -> str:
        """Return where it is, for people."""
        return safe(f"{self.folder}/{self.name}".lstrip("/"), 200)

    @property
    def shown_version(self) -> str:
        """Return the version with its date."""
        numbers = ".".join(map(str, self.inf.version))
        return " ".join(part for part in (numbers, self.inf.date) if part)


@dataclass(frozen=True, slots=True)
class Driver:
    r"""A driver that was found whole, for one Windows.

    Attributes:
        install: Section of the `.inf`.
        ids: Hardware ids of the role, without what tells boards and revisions apart.
        file: Name of the driver's file in `System32\drivers`; `content`: its bytes.
        doubts: Sentences that stop nothing.
    """

    role: Role
    package: Package
    target: Target
    model: Model
    service: Service
    ids: tuple[str, ...]
    file: str
    content: bytes
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a package is not used. `why`: a phrase that follows `…is not used:`."""

    package: Package
    role: Role
    why: str
    remedy: str


def role_of(models: Sequence[Model]) -> Role | None:
    """Return the role whose device is among these models."""
    for role in ROLES:
        if any(_base(one) in role.ids for model in models for one in model.ids):
            return role
    return None


def roles_of(inf: Inf) -> frozenset[str]:
    """Return the roles that an `.inf` may have for any Windows, as its lines mention them."""
    values = {
        _base(value.upper())
        for name, lines in inf.sections.items()
        if name != "strings"
        for line in lines
        for value in line.values[1:]
    }
    return frozenset(role.name for role in ROLES if values & set(role.ids))


def driver_of(package: Package, target: Target) -> Driver | Refusal | None:
    """Return the driver that a package has for a Windows.

    Returns:
        None when it is for another Windows or another device.
    """
    models = package.inf.models(target)
    role = role_of(models)
    if role is None or not _is_made_for(package.folder, target):
        return None
    model = next(m for m in models if any(_base(one) in role.ids for one in m.ids))
    try:
        return _checked(package, target, role, model, models)
    except _Refused as refused:
        return Refusal(package, role, refused.why, refused.remedy)


def best(drivers: Sequence[Driver]) -> Driver:
    """Return the one that was built for the nearest Windows; of equals the newest."""
    return max(drivers, key=_rank)


# --- checking ---------------------------------------------------------------------------------


class _Refused(Exception):
    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy or "Get the package again from who made it, with all of its files."


def _checked(
    package: Package, target: Target, role: Role, model: Model, models: Sequence[Model]
) -> Driver:
    service = package.inf.service(model.install, target)
    if service is None:
        raise _Refused(f"its section {safe(model.install, 60)} names no service")
    wanted = package.inf.files(model.install, target)
    odd = [part for path in wanted for part in path.split("/") if not _FILE.fullmatch(part)]
    if not _NAME.fullmatch(service.name) or not _FILE.fullmatch(service.binary):
        raise _Refused(
            f"its service {safe(service.name, 60)} or the file of it ({safe(service.binary, 60)}) "
            "has a name that is not taken"
        )
    if not service.binary.lower().endswith(".sys"):
        raise _Refused(f"its service is no driver but {safe(service.binary, 60)}")
    if odd:
        raise _Refused(f"its file {safe(odd[0], 80)} has a name that is not taken")
    for path in wanted:
        if path.lower() not in package.files:
            raise _Refused(f"its file {safe(path, 80)} is missing")
    place = next(
        (p for p in map(str.lower, wanted) if p.rpartition("/")[2] == service.binary.lower()),
        service.binary.lower(),
    )
    content = package.files.get(place)
    if content is None:
        raise _Refused(f"its driver {safe(service.binary, 80)} is missing")
    program = _program(service.binary, content, target, role)
    doubts = _catalogue(package, target, service.binary, program)
    ids = tuple(one for one in role.ids if any(_base(i) == one for m in models for i in m.ids))
    return Driver(role, package, target, model, service, ids, service.binary, content, doubts)


def _program(name: str, content: bytes, target: Target, role: Role) -> Program:
    shown = safe(name, 80)
    if len(content) > SYS:
        raise _Refused(f"its driver {shown} is longer than {SYS >> 20} MiB")
    try:
        program = read_program(content)
    except NoProgram as error:
        raise _Refused(f"its driver {shown} is damaged: {error}") from None
    if program.arch != target.arch:
        raise _Refused(f"its driver {shown} is for {program.arch}, not for {target.arch}")
    if not program.is_native:
        raise _Refused(f"its driver {shown} is a program that does not run in the kernel")
    if program.is_altered:
        raise _Refused(f"its driver {shown} was changed after it was signed")
    if role.is_disk and target.arch is not Arch.X86 and not program.is_signed:
        raise _Refused(
            f"its driver {shown} carries no signature, and a 64-bit Windows does not start "
            "with such a driver for its disk",
            "Take a release whose drivers are signed.",
        )
    return program


def _catalogue(package: Package, target: Target, name: str, program: Program) -> tuple[str, ...]:
    """Return doubts about the catalogue; without one the package is refused."""
    told = package.inf.catalogues(target)
    if not told:
        raise _Refused("its .inf names no catalogue", "Take a release whose drivers are signed.")
    content = next((package.files[n.lower()] for n in told if n.lower() in package.files), None)
    if content is None:
        raise _Refused(f"its catalogue {safe(told[0], 80)} is missing")
    if not is_catalogue(content):
        raise _Refused(f"its catalogue {safe(told[0], 80)} is no signed list of files")
    if any(one in content or one.hex().upper().encode("utf-16-le") in content
           for one in program.digests):  # fmt: skip
        return ()
    doubt = f"Driver {safe(name, 80)} of {package.title} is not listed in its catalogue"
    return (f"{doubt}; Windows may refuse to install the package.",)


# --- choosing ---------------------------------------------------------------------------------


def _is_made_for(folder: str, target: Target) -> bool:
    """Return whether a folder's name does not say that it is for a later Windows, or none."""
    made = made_for(folder)
    return made is None or made <= (target.major, target.minor, target.build)


def made_for(folder: str) -> tuple[int, int, int] | None:
    """Return the version that a folder was built for, if its name says one."""
    found = [_MADE_FOR[part] for part in folder.lower().split("/") if part in _MADE_FOR]
    return found[-1] if found else None


def _rank(driver: Driver) -> tuple[object, ...]:
    inf = driver.package.inf
    # Backwards, so that of two equal ones the first by name is taken.
    name = tuple(-ord(c) for c in f"{driver.package.source}\0{driver.package.folder}")
    made = made_for(driver.package.folder) or (0, 0, 0)
    return (made, inf.date, inf.version, name)


def _base(hardware_id: str) -> str:
    """Return vendor and device of a PCI id; empty when it is none."""
    if not _ID.fullmatch(hardware_id):
        return ""
    return "&".join(hardware_id.split("&")[:2])
