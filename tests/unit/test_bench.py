"""The benchmark's own parts, so that it cannot rot unseen."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.cli.main import main
from tests.bench.data import change_disk, make_disk
from tests.bench.measure import Contender, run_once

MIB = 1 << 20


def test_a_seed_and_a_sync_are_measured(tmp_path: Path) -> None:
    """Its process makes boot points of a full and an increment, and tells what they took."""
    disk, images, store = tmp_path / "disk.raw", tmp_path / "images", tmp_path / "store"
    make_disk(disk, 64 * MIB, 8 * MIB, seed=7)
    create = ["image", "create", "--machine", "bench", "--to", str(images), str(disk)]
    assert main(create) == 0
    command = [sys.executable, "-m", "tests.bench.seed", "--kind", "qcow2"]
    command += ["--store", str(store), "--images", str(images)]

    seed = run_once(Contender("seed", command, lambda: None, tells=True))
    change_disk(disk, MIB, seed=8)
    assert main(create) == 0
    sync = run_once(Contender("sync", command, lambda: None, tells=True))

    assert min(seed.cpu, seed.wall, sync.cpu, sync.wall) > 0
    assert sorted(p.name for p in (store / "bench").glob("bp*-replica")) == [
        "bp000001-replica",
        "bp000002-replica",
    ]
