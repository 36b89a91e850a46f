"""Folders watched by real threads."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyFD

from engine.daemon.clock import SystemClock
from engine.images.watching.hints import Hints
from engine.images.watching.inbox import Inbox
from engine.model.images import RootView
from tests.arrivals import JsonFormat, chain, said, shot
from tests.unit.watching.conftest import points

CLOCK = SystemClock()


class Watched:
    """An inbox and all views it told."""

    def __init__(self, *, rescan_s: float = 0.2, quiet_s: float = 0.1, **told: float) -> None:
        """Watch nothing yet."""
        self.views: list[RootView] = []
        self.format = JsonFormat()
        self.inbox = Inbox(
            [self.format],
            on_view=self.views.append,
            now=CLOCK.now,
            monotonic=CLOCK.monotonic,
            rescan_s=rescan_s,
            quiet_s=quiet_s,
            **told,  # type: ignore[arg-type]  # handed through
        )

    def view(self, root: Path) -> RootView | None:
        """Return the newest view of a folder."""
        return next((v for v in reversed(self.views) if v.root == str(root)), None)

    def scans(self, root: Path) -> int:
        """Return how often a folder was scanned."""
        return self.inbox._roots[str(root)]._scanner._number

    def states(self, root: Path) -> list[tuple[str, str]]:
        """Return what the newest view says of the points."""
        view = self.view(root)
        return said(points(view)) if view is not None else []


def pause(seconds: float) -> None:
    """Let real threads run."""
    threading.Event().wait(seconds)


def wait(until: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something; fail when it does not come."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it did not happen"
        pause(0.01)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Return an inbox with short times."""
    one = Watched()
    yield one
    one.inbox.stop()


def test_points_appear_by_themselves(watched: Watched, tmp_path: Path) -> None:
    """What is there and what arrives becomes complete, and then all is settled."""
    one, two = chain(2)
    one.write(tmp_path)
    watched.inbox.add_root(str(tmp_path))
    assert not watched.inbox.settled()
    wait(lambda: watched.states(tmp_path) == [(one.id, "complete")])
    two.write(tmp_path)
    wait(lambda: watched.states(tmp_path) == [(one.id, "complete"), (two.id, "complete")])
    wait(watched.inbox.settled)


def test_only_changes_are_told(watched: Watched, tmp_path: Path) -> None:
    """An unchanged folder is scanned on, and nobody is woken for it."""
    shot(1).write(tmp_path)
    watched.inbox.add_root(str(tmp_path))
    wait(lambda: watched.states(tmp_path) == [("set-1-000001", "complete")])
    count = len(watched.views)
    assert count <= 3
    pause(0.7)
    assert len(watched.views) == count


def test_events_hasten_a_scan(tmp_path: Path) -> None:
    """With an hour between scans a new file is found within a second nevertheless."""
    watched = Watched(rescan_s=3600)
    (tmp_path / "sub").mkdir()
    watched.inbox.add_root(str(tmp_path))
    wait(lambda: watched.view(tmp_path) is not None and watched.inbox.settled())
    pause(0.1)
    shot(1).write(tmp_path / "sub")
    wait(lambda: watched.states(tmp_path) == [("set-1-000001", "complete")], 10)
    wait(watched.inbox.settled)
    pause(0.3)
    scans = watched.scans(tmp_path)
    (tmp_path / "sub/p000002.img.part").write_bytes(b"x")
    (tmp_path / "sub/p000001.json").read_bytes()
    pause(0.5)
    assert watched.scans(tmp_path) == scans, "reading, or a temporary file, caused a scan"
    watched.inbox.stop()


def test_without_events_the_scan_finds_all(tmp_path: Path) -> None:
    """Shares bring no events; nothing depends on them."""
    watched = Watched(events=False)
    watched.inbox.add_root(str(tmp_path))
    wait(lambda: watched.view(tmp_path) is not None)
    shot(1).write(tmp_path)
    wait(lambda: watched.states(tmp_path) == [("set-1-000001", "complete")])
    watched.inbox.stop()


def test_a_kernel_without_watches_is_scanned_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the watch limit is reached there is one warning, and the scans go on."""

    def full(*_told: object) -> int:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(InotifyFD, "add_callback", full)
    watched = Watched()
    with caplog.at_level(logging.WARNING):
        watched.inbox.add_root(str(tmp_path))
        wait(lambda: watched.view(tmp_path) is not None)
        shot(1).write(tmp_path)
        wait(lambda: watched.states(tmp_path) == [("set-1-000001", "complete")])
    assert [r.message for r in caplog.records if "watch limit" in r.message] == [
        f"no events for {tmp_path} (inotify watch limit reached): it is scanned periodically only"
    ]
    watched.inbox.stop()


def test_more_folders_than_the_kernel_has_instances_are_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A user has 128 of them: the other folders are scanned only, and no scan fails of it."""

    def refuse(self: InotifyFD) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(InotifyFD, "__init__", refuse)
    monkeypatch.setattr(Hints, "is_limit_told", False)
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
        Hints(str(folder), lambda: None).start()
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert f"no events for {folders[0]} (inotify instance limit reached)" in caplog.text


def test_a_scan_can_be_asked_for(tmp_path: Path) -> None:
    """Whoever cannot wait for the period asks; unknown folders do no harm."""
    watched = Watched(rescan_s=3600, events=False)
    watched.inbox.add_root(str(tmp_path))
    wait(watched.inbox.settled)
    shot(1).write(tmp_path)
    pause(0.1)
    assert watched.states(tmp_path) == []
    watched.inbox.rescan(str(tmp_path))
    watched.inbox.rescan("/nowhere")
    wait(lambda: watched.states(tmp_path) == [("set-1-000001", "complete")])
    watched.inbox.stop()


