"""Ledgers and guests in words: what differs, for people."""

from __future__ import annotations

from dataclasses import replace

from engine.api.changes import (
    Words,
    difference_words,
    guest_words,
    ledger_summary,
    ledger_words,
    printed,
)
from engine.api.conversion_views import DifferenceView, LedgerView
from engine.api.conversions import change_view, guest_view, ledger_view
from engine.model.guest import Action, LedgerEntry, RegistryEdit
from tests.records import ROOT, digest, entries, entry, facts, ledger
from tests.scripted import NOW, boot_point, recovery_point

POINT = boot_point(4, recovery_point("erp", 4, NOW))


def shown(*told: LedgerEntry) -> list[str]:
    """Return the lines of a ledger with these changes."""
    view = ledger_view(POINT, ledger(*told))
    view.entries = [change_view(one) for one in told]
    view.total = len(told)
    return text(ledger_words(view))


def text(lines: list[Words]) -> list[str]:
    """Return the text of lines."""
    return list(printed(lines))


def differing(old: LedgerEntry | None, new: LedgerEntry | None) -> list[str]:
    """Return the lines of one difference."""
    view: LedgerView = ledger_view(POINT, ledger())
    view.against, view.total = "bp000003", 1
    view.differences = [
        DifferenceView(
            volume=ROOT,
            path="/etc/x",
            earlier=None if old is None else change_view(old),
            later=None if new is None else change_view(new),
        )
    ]
    return text(difference_words(view))


def test_changes_inside_a_registry_hive_are_told_one_by_one() -> None:
    """Hive, key and value, what was there, what is there; a key that goes has no line after."""
    hive = replace(
        entry("/Windows/System32/config/SYSTEM", "", ""),
        details=(
            RegistryEdit(
                "SYSTEM", r"Services\storahci", "Start", "REG_DWORD", "3", "0", "It boots."
            ),
            RegistryEdit("SYSTEM", r"Services\storahci\StartOverride", "", "key", "0=3", None, "."),
        ),
    )
    assert change_view(hive).registry[0].after == "0"
    lines = shown(hive)
    at = lines.index(r"   SYSTEM: Services\storahci\Start (REG_DWORD)")
    assert lines[at + 1 :] == [
        "   - 3",
        "   + 0",
        r"   SYSTEM: Services\storahci\StartOverride (key)",
        "   - 0=3",
    ]


def test_a_changed_text_is_a_unified_diff() -> None:
    """Old and new lines stand below one another, with a little around them."""
    lines = shown(entry("/etc/x", "a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\nE\nf\n"))
    assert lines[1:] == [
        " 1. write   /etc/x",
        "   The name of the disk is another one in the VM.",
        f"   on volume {ROOT}",
        "   @@ -3,4 +3,4 @@",
        "    c",
        "    d",
        "   -e",
        "   +E",
        "    f",
    ]


def test_a_new_text_is_all_plus_and_a_removed_one_all_minus() -> None:
    """A file that was not there, and one that is no more, show every line."""
    assert "   +new" in shown(entry("/x", "", "new\n"))
    gone = entry("/x", "old\n", "", action=Action.REMOVE, after_digest="")
    assert "   -old" in shown(gone)


def test_what_is_no_text_is_told_by_size_and_digest() -> None:
    """A binary has its size and both digests, in full: they are to be compared with others."""
    told = entry("/b", before_digest="11" * 32, after_digest="22" * 32, after_size=1_480_704)
    assert shown(told)[-3:] == [
        f"   - sha256 {'11' * 32}",
        "   + 1.4 MiB, no text",
        f"   + sha256 {'22' * 32}",
    ]


def test_a_text_in_place_of_a_binary_is_shown() -> None:
    """Each side is shown as what it is."""
    told = entry("/b", "", "text\n", before_digest="11" * 32)
    assert shown(told)[-3:] == [f"   - sha256 {'11' * 32}", "   @@ -0,0 +1 @@", "   +text"]


def test_links_folders_and_moves_name_where_to() -> None:
    """A link shows its target, a move its new place, a folder nothing more."""
    link = entry("/l", "", "/etc/y", action=Action.SYMLINK)
    move = entry("/m", after="/m.old", action=Action.RENAME, before_digest="1", after_digest="1")
    folder = entry("/f", action=Action.MKDIR, after_digest="")
    assert "   +-> /etc/y" in shown(link)
    assert shown(move)[-1] == "   to /m.old"
    assert shown(folder)[-1].startswith("   on volume")


