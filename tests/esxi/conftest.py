"""A vCenter and an ESXi host, simulated, for every test that talks to one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.disk_chains import xfs
from tests.vcsim.simulator import Certificate, Sim, certificate, running
from tests.vcsim.stage import Stage, staged

__all__ = ["xfs"]


def seeds(*always: int, up_to: int) -> list[Any]:
    """Return what to parametrize `chosen` and `seed` with: all but a few seeds are nightly."""
    return [
        (model, seed)
        if model == "esxi" and seed in always
        else pytest.param(model, seed, marks=pytest.mark.nightly)
        for model in MODELS
        for seed in range(up_to)
    ]


MODELS = {"esxi": ("-esx",), "vcenter": ("-hosts", "1")}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return the simulated host's certificate."""
    return certificate(tmp_path_factory.mktemp("tls"), "host")


@pytest.fixture
def sim(tmp_path: Path, made: Certificate) -> Iterator[Sim]:
    """Yield a fresh simulated ESXi host."""
    with running(tmp_path, made, "-esx") as started:
        yield started


@pytest.fixture(params=list(MODELS))
def each(request: pytest.FixtureRequest, tmp_path: Path, made: Certificate) -> Iterator[Sim]:
    """Yield a fresh simulated ESXi host, then a vCenter."""
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(running(tmp_path, made, *MODELS[request.param]))


@pytest.fixture
def stage(each: Sim, xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield an empty target on each kind of host."""
    yield from staged(each, xfs, tmp_path)


@pytest.fixture
def chosen(request: pytest.FixtureRequest, tmp_path: Path, made: Certificate) -> Iterator[Sim]:
    """Yield a fresh simulated host of the model that the test names (`indirect`), else an ESXi."""
    with running(tmp_path, made, *MODELS[getattr(request, "param", "esxi")]) as started:
        yield started


@pytest.fixture
def one(sim: Sim, xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield an empty target on an ESXi host."""
    yield from staged(sim, xfs, tmp_path)
