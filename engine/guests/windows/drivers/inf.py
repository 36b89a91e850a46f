r"""Reads `.inf` files: for which devices and which Windows a package is, and what it installs.

    bytes ─► sections of lines ─► models for a Windows ─► service, files

Pure. Names are only compared, never opened.

Source: Microsoft, "INF Manufacturer section", "INF Models section", "INF AddService directive",
"INF SourceDisksFiles section".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.guests.windows.drivers.inftext import InfDamaged, Line, read_sections

_VERSION = re.compile(r"(\d{1,5})(?:\.(\d{1,5}))?(?:\.(\d{1,5}))?(?:\.(\d{1,5}))?")
_DATE = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")


class Arch(StrEnum):
    """Processors that Windows runs on, as an `.inf` spells them."""

    X86 = "x86"
    AMD64 = "amd64"
    ARM64 = "arm64"


@dataclass(frozen=True, slots=True)
class Target:
    """The Windows that a driver is looked for.

    Attributes:
        major, minor, build: 6, 1, 7601 for Server 2008 R2 with its service pack.
        product: 1 workstation, 2 domain controller, 3 server, as `.inf` files count.
    """

    arch: Arch
    major: int
    minor: int
    build: int
    product: int

    @property
    def has_driver_database(self) -> bool:
        """Whether devices are bound by `DriverDatabase`, as since Windows 8 and Server 2012."""
        return (self.major, self.minor) >= (6, 2)


@dataclass(frozen=True, slots=True)
class Model:
    """A device a package is for. `ids`: in upper case; `install`: its section."""

    description: str
    install: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A registry value below a service's key. `key`: below it, empty for itself; see `kind`.

    Attributes:
        kind: Flags of the directive AddReg: type of the value.
        data: The fields that follow.
    """

    key: str
    name: str
    kind: int
    data: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A driver's service. `binary`: the file's name; type, start, error: as in the registry."""

    name: str
    binary: str
    type: int
    start: int
    error: int
    group: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Inf:
    """What one `.inf` says. Section names and keys are in lower case.

    Attributes:
        class_guid: With braces, in upper case.
        date: `YYYY-MM-DD`, empty where there is none; `version`: up to four numbers.
    """

    sections: Mapping[str, tuple[Line, ...]]
    class_name: str
    class_guid: str
    provider: str
    date: str
    version: tuple[int, ...]

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Return the values of the first line with this key; none when there is none."""
        wanted = key.lower()
        lines = self.sections.get(section.lower(), ())
        return next((line.values for line in lines if line.key.lower() == wanted), ())

    def value(self, section: str, key: str) -> str:
        """Return the first value of a key; empty when there is none."""
        return next(iter(self.values(section, key)), "")

    def catalogues(self, target: Target) -> tuple[str, ...]:
        """Return the names of the catalogue that fit, the closest first."""
        keys = [f"catalogfile.nt{target.arch}", "catalogfile.nt", "catalogfile"]
        return tuple(name for key in keys if (name := self.value("version", key)))

    def models(self, target: Target) -> Sequence[Model]:
        """Return the devices that this file is for on that Windows; none when it is not for it."""
        found: list[Model] = []
        for line in self.sections.get("manufacturer", ()):
            base, *decorations = line.values
            suffix = _closest(decorations, target)
            if suffix is None:
                continue
            name = f"{base}.{suffix}" if suffix else base
            found += map(_model, self.sections.get(name.lower(), ()))
        return [model for model in found if model.install and model.ids]

    def service(self, install: str, target: Target) -> Service | None:
        """Return the service that an install section gives its device; None without one."""
        section = self._decorated(install, target, ".services")
        for line in self.sections.get(section, ()):
            if line.key.lower() == "addservice" and len(line.values) > 2:
                name, flags, where = line.values[:3]
                if name and number(flags) & 2:
                    return self._service(name, where)
        return None

    def files(self, install: str, target: Target) -> Sequence[str]:
        """Return paths of the files that an install section copies, in the package's folder.

        Parts are divided by `/`; a name in no `SourceDisksFiles` lies beside the `.inf`.
        """
        section = self._decorated(install, target, "")
        names: dict[str, None] = {}
        for line in self.sections.get(section, ()):
            if line.key.lower() != "copyfiles":
                continue
            for value in line.values:
                if value.startswith("@"):
                    names[value[1:]] = None
                    continue
                for file in self.sections.get(value.lower(), ()):
                    whole = file.values or (file.key,)
                    names[(whole[1] if len(whole) > 1 and whole[1] else whole[0])] = None
        return [self._place(name, target) for name in names if name]

    def _place(self, name: str, target: Target) -> str:
        for section in (f"sourcedisksfiles.{target.arch}", "sourcedisksfiles"):
            told = self.values(section, name)
            if not told:
                continue
            disk, folder = told[0], told[1] if len(told) > 1 else ""
            names = (f"sourcedisksnames.{target.arch}", "sourcedisksnames")
            disks = [values for key in names if (values := self.values(key, disk))]
            above = disks[0][3] if disks and len(disks[0]) > 3 else ""
            parts = [*above.split("\\"), *folder.split("\\"), name]
            return "/".join(part for part in parts if part not in ("", "."))
        return name

    def _decorated(self, install: str, target: Target, suffix: str) -> str:
        """Return the section that Windows takes for an install section on that processor."""
        for middle in (f".nt{target.arch}", ".nt", ""):
            name = f"{install}{middle}{suffix}".lower()
            if name in self.sections:
                return name
        return ""

    def _service(self, name: str, section: str) -> Service:
        binary = self.value(section, "servicebinary").replace("/", "\\").rpartition("\\")[2]
        settings = [
            setting
            for line in self.sections.get(section.lower(), ())
            if line.key.lower() == "addreg"
            for other in line.values
            for setting in self._settings(other)
        ]
        return Service(
            name,
            binary,
            number(self.value(section, "servicetype"), 1),
            number(self.value(section, "starttype"), 3),
            number(self.value(section, "errorcontrol"), 1),
            self.value(section, "loadordergroup"),
            tuple(settings),
        )

    def _settings(self, section: str) -> Iterator[Setting]:
        for line in self.sections.get(section.lower(), ()):
            root, key, name, kind = (*line.values, "", "", "", "")[:4]
            if root.upper() == "HKR" and not line.key:
                yield Setting(key, name, number(kind), line.values[4:])


