"""What a started VM shows and asks: serial port, screen, tools, questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi import faults, questions
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.png import encode
from engine.model.errors import Failure, HypervisorError, Refused
from engine.model.layers import LayerName
from engine.model.machine import Network, Power
from engine.model.progress import Progress
from tests.vcsim.stage import SPEC, VM, Stage
from tests.vcsim.standby import hypervisor
from tests.vcsim.steps import Delay, Drop, Fault

PICTURE = encode(2, 1, b"\0\0\0\xff\xff\xff")


def _start(stage: Stage, report: Callable[[Progress], None] = lambda _told: None) -> None:
    stage.target.create(SPEC)
    stage.target.power_on(VM, stage.boot_point(), Network.NONE, report)


def test_the_serial_port_prints_into_the_run_folder(stage: Stage) -> None:
    """What the host writes there is read from our own disk; after the stop the port is gone."""
    _start(stage)
    devices = stage.other.read(stage.ref(), "config.hardware.device")["config.hardware.device"]
    (port,) = [d for d in devices if isinstance(d, vim.vm.device.VirtualSerialPort)]
    store, _, path = port.backing.fileName.partition("] ")
    assert store == "[bp-esx-01"
    (stage.store.path / ".run" / path).write_bytes(b"login: ")
    assert stage.target.serial(VM, 0) == (b"login: ", 7)
    assert stage.target.serial(VM, 5) == (b": ", 7)
    assert stage.target.signs_of_life(VM).serial_tail == b"login: "
    stage.target.power_off(VM, grace=0)
    devices = stage.other.read(stage.ref(), "config.hardware.device")["config.hardware.device"]
    assert not any(isinstance(d, vim.vm.device.VirtualSerialPort) for d in devices)
    assert stage.target.serial(VM, 0) == (b"", 0)


def test_a_second_start_has_one_serial_port(one: Stage) -> None:
    """The port moves on with the disks."""
    _start(one)
    one.do(one.ref().PowerOffVM_Task())
    one.target.power_on(VM, one.boot_point(2), Network.NONE)
    devices = one.other.read(one.ref(), "config.hardware.device")["config.hardware.device"]
    assert sum(isinstance(d, vim.vm.device.VirtualSerialPort) for d in devices) == 1


def test_a_link_in_place_of_the_serial_file_is_not_followed(one: Stage) -> None:
    """A host may write what it likes into the run folder."""
    _start(one)
    (run,) = (one.store.path / ".run" / "web01").iterdir()
    (one.folder / "secret").write_text("not yours")
    (run / "serial.log").symlink_to(one.folder / "secret")
    assert one.target.serial(VM, 0) == (b"", 0)
    assert one.target.signs_of_life(VM).power is Power.ON


def test_the_screen_is_the_hosts_picture(one: Stage) -> None:
    """It is fetched with the session; only a host that refuses that gets the password, once."""
    with pytest.raises(HypervisorError, match="is off"):
        one.target.screen(VM)
    _start(one)
    path = f"/screen?id={ref_id(one.ref())}"
    one.sim.proxy.pictures[path] = (200, PICTURE)
    assert one.target.screen(VM) == PICTURE
    assert one.sim.proxy.credentials == ["cookie"]
    one.sim.proxy.pictures[path] = (401, b"")
    for _ in range(2):
        with pytest.raises(HypervisorError, match="HTTP 401"):
            one.target.screen(VM)
    assert one.sim.proxy.credentials == ["cookie", "cookie", "Basic", "cookie"]
    one.sim.proxy.pictures[path] = (200, b"<html>")
    with pytest.raises(HypervisorError, match="no PNG"):
        one.target.screen(VM)


FILE = "[LocalDS_0] web01/web01-7.png"


def _draws(stage: Stage, file: str = FILE, picture: bytes = PICTURE) -> Path:
    """Let the host refuse to draw, and write pictures to a file; return that file."""
    stage.sim.proxy.pictures[f"/screen?id={ref_id(stage.ref())}"] = (401, b"")
    found = stage.other.read_all(vim.Datastore, "name", "info")
    url = next(one["info"].url for _, one in found if one["name"] == "LocalDS_0")
    path = Path(url) / FILE.partition("] ")[2]
    stage.sim.proxy.shot = file
    stage.sim.proxy.effects["CreateScreenshot_Task"] = lambda: path.write_bytes(picture)
    return path


def test_a_host_that_draws_for_no_get_writes_a_file(stage: Stage) -> None:
    """The picture comes by a task, from the VM's own folder, and its file is deleted again."""
    _start(stage)
    path = _draws(stage)
    for _ in range(3):
        assert stage.target.screen(VM) == PICTURE
    assert not path.exists()
    assert path.parent.is_dir()
    assert stage.sim.proxy.count("CreateScreenshot_Task") == 1
    assert stage.sim.proxy.count("DeleteDatastoreFile_Task") == 1


