"""Files that survive, folders that go, locks that hold."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from engine.local import durable
from engine.local.ending import wait_for
from engine.local.tools import ToolFailed, run_tool
from engine.model.errors import Cancelled
from tests.syncing import recorded

GIB = 1 << 30


def names(folder: Path) -> list[str]:
    """Return what a folder holds."""
    return sorted(entry.name for entry in folder.iterdir())


def test_a_replaced_file_has_the_new_content_and_no_draft_is_left(tmp_path: Path) -> None:
    """Replacing writes beside, then renames."""
    with durable.open_folder(tmp_path) as folder:
        durable.durable_replace(folder, "name", b"one")
        durable.durable_replace(folder, "name", b"two")
    assert (tmp_path / "name").read_bytes() == b"two"
    assert names(tmp_path) == ["name"]
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o600


def test_a_failed_replacement_keeps_the_old_content(tmp_path: Path) -> None:
    """When the rename cannot be done, the old content stays and the draft goes."""
    (tmp_path / "name").mkdir()
    (tmp_path / "name" / "inside").touch()
    with durable.open_folder(tmp_path) as folder, pytest.raises(OSError, match="directory"):
        durable.durable_replace(folder, "name", b"new")
    assert names(tmp_path) == ["name"]


def test_several_files_are_written_whole_before_the_first_is_replaced(tmp_path: Path) -> None:
    """When one cannot be written, all keep their content; on return, all have the new one."""
    files = {"one": b"1", "other": b"2"}
    with durable.open_folder(tmp_path) as folder:
        with (
            pytest.raises(FileNotFoundError),
            durable.replacing(folder, {**files, "missing/name": b"3"}),
        ):
            pass
        assert names(tmp_path) == []
        with durable.replacing(folder, files):
            pass
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == files


def test_the_last_file_says_that_the_others_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contents are durable before any name, all other names before the last one's."""
    (tmp_path / "folder").mkdir()
    seen = recorded(monkeypatch)
    files = {"seal": b"3", "one": b"1", "two": b"2"}
    with durable.open_folder(tmp_path / "folder") as folder:
        with durable.replacing(folder, files, last="seal"):
            seen.append("block")
        after = {name: (tmp_path / "folder" / name).read_bytes() for name in files}
    contents = {"fsync seal", "fsync one", "fsync two"}
    names = {"rename one", "rename two"}
    assert seen[0] == "block"
    assert set(seen[1:4]) == contents
    assert set(seen[4:6]) == names
    assert seen[6:] == ["fsync folder", "rename seal", "fsync folder"]
    assert after == files


def test_an_error_meanwhile_replaces_nothing(tmp_path: Path) -> None:
    """What fails in the block leaves the old content, and no draft."""
    (tmp_path / "one").write_bytes(b"old")

    def fails(folder: int) -> None:
        with durable.replacing(folder, {"one": b"new", "two": b"2"}, last="two"):
            assert len(names(tmp_path)) == 3, "drafts are written before the block"
            raise OSError(5, "disk")

    with durable.open_folder(tmp_path) as folder, pytest.raises(OSError, match="disk"):
        fails(folder)
    assert names(tmp_path) == ["one"]
    assert (tmp_path / "one").read_bytes() == b"old"


def test_all_files_of_a_folder_are_made_durable_then_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder itself comes last. A file in the place of a new one is never written over."""
    (tmp_path / "folder").mkdir()
    with durable.open_folder(tmp_path / "folder") as folder:
        durable.write_new(folder, "one", b"1")
        durable.write_new(folder, "two", b"2")
        with pytest.raises(FileExistsError):
            durable.write_new(folder, "two", b"3")
        seen = recorded(monkeypatch)
        durable.settle(folder)
    assert sorted(seen[:2]) == ["fsync one", "fsync two"]
    assert seen[2:] == ["fsync folder"]
    assert (tmp_path / "folder" / "two").read_bytes() == b"2"


def test_publishing_gives_a_draft_its_name(tmp_path: Path) -> None:
    """A draft written elsewhere takes the place of the old file."""
    (tmp_path / "x.part").write_bytes(b"new")
    (tmp_path / "x").write_bytes(b"old")
    with durable.open_folder(tmp_path) as folder:
        durable.publish(folder, "x.part", "x")
    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"new"


def test_folders_are_made_with_their_parents_and_again(tmp_path: Path) -> None:
    """Making a folder twice is making it once."""
    for _ in range(2):
        durable.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """A folder that could not be made is told, not assumed."""
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match=r"directory|exists"):
        durable.make_folder(tmp_path / "a" / "b")


def test_moving_never_replaces_a_folder(tmp_path: Path) -> None:
    """A folder is moved to a free place only, an empty folder counts as taken."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with pytest.raises(FileExistsError):
        durable.move_folder(tmp_path / "old", tmp_path / "new")
    durable.move_folder(tmp_path / "old", tmp_path / "other")
    assert names(tmp_path) == ["new", "other"]


def test_temporary_files_of_a_killed_process_are_gone_with_the_next(tmp_path: Path) -> None:
    """They lie in a folder that is emptied first, and that nobody else may read."""
    folder, before = tmp_path / "tmp", tempfile.gettempdir()
    (folder / "bootpoint-edits-x").mkdir(parents=True)
    (folder / "bootpoint-edits-x/shadow").write_bytes(b"of a guest")
    with durable.scratch_folder(folder), tempfile.NamedTemporaryFile() as file:
        assert names(folder) == [Path(file.name).name]
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    assert tempfile.gettempdir() == before


