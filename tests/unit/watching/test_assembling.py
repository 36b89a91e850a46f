"""Single cases of putting files together; the rules at large are in tests/property."""

from __future__ import annotations

from dataclasses import replace

from engine.model.chains import assemble
from engine.model.images import Arrival, ImagePart, PointId, RecoveryPoint
from engine.model.line import is_usable
from tests.arrivals import Shot, chain, said, shot


def points(*shots: Shot) -> list[RecoveryPoint]:
    """Return the points of settled, complete files."""
    return made([part for one in shots for part in one.parts])


def made(parts: list[ImagePart], *, unsettled: str = "") -> list[RecoveryPoint]:
    """Return the points of some files, one of which may be unsettled."""
    sets = assemble("/replica", parts, lambda path: path != unsettled).sets
    return [point for one in sets for point in one.points]


def test_the_missing_middle_is_named() -> None:
    """The first child that waits names the id, the place and the two ways out."""
    one, _, three, four = chain(4)
    (made_set,) = assemble(
        "/replica/erp", [p for s in (one, three, four) for p in s.parts], lambda _: True
    ).sets
    assert made_set.missing == {
        "set-1-000002": "p000003 (2026-01-01 06:00:00 UTC) of erp continues point set-1-000002, "
        "sequence 2, which is not in /replica/erp. No boot point can be made from it or any later "
        "one. Replicate the missing point again (p000002-d00.img), or start a new chain with "
        "a full backup."
    }


def test_a_point_that_was_overtaken_names_the_file_it_waits_for() -> None:
    """Without one of its files it stops the next one; while a file still changes it does not."""
    one, two, three = chain(3)
    (disk,) = two.disks
    for lost, words in ((disk, f"waits for disk 0 ({disk.path})."), (two.manifest, "its manifest")):
        parts = [p for s in (one, two, three) for p in s.parts if p is not lost]
        (made_set,) = assemble("/replica/erp", parts, lambda _: True).sets
        ((point, text),) = made_set.missing.items()
        assert point == two.id
        assert words in text
        assert "p000003 (2026-01-01 06:00:00 UTC) is whole and continues it" in text
        assert "replicate it again" in text
        (known,) = assemble("/replica/erp", parts, lambda _: True, known={two.id}).sets
        assert not known.missing
    parts = [p for s in (one, two, three) for p in s.parts]
    (made_set,) = assemble("/replica/erp", parts, lambda path: path != disk.path).sets
    assert not made_set.missing


def test_an_applied_parent_is_not_missed() -> None:
    """What the trunk holds already need not lie in the folder."""
    one, two = chain(2)
    (made_set,) = assemble("/replica", two.parts, lambda _: True, known={one.id}).sets
    assert not made_set.missing


def test_an_unsettled_file_holds_its_point_only() -> None:
    """One file that may still change keeps its point arriving, by name; others are not affected."""
    one, two = chain(2)
    found = made([*one.parts, *two.parts], unsettled="p000002-d00.img")
    assert said(found) == [(one.id, "complete"), (two.id, "arriving")]
    assert "p000002-d00.img may still be arriving" in found[1].reason


def test_reasons_say_what_a_point_waits_for() -> None:
    """Without its manifest or a disk file a point says so, with number and name."""
    one = shot(1, disks=2)
    assert made(list(one.disks))[0].reason == (
        "p000001 (2026-01-01 04:00:00 UTC) waits for its manifest; 2 disk files are here."
    )
    assert made([one.manifest, one.disks[0]])[0].reason == (
        "p000001 (2026-01-01 04:00:00 UTC) waits for disk 1 (p000001-d01.img)."
    )


def test_a_file_that_disagrees_with_its_manifest_damages_the_point() -> None:
    """Another content under the right ids is no part of the point, and waiting does not help."""
    one = shot(1)
    (disk,) = one.disks
    other = replace(disk, disks=(replace(disk.disks[0], root="f" * 64),))
    (point,) = made([one.manifest, other])
    assert point.arrival is Arrival.DAMAGED
    assert "content ffffffffffff… instead of" in point.reason
    (point,) = made([one.manifest, other], unsettled=other.path)
    assert point.arrival is Arrival.ARRIVING
    longer = replace(disk, disks=(replace(disk.disks[0], file_size=9999),))
    assert "9,999 instead of 2,048 bytes" in made([one.manifest, longer])[0].reason


def test_the_right_file_is_found_among_wrong_ones() -> None:
    """A leftover of an earlier attempt beside the right file does no harm, whatever its name."""
    one = shot(1)
    (disk,) = one.disks
    old = replace(disk, path="a.img", disks=(replace(disk.disks[0], root="f" * 64),))
    (point,) = made([old, one.manifest, replace(disk, path="b.img")])
    assert point.arrival is Arrival.COMPLETE
    assert point.disks[0].path == "b.img"


def test_a_link_that_does_not_fit_is_damage() -> None:
    """A child of another content of its parent is never laid on what is here (C1)."""
    one, two = chain(2)
    rewritten = shot(1, tag="x")
    forged = replace(rewritten.manifest, point=one.id)
    disk = replace(rewritten.disks[0], point=one.id)
    found = made([forged, disk, *two.parts])
    assert said(found) == [(one.id, "complete"), (two.id, "damaged")]
    assert "does not fit the point it continues: disk 0 continues content" in found[1].reason