@pytest.mark.parametrize(
    "file",
    [
        "[LocalDS_1] web01/web01-7.png",
        "[LocalDS_0] other/web01-7.png",
        "[LocalDS_0] web01/deeper/web01-7.png",
        "[LocalDS_0] web01/../other/web01-7.png",
        "[LocalDS_0] web01/web01.vmx",
        "[LocalDS_0] web01.png",
        "web01-7.png",
    ],
)
def test_no_other_file_is_taken_for_a_picture(one: Stage, file: str) -> None:
    """Whatever a host names outside of the VM's folder is neither read nor deleted."""
    _start(one)
    path = _draws(one, file)
    with pytest.raises(HypervisorError, match="no PNG in the VM's own folder"):
        one.target.screen(VM)
    assert path.exists()
    assert one.sim.proxy.count("DeleteDatastoreFile_Task") == 0


def test_a_picture_on_a_datastore_with_brackets_is_found(one: Stage) -> None:
    """Hosts write such a name as it is; the picture is asked for there, and deleted there."""
    _start(one)
    _draws(one, "[fast [1]] web01/web01-7.png")
    there = one.target._machines.find(VM)
    assert there is not None
    there = replace(there, seen=replace(there.seen, home="[fast [1]] web01"))
    asked = "/folder/web01/web01-7.png?dcPath=ha-datacenter&dsName=fast+%5B1%5D"
    one.sim.proxy.pictures[asked] = (200, PICTURE)
    assert one.target._screens.picture(there) == PICTURE


def test_a_picture_on_a_datastore_with_the_end_of_a_name_in_its_name_is_found(one: Stage) -> None:
    """The whole name is asked for, as the VM's own datastores are called."""
    _start(one)
    _draws(one, "[fast] x] web01/web01-7.png")
    used = one.other.read(one.ref(), "datastore")["datastore"]
    renamed = partial(one.sim.set, used[0], "name", "fast] x")
    one.sim.proxy.effects["CreateScreenshot_Task"] = renamed  # vcsim finds none renamed before
    there = one.target._machines.find(VM)
    assert there is not None
    there = replace(there, seen=replace(there.seen, home="[fast] x] web01"))
    asked = "/folder/web01/web01-7.png?dcPath=ha-datacenter&dsName=fast%5D+x"
    one.sim.proxy.pictures[asked] = (200, PICTURE)
    assert one.target._screens.picture(there) == PICTURE


def test_a_picture_whose_reply_was_lost_is_found_by_its_task(stage: Stage) -> None:
    """It is shown, and its file is deleted; that of somebody else's task is left alone."""
    _start(stage)
    path = _draws(stage)
    stage.sim.proxy.plan("CreateScreenshot_Task", Drop(after=True))
    assert stage.target.screen(VM) == PICTURE
    assert not path.exists()
    assert stage.sim.proxy.count("CreateScreenshot_Task") == 1
    stage.target._screens._drawn.clear()
    stage.sim.proxy.plan("CreateScreenshot_Task", Drop())
    with pytest.raises(HypervisorError, match="nor as a file"):
        stage.target.screen(VM)
    stage.sim.proxy.drawn_by = "somebody"
    stage.sim.proxy.plan("CreateScreenshot_Task", Drop(after=True))
    with pytest.raises(HypervisorError, match="nor as a file"):
        stage.target.screen(VM)
    assert path.exists()


