"""Stores that are away: a problem of their target alone, and over by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.api.present import Presenter
from engine.daemon.targetstore import TargetStore
from engine.model.errors import LayerError, NotFound, Problem, StoreAway
from engine.model.layers import LayerKind, LayerName
from engine.model.points import Stage
from engine.stores.folderstore import FolderStore
from engine.stores.memory import MemoryStore
from engine.stores.probe import open_store
from tests.running import running, wait

LAYER = LayerName("bp000001-replica")
NO_REFLINK = Problem("store.no-reflink", "It cannot share bytes.", "", "Use XFS.")


def unmount(store: Path) -> Path:
    """Leave an empty folder where a store is, as an unmounted file system does."""
    aside = store.with_name("elsewhere")
    store.rename(aside)  # a test's own
    store.mkdir()
    return aside


def mount(store: Path, aside: Path) -> None:
    """Undo `unmount`."""
    store.rmdir()
    aside.rename(store)


class Fitful:
    """What opens a store, or does not."""

    def __init__(self) -> None:
        """Begin with a file system that is not fit."""
        self.fit = False
        self.store = MemoryStore()

    def __call__(self) -> MemoryStore:
        """Open it."""
        if not self.fit:
            raise LayerError(NO_REFLINK)
        return self.store


def test_nothing_is_written_where_a_store_was_unmounted(tmp_path: Path) -> None:
    """A store whose file system went away refuses all, and its mount point stays empty."""
    path = tmp_path / "store"
    store = open_store(path, "qcow2", "local")
    chain = store.chain("erp")
    chain.add(LAYER, None, LayerKind.REPLICA, [1 << 20])
    aside = unmount(path)

    for act in (
        chain.layers,
        chain.free,
        store.standbys,
        lambda: chain.add(LayerName("bp000002-replica"), LAYER, LayerKind.REPLICA, [1 << 20]),
        lambda: chain.note(LAYER, "text"),
        lambda: chain.drop(LAYER),
        lambda: store.chain("web").add(LAYER, None, LayerKind.REPLICA, [1 << 20]),
        lambda: store.set_aside("erp", "20260101T000000Z"),
    ):
        with pytest.raises(StoreAway, match="is not there any more"):
            act()
    assert list(path.iterdir()) == []

    mount(path, aside)
    assert LAYER in chain.layers()
    store.close()
    with pytest.raises(StoreAway):
        chain.layers()


def test_no_new_store_is_begun_in_an_empty_mount_point(tmp_path: Path) -> None:
    """A folder that held a store and is empty at the next start is not taken for a new one."""
    path, memory = tmp_path / "disk/store", tmp_path / "state/store.json"
    open_store(path, "auto", "local", memory).close()
    aside = unmount(path)

    with pytest.raises(StoreAway, match="probably not mounted"):
        open_store(path, "auto", "local", memory)
    assert list(path.iterdir()) == []

    path.rmdir()
    with pytest.raises(StoreAway):
        open_store(path, "auto", "local", memory)
    assert not path.exists()

    aside.rename(path)
    open_store(path, "auto", "local", memory).close()
    open_store(tmp_path / "other", "auto", "local", memory).close()


def test_another_store_at_the_place_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Only somebody's word makes it the target's; a damaged record is our own."""
    path, memory = tmp_path / "disk/store", tmp_path / "state/store.json"
    open_store(path, "qcow2", "local", memory).close()
    ours = (path / "store.json").read_bytes()
    aside = unmount(path)
    open_store(path, "qcow2", "local").close()
    foreign = (path / "store.json").read_bytes()
    for record in (foreign, b'{"schema": 1, "kind": "qcow2"}'):
        (path / "store.json").write_bytes(record)
        with pytest.raises(StoreAway, match="is another one"):
            open_store(path, "auto", "local", memory)
        assert (path / "store.json").read_bytes() == record
    (path / "store.json").write_bytes(foreign)
    memory.unlink()
    open_store(path, "auto", "local", memory).close()

    path.rename(path.with_name("foreign"))
    aside.rename(path)
    with pytest.raises(StoreAway, match="is another one"):
        open_store(path, "auto", "local", memory)
    ident = json.loads(ours)["id"]
    known, nameless = memory.read_bytes(), b'{"schema": 1, "kind": "qcow2"}'
    for record, is_known in ((ours, False), (b"{", True), (nameless, False), (b"{", False)):
        (path / "store.json").write_bytes(record)
        told = {"schema": 1, "path": str(path)} | ({"id": ident} if is_known else {})
        memory.write_text(json.dumps(told))
        open_store(path, "qcow2", "local", memory).close()
        here, there = (json.loads(file.read_text())["id"] for file in (path / "store.json", memory))
        assert here == there
        assert (here == ident) == (record == ours or is_known)
    assert json.loads(known)["id"] == json.loads(foreign)["id"] != ident


