"""Hostile names on every screen of the real program, in tmux: they are text and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from engine.model.work import JobKind, JobStatus
from tests.records import dry_run, entry, record
from tests.scripted import ScriptedService, site, target_status
from tests.tui.bench import Bench
from tests.tui.test_real_terminal import Tmux, tmux, wait

__all__ = ["tmux"]

NAMES = {
    "escapes": "esc\x1b[2J\x1b]52;c;aGk=\x07\x1b]0;EVIL\x07\x9b31m\r\n\tq\x00",
    "right to left": "rtl\u202egnp.exe\u2066",
    "combining": "e" + "\u0301" * 150,
    "long": "x" * 200,
    "lines": "one\ntwo\r\nthree",
    "markup": "[bold]web[nope][@click=app.quit]",
    "wide": "日本語のサーバー" * 10,
}
LINUX = ((80, 24), "linux", "C")
XTERM = ((120, 40), "xterm-256color", "C.UTF-8")
WALKS = [pytest.param(kind, LINUX, id=f"{kind}, linux") for kind in NAMES]
WALKS += [
    pytest.param(kind, XTERM, id=f"{kind}, xterm", marks=pytest.mark.nightly)
    for kind in ("escapes", "right to left", "combining", "wide")
]
LISTS = {
    "2": "> jobs",
    "3": "> journal",
    "4": "> targets",
    "5": "> image sets",
    "6": "> settings",
    "7": "> alerts",
    "1": "CAN START NOW: 1 of 1",
}


def hostile(name: str) -> ScriptedService:
    """Return an engine all whose names, reasons and files are this one."""
    service = ScriptedService(site(names=[name]))
    service.begin_job(JobKind.SYNC, name, status=JobStatus.RUNNING)
    failed = service.begin_job(JobKind.SYNC, name, status=JobStatus.RUNNING)
    service.end_job(failed.id, JobStatus.FAILED, f"failed: {name}")
    service.write_line(f"journal [/nope] {name}")
    service.show(targets=(target_status(name or "t"), target_status("down" + name, "why " + name)))
    change = entry(f"/etc/{name}", name + "\n", name * 2 + "\n", reason=name)
    for point in service.snapshot().state.boot_points:
        service.records[point] = record(change)
        service.dry_runs[point] = replace(dry_run(), ledger=record(change).ledger)
    service.serials[name] = f"{name}\r\nlogin: ".encode()
    return service


class Walk:
    """Keys pressed on a console, each capture judged."""

    def __init__(self, tmux: Tmux, width: int) -> None:
        self._tmux, self._width = tmux, width

    def goes(self, *keys: str, to: str) -> str:
        """Press keys until this stands there, whole: title, rules and a last line."""
        self._tmux.keys(*keys)
        return self.sees(to)

    def sees(self, *parts: str) -> str:
        """Wait until all parts stand there below a whole title; judge the capture."""
        text = wait(
            self._tmux.screen,
            lambda text: text.startswith(" bootpoint  osaka-dr") and all(p in text for p in parts),
        )
        lines = text.split("\n")
        assert all(sign.isprintable() for line in lines for sign in line), ascii(text)
        assert max(cell_len(line) for line in lines) <= self._width
        return text

    def pause(self) -> None:
        """Wait until a page that decides something listens."""
        wait(self._tmux.screen, lambda _text: True)
        self._tmux.run("run-shell", "sleep 0.5")


@pytest.mark.parametrize(("kind", "terminal"), WALKS)
def test_a_hostile_name_is_text_on_every_screen(
    bench: Bench, tmux: Tmux, kind: str, terminal: tuple[tuple[int, int], str, str]
) -> None:
    """Walked by keys: nothing is cleared, titled, copied or pushed aside; `q` ends with 0."""
    name = NAMES[kind]
    size, term, locale = terminal
    service = bench.start(hostile(name))
    tmux.open(bench.socket, size, TERM=term, LC_ALL=locale)
    walk = Walk(tmux, size[0])
    walk.sees("CAN START NOW: 1 of 1", "? help")
    for key, page in LISTS.items():
        walk.goes(key, to=page)
        if key == "5":
            walk.goes("Enter", to="Chain")
    for key, page in {"?": "KEYS HERE", "a": "What can be done here", ":": "Tab completes"}.items():
        walk.goes(key, to=page)
        walk.goes("Escape", to="Enter open")
    walk.goes("h", to=" Pause ")
    walk.goes("Escape", to="Enter open")
    walk.goes("e", to="EDIT ")
    walk.pause()
    tmux.keys("e")
    text = tmux.sees("Ctrl+O hand in")
    assert all(sign.isprintable() for line in text.split("\n") for sign in line), ascii(text)
    walk.goes("Escape", to="EDIT ")
    walk.goes("Escape", to="Enter open")
    walk.goes("Enter", to="KEPT BECAUSE")
    walk.goes("y", to="STAYS BECAUSE")
    walk.goes("Escape", to="KEPT BECAUSE")
    walk.goes("u", to="GUEST")
    walk.goes("l", to="LEDGER")
    walk.goes("w", to="DRY RUN")
    walk.goes("1", to="CAN START NOW: 1 of 1")
    walk.goes("f", to="<- proposed")
    walk.pause()
    walk.goes("Enter", to="=(o) No")
    walk.pause()
    walk.goes("End", "Enter", to=" Type the machine's name")
    walk.goes("Escape", to="Enter choose")
    service.run(name, service.snapshot().state.ready(name)[-1].id)
    walk.goes("Escape", to="<- proposed")
    walk.goes("Escape", to="TEST 1")
    walk.goes("i", to="login:")
    walk.goes("1", to="TEST 1")
    bench.stop()
    walk.sees("ENGINE NOT ANSWERING")
    bench.start(service)
    walk.sees("CAN START NOW: 1 of 1")
    assert "EVIL" not in tmux.run("display-message", "-p", "#{pane_title}")
    assert tmux.run("list-buffers") == ""
    tmux.keys("q")
    tmux.sees("LEFT 0")
