"""Measured values: their form, read by a slow parser of our own, and the two places they go to."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.api.exporting import Exporter
from engine.api.metrics import Family, Meter, lines, metrics
from engine.model.alarms import Alert, Condition
from engine.model.waits import Bound, Wait
from engine.model.work import Severity
from tests.scripted import NOW, ScriptedService, root_view, site, target_status

SAMPLE = re.compile(
    r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})?'
    r" (?P<value>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
)
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')
PLAIN = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Values:
    """Read the text format 0.0.4, strictly: each metric has its help and type before its values."""
    found: Values = {}
    helped, typed = set(), set()
    assert text.endswith("\n")
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            helped.add(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in typed, f"{name} stands in two places"
            typed.add(name)
            assert kind == "gauge"
        else:
            read = SAMPLE.fullmatch(line)
            assert read, line
            assert read["name"] in helped & typed
            labels = frozenset(
                (key, re.sub(r'\\[\\"n]', lambda one: PLAIN[one[0]], value))
                for key, value in LABEL.findall(read["labels"] or "")
            )
            key = (read["name"], labels)
            assert key not in found, f"{key} is told twice"
            found[key] = float(read["value"])
    return found


def value(values: Values, name: str, **labels: str) -> float | None:
    """Return one value."""
    return values.get((f"bootpoint_{name}", frozenset(labels.items())))


def test_the_values_are_those_of_the_picture() -> None:
    """Lag, rungs, silence, targets and alerts of a whole site, each under its name."""
    raised = Alert(Condition("x", Severity.ERROR, "", "t", "t"), NOW, NOW)
    picture = site(3)
    picture = replace(picture, state=replace(picture.state, alerts={"x": raised}))
    found = parse(metrics(picture, {}, "Hamburg", NOW - timedelta(days=1)))
    assert value(found, "rpo_lag_seconds", machine="erp") == 720
    assert value(found, "rpo_goal_seconds", machine="erp") == 3600
    assert value(found, "rung_age_seconds", machine="erp", rung="ready") == 720
    assert value(found, "rung_age_seconds", machine="erp", rung="proven") is None
    assert value(found, "standby_state", machine="web", state="READY") == 1
    assert value(found, "silent", machine="web") == 0
    assert value(found, "boot_points", machine="dc", stage="ready") == 4
    assert value(found, "alerts", severity="error") == 1
    assert value(found, "target_up", target="local") == 1
    assert value(found, "store_free_bytes", target="local") == 500 << 30
    assert value(found, "target_slow", target="local") == 0
    assert value(found, "engine_well") == 1
    sick = parse(metrics(picture, {"loop": "It hangs."}, "Hamburg", NOW))
    assert value(sick, "engine_well") == 0


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_any_label_is_read_back(text: str) -> None:
    """Quotes, backslashes and line breaks are escaped; what is no Unicode becomes an escape."""
    told = "".join(f"{line}\n" for line in lines(Family("x", "About.", [({"folder": text}, 1.5)])))
    plain = text.encode("utf-8", "backslashreplace").decode()
    assert parse(told) == {("bootpoint_x", frozenset({("folder", plain)})): 1.5}


def test_a_hostile_folder_breaks_no_line() -> None:
    """The name of a watched folder is outside our control."""
    picture = site(1)
    (view,) = picture.roots.values()
    evil = '/r"} 1\nbootpoint_engine_well 0\n\udce9'
    point = replace(view.sets[0].points[0], root=evil)
    picture = replace(picture, roots={evil: root_view([point])})
    found = parse(metrics(picture, {}, "s", NOW))
    assert value(found, "engine_well") == 1
    assert value(found, "folder_online", folder=evil.replace("\udce9", "\\udce9")) == 1


def test_the_text_file_is_whole_and_readable(tmp_path: Path) -> None:
    """Others may read it, nothing else lies beside it, and a second writing replaces it."""
    file = tmp_path / "bootpoint.prom"
    exporter = Exporter(ScriptedService(), file, None)
    exporter.write()
    exporter.write()
    assert value(parse(file.read_text()), "rpo_lag_seconds", machine="erp") == 720
    assert file.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["bootpoint.prom"]


@pytest.mark.parametrize(("path", "code"), [("/metrics", b"200"), ("/other", b"404")])
def test_the_socket_speaks_http(tmp_path: Path, path: str, code: bytes) -> None:
    """GET /metrics answers; a peer that says nothing does not stop the next one."""
    exporter = Exporter(ScriptedService(), None, tmp_path / "metrics.sock")
    exporter.start()
    try:
        for words in (b"", f"GET {path} HTTP/1.0\r\n\r\n".encode()):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(20)
                peer.connect(str(tmp_path / "metrics.sock"))
                peer.sendall(words)
                peer.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda peer=peer: peer.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split()[1] == code
        if code == b"200":
            assert b"text/plain; version=0.0.4" in head
            assert value(parse(body.decode()), "engine_well") == 1
    finally:
        exporter.stop()
    assert not (tmp_path / "metrics.sock").exists()


def test_a_second_look_tells_the_values_of_its_own_moment() -> None:
    """What is kept from one look to the next is not told as if no time had passed."""
    service = ScriptedService()
    meter = Meter(service)
    before = value(parse(meter.told()), "rpo_lag_seconds", machine="erp")
    service.advance(seconds=60)
    assert before is not None
    assert value(parse(meter.told()), "rpo_lag_seconds", machine="erp") == before + 60
    fresh = metrics(service.snapshot(), {}, service.site, service.started_at)
    assert parse(meter.told()) == parse(fresh)


def test_slow_and_full_targets_and_who_waits_can_be_measured() -> None:
    """Figures of a target, and machines by what they wait for; what is not known is absent."""
    slow = replace(target_status(), slow="It is slow.", latency=1.5, days_left=9.0)
    wait = Wait(Bound.TARGET, "All 2 slots of target local are taken.")
    picture = replace(
        site(3), targets=(slow, target_status("nas")), slots={"erp": wait, "web": wait}
    )
    found = parse(metrics(picture, {}, "Hamburg", NOW))
    assert value(found, "target_slow", target="local") == 1
    assert value(found, "store_write_seconds", target="local") == 1.5
    assert value(found, "store_full_seconds", target="local") == 9 * 86400
    assert value(found, "store_full_seconds", target="nas") is None
    assert value(found, "waiting", **{"for": "target"}) == 2
