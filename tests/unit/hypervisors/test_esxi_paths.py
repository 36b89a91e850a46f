"""On which datastore a file is, by its path alone and by the names that are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.hypervisors.esxi.paths import is_on, may_be_on

_NAMES = st.text("ab[] ", min_size=1, max_size=8).filter(lambda name: name.strip())


@given(_NAMES, st.text("ab[] /", max_size=8))
def test_a_name_is_found_again_in_each_path_on_it(name: str, file: str) -> None:
    """Whatever signs it has, and whatever the file is called."""
    path = f"[{name}] {file}"
    assert name in may_be_on(path)
    assert is_on(path, [name]) == name


def test_the_longest_known_name_wins() -> None:
    """A name that another one begins with is not taken for it."""
    path = "[gold] fast] web/disk0.vmdk"
    assert is_on(path, ["gold", "gold] fast"]) == "gold] fast"
    assert is_on(path, ["gold", "silver"]) == "gold"
    assert is_on(path, ["silver"]) == ""


@pytest.mark.parametrize("path", ["", "web/disk0.vmdk", "[gold]", "[gold]web", "[] web", "x[a] b"])
def test_what_is_no_path_is_on_none(path: str) -> None:
    """Nothing is made up for it."""
    assert not may_be_on(path)
