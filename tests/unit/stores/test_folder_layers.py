"""Stores after damage: what is shown, what is refused, what is cleared."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from engine.local import durable
from engine.local.durable import LockHeld
from engine.model.errors import LayerError, WrongUse
from engine.model.extents import Extent, Kind
from engine.model.layers import LayerKind, LayerName
from engine.ports import NeverCancelled
from engine.stores.folderstore import FolderStore
from engine.stores.probe import open_store, probe
from engine.stores.reflink import Reflink
from tests.contract.disk_chains import MIB, Lab, grow, manifest, picture, put, seen
from tests.contract.doors import pause
from tests.syncing import recorded

BASE, DAY1, RUN1 = LayerName("base"), LayerName("day1"), LayerName("run1")
A = b"a" * 70_000


def names(folder: Path) -> list[str]:
    """Return what a folder holds."""
    return sorted(entry.name for entry in folder.iterdir())


def flip(file: Path, at: int) -> None:
    """Change one bit of a file."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """Return a qcow2 store with base ─ day1."""
    made = open_store(tmp_path / "store", "qcow2", "local")
    grow(made.chain("web01"), "base", None, {0: [(0, A)]})
    grow(made.chain("web01"), "day1", "base", {0: [(5, b"b")]})
    return made


def test_any_flipped_bit_of_a_manifest_is_noticed(store: FolderStore) -> None:
    """A damaged manifest makes its layer unsealed and cannot be read; others stay sealed."""
    chain, file = store.chain("web01"), store.path / "web01" / "day1" / "layer.json"
    good = file.read_bytes()
    for at in range(0, len(good), 7):
        flip(file, at)
        layers = chain.layers()
        if good[at : at + 1].isspace() and layers[DAY1].sealed:
            assert chain.manifest(DAY1).machine == "Wéb 01"
        else:
            assert not layers[DAY1].sealed
            with pytest.raises(LayerError):
                chain.manifest(DAY1)
        assert layers[BASE].sealed
        file.write_bytes(good)
    assert chain.layers()[DAY1].sealed
    chain.drop(DAY1)


def test_a_layer_that_did_not_change_is_read_once(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at many points costs no reading; what another process put there is seen at once."""
    chain, place = store.chain("web01"), store.path / "web01" / "day1" / "place.json"
    pause(0.05)
    chain.layers()
    read, real = list[str](), durable.read_bounded

    def noted(path: Path, limit: int) -> bytes:
        read.append(path.name)
        return real(path, limit)

    monkeypatch.setattr(durable, "read_bounded", noted)
    before = chain.layers()
    assert not read

    with durable.open_folder(place.parent) as folder:
        durable.durable_replace(folder, place.name, place.read_bytes().replace(b'"base"', b"null"))
    assert chain.layers()[DAY1] != before[DAY1]
    assert sorted(set(read)) == ["layer.json", "place.json"]