def test_a_picture_is_deleted_though_it_is_of_no_use(one: Stage) -> None:
    """Also when the datastore does not give it; a lost reply leaves none, nor a refused one ours.

    While somebody changes the VM no task of ours gets in his way.
    """
    _start(one)
    path = _draws(one, picture=b"<html>")
    with pytest.raises(HypervisorError, match="cannot be fetched"):
        one.target.screen(VM)
    assert not path.exists()
    one.sim.proxy.effects["CreateScreenshot_Task"] = lambda: path.write_bytes(PICTURE)
    one.sim.proxy.plan("DeleteDatastoreFile_Task", Drop(), Drop())
    assert one.target.screen(VM) == PICTURE
    assert not path.exists()
    one.target._screens._drawn.clear()
    one.sim.proxy.plan("DeleteDatastoreFile_Task", Fault("NoPermission"))
    assert one.target.screen(VM) == PICTURE
    one.target._screens._drawn.clear()
    one.sim.proxy.plan("CreateScreenshot_Task", Fault("NoPermission"))
    with pytest.raises(HypervisorError, match=r"HTTP 401; nor as a file: .*role does not allow"):
        one.target.screen(VM)
    held, free = threading.Event(), threading.Event()

    def somebody() -> None:
        with one.target._gate.vm(VM):
            held.set()
            free.wait(20)

    thread = threading.Thread(target=somebody)
    thread.start()
    assert held.wait(20)
    with pytest.raises(HypervisorError, match="being changed just now"):
        one.target.screen(VM)
    free.set()
    thread.join()


def test_a_known_question_is_answered(one: Stage) -> None:
    """A VM that asks whether it was moved or copied keeps its UUID, and starts."""
    layer = one.boot_point()
    one.target.create(SPEC)
    _asks(one, "msg.uuid.altered")
    one.target.power_on(VM, layer, Network.NONE)
    assert one.sim.proxy.answers == ["1"]
    assert one.target.signs_of_life(VM).power is Power.ON


def _asks(stage: Stage, question: str) -> None:
    """Let the VM ask as soon as it is told to start, not before."""
    begin = stage.target._machines.power_on

    def power_on(*told: object) -> object:
        stage.sim.proxy.asked = question
        return begin(*told)  # type: ignore[arg-type]  # handed on

    stage.target._machines.power_on = power_on  # type: ignore[method-assign, assignment]


def test_an_unknown_question_is_shown_with_its_choices(one: Stage) -> None:
    """The start waits and says for what; once somebody has answered, the VM runs."""
    layer = one.boot_point()
    one.target.create(SPEC)
    _asks(one, "msg.disk.odd")
    told: list[str] = []
    seen = threading.Event()

    def report(progress: Progress) -> None:
        told.append(progress.step)
        seen.set()

    def somebody() -> None:
        assert seen.wait(20)
        one.sim.proxy.asked = ""

    thread = threading.Thread(target=somebody)
    thread.start()
    one.target.power_on(VM, layer, Network.NONE, report)
    thread.join()
    assert "moved or copied" in told[0]
    assert "choices: Cancel, I moved it, I copied it" in told[0]
    assert one.sim.proxy.answers == []


