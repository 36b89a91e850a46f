"""engine.toml: defaults, exact errors, and a sample that says the truth."""

from __future__ import annotations

import os
import re
import tomllib
import zoneinfo
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.config import engine as engine_config
from engine.config.engine import Places, defaults, load_engine, places
from engine.config.esxi import defaults as esxi_defaults
from engine.config.standby import defaults as standby_defaults
from engine.config.standby import load_standbys
from engine.model.errors import WrongUse

SAMPLE = Path(__file__).parents[3] / "sample-config"
NOWHERE = Places(Path("/nonexistent/engine.toml"), Path("/state"))


ESXI = "[targets.e]\nkind='esxi'\nesxi={{user='{}',password='{}'}}\n{}"
HOTADD = (
    "[targets.e]\nkind='esxi'\nuri='https://h/'\n"
    "[targets.e.esxi]\nuser='u'\npassword='file:/p'\ntransport='hotadd'\n"
)
PINNED = (
    "[targets.e]\nkind='esxi'\nuri='https://h/'\n"
    "[targets.e.esxi]\nuser='u'\npassword='file:/p'\npin='{}'"
)


def load(tmp_path: Path, text: str) -> None:
    """Load a configuration of this text."""
    file = tmp_path / "engine.toml"
    file.write_text(text)
    load_engine(file)


def test_without_a_file_everything_has_a_default() -> None:
    """One embedded libvirt target, all state in one folder."""
    config = load_engine(None, NOWHERE)
    (target,) = config.targets.values()
    assert (target.name, target.kind) == ("local", "libvirt")
    assert target.uri == "qemu:///embed?root=/state/libvirt"
    assert (target.store.path, target.store.kind) == (Path("/state/store"), "auto")
    assert config.socket == Path("/state/engine.sock")
    assert config.standbys == Path("/state/standbys.d")
    assert (config.file, config.roots, config.jobs) == (None, (), 2)


def test_paths_begin_at_the_file_and_home_is_known(tmp_path: Path) -> None:
    """A configuration can be moved with its folder; `..` is resolved."""
    file = tmp_path / "engine.toml"
    file.write_text(
        'state_dir = "run/../state"\n[watch]\nroots = ["images", "~/x", "/srv//r/"]\n'
        "[conversion]\ndrivers = ['d/virtio-win.iso', '/srv/x']\n"
        "[targets.kvm-01]\n[targets.two]\nkind = 'simulated'\nstore = { kind = 'qcow2' }\n"
    )
    config = load_engine(file)
    assert config.state_dir == tmp_path / "state"
    assert config.roots == (str(tmp_path / "images"), str(Path.home() / "x"), "/srv/r")
    assert config.standbys == tmp_path / "standbys.d"
    assert config.drivers == (tmp_path / "d/virtio-win.iso", Path("/srv/x"))
    assert config.targets["kvm-01"].store.path == tmp_path / "state/store-kvm-01"
    assert config.targets["two"].uri == ""


def test_the_usual_places_are_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only root uses the system's folders; others follow the XDG variables."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert places().state == Path("/var/lib/bootpoint")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert places().config == Path("/c/bootpoint/engine.toml")
    assert places().state == Path.home() / ".local/state/bootpoint"


