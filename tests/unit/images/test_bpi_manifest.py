"""Facts about the manifest of a recovery point."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.images.bpi import BpiFormat
from engine.images.bpi.manifest import (
    DiskLine,
    Manifest,
    Replaced,
    digest_of,
    ns_to_datetime,
    ns_to_time,
    read_manifest,
    time_to_ns,
    write_manifest,
)
from engine.images.bpi.strictjson import parse
from engine.model.errors import FormatError
from engine.model.machine import Firmware, Hints, Nic
from tests.formats.bpifiles import memory_file, uuid

LINE = DiskLine(
    number=0, uuid=uuid(5), file="p000042-20260101T030000Z-d00.bpi", kind="increment", size=9000,
    disk_size=107374182400, logical_sector=512, root="ab" * 32, sha256="cd" * 32, boot=True,
)  # fmt: skip
WHOLE = Manifest(
    set=uuid(1), point=uuid(2), parent=uuid(3), sequence=42, taken_ns=1_767_236_400_000_000_001,
    written_ns=1_767_236_410_112_000_000, machine=uuid(4), machine_name="erp",
    hints=Hints(
        os="linux", firmware=Firmware.UEFI, cpus=4, memory=8 << 30,
        nics=(Nic("eth0", "52:54:00:11:22:33", ("192.0.2.10/24",)),),
    ),
    disks=(LINE, replace(LINE, number=1, uuid=uuid(6), boot=False, sha256=None, kind="full")),
    consistency="filesystem", producer_version="0.1.0",
    replaces=(Replaced(uuid(7), 41, {str(uuid(5)): "ef" * 32}), Replaced(uuid(2), 42, {})),
)  # fmt: skip


def _read(data: bytes) -> Manifest:
    with memory_file(data) as fd:
        return read_manifest(fd, "point.json")


def _spelled(**changes: Any) -> bytes:
    """Return the manifest with changed values and a right digest."""
    told = json.loads(write_manifest(WHOLE)) | changes
    return json.dumps(told | {"digest": digest_of(told)}).encode()


def test_a_manifest_says_what_was_written() -> None:
    """Reading gives back every field."""
    assert _read(write_manifest(WHOLE)) == WHOLE


def test_a_manifest_becomes_a_part_of_all_its_disks() -> None:
    """The watcher sees one entry for each disk, with names it looks for."""
    with memory_file(write_manifest(WHOLE)) as fd:
        part = BpiFormat().describe(fd, "set/point.json")
    assert (part.point, part.parent) == (str(uuid(2)), str(uuid(3)))
    assert [(d.number, d.base, d.name, d.root) for d in part.disks] == [
        (0, False, LINE.file, "ab" * 32),
        (1, True, LINE.file, "ab" * 32),
    ]
    assert part.replaces == (str(uuid(7)), str(uuid(2)))
    assert part.hints == WHOLE.hints


def test_the_digest_is_the_one_the_format_describes() -> None:
    """Two lines of Python, as FORMATS.md gives them, compute the digest."""
    m = json.loads(write_manifest(WHOLE))
    told = m.pop("digest")
    text = json.dumps(m, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert hashlib.sha256(text.encode()).hexdigest() == told


def test_a_manifest_cut_anywhere_is_incomplete() -> None:
    """A cut is told apart from damage, so the watcher waits for the rest."""
    data = write_manifest(WHOLE).rstrip()
    for length in range(len(data)):
        with pytest.raises(FormatError) as told:
            _read(data[:length])
        cut_at_brace = data[:length].rstrip().endswith(b"}")
        expected = "image.damaged" if cut_at_brace else "image.truncated"
        assert told.value.problem.key == expected
    with pytest.raises(FormatError) as told:
        _read(data[:300] + bytes(len(data) - 300))
    assert told.value.problem.key == "image.truncated"


def test_any_changed_byte_is_noticed() -> None:
    """Whatever byte changes is noticed, unless it changes no value (white space)."""
    data = write_manifest(WHOLE)
    for at in range(len(data)):
        spoiled = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        try:
            assert _read(spoiled) == WHOLE
        except FormatError:
            continue


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "no manifest"),
        ({"version": 2}, "version 2"),
        ({"sequence": 0}, "sequence"),
        ({"sequence": True}, "sequence"),
        ({"set": "x"}, "set"),
        ({"parent": str(uuid(2))}, "own parent"),
        ({"taken_at": "yesterday"}, "time"),
        ({"taken_at": "9999-01-01T00:00:00.000000000Z"}, "time"),
        ({"disks": []}, "no disks"),
        ({"disks": [{}]}, "number"),
        ({"disks": "x"}, "disks"),
        ({"machine": None}, "uuid"),
        ({"hash_alg": "md5"}, "hash_alg"),
        ({"replaces": [{"point": str(uuid(9)), "sequence": 1, "roots": {}}]}, "replaced"),
    ],
)
def test_wrong_values_are_named(changes: dict[str, Any], words: str) -> None:
    """A manifest whose digest is right and whose values are not says which one."""
    with pytest.raises(FormatError, match=words):
        _read(_spelled(**changes))


def test_later_versions_are_told_apart_from_damage() -> None:
    """A manifest of a later version asks for a newer program."""
    with pytest.raises(FormatError) as told:
        _read(_spelled(version=2))
    assert told.value.problem.key == "image.unsupported"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("/dev/sda", "sda"),
        ("a\\b.bpi", "b.bpi"),
        ("..", ".."),
    ],
)
def test_names_in_a_manifest_are_names_only(told: str, kept: str) -> None:
    """A path in a manifest is cut to its last part; it is looked for, never opened."""
    line = json.loads(write_manifest(WHOLE))["disks"][0] | {"file": told}
    assert _read(_spelled(disks=[line])).disks[0].file == kept


def test_names_that_steer_a_terminal_are_refused() -> None:
    """Names of image files are printable ASCII."""
    line = json.loads(write_manifest(WHOLE))["disks"][0]
    for name in ("\x1b[2J", "é.bpi", "\ud800"):
        with pytest.raises(FormatError, match="file"):
            _read(_spelled(disks=[line | {"file": name}]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":{"b":1,"b":1}}', "twice"),
        (b'{"a":1.0}', "no integer"),
        (b'{"a":1e3}', "no integer"),
        (b'{"a":NaN}', "no integer"),
        (b"[1]", "not an object"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "deeply"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeply"),
        (b'{"a":"' + b"x" * (1 << 20) + b'"}', "longer"),
        (b'{"a":\xff}', "not valid"),
        (b'{"a":' + b"9" * 5000 + b"}", "too long"),
    ],
)
def test_json_that_programs_read_differently_is_refused(text: bytes, words: str) -> None:
    """Duplicate keys, floats, depth and length are refused: no two readers may disagree."""
    with pytest.raises(ValueError, match=words):
        parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_lies_in_a_manifest_are_no_crash(data: st.DataObject) -> None:
    """Any value anywhere, with a right digest, is read or refused, never a crash."""
    told = json.loads(write_manifest(WHOLE))
    places: list[tuple[Any, Any]] = []

    def walk(one: Any) -> None:
        keys = one if isinstance(one, dict) else range(len(one))
        for key in keys:
            places.append((one, key))
            if isinstance(one[key], (dict, list)):
                walk(one[key])

    walk(told)
    inside, key = data.draw(st.sampled_from(places))
    inside[key] = data.draw(JSON)
    spelled = json.dumps(told | {"digest": digest_of(told)}).encode()
    with memory_file(spelled) as fd:
        try:
            BpiFormat().describe(fd, "point.json")
        except FormatError as error:
            refused = error
        else:
            return
    assert refused.problem.remedy


@given(ns=st.integers(-(1 << 63), (1 << 63) - 1))
def test_times_keep_their_nanoseconds(ns: int) -> None:
    """Every time a header can hold is written and read back exactly."""
    assert time_to_ns(ns_to_time(ns)) == ns
    assert ns_to_datetime(ns).utcoffset() is not None