def test_an_operator_answers_and_the_start_goes_on(one: Stage) -> None:
    """The answer to the question that was read is given to the host; another one is not."""
    layer = one.boot_point()
    one.target.create(SPEC)
    _asks(one, "msg.disk.odd")
    seen = threading.Event()
    told: list[str] = []

    def somebody() -> None:
        assert seen.wait(20)
        asked = one.target.signs_of_life(VM).question
        assert asked is not None
        for mark, choice, why in ((asked.mark, 4, "no choice 4"), ("7", 2, "something else")):
            with pytest.raises(Failure, match=why):
                one.target.answer(VM, mark, choice)
        one.sim.proxy.plan("AnswerVM", Fault("ConcurrentAccess"))
        with pytest.raises(Refused, match="somebody else"):
            one.target.answer(VM, asked.mark, 2)
        one.sim.proxy.plan("AnswerVM", Fault("NoPermission"), Drop())
        for kind in (faults.NeedsHuman, faults.ReplyLost):
            with pytest.raises(kind):
                one.target.answer(VM, asked.mark, 2)
        told.append(one.target.answer(VM, asked.mark, 2).choices[1])

    thread = threading.Thread(target=somebody)
    thread.start()
    one.target.power_on(VM, layer, Network.NONE, lambda _told: seen.set())
    thread.join()
    assert told == ["I moved it"]
    assert one.sim.proxy.answers == ["1"]
    with pytest.raises(Refused, match="Nothing is asked"):
        one.target.answer(VM, "7", 2)


def test_a_question_that_nobody_answers_ends_the_start(
    one: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quarter of an hour the start fails, and on the host nothing waits any more."""
    layer = _not_in_time(one, monkeypatch)
    with pytest.raises(faults.HostFailure, match="nobody answered") as failed:
        one.target.power_on(VM, layer, Network.NONE)
    assert "bootpoint answer web01" in failed.value.problem.remedy
    assert "cancelled on the host" in failed.value.problem.unchanged
    assert one.sim.proxy.answers == ["0"]
    assert one.target.signs_of_life(VM).question is None


@pytest.mark.parametrize("labels", ["Cancel", "Abort", "Cancel both"])
def test_a_question_that_cannot_be_cancelled_goes_on_waiting(
    one: Stage, monkeypatch: pytest.MonkeyPatch, labels: str
) -> None:
    """A role may not answer, or no choice plainly cancels: nothing is guessed, and it is told."""
    layer = _not_in_time(one, monkeypatch)
    real = questions._choices
    if labels == "Cancel":
        one.sim.proxy.plan("AnswerVM", Fault("NoPermission"))
    else:
        told = {"Abort": ["Abort", "Go on", "Retry"], "Cancel both": ["Cancel", "Cancel all", "Go"]}

        def choices(question: object) -> list[object]:
            found = real(question)
            for choice, label in zip(found, told[labels], strict=True):
                choice.label = choice.summary = label
            return found

        monkeypatch.setattr(questions, "_choices", choices)
    with pytest.raises(faults.HostFailure, match="waits for an answer") as failed:
        one.target.power_on(VM, layer, Network.NONE)
    assert "bootpoint answer web01" in failed.value.problem.remedy
    assert "choices" in str(one.target.signs_of_life(VM).question)
    assert one.sim.proxy.answers == []


def _not_in_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> LayerName:
    """Let a VM ask what nobody answers in time; return what is to be started."""
    monkeypatch.setattr(questions, "ASK_S", -1.0)
    layer = stage.boot_point()
    stage.target.create(SPEC)
    _asks(stage, "msg.disk.odd")
    return layer


def test_a_network_that_may_not_be_made_is_told_with_its_remedy(one: Stage) -> None:
    """A role without Host.Config.Network: an administrator makes it once."""
    target = hypervisor(one.sim, one.store, one.folder / "state")
    one.sim.proxy.plan("AddVirtualSwitch", Fault("NoPermission", privilege="Host.Config.Network"))
    with pytest.raises(HypervisorError) as told:
        target.create(SPEC)
    assert "bp-isolated" in str(told.value)
    assert "without uplink" in told.value.problem.remedy


def test_a_host_that_answers_late_or_not_at_all_is_noticed(stage: Stage) -> None:
    """A ping waits for the answer, and one that got lost is a failure in words."""
    began = time.monotonic()
    stage.sim.proxy.plan("CurrentTime", Delay(0.2))
    stage.target.ping()
    assert time.monotonic() - began >= 0.2
    stage.sim.proxy.plan("CurrentTime", *[Drop()] * 3)
    with pytest.raises(HypervisorError, match="connection"):
        stage.target.ping()
    stage.target.ping()