@pytest.mark.parametrize(
    ("text", "key", "found", "expected"),
    [
        ("[limits]\njobs = '2'", "limits.jobs", "'2'", "a whole number"),
        ("[limits]\njobs = true", "limits.jobs", "True", "a whole number"),
        ("[limits]\njobs = 0", "limits.jobs", "0", ">= 1"),
        ("[watch]\nroots = ['/a', 3]", "watch.roots[1]", "3", "text"),
        ("[watch]\nroots = '/a'", "watch.roots", "'/a'", "a list"),
        ("[conversion]\ndrivers = '/a'", "conversion.drivers", "'/a'", "a list"),
        ("[conversion]\ndrivers = ['']", "conversion.drivers[0]", "''", "length"),
        ("watch = 3", "watch", "3", "a table"),
        ("log_level = 'loud'", "log_level", "'loud'", "debug, info, warning, error"),
        ("zone = 'Mars/Base'", "zone", "'Mars/Base'", "Europe/Berlin"),
        ("zone = '../../etc/passwd'", "zone", "passwd", "Europe/Berlin"),
        (f"socket = '/{'x' * 120}'", "socket", "xxx", "at most 100 bytes"),
        ("[targets.kvm.store]\nkind = 'zfs'", "targets.kvm.store.kind", "'zfs'", "reflink"),
        ("[targets.kvm]\nkind = 'xen'", "targets.kvm.kind", "'xen'", "libvirt, simulated, esxi"),
        ("[targets.e]\nkind = 'esxi'", "targets.e.esxi", "nothing", "user and password"),
        ("[targets.e]\nesxi={user='u',password='file:/p'}", "targets.e.esxi", "libvirt", "esxi"),
        (ESXI.format("u", "file:/p", ""), "targets.e.uri", "''", "https://HOST/"),
        (ESXI.format("u", "hunter2", "uri='https://h/'"), "targets.e.esxi.password", "", "file:/"),
        (PINNED.format("AB"), "targets.e.esxi.pin", "'AB'", "64 small hexadecimal"),
        (PINNED.format("ab" * 32) + "\ntransport='x'", "targets.e.esxi.transport", "'x'", "hotadd"),
        (HOTADD + "server='h'", "targets.e.esxi.server", "'h'", "no share is mounted"),
        (
            HOTADD + "[targets.e.store]\nkind='reflink'",
            "targets.e.store.kind",
            "'reflink'",
            "snapshots on the host",
        ),
        (
            HOTADD + "[targets.e.store]\npath='/s'\n[targets.local.store]\npath='/s'",
            "e: store.path",
            "'/s'",
            "a folder that target local has not",
        ),
        ("[targets.kvm.store]\nkind = 'memory'", "targets.kvm.store.kind", "'memory'", "qcow2"),
        ("[targets.x]\nkind='simulated'\nuri='a'", "targets.x.uri", "'a'", "has no uri"),
        ("[targets]\nx = 1", "targets.x", "1", "a table"),
        ("[targets.'../x']", "targets.../x", "'../x'", "small letters"),
    ],
)
def test_a_wrong_value_is_told_with_file_key_found_and_expected(
    tmp_path: Path, text: str, key: str, found: str, expected: str
) -> None:
    """Whoever edits the file sees where it is wrong, and what would be right."""
    with pytest.raises(WrongUse) as told:
        load(tmp_path, text)
    problem = told.value.problem
    assert problem.facts["key"] == key
    assert found in str(problem.facts["found"])
    assert expected in str(problem.facts["expected"])
    for part in (str(tmp_path / "engine.toml"), key, expected):
        assert part in problem.happened


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("stat_dir = 'x'", "stat_dir", "state_dir"),
        ("[watch]\nroot = []", "watch.root", "roots"),
        ("[targets.local.store]\nkid = 'x'", "targets.local.store.kid", "kind"),
        ("[wacth]\nroots = []", "wacth", "watch"),
        ("frobnicate = 1", "frobnicate", ""),
    ],
)
def test_an_unknown_key_is_an_error_that_names_its_neighbour(
    tmp_path: Path, text: str, key: str, near: str
) -> None:
    """A typing mistake never passes in silence."""
    with pytest.raises(WrongUse) as told:
        load(tmp_path, text)
    problem = told.value.problem
    assert (problem.key, problem.facts["key"]) == ("config.unknown-key", key)
    assert problem.facts["nearest"] == near
    assert (f"Did you mean {near}?" in problem.remedy) == bool(near)


@pytest.mark.parametrize("content", [b"x = [", b"\xff\xfe", b"a" * (1 << 21), b"[" * 10000])
def test_what_is_not_toml_is_told(tmp_path: Path, content: bytes) -> None:
    """Broken, binary and huge files are errors in words."""
    file = tmp_path / "engine.toml"
    file.write_bytes(content)
    with pytest.raises(WrongUse, match=r"engine\.toml"):
        load_engine(file)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """Defaults stand in for the usual file only, not for one that was asked for."""
    with pytest.raises(WrongUse, match="No such file"):
        load_engine(tmp_path / "none.toml")


def test_limits_of_targets_and_of_a_folder_they_share(tmp_path: Path) -> None:
    """Each target may have a limit; a folder two targets share has the smaller one."""
    file = tmp_path / "engine.toml"
    file.write_text(
        "[limits]\njobs = 8\n"
        '[targets.a]\nkind = "simulated"\njobs = 3\n[targets.a.store]\npath = "s"\njobs = 2\n'
        '[targets.b]\nkind = "simulated"\n[targets.b.store]\npath = "s"\njobs = 4\n'
    )
    told, shared = engine_config.limits(load_engine(file)), str(tmp_path / "s")
    assert (told.jobs, told.targets) == (8, {"a": 3})
    assert told.stores == {"a": shared, "b": shared}
    assert told.store_jobs == {shared: 2}


def test_read_limits_are_rates_by_the_hour(tmp_path: Path) -> None:
    """Directories are made absolute; what is wrong is named with its place in the list."""
    file = tmp_path / "engine.toml"
    file.write_text(
        "[[watch.limits]]\ndirectory='replica/../r'\nrate='40MiB/s'\noutside='1GB/s'\n"
        "hours=['mon-fri 08:00-18:00']\n[[watch.limits]]\ndirectory='/srv'\nrate='100Mbit/s'\n"
    )
    near, far = load_engine(file).reads
    assert (near.directory, near.rate, near.outside) == (str(tmp_path / "r"), 40 << 20, 10**9)
    assert [one.text for one in near.hours] == ["mon-fri 08:00-18:00"]
    assert (far.directory, far.rate, far.outside, far.hours) == ("/srv", 12_500_000, None, ())

    limit = "[[watch.limits]]\ndirectory='/srv'\nrate='{}'\n{}\n"
    for text, said in (
        (limit.format("fast", ""), r"watch.limits\[0\].rate: found 'fast', expected a rate"),
        (limit.format("1MB/s", "hours=['noon']"), r"watch.limits\[0\].hours"),
        (limit.format("1MB/s", "outside='2MB/s'"), r"limits\[0\].outside: .* it needs `hours`"),
        (limit.format("1MB/s", "") * 2, r"limits\[1\].directory: .* it has a limit already"),
        (limit.format("1MB/s", "burst=1"), "unknown field `burst`"),
    ):
        with pytest.raises(WrongUse, match=said):
            load(tmp_path, text)


