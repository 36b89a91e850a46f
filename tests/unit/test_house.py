"""The house rules that no other tool checks."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
LONGEST = 400

TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "engine",
    "lock",
    "pyproject.toml",
    "sample-config",
    "tests",
    "tui",
}

LONGER: dict[str, str] = {
    "engine/guests/backends/ntfs_inside.py": "one file that runs alone inside the sandbox",
    "engine/guests/backends/uml/inside.py": "one file that runs alone inside the other kernel",
    "tui/keymap.py": "a table: the keys of every screen, hardly any code",
}
"""Production files that may be longer than `LONGEST`, with the reason."""

FORBIDDEN = {
    # Spelt in two halves, so that this list does not find itself.
    "a path of one developer's machine": "/wo" + "rk/",
    "the host of a package registry": "py" + "pi.org",
    "the host of a package mirror": "python" + "hosted",
    "an index of packages": "--index" + "-url",
    "another index of packages": "--extra-index" + "-url",
}

DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
"""Module names that say nothing about what is inside."""


def tracked() -> list[str]:
    """Return every path in version control, those about to be added included."""
    listed = subprocess.run(  # root tests a user's clone, which git distrusts by default
        ["git", "-c", f"safe.directory={TOP}", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=TOP,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted({name for name in listed.split("\0") if name and (TOP / name).is_file()})


FILES = tracked()
PRODUCTION = [f for f in FILES if f.endswith(".py") and f.startswith(("engine/", "tui/"))]


def imported(source: str) -> set[str]:
    """Return the first part of every absolute import in a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def test_the_top_level_holds_what_the_design_names_and_dot_files() -> None:
    """Nobody adds a folder beside the fixed ones."""
    seen = {name.split("/")[0] for name in FILES}
    assert {name for name in seen if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize("name", PRODUCTION)
def test_a_production_file_can_be_read_in_one_sitting(name: str) -> None:
    """No file of the product outgrows 400 lines without a written reason."""
    lines = len((TOP / name).read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or name in LONGER, f"{name} has {lines} lines"


def test_every_exception_for_length_is_still_needed() -> None:
    """An exception goes when its file became short again, or went."""
    for name in LONGER:
        assert len((TOP / name).read_text(encoding="utf-8").splitlines()) > LONGEST, name


@pytest.mark.parametrize("name", PRODUCTION)
def test_every_module_says_what_it_is_for(name: str) -> None:
    """A module's first line is a sentence for whoever opens it."""
    source = (TOP / name).read_text(encoding="utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source)), f"{name} has no docstring"


@pytest.mark.parametrize("name", PRODUCTION)
def test_no_module_is_a_drawer(name: str) -> None:
    """A module is named after what it does, not after where one puts leftovers."""
    assert not DRAWERS & set(Path(name).with_suffix("").parts)


@pytest.mark.parametrize("name", [f for f in PRODUCTION if f.startswith("engine/model/")])
def test_the_model_imports_the_standard_library_and_itself(name: str) -> None:
    """What the engine knows is plain data and decisions, testable without anything installed."""
    for module in imported((TOP / name).read_text(encoding="utf-8")):
        top = module.split(".")[0]
        assert top in sys.stdlib_module_names or module.startswith("engine.model"), module


@pytest.mark.parametrize("meaning", FORBIDDEN)
def test_no_file_names_a_place_that_only_one_machine_has(meaning: str) -> None:
    """A clone works anywhere: no file holds an absolute path of ours or a registry's address."""
    word = FORBIDDEN[meaning]
    found = [name for name in FILES if word in (TOP / name).read_text("utf-8", "replace")]
    assert not found, f"{meaning} stands in {found}"


@pytest.mark.parametrize("name", [f for f in FILES if f.startswith("lock/") and f.endswith(".txt")])
def test_a_lock_file_has_versions_and_hashes_and_no_address(name: str) -> None:
    """Whichever mirror serves the packages, they are the ones that were tested."""
    text = (TOP / name).read_text(encoding="utf-8")
    assert "://" not in text
    for entry in text.replace("\\\n", " ").splitlines():
        if entry and not entry.startswith("#"):
            assert "==" in entry, entry
            assert "--hash=sha256:" in entry, entry


def test_every_dependency_of_the_project_is_locked() -> None:
    """What pyproject.toml asks for stands in the lock that an installation uses."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for lock, wanted in (
        ("run.txt", project["dependencies"]),
        ("dev.txt", project["dependencies"] + project["optional-dependencies"]["dev"]),
    ):
        text = (TOP / "lock" / lock).read_text(encoding="utf-8")
        locked = {line.split("==")[0].lower() for line in text.splitlines() if "==" in line}
        for requirement in wanted:
            name = requirement.split(">=")[0].split("==")[0].lower()
            assert name in locked, f"{name} is not in lock/{lock}"