def test_a_folder_that_goes_and_comes_back(watched: Watched, tmp_path: Path) -> None:
    """Offline is told once, the points stay; back again, events and scans go on."""
    root = tmp_path / "replica"
    one, two = chain(2)
    one.write(root)
    watched.inbox.add_root(str(root))
    wait(lambda: watched.states(root) == [(one.id, "complete")])
    root.rename(tmp_path / "away")
    wait(lambda: not watched.views[-1].online)
    assert watched.states(root) == [(one.id, "complete")]
    two.write(tmp_path / "away")
    (tmp_path / "away").rename(root)
    wait(lambda: watched.states(root) == [(one.id, "complete"), (two.id, "complete")])
    assert [v.online for v in watched.views].count(False) == 1


def test_folders_come_and_go_at_runtime(watched: Watched, tmp_path: Path) -> None:
    """A removed folder is not told of any more, and can be added again."""
    root = tmp_path / "replica"
    root.mkdir()
    for _ in range(2):
        watched.views.clear()
        watched.inbox.add_root(str(root))
        watched.inbox.add_root(str(root))
        wait(lambda: watched.view(root) is not None)
        watched.inbox.remove_root(str(root))
        watched.inbox.remove_root(str(root))
        wait(lambda: not scanners(root))
        watched.views.clear()
        shot(1).write(root)
        pause(0.3)
        assert watched.views == []
        shutil.rmtree(root)
        root.mkdir()


def test_a_folder_that_does_not_exist_yet(watched: Watched, tmp_path: Path) -> None:
    """It is offline until it appears, and holds up nothing."""
    root = tmp_path / "later"
    watched.inbox.add_root(str(root))
    wait(lambda: watched.view(root) is not None)
    assert not watched.views[-1].online
    assert watched.inbox.settled()
    shot(1).write(root)
    wait(lambda: watched.states(root) == [("set-1-000001", "complete")])


class Stuck(JsonFormat):
    """Hangs on one file, as a share whose server is gone does."""

    def __init__(self) -> None:
        """Hang until released."""
        super().__init__()
        self.release = threading.Event()

    def recognises(self, name: str, head: bytes) -> bool:
        """Hang, then answer."""
        if name == "stuck":
            self.release.wait()
        return super().recognises(name, head)


def test_a_hanging_share_holds_up_nobody(tmp_path: Path) -> None:
    """The other folder goes on, the hanging one is told as offline, and stop does not wait."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    shot(1).write(good)
    bad.mkdir()
    (bad / "stuck").touch()
    watched = Watched(stall_s=0.2)
    stuck = Stuck()
    watched.inbox._formats = (stuck,)
    watched.inbox.add_root(str(bad))
    watched.inbox.add_root(str(good))
    wait(lambda: watched.states(good) == [("set-1-000001", "complete")])
    wait(lambda: watched.view(bad) is not None)
    view = watched.view(bad)
    assert view is not None
    assert (view.online, "has not answered" in view.reason) == (False, True)
    wait(watched.inbox.settled)
    started = time.monotonic()
    watched.inbox.stop(timeout_s=0.3)
    assert time.monotonic() - started < 2
    stuck.release.set()
    wait(lambda: not scanners(bad))


def test_a_share_that_answers_again_is_online_again(tmp_path: Path) -> None:
    """After a hang the scan that returns tells the truth."""
    (tmp_path / "stuck").touch()
    watched = Watched(stall_s=0.2)
    stuck = Stuck()
    watched.inbox._formats = (stuck,)
    watched.inbox.add_root(str(tmp_path))
    wait(lambda: bool(watched.views) and not watched.views[-1].online)
    stuck.release.set()
    wait(lambda: watched.views[-1].online)
    watched.inbox.stop()


def test_a_listener_that_fails_does_not_end_the_watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in whoever is told is logged, and the folder is scanned on."""
    watched = Watched()
    calls: list[RootView] = []

    def fail(view: RootView) -> None:
        calls.append(view)
        raise RuntimeError("listener")

    watched.inbox._on_view = fail
    watched.inbox.add_root(str(tmp_path))
    wait(lambda: len(calls) == 1)
    shot(1).write(tmp_path)
    wait(lambda: len(calls) >= 2)
    watched.inbox.stop()
    assert "listener" in caplog.text


def test_stop_leaves_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    """Ten folders watched and stopped leave the process as it was."""
    shot(1).write(tmp_path / "warm")
    Watched().inbox.stop()
    before = threading.active_count()
    watched = Watched()
    for number in range(10):
        root = tmp_path / str(number)
        root.mkdir()
        watched.inbox.add_root(str(root))
    wait(watched.inbox.settled)
    watched.inbox.stop()
    wait(lambda: threading.active_count() <= before + 1)  # watchdog's shared reader may stay
    watched.inbox.add_root(str(tmp_path))
    assert watched.inbox.settled()


def scanners(root: Path) -> list[str]:
    """Return the living threads that scan a folder."""
    return [t.name for t in threading.enumerate() if t.name.startswith(f"scan-{str(root)[:40]}")]


def test_a_flood_of_files_cost_few_scans(tmp_path: Path) -> None:
    """A flood of events is one hint; what is there is found whatever was lost."""
    watched = Watched(rescan_s=1.0)
    watched.inbox.add_root(str(tmp_path))
    wait(lambda: watched.view(tmp_path) is not None)
    at = os.open(tmp_path, os.O_RDONLY)
    for number in range(3000):
        os.close(os.open(f"{number}.txt", os.O_CREAT, dir_fd=at))
    os.close(at)
    wait(lambda: watched.views[-1].files == 3000, 10)
    wait(watched.inbox.settled, 10)
    assert len(watched.views) < 20
    watched.inbox.stop()
