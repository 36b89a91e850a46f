"""URIs of libvirt, and folders that lie too deep."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.hypervisors.libvirt import connection
from engine.hypervisors.libvirt.connection import embedded_root, embedded_uri, is_local
from engine.model.errors import HypervisorError


@pytest.mark.parametrize("path", ["/var/lib/bootpoint", "/a b/ü#c&d?e%20f"])
def test_a_folder_survives_its_uri(path: str) -> None:
    """Spaces, signs and umlauts in a folder's name come back as they were."""
    assert embedded_root(embedded_uri(Path(path))) == Path(path)


def test_a_folder_written_as_it_is_works_too() -> None:
    """People write paths into URIs without escaping them."""
    assert embedded_root("qemu:///embed?root=/srv/my site/lib#virt") == Path(
        "/srv/my site/lib#virt"
    )


@pytest.mark.parametrize("uri", ["qemu:///system", "test:///default", "qemu+ssh://kvm/system", ""])
def test_other_uris_have_no_folder(uri: str) -> None:
    """Only the embedded driver has a folder of its own."""
    assert embedded_root(uri) is None


def test_only_this_hosts_kvm_can_be_tried_here() -> None:
    """The probe's answer says nothing about another host."""
    assert is_local("qemu:///system")
    assert not is_local("qemu+ssh://kvm-01/system")


@pytest.fixture
def deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that lies too deep for sockets, and give links a place of their own."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    folder = tmp_path / ("d" * 60)
    folder.mkdir()
    return folder


def test_a_deep_folder_gets_a_link(deep: Path) -> None:
    """A folder too deep for QEMU's sockets is reached by a link, the same one each time."""
    link = connection.short_path(deep)
    assert link.parent.name == "run"
    assert link.readlink() == deep
    assert connection.short_path(deep) == link


def test_a_shallow_folder_stays_as_it_is(deep: Path) -> None:
    """Where there is room, nothing is made."""
    assert connection.short_path(Path("/var/lib/bootpoint/libvirt")) == Path(
        "/var/lib/bootpoint/libvirt"
    )
    assert list((deep.parent / "run").iterdir()) == []


def test_links_whose_folder_is_gone_are_removed(deep: Path) -> None:
    """Links of engines that are no more do not pile up; other things stay."""
    other = deep.parent / "run/bootpoint-sockets.txt"
    other.write_text("mine")
    stale = connection.short_path(deep.parent / ("gone" * 20))
    assert stale.is_symlink()
    assert connection.short_path(deep).is_symlink()
    assert not stale.is_symlink()
    assert other.exists()


def test_somebody_elses_thing_in_the_links_place_is_not_used(deep: Path) -> None:
    """A folder or link that is not ours is refused, and stays."""
    link = connection.short_path(deep)
    link.unlink()
    link.symlink_to("/etc")
    with pytest.raises(HypervisorError, match="something else"):
        connection.short_path(deep)
    assert link.readlink() == Path("/etc")
