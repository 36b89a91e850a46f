"""Versions of Windows by name, and which driver packages each of them would take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.guests.windows.drivers.inf import Arch, Inf, Target
from engine.guests.windows.drivers.package import (
    ROLES,
    Driver,
    Package,
    Refusal,
    Role,
    driver_of,
    roles_of,
)

SYSTEMS: Sequence[tuple[str, tuple[int, int, int, int]]] = (
    ("7", (6, 1, 7601, 1)),
    ("2008 R2", (6, 1, 7601, 3)),
    ("8", (6, 2, 9200, 1)),
    ("2012", (6, 2, 9200, 3)),
    ("8.1", (6, 3, 9600, 1)),
    ("2012 R2", (6, 3, 9600, 3)),
    ("2016", (10, 0, 14393, 3)),
    ("2019", (10, 0, 17763, 3)),
    ("10", (10, 0, 19045, 1)),
    ("2022", (10, 0, 20348, 3)),
    ("11", (10, 0, 22631, 1)),
    ("2025", (10, 0, 26100, 3)),
)
"""What people call a Windows: major, minor, build, kind of product."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one package is good for. `systems`: `2019 amd64`, …; `refusal`: of whole packages."""

    role: Role
    systems: tuple[str, ...]
    refusal: Refusal | None
    doubts: tuple[str, ...]


def uses_of(packages: Sequence[Package]) -> Mapping[str, Use]:
    """Return for each package, by its title, which Windows it can be used for."""
    return {package.title: _use(package) for package in packages}


def _use(package: Package) -> Use:
    names, refusals, doubts = [], [], dict[str, None]()
    for name, target in _targets(package.inf):
        match driver_of(package, target):
            case Driver() as driver:
                names.append(f"{name} {target.arch}")
                doubts |= dict.fromkeys(driver.doubts)
            case Refusal() as refused:
                refusals.append(refused)
    wanted = roles_of(package.inf)
    role = next(role for role in ROLES if role.name in wanted)
    refusal = refusals[0] if refusals and not names else None
    return Use(role, tuple(names), refusal, tuple(doubts))


def _targets(inf: Inf) -> Iterator[tuple[str, Target]]:
    told = " ".join(
        value.lower() for line in inf.sections.get("manufacturer", ()) for value in line.values[1:]
    )
    for arch in Arch:
        if f"nt{arch}" in told or arch is Arch.X86:
            for name, (major, minor, build, product) in SYSTEMS:
                yield name, Target(arch, major, minor, build, product)
