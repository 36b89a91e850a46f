"""The catalogues of the console's words: complete, up to date, with the same placeholders."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from tui import words
from tui.words import CONTEXT, Catalogue

TOP = Path(__file__).parents[3]
TRANSLATED = [one for one in words.CHOICES if one != words.SOURCE]
COLLECTED = words.LOCALE / "bootpoint.pot"


def catalogue(language: str) -> Catalogue:
    """Return a language's words."""
    file = words.LOCALE / language / "LC_MESSAGES" / "bootpoint.po"
    return Catalogue(file.read_text(encoding="utf-8"))


def collected(file: Path = COLLECTED) -> dict[str, tuple[str, ...]]:
    """Return what is marked in the sources: key -> its forms in English."""
    text = file.read_text(encoding="utf-8")
    # As if English were a translation of itself, so that the product's own reader reads it.
    there = Catalogue(text.replace('msgstr ""', 'msgstr "."').replace('] ""', '] "."'))
    return {key: (key.rpartition(CONTEXT)[2],) for key in there.forms}


def placeholders(text: str) -> set[str]:
    """Return the names in braces."""
    return {name for _before, name, _how, _as in Formatter().parse(text) if name is not None}


def test_what_is_marked_is_collected(tmp_path: Path) -> None:
    """The collection is that of the sources as they are: `make words` was run."""
    fresh = tmp_path / "fresh.pot"
    subprocess.run([TOP / ".ci" / "words", fresh], check=True, cwd=TOP)
    # Flags and line ends differ from one gettext to the next.
    assert sorted(collected(fresh)) == sorted(collected()), "run: make words"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_word_is_translated(language: str) -> None:
    """No entry is missing, guessed, or left over from a text that is gone."""
    assert sorted(catalogue(language).forms) == sorted(collected())


@pytest.mark.parametrize("language", TRANSLATED)
def test_placeholders_are_those_of_the_source(language: str) -> None:
    """A translation has the facts of its text, no other, none less; `{count}` may be left out."""
    for key, forms in catalogue(language).forms.items():
        wanted = placeholders(key.rpartition(CONTEXT)[2])
        for form in forms:
            assert placeholders(form) - {"count"} == wanted - {"count"}, key
            assert ("count" in placeholders(form)) <= ("count" in wanted), key


@pytest.mark.parametrize("language", TRANSLATED)
def test_blanks_at_the_ends_are_those_of_the_source(language: str) -> None:
    """A margin before or after a text is layout, and the same in every language."""
    for key, forms in catalogue(language).forms.items():
        text = key.rpartition(CONTEXT)[2]
        for form in forms:
            assert form[: len(form) - len(form.lstrip())] == text[: len(text) - len(text.lstrip())]
            assert form[len(form.rstrip()) :] == text[len(text.rstrip()) :], key


def _functions() -> Iterator[tuple[Path, ast.AST]]:
    for file in sorted((TOP / "tui").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield file, node


def test_no_function_takes_the_name_of_the_translator_for_a_value() -> None:
    """Where `a, _, b = ...` stands, `_("...")` would call a piece of text."""
    for file, function in _functions():
        names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        bound = any(one.id == "_" and isinstance(one.ctx, ast.Store) for one in names)
        called = any(one.id == "_" and isinstance(one.ctx, ast.Load) for one in names)
        assert not (bound and called), f"{file}: {getattr(function, 'name', 'lambda')}"