def test_nobody_is_judged_by_what_has_not_arrived() -> None:
    """A half parent, or a half child, is no reason to call the link between them damaged."""
    one = shot(1, disks=2)
    two = shot(2, one, disks=2)
    assert said(made([one.disks[0], *two.parts])) == [(one.id, "arriving"), (two.id, "complete")]
    other = shot(1, disks=2, tag="x")
    forged = [replace(part, point=one.id) for part in other.parts]
    half = [two.disks[0], two.manifest]
    assert said(made([*forged, *half])) == [(one.id, "complete"), (two.id, "arriving")]
    assert said(made([*forged, *two.parts])) == [(one.id, "complete"), (two.id, "damaged")]


def test_a_new_disk_may_join_but_not_as_an_increment() -> None:
    """A disk that is new in a point must come in full."""
    one = shot(1)
    two = shot(2, shot(1, disks=2), disks=2)
    found = points(one, two)
    assert said(found) == [(one.id, "complete"), (two.id, "damaged")]
    assert "disk 1 is an increment, but p000001" in found[1].reason
    full = replace(two.disks[1].disks[0], base=True, parent_root="")
    line = replace(two.manifest.disks[1], base=True)
    manifest = replace(two.manifest, disks=(two.manifest.disks[0], line))
    found = made([*one.parts, two.disks[0], replace(two.disks[1], disks=(full,)), manifest])
    assert said(found) == [(one.id, "complete"), (two.id, "complete")]


def test_a_fork_stays_beside_the_line() -> None:
    """Two children of one parent are both there; who decides is the planner."""
    one, two, three = chain(3)
    fork = shot(3, two, tag="f")
    assert said(points(fork, three, two, one)) == [
        (one.id, "complete"),
        (two.id, "complete"),
        (three.id, "complete"),
        (fork.id, "complete"),
    ]


def test_consolidation_at_the_source_keeps_the_line() -> None:
    """Folded points may stay or go; a child of the folded point fits the merged file (C2)."""
    one, two, three, four = chain(4)
    merged = shot(3, one, replaces=[two, three])
    both = points(one, two, three, merged, four)
    assert said(both) == [(s.id, "complete") for s in (one, two, three, four)]
    assert not both[2].replaces
    after = points(one, merged, four)
    assert said(after) == [(s.id, "complete") for s in (one, three, four)]
    assert after[1].replaces == (two.id, three.id)
    half = points(one, three, merged, four)
    assert half[1].replaces == (two.id, three.id)


def test_a_merged_file_of_other_content_does_not_fit() -> None:
    """A child whose parent is in no list of folded files is not laid on the merged one."""
    one, two, three, four = chain(4)
    merged = shot(3, one, replaces=[two, three])
    (disk,) = merged.disks
    strange = replace(disk, replaced_roots=("e" * 64, "f" * 64))
    found = made([*one.parts, merged.manifest, strange, *four.parts])
    assert said(found)[-1] == (four.id, "damaged")


def test_a_file_that_continues_another_point_is_not_the_manifests() -> None:
    """File and manifest must name the same parent."""
    one, two = chain(2)
    astray = replace(two.disks[0], parent=PointId("elsewhere"))
    found = made([*one.parts, astray, two.manifest])
    assert said(found)[-1] == (two.id, "damaged")
    assert "it continues point elsewhere instead of set-1-000001" in found[1].reason


def test_only_the_folded_end_may_be_named_by_children() -> None:
    """A child of the folded point fits by that point's content, not by an earlier one's."""
    one, two, three, four = chain(4)
    merged = shot(3, one, replaces=[two, three])
    disk = four.disks[0].disks[0]
    wrong = replace(disk, parent_root=two.disks[0].disks[0].root)
    found = made([*one.parts, *merged.parts, replace(four.disks[0], disks=(wrong,)), four.manifest])
    assert said(found)[-1] == (four.id, "damaged")


def test_a_circle_of_parents_ends() -> None:
    """Points that continue one another are damaged, and nothing loops."""
    one, two = chain(2)
    parts = [replace(part, parent=two.id) for part in one.parts] + two.parts
    found = made(parts)
    assert said(found) == [(one.id, "damaged"), (two.id, "damaged")]


def test_sets_are_told_apart_by_identity() -> None:
    """A new full starts a set of its own; files of another machine do not mix in."""
    shots = [*chain(2), *chain(2, set_id="set-2"), *chain(1, set_id="x", machine="web")]
    sets = assemble("/replica", [p for s in shots for p in s.parts], lambda _: True).sets
    assert [(s.id, s.machine_name, len(s.points)) for s in sets] == [
        ("set-1", "erp", 2),
        ("set-2", "erp", 2),
        ("x", "web", 1),
    ]


def test_a_locked_file_locks_its_point() -> None:
    """An encrypted file without a key is complete, and not used."""
    one = shot(1)
    (point,) = made([replace(one.disks[0], locked=True), one.manifest])
    assert (point.arrival, point.locked) == (Arrival.COMPLETE, True)
    assert not is_usable(point)