def test_deleting_a_tree_does_not_follow_links(tmp_path: Path) -> None:
    """Links are unlinked; what they lead to stays. Deleting again is fine."""
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "file").touch()
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "link").symlink_to(tmp_path / "keep")
    (tmp_path / "tree" / "file").touch()
    (tmp_path / "top").symlink_to(tmp_path / "keep")
    for name in ("tree", "tree", "top", "none"):
        durable.remove_tree(tmp_path / name)
    assert names(tmp_path) == ["keep"]
    assert (tmp_path / "keep" / "file").exists()


def test_reading_has_a_limit_and_takes_regular_files_only(tmp_path: Path) -> None:
    """A file that is too long, a link or a pipe is refused without being read."""
    (tmp_path / "file").write_bytes(b"x" * 10)
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert durable.read_bounded(tmp_path / "file", 10) == b"x" * 10
    for name, limit in (("file", 9), ("link", 10), ("pipe", 10), ("none", 10)):
        with pytest.raises(OSError, match=r".+"):
            durable.read_bounded(tmp_path / name, limit)


def test_a_lock_holds_for_its_block_and_not_longer(tmp_path: Path) -> None:
    """Another holder, in this process or another, is refused until the block ends."""
    other = (
        "import sys; from pathlib import Path; from engine.local.durable import file_lock\n"
        "with file_lock(Path(sys.argv[1])): print('got it')"
    )
    command = [sys.executable, "-c", other, str(tmp_path / "lock")]
    with durable.file_lock(tmp_path / "lock"):
        with pytest.raises(durable.LockHeld), durable.file_lock(tmp_path / "lock"):
            pass
        assert b"LockHeld" in subprocess.run(command, check=False, capture_output=True).stderr
    assert subprocess.run(command, check=False, capture_output=True).stdout == b"got it\n"


def test_a_lock_can_be_waited_for(tmp_path: Path) -> None:
    """Who waits gets it when the holder lets go, and not before."""
    other = (
        "import sys; from pathlib import Path; from engine.local.durable import file_lock\n"
        "print('asks', flush=True)\n"
        "with file_lock(Path(sys.argv[1]), wait=True): print('got it')"
    )
    command = [sys.executable, "-c", other, str(tmp_path / "lock")]
    with durable.file_lock(tmp_path / "lock"):
        waiter = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == b"asks\n"
        with pytest.raises(subprocess.TimeoutExpired):
            waiter.wait(0.2)
    with waiter.stdout as said:
        assert said.read() == b"got it\n"
    assert waiter.wait() == 0


def test_a_tool_gives_its_output_and_an_empty_environment(tmp_path: Path) -> None:
    """A program sees nothing of ours but a path, a locale and its folder."""
    out = run_tool(["env"], cpu_s=5, memory=GIB, timeout_s=10)
    assert {line.split(b"=")[0] for line in out.splitlines()} == {b"LC_ALL", b"PATH"}
    pwd = run_tool(["pwd", "-P"], cpu_s=5, memory=GIB, timeout_s=10, cwd=tmp_path)
    assert pwd.decode().strip() == str(tmp_path.resolve())


def test_a_failing_tool_says_why_in_its_own_words() -> None:
    """Exit code and complaint reach the operator, control characters do not."""
    command = ["sh", "-c", "printf 'no luck \\033[31m' >&2; exit 7"]
    with pytest.raises(ToolFailed, match=r"code 7.*no luck") as caught:
        run_tool(command, cpu_s=5, memory=GIB, timeout_s=10)
    assert "\033" not in str(caught.value)
    assert caught.value.problem.facts["tool"] == "sh"


def test_a_missing_tool_is_named() -> None:
    """A program that is not installed is told by its name."""
    with pytest.raises(ToolFailed, match="no-such-tool"):
        run_tool(["no-such-tool"], cpu_s=5, memory=GIB, timeout_s=10)


@pytest.mark.parametrize(
    ("script", "limits"),
    [
        ("sleep 60", {"timeout_s": 0.3}),
        ("while :; do :; done", {"cpu_s": 1}),
        ("head -c 200000000 /dev/zero | tail -c 190000000 | wc -c", {"memory": 50_000_000}),
    ],
)
def test_a_tool_that_takes_too_much_is_ended(script: str, limits: dict[str, float]) -> None:
    """Wall time, processor time and memory have an end."""
    given = {"cpu_s": 20, "memory": GIB, "timeout_s": 20, **limits}
    with pytest.raises(ToolFailed):
        run_tool(["bash", "-o", "pipefail", "-c", script], **given)  # type: ignore[arg-type]  # by name


def is_alive(status: Path) -> bool:
    """Whether a process is neither gone nor waiting to be buried."""
    try:
        return "State:\tZ" not in status.read_text() and "State:\tX" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_end_of_a_program_is_told_at_once_or_not_at_all() -> None:
    """Its code comes as soon as there is one, again and again; one that runs on is named."""
    with subprocess.Popen(["sh", "-c", "read line; exit 3"], stdin=subprocess.PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired, match="sh"):
            wait_for(process, 0.01)
        process.communicate(b"go\n")
        assert [wait_for(process, 60), wait_for(process, 60)] == [3, 3]


def test_a_cancelled_tool_is_gone_with_its_children(tmp_path: Path) -> None:
    """Cancel kills the whole group at once and its own exception goes on."""

    def check() -> None:
        if (tmp_path / "pid").exists():
            raise Cancelled

    script = "sleep 61 & echo $! > pid.new; mv pid.new pid; wait"
    with pytest.raises(Cancelled):
        run_tool(["sh", "-c", script], cpu_s=9, memory=GIB, timeout_s=20, cwd=tmp_path, check=check)
    status = Path("/proc") / (tmp_path / "pid").read_text().strip() / "status"
    until = time.monotonic() + 10  # killed is not yet gone: the kernel takes its moment
    while is_alive(status):
        assert time.monotonic() < until
        threading.Event().wait(0.01)