def parse(data: bytes) -> Inf:
    """Return what an `.inf` says.

    Raises:
        InfDamaged: It is too long, has no form, or is not for Windows.
    """
    sections = read_sections(data)
    inf = Inf(sections, "", "", "", "", ())
    if not inf.value("version", "signature"):
        raise InfDamaged("it has no section [Version] with a signature")
    date, version = _driver_version(inf.values("version", "driverver"))
    return Inf(
        sections,
        inf.value("version", "class"),
        inf.value("version", "classguid").upper(),
        inf.value("version", "provider"),
        date,
        version,
    )


def number(text: str, default: int = 0) -> int:
    """Return a number in decimal or with 0x in front; the default where it is none."""
    text = text.strip()
    is_hex = text[:2].lower() == "0x"
    digits = text[2:] if is_hex else text
    if not digits.isascii() or not digits.isalnum() or len(digits) > 10:
        return default
    try:
        return int(digits, 16 if is_hex else 10) & 0xFFFFFFFF
    except ValueError:
        return default


# --- versions ---------------------------------------------------------------------------------


def _model(line: Line) -> Model:
    install, *ids = line.values or ("",)
    return Model(line.key, install, tuple(one.upper() for one in ids if one))


def _driver_version(values: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    told = [*values, "", ""]
    date, version = _DATE.fullmatch(told[0].strip()), _VERSION.fullmatch(told[1].strip())
    numbers = [int(part) for part in version.groups() if part is not None] if version else []
    shown = f"{date[3]}-{int(date[1]):02}-{int(date[2]):02}" if date else ""
    return shown, tuple(numbers)


def _closest(decorations: Sequence[str], target: Target) -> str | None:
    """Return the decoration that fits a Windows best; empty: none is needed; None: none fits."""
    ranked = [(rank, text) for text in decorations if (rank := _rank(text, target))]
    if ranked:
        return max(ranked)[1]
    # Since Server 2003 with its first service pack, other processors than x86 take decorated
    # sections only.
    return "" if target.arch is Arch.X86 else None


def _rank(decoration: str, target: Target) -> tuple[int, ...] | None:
    """Return how closely a decoration fits, the closest highest; None when it does not.

    Form: nt[architecture][.[major][.[minor][.[product][.[suite][.[build]]]]]]
    """
    head, *rest = decoration.strip().lower().split(".")
    if not head.startswith("nt") or len(rest) > 5:
        return None
    arch = head[2:]
    if arch not in ("", target.arch) or (not arch and target.arch is not Arch.X86):
        return None
    fields = [int(part) if part.isascii() and part.isdigit() else None for part in rest]
    if any(part and field is None for part, field in zip(rest, fields, strict=True)):
        return None
    major, minor, product, suite, build = (*fields, *[None] * 5)[:5]
    wanted = (major or 0, minor or 0)
    if wanted > (target.major, target.minor) or product not in (None, target.product):
        return None
    if suite or (wanted == (target.major, target.minor) and (build or 0) > target.build):
        return None
    return (*wanted, build or 0, int(product is not None), int(bool(arch)), 1)
