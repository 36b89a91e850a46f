"""The ledger: what was changed, kept, exported and compared, without secrets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.guests.inspect import inspect
from engine.guests.ledger import TEXT, compare, export_ledger, import_ledger, make_ledger
from engine.guests.linux.draft import digest
from engine.guests.plan import ConversionOptions, plan
from engine.model.errors import FormatError
from engine.model.guest import Action, ConversionPlan, FileEdit, Ledger, Owner, VolumeId
from tests.unit.guests.trees import ROOT, MemoryGuest, debian12, kernel_files, modules_files


def ledger_of(disk: MemoryGuest) -> Ledger:
    """Return the ledger of a guest's conversion."""
    found = plan(disk, inspect(disk), lambda _kernel: b"\x1f\x8b\0", ConversionOptions())
    return made(found, disk)


def made(found: ConversionPlan, disk: MemoryGuest) -> Ledger:
    """Return a plan's ledger, as after a replay of half a second."""
    return make_ledger(
        found,
        lambda volume, path: disk.read(volume, path, 1 << 30),
        backend="userland",
        seconds=0.5,
        bytes_written=4096,
        check="full",
    )


def written(before: bytes, after: bytes) -> Ledger:
    """Return the ledger of one file that is changed."""
    disk = debian12()
    disk.files[ROOT][b"/etc/x"] = before
    edit = FileEdit(VolumeId(ROOT), b"/etc/x", Action.WRITE, digest(before), after, Owner(), "Why.")
    return made(ConversionPlan((edit,), ("careful",)), disk)


def test_every_edit_has_its_entry_with_before_and_after() -> None:
    """Texts are kept in full, in the order of volume and path."""
    ledger = ledger_of(debian12())
    entries = {entry.path: entry for entry in ledger.entries}

    assert list(entries) == sorted(entries)
    assert "/dev/sda1 / " in entries["/etc/fstab"].before
    assert f"UUID={ROOT} / " in entries["/etc/fstab"].after
    assert entries["/boot/grub/device.map"].after == "/boot/grub/device.map.bootpoint-old"
    assert ledger.check == "full"


def test_binaries_and_long_texts_are_kept_as_size_and_digest() -> None:
    """Only what can be read is kept in full."""
    ledger = written(b"\0\1", b"x" * (TEXT + 1))

    (entry,) = ledger.entries
    assert (entry.before, entry.after) == ("", "")
    assert entry.after_size == TEXT + 1
    assert len(entry.before_digest) == len(entry.after_digest) == 64


@pytest.mark.parametrize(
    "line",
    [
        "psk=SECRET",
        "  psk = SECRET",
        "wpa-psk SECRET",
        "        password: 'SECRET'",
        '  "home": {password: "SECRET", mode: peap}',
        "PASSWORD=SECRET",
        "leap-password=SECRET",
        "password-raw=SECRET",
        "private-key-password=SECRET",
        "wep-key0=SECRET",
        "WEP_KEY1=SECRET",
        "KEY1=s:SECRET",
        "preshared-key=SECRET",
        "//nas/x /mnt/x cifs user=a,password=SECRET 0 0",
        "//nas/x /mnt/x cifs user=a,pass=SECRET 0 0",
        "password_pbkdf2 root SECRET",
        "password root SECRET",
        "# psk=SECRET",
        "pin=SECRET\r",
        "token: SECRET",
    ],
)
def test_secrets_are_never_kept(line: str) -> None:
    """Neither side of an entry shows a password, nor a digest it could be guessed from."""
    exported = export_ledger(written(f"a=1\n{line}\n".encode(), f"a=2\n{line}\n".encode()))

    assert "SECRET" not in exported
    assert "a=1" in exported
    assert json.loads(exported)["entries"][0]["before_digest"] == ""


@pytest.mark.parametrize("line", ["mac-address=00:11", "psk-flags=1", "mapping=1", "x=1"])
def test_what_is_no_secret_is_kept(line: str) -> None:
    """Words that only look a little like passwords are shown."""
    assert line in export_ledger(written(b"", f"{line}\n".encode()))


def test_texts_cannot_steer_a_terminal() -> None:
    """Escapes of the guest are shown, not sent."""
    (entry,) = written(b"a\x1b[2J\nb\xff", b"c\n").entries

    assert "\x1b" not in entry.before
    assert "\n" in entry.before


def test_a_ledger_comes_back_from_json_as_it_was() -> None:
    """Export and import lose nothing; the same ledger gives the same text."""
    ledger = ledger_of(debian12())

    assert import_ledger(export_ledger(ledger)) == ledger
    assert export_ledger(ledger) == export_ledger(ledger_of(debian12()))


@given(
    st.lists(
        st.builds(
            FileEdit,
            volume=st.sampled_from([VolumeId(ROOT)]),
            path=st.binary(max_size=9).map(lambda raw: b"/" + raw),
            action=st.sampled_from([Action.WRITE, Action.MKDIR, Action.SYMLINK, Action.REMOVE]),
            before=st.none(),
            after=st.binary(max_size=99),
            owner=st.just(Owner()),
            reason=st.text(max_size=9),
        ),
        max_size=4,
    )
)
def test_any_ledger_survives_json(edits: list[FileEdit]) -> None:
    """Names and contents of any bytes come back as they were shown."""
    ledger = made(ConversionPlan(tuple(edits), ("w",)), debian12())

    assert import_ledger(export_ledger(ledger)) == ledger


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"version": 2}', '{"version": 1, "entries": [1]}', "[" * 100_000,
     '{"version": 1, "entries": [{"action": "burn"}]}', '{"version": 1, "entries": 7}'],
)  # fmt: skip
def test_other_texts_are_refused_in_words(text: str) -> None:
    """What is no ledger is a format error."""
    with pytest.raises(FormatError):
        import_ledger(text)


def test_two_points_differ_by_the_new_kernel_only() -> None:
    """A kernel that came with an increment shows as its overlay and the menu."""
    earlier, disk = debian12(), debian12()
    for path, content in {
        **kernel_files("6.1.0-51-amd64"),
        **modules_files("6.1.0-51-amd64"),
    }.items():
        disk.put(ROOT, path, content)
    menu = disk.files[ROOT][b"/boot/grub/grub.cfg"]
    assert isinstance(menu, bytes)
    disk.files[ROOT][b"/boot/grub/grub.cfg"] = menu.replace(b"6.1.0-49", b"6.1.0-51")

    found = compare(ledger_of(earlier), ledger_of(disk))

    assert [(d.path, d.earlier is None, d.later is None) for d in found] == [
        ("/boot/bootpoint-6.1.0-51-amd64.img", True, False),
        ("/boot/grub/grub.cfg", False, False),
    ]


def test_equal_conversions_do_not_differ() -> None:
    """Time and bytes are no difference of what was changed."""
    ledger = ledger_of(debian12())

    assert compare(ledger, replace(ledger, seconds=9.0, bytes_written=1)) == ()