def test_a_medium_that_failed_for_a_moment_is_asked_again(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that could not be read is not taken for damaged for longer than that."""
    pause(0.05)
    chain = store.chain("web01")
    good = chain.layers()
    again = open_store(_copied(store), "qcow2", "again").chain("web01")

    def broken(path: Path, _limit: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(durable, "read_bounded", broken)
        assert not any(layer.sealed for layer in again.layers().values())
    assert again.layers() == good


def _copied(store: FolderStore) -> Path:
    """Return a copy of a store that nothing is known of, older than a tick of the clock."""
    copy = store.path.with_name("copy")
    subprocess.run(["cp", "-a", store.path, copy], check=True)
    pause(0.05)
    return copy


def test_damaged_hashes_are_noticed_when_asked_for(tmp_path: Path) -> None:
    """The manifest vouches for the piece hashes kept beside it; missing ones count as damaged."""
    chain = open_store(tmp_path / "s", "qcow2", "local").chain("web01")
    grow(chain, "base", seal=False)
    chain.seal(BASE, manifest(chain, "base", {0: b"h" * 330}))
    file = tmp_path / "s" / "web01" / "base" / "disk-0.hashes"
    flip(file, 100)
    with pytest.raises(LayerError):
        chain.manifest(BASE)
    file.unlink()
    with pytest.raises(LayerError):
        chain.manifest(BASE)


def test_a_layer_that_lost_its_place_is_sealed_by_its_manifest(store: FolderStore) -> None:
    """The manifest also says where a layer stands, so a start is still possible."""
    chain = store.chain("web01")
    (store.path / "web01" / "day1" / "place.json").write_bytes(b"{}")
    found = chain.layers()[DAY1]
    assert (found.sealed, found.parent, list(found.disk_sizes)) == (True, "base", [MIB])
    assert seen(chain, "day1") == picture(MIB, (0, A), (5, b"b"))


def test_doubt_stops_deleting(store: FolderStore) -> None:
    """While a layer cannot say what it lies on, nothing below it is taken away."""
    chain, folder = store.chain("web01"), store.path / "web01" / "day1"
    grow(chain, "fork", "base")
    (folder / "place.json").unlink()
    (folder / "layer.json").unlink()
    found = chain.layers()[DAY1]
    assert (found.sealed, found.parent, list(found.disk_sizes)) == (False, None, [])
    with pytest.raises(LayerError):
        chain.drop(BASE)
    with pytest.raises(LayerError):
        chain.fold(BASE, NeverCancelled())
    chain.drop(DAY1)
    chain.fold(BASE, NeverCancelled())
    assert list(chain.layers()) == ["fork"]


def test_a_missing_disk_is_refused_not_invented(store: FolderStore) -> None:
    """A layer whose file is gone reads nothing at all, and hypervisors are told nothing."""
    chain = store.chain("web01")
    (store.path / "web01" / "day1" / "disk-0.qcow2").unlink()
    with pytest.raises(LayerError), chain.open(DAY1, 0):
        pass
    with pytest.raises(LayerError):
        chain.disk_files(DAY1)


def test_links_in_the_store_are_not_followed(store: FolderStore, tmp_path: Path) -> None:
    """A symbolic link in place of a disk or folder leads nowhere, and is only unlinked."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    chain, folder = store.chain("web01"), store.path / "web01"
    (folder / "day1" / "link").symlink_to(precious)
    (folder / "day1" / "disk-0.qcow2").unlink()
    (folder / "day1" / "disk-0.qcow2").symlink_to(folder / "base" / "disk-0.qcow2")
    with pytest.raises((LayerError, OSError)), chain.open(DAY1, 0):
        pass
    chain.drop(DAY1)
    assert (precious / "file").read_text() == "x"
    assert seen(chain, "base") == picture(MIB, (0, A))


def test_leftovers_of_a_dead_process_are_cleared_at_the_next_start(store: FolderStore) -> None:
    """Half-made and half-deleted layers and drafts are gone after the store was opened again."""
    folder = store.path / "web01"
    for name in (".making-day2", ".dropped-day0"):
        (folder / name).mkdir()
        (folder / name / "disk-0.qcow2").write_bytes(b"x")
    (folder / "base" / ".layer.json.0123.tmp").write_bytes(b"x")
    store.close()
    again = open_store(store.path, "auto", "local")
    assert names(folder) == ["base", "day1"]
    assert not list((folder / "base").glob(".*"))
    again.close()


def test_sealed_files_are_read_only_and_private(store: FolderStore) -> None:
    """Nobody but the engine's user and group can read a guest's disks, and nobody can write."""
    file = store.path / "web01" / "base" / "disk-0.qcow2"
    assert file.stat().st_mode & 0o777 == 0o440
    assert file.parent.stat().st_mode & 0o077 == 0
    store.chain("web01").fold(BASE, NeverCancelled())
    file = store.path / "web01" / "day1" / "disk-0.qcow2"
    assert file.stat().st_mode & 0o777 == 0o440


def test_a_layer_gets_its_name_once_all_it_holds_is_durable(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves no layer without its disk or its place; then the name is durable, too."""
    happened = recorded(monkeypatch)
    grow(store.chain("web01"), "day2", "day1", seal=False)
    at = happened.index("rename day2")
    assert {"fsync disk-0.qcow2", "fsync place.json"} <= set(happened[:at])
    assert happened[at - 1 :] == ["fsync .making-day2", "rename day2", "fsync web01"]


def test_the_seal_gets_its_name_once_all_else_is_durable(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk is durable before its bytes are counted, and all of a layer before it is sealed."""
    chain = store.chain("web01")
    grow(chain, "day2", "day1", seal=False)
    told = manifest(chain, "day2", {0: b"hashes"})
    happened, used = recorded(monkeypatch), store._disks.used

    def counted(*args: Any) -> int:
        happened.append("count")
        return used(*args)

    monkeypatch.setattr(store._disks, "used", counted)
    chain.seal(LayerName("day2"), told)
    first, rest = happened[: happened.index("count")], happened[happened.index("count") :]
    assert first == ["fsync disk-0.qcow2"]
    contents = {f"fsync {name}" for name in ("disk-0.qcow2", "disk-0.hashes", "place.json")}
    assert set(rest[1:5]) == contents | {"fsync layer.json"}
    assert set(rest[5:7]) == {"rename disk-0.hashes", "rename place.json"}
    assert rest[7:] == ["fsync day2", "rename layer.json", "fsync day2"]


def test_a_disk_that_qemu_has_open_is_left_alone(store: FolderStore, tmp_path: Path) -> None:
    """While a QEMU process holds a scratch disk, it is neither dropped nor written to."""
    chain, socket = store.chain("web01"), tmp_path / "qmp"
    grow(chain, "run1", "day1", kind=LayerKind.SCRATCH)
    file = chain.disk_files(RUN1)[0].path
    words = ["--blockdev", f"driver=file,node-name=f,filename={file}"]
    words += ["--blockdev", "driver=qcow2,node-name=q,file=f"]
    words += [
        "--export",
        "type=vhost-user-blk,id=e,node-name=q,writable=on,addr.type=unix,addr.path=x",
    ]
    words += ["--pidfile", str(socket)]
    with subprocess.Popen(["qemu-storage-daemon", *words], cwd=tmp_path) as qemu:
        try:
            while not socket.exists():
                assert qemu.poll() is None
            with pytest.raises(LayerError):
                chain.drop(RUN1)
            with pytest.raises(LayerError), chain.open(RUN1, 0):
                pass
            with pytest.raises(LayerError):
                chain.fold(BASE, NeverCancelled())
        finally:
            qemu.kill()
    put(chain, "run1", 0, (0, b"x"))
    chain.drop(RUN1)


def test_one_process_has_a_store(store: FolderStore) -> None:
    """A second engine on the same store is told so and changes nothing."""
    with pytest.raises(LockHeld):
        open_store(store.path, "auto", "local")
    store.close()
    open_store(store.path, "auto", "local").close()


def test_what_a_folder_can_be_is_found_by_trying(xfs: Path, tmp_path: Path) -> None:
    """XFS with shared extents is probed as reflink, a file system without them as qcow2."""
    assert probe(xfs) == "reflink"
    assert not list(xfs.glob(".probe*"))
    assert probe(Path("/dev/shm")) == "qcow2"


def test_where_no_map_is_to_be_had_all_counts_as_changed(tmp_path: Path) -> None:
    """A file system that does not tell where files lie makes answers coarse, not wrong."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(b"x" * 10_000)
        file.flush()
        stack = [Path(file.name)]
        assert list(Reflink().changed(stack, 10_000)) == [Extent(0, 10_000, Kind.DATA)]
        assert Reflink().used(stack, 10_000) == 12_288


def test_a_store_stays_what_it_was(xfs: Path, tmp_path: Path) -> None:
    """A qcow2 store on XFS is still one after a restart, also when its record is damaged."""
    path = xfs / "stays"
    store = open_store(path, "qcow2", "local")
    grow(store.chain("web01"), "base", None, {0: [(0, A)]})
    store.close()
    with pytest.raises(WrongUse):
        open_store(path, "reflink", "local")
    for record in (None, b"{", b'{"kind": 7}', b'{"kind": "zfs"}'):
        if record is not None:
            (path / "store.json").write_bytes(record)
        store = open_store(path, "auto", "local")
        assert store.kind == "qcow2"
        assert seen(store.chain("web01"), "base") == picture(MIB, (0, A))
        store.close()


def test_a_store_that_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    """Asking for reflink where files cannot share bytes says what to do instead."""
    with pytest.raises(WrongUse, match="auto, reflink or qcow2"):
        open_store(tmp_path, "zfs", "local")
    place = Path("/dev/shm") / f"bootpoint-{os.getpid()}"
    try:
        with pytest.raises(LayerError, match="XFS or btrfs"):
            open_store(place, "reflink", "local")
    finally:
        subprocess.run(["rm", "-rf", str(place)], check=True)


def test_the_room_a_layer_takes_is_its_own(lab: Lab) -> None:
    """What a layer shares with its parent is not counted as used."""
    size, big = 8 * MIB, b"x" * (6 * MIB)
    grow(lab.chain, "base", None, {0: [(0, big)]}, sizes=(size,))
    grow(lab.chain, "day1", "base", {0: [(MIB, b"y" * MIB)]}, sizes=(size,))
    grow(lab.chain, "run1", "day1", {0: [(0, b"z")]}, sizes=(size,), kind=LayerKind.SCRATCH)
    layers = lab.chain.layers()
    assert 6 * MIB <= layers[BASE].used < 7 * MIB
    assert MIB <= layers[DAY1].used < 2 * MIB
    assert 0 < layers[RUN1].used < MIB
    lab.chain.drop(RUN1)
    lab.chain.fold(BASE, NeverCancelled())
    assert 6 * MIB <= lab.chain.layers()[DAY1].used < 8 * MIB