def test_a_store_is_opened_again_when_it_is_back(tmp_path: Path) -> None:
    """What went away is let go, looked for, and is the same again; what is odd is told."""
    path, memory = tmp_path / "store", tmp_path / "state/store.json"

    def opener() -> FolderStore:
        return open_store(path, "qcow2", "local", memory)

    store = TargetStore("local", path, opener)
    with pytest.raises(StoreAway, match="is being opened"):
        store.chain("erp")
    store.check()
    assert store.kind == "qcow2"
    store.chain("erp").add(LAYER, None, LayerKind.REPLICA, [1 << 20])
    aside = unmount(path)
    with pytest.raises(StoreAway, match="probably not mounted"):
        store.check()
    assert store.kind == ""
    with pytest.raises(StoreAway, match="probably not mounted"):
        store.standbys()
    mount(path, aside)
    store.check()
    assert store.standbys() == ["erp"]

    (tmp_path / "file").touch()
    odd = TargetStore("odd", path, lambda: open_store(tmp_path / "file/store", "auto", "odd"))
    with pytest.raises(StoreAway, match="Not a directory"):
        odd.check()


def test_an_unfit_store_stops_its_own_target_only(tmp_path: Path) -> None:
    """The engine starts, other targets work, the machines say why; once it is fit all goes on."""
    fitful = Fitful()
    stores = {"local": MemoryStore(), "esx": TargetStore("esx", Path("/store"), fitful)}
    with running(stores, {"erp": "local", "web": "esx"}, tmp_path / "reports") as one:
        one.arrive("erp", 2)
        one.arrive("web", 2)
        one.idle()

        assert len(one.state.read().ready("erp")) == 2
        assert not one.engine.all_ready()
        stages = {p.stage for p in one.state.read().points_of("web")}
        assert stages == {Stage.PENDING}, "nothing was tried that cannot be done"
        views = Presenter().views(one.desk.snapshot())
        web = next(view for view in views.fleet if view.id == "web")
        assert "Target esx cannot be used: It cannot share bytes." in web.alarm
        esx = next(view for view in views.targets if view.id == "esx")
        assert (esx.state, esx.away) == ("lost", "It cannot share bytes. Use XFS.")
        assert esx.findings[0] == esx.away
        told = [line.key for line in one.state.journal()]
        assert told.count("target.store-away") == 1

        one.desk.check_target("esx", "")
        assert [line.key for line in one.state.journal()].count("target.store-away") == 1
        fitful.fit = True
        one.desk.check_target("esx", "")
        wait(lambda: len(one.state.read().ready("web")) == 2)
        one.idle()
        assert one.engine.all_ready()
        assert "target.store-back" in [line.key for line in one.state.journal()]
        with pytest.raises(NotFound, match="does not know target moon"):
            one.desk.check_target("moon", "")


def test_marks_that_could_not_be_written_are_when_the_store_is_back(tmp_path: Path) -> None:
    """A pin set while the store is away lies beside its layers once it is mounted again."""
    path, memory = tmp_path / "store", tmp_path / "state/store.json"
    store = TargetStore("local", path, lambda: open_store(path, "qcow2", "local", memory))
    with running({"local": store}, {"erp": "local"}, tmp_path / "reports") as one:
        one.arrive("erp")
        one.idle()
        point = one.state.read().ready("erp")[0].id
        aside = unmount(path)

        one.desk.pin("erp", point, "before", "me")
        assert list(path.iterdir()) == []
        with pytest.raises(StoreAway):
            one.desk.remove_standby("erp", "me")
        assert "erp" in one.engine.standbys

        mount(path, aside)
        one.desk.check_target("local", "")
        assert "before" in (path / ".marks/erp.json").read_text()
    store.check()