def test_volumes_are_named_by_where_they_are_mounted() -> None:
    """The id is followed by the path in the guest."""
    view = ledger_view(POINT, ledger())
    view.entries, view.total = [change_view(entries()[0])], 1
    volumes = guest_view(POINT, facts(), "record").volumes
    assert f"   on volume {ROOT} (/)" in text(ledger_words(view, volumes))


def test_changes_without_room_are_counted() -> None:
    """What an answer had no room for is said, never silently missing."""
    view = ledger_view(POINT, ledger())
    view.total = 3
    assert text(ledger_words(view))[-1] == "3 more changes had no room here."


def test_two_huge_texts_are_shown_whole_instead_of_compared() -> None:
    """A guest's text cannot make the comparison take forever."""
    lines = shown(entry("/x", "a\nb\n" * 4000, "b\na\n" * 4000))
    assert lines.count("   -a") == 4000
    assert lines.count("   +b") == 4000


def test_a_dry_run_says_would() -> None:
    """No seconds and no check are told of what was not done."""
    view = ledger_view(POINT, ledger())
    view.total = 1
    assert text(ledger_summary(view, is_dry=True))[0].startswith("1 change would be made")
    assert any("as planned" in line for line in text(ledger_summary(view)))
    assert text(ledger_summary(view))[-1] == "Warning: The guest has no serial console."


def test_a_guest_is_told_with_its_volumes() -> None:
    """System, firmware, loader, kernels, networks, and a line for each volume."""
    lines = text(guest_words(guest_view(POINT, facts(), "record")))
    assert lines[0] == "System       Debian GNU/Linux 12 (debian)"
    assert "Kernel       6.1.0-50-amd64" in lines
    assert lines[-3] == "disk 1 part 1   38 GiB  ext       /                    root"
    assert lines[-2] == f"             {ROOT}"
    bare = guest_view(POINT, facts(kernels=(), networks=(), volumes=(), boot_loader=""), "now")
    assert "no volume was found" in text(guest_words(bare))


def test_a_file_that_only_one_conversion_changed() -> None:
    """The boot point that has it is named."""
    one = entry("/etc/x", "a\n", "b\n")
    assert "   only in bp000003: write" in differing(one, None)
    assert "   only in bp000004: write" in differing(None, one)


def test_how_two_conversions_of_one_file_differ() -> None:
    """Other text, other binary, other origin and other reason are told apart."""
    old = entry("/etc/x", "a\n", "b\n")
    assert "   +c" in differing(old, entry("/etc/x", "a\n", "c\n"))
    other = entry("/etc/x", "z\n", "b\n")
    assert differing(old, other)[-3:] == ["   @@ -1 +1 @@", "   -a", "   +z"]
    blob, blob2 = (entry("/etc/x", after_digest=digest(text), after_size=9) for text in ("p", "q"))
    assert differing(blob, blob2)[-1] == f"   + 9 B, sha256 {digest('q')}"
    assert "for another reason" in "\n".join(
        differing(old, entry("/etc/x", "a\n", "b\n", reason="Other."))
    )


def test_no_difference_is_said() -> None:
    """Two equal conversions are one sentence."""
    view = ledger_view(POINT, ledger())
    view.against = "bp000003"
    assert text(difference_words(view)) == ["Both conversions changed the same, to the same."]


def test_our_words_are_ascii_and_short() -> None:
    """No line of ours is wider than a small terminal."""
    view = ledger_view(POINT, ledger(warnings=("w " * 200,), check="skipped(" + "y " * 90 + ")"))
    view.entries = [change_view(one) for one in entries()]
    view.total = 3
    lines = text(ledger_summary(view)) + text(ledger_words(view))
    assert all(line.isascii() and len(line) <= 79 for line in lines)


def test_another_system_on_the_same_disks_is_shown() -> None:
    """It is named by its place, in words and as a field, and left as it is."""
    view = guest_view(POINT, facts(others=("disk0-part5", "gone")), "record")
    assert view.others == ["disk0-part5", "gone"]
    lines = text(guest_words(view))
    assert "Others       another system on disk 1 part 5; left as it is" in lines
    assert f"{'':<13}another system on gone; left as it is" in lines
    alone = text(guest_words(guest_view(POINT, facts(), "record")))
    assert not any("Others" in line for line in alone)
