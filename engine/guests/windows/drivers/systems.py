"""Versions of Windows by name, and which driver packages each of them would take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.guests.windows.drivers.inf import Arch, Target
from engine.guests.windows.drivers.package import (
    ROLES,
    Driver,
    Package,
    Refusal,
    Role,
    best,
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


_CLIENTS = frozenset({"7", "8", "8.1", "10"})
"""Those that there are for 32 bits; of ARM there are 10 and 11."""
_ARM = frozenset({"10", "11"})


@dataclass(frozen=True, slots=True)
class Use:
    """What one package is good for, among all that there are.

    Attributes:
        systems: Windows that take it: `2019 amd64`, …; none where another one is better.
        refusal: Why no Windows takes it, though it is for some.
    """

    role: Role
    systems: tuple[str, ...]
    refusal: Refusal | None
    doubts: tuple[str, ...]


def uses_of(packages: Sequence[Package]) -> Sequence[Use]:
    """Return for each package what it is good for, beside the others."""
    taken: list[list[str]] = [[] for _ in packages]
    refusals: list[list[Refusal]] = [[] for _ in packages]
    doubts: list[dict[str, None]] = [{} for _ in packages]
    fits = [False for _ in packages]
    for name, target in _targets():
        rivals: dict[str, list[tuple[int, Driver]]] = {}
        for at, package in enumerate(packages):
            match driver_of(package, target):
                case Driver() as driver:
                    rivals.setdefault(driver.role.name, []).append((at, driver))
                    doubts[at] |= dict.fromkeys(driver.doubts)
                    fits[at] = True
                case Refusal() as refused:
                    refusals[at].append(refused)
        for found in rivals.values():
            winner = best([driver for _, driver in found])
            taken[next(at for at, driver in found if driver is winner)].append(
                f"{name} {target.arch}"
            )
    return [
        Use(
            _role(package),
            tuple(taken[at]),
            refusals[at][0] if refusals[at] and not fits[at] else None,
            tuple(doubts[at]),
        )
        for at, package in enumerate(packages)
    ]


def _role(package: Package) -> Role:
    wanted = roles_of(package.inf)
    return next(role for role in ROLES if role.name in wanted)


def _targets() -> Iterator[tuple[str, Target]]:
    for arch in (Arch.AMD64, Arch.X86, Arch.ARM64):
        for name, (major, minor, build, product) in SYSTEMS:
            there = {Arch.X86: _CLIENTS, Arch.ARM64: _ARM}.get(arch)
            if there is None or name in there:
                yield name, Target(arch, major, minor, build, product)
