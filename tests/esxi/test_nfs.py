"""What hosts mount, through a real NFS server and a client that is not ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.hypervisors.esxi.nfs import RunFolders
from engine.model.layers import LayerKind
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, grow, seen, xfs
from tests.vcsim.nfs import beside_server, disk

__all__ = ["xfs"]

OPERATION = "a" * 32


@pytest.fixture
def store(xfs: Path, tmp_path: Path) -> Any:
    """Yield a store with one boot point and scratch on it."""
    opened = open_store(xfs / f"nfs-{tmp_path.name}", "reflink", "esx-01")
    chain = opened.chain("web01")
    grow(chain, "bp000001-replica", None, {0: [(0, b"trunk" * 1000)]}, sizes=(2 * MIB,))
    twig = {"kind": LayerKind.CONVERSION, "sizes": (2 * MIB,)}
    grow(chain, "bp000001-conversion", "bp000001-replica", {0: [(MIB, b"twig" * 1000)]}, **twig)
    scratch = {"kind": LayerKind.SCRATCH, "sizes": (2 * MIB,)}
    grow(chain, "bp000001-scratch", "bp000001-conversion", None, **scratch)
    yield opened
    opened.close()


def test_a_host_reads_and_writes_scratch_and_nothing_else(store: Any, tmp_path: Path) -> None:
    """Over NFS the disk reads as the twig; what is written lands in scratch, the twig stays."""
    chain = store.chain("web01")
    runs = RunFolders(store.path / ".run", "bp-esx-01")
    runs.expose("web01", OPERATION, chain.disk_files("bp000001-scratch"))
    twig = chain.disk_files("bp000001-conversion")[0].path
    there = disk(store.path / ".run" / "web01" / OPERATION / "disk0-flat.vmdk")
    script = 'qemu-img compare -f raw -F raw "$1" "$2" && qemu-io -c "write -P 0x5a 4096 4096" "$1"'
    told = beside_server(
        tmp_path, store.path / ".run", "bash", "-euc", script, "client", there, str(twig)
    )
    assert told.returncode == 0, told
    assert "identical" in told.stdout
    before = seen(chain, "bp000001-conversion")
    assert before[:5] == b"trunk"
    assert before[4096:4100] != b"ZZZZ"
    after = seen(chain, "bp000001-scratch")
    assert after == before[:4096] + b"\x5a" * 4096 + before[8192:]


def test_trunk_and_twigs_have_no_name_on_the_share(store: Any, tmp_path: Path) -> None:
    """A client gets neither the store nor a sealed layer, by name or by way of `..`."""
    chain, run = store.chain("web01"), store.path / ".run"
    RunFolders(run, "bp-esx-01").expose("web01", OPERATION, chain.disk_files("bp000001-scratch"))
    good = disk(run / "web01" / OPERATION / "disk0-flat.vmdk")
    twig = chain.disk_files("bp000001-conversion")[0].path
    around = run / ".." / twig.relative_to(store.path)
    each = 'for one in "$@"; do if qemu-img info "$one"; then exit 9; fi; done'
    script = f'qemu-img info "$1"; shift; {each}'
    words = ("bash", "-euc", script, "client", good, disk(twig), disk(around))
    told = beside_server(tmp_path, run, *words)
    assert told.returncode == 0, told
    assert told.stderr.count("qemu-img: Could not open") == 2