# --- the sample -----------------------------------------------------------------------------


def test_the_sample_loads() -> None:
    """What ships as an example is right."""
    config = load_engine(SAMPLE / "engine.toml")
    assert config.site == "Remote site Hamburg"
    assert sorted(config.targets) == ["esx-01", "local", "rehearsal"]
    assert config.standbys == SAMPLE / "standbys.d"
    found, problems = load_standbys(config.standbys)
    assert (sorted(found), problems) == (["archive", "erp", "web"], {})
    assert {one.target for one in found.values()} <= set(config.targets)


def commented(file: Path) -> dict[str, Any]:
    """Return what the lines `# key = value` of a file say, with its tables."""
    kept = (re.sub(r"^# (?=[a-z_]+ = )", "", line) for line in file.read_text().splitlines())
    said: dict[str, Any] = {}
    table = ""
    for line in kept:
        if found := re.fullmatch(r"\[(.+)\]", line):
            table = found[1] + "."
        elif (found := re.fullmatch(r"([a-z_]+) = (.+)", line)) and table + found[1] not in said:
            said[table + found[1]] = tomllib.loads(line)[found[1]]
    return said


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as dotted keys."""
    said: dict[str, Any] = {}
    for key, value in table.items():
        said |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return said


def test_each_default_in_the_samples_comments_is_the_codes() -> None:
    """The commented sample names every key of engine.toml and its true default."""
    said = commented(SAMPLE / "engine.toml")
    code = flat(defaults())
    examples = {key for key, value in code.items() if value is None}
    ways = {"alerts.smtp.port", "alerts.smtp.min_severity", "alerts.syslog.min_severity"}
    jobs = {"targets.local.jobs", "targets.local.store.jobs"}
    assert examples == {"watch.quiet_s"} | ways | jobs
    assert said["watch.quiet_s"] == 30
    assert min(said[key] for key in jobs) >= 1
    own = {k: v for k, v in said.items() if "rehearsal" not in k and "webhooks" not in k}
    assert set(own) == set(code)
    assert {k: own[k] for k in own if k not in examples} == {
        k: code[k] for k in code if k not in examples
    }


def test_a_target_whose_layers_are_on_the_host_needs_no_server(tmp_path: Path) -> None:
    """With transport hotadd the store is what belongs to the layers, and nothing is exported."""
    file = tmp_path / "engine.toml"
    file.write_text(HOTADD)
    one = load_engine(file).targets["e"]
    assert (one.store.kind, one.esxi and one.esxi.transport) == ("hotadd", "hotadd")


def test_each_default_in_the_sample_esxi_target_is_the_codes() -> None:
    """The commented sample of an ESXi target names every key of it and its true default."""
    said = commented(SAMPLE / "targets.d" / "esx-01.toml")
    own = {key.removeprefix("esxi."): said[key] for key in said if key.startswith("esxi.")}
    code = esxi_defaults()
    given = {"user", "password", "pin", "datastore", "server"}
    assert set(own) == set(code)
    assert {k: v for k, v in own.items() if k not in given} == {
        k: v for k, v in code.items() if k not in given
    }


def test_each_default_in_the_sample_standby_is_the_codes() -> None:
    """The commented standby names every key an operator sets, and its true default."""
    said = commented(SAMPLE / "standbys.d" / "erp.toml")
    code = flat(dict(standby_defaults()))
    internal = ("held", "held_until", "created_at", "guard_released", "retention.hold")
    for written_by_the_engine in internal:
        del code[written_by_the_engine]
    examples = {key for key, value in code.items() if value is None}
    own = {key for key in examples if not key.startswith("retention.")}
    assert own == {"rpo_s", "silence_s", "memory_mib", "cpus", "firmware", "bus", "blackouts"}
    assert len(examples - own) == 7
    assert said.pop("images") == "/srv/replica/erp"
    assert set(said) == set(code)
    assert {k: v for k, v in said.items() if k not in examples} == {
        k: v for k, v in code.items() if k not in examples
    }


def test_a_host_without_time_zones_is_in_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small Debian has neither /etc/localtime nor tzdata; the engine starts all the same."""
    monkeypatch.setattr(engine_config, "_HOST_ZONE", tmp_path / "localtime")
    zoneinfo.reset_tzpath([])
    zoneinfo.ZoneInfo.clear_cache()
    try:
        told = load_engine(None, Places(tmp_path / "engine.toml", tmp_path / "state"))
    finally:
        zoneinfo.reset_tzpath()
    assert told.zone.utcoffset(None) == timedelta(0)
