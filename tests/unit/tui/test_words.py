"""Words in the operator's language: how they are looked up, and which language is spoken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine.cli.parser import LANGUAGES
from tui import preferences, words
from tui.terminal import Kind
from tui.words import N_, Catalogue, _, ngettext, pgettext

PO = r"""
msgid ""
msgstr ""
"Language: xx\n"
"Plural-Forms: nplurals=3; plural=n==1 ? 0 : n<5 ? 1 : 2;\n"

#: tui/keys.py
msgid "open"
msgstr "otevřít"

msgctxt "column"
msgid "open"
msgstr "\"otevřeno\"\tzde"

#, python-brace-format
msgid ""
"There is no "
"machine {name}."
msgstr "{name}: není."

msgid "{count} job"
msgid_plural "{count} jobs"
msgstr[0] "{count} úloha"
msgstr[1] "{count} úlohy"
msgstr[2] "{count} úloh"

#, fuzzy
msgid "guessed"
msgstr "uhodnuto"

msgid "not yet"
msgstr ""
"""


@pytest.fixture
def czech(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Speak the catalogue above."""
    monkeypatch.setattr(words._Spoken, "words", Catalogue(PO))
    yield
    words.use("en")


def test_english_is_what_the_sources_say() -> None:
    """Without a catalogue a text is itself, with its facts, in the form of its number."""
    assert _("open") == "open"
    assert _("There is no machine {name}.", name="{x}") == "There is no machine {x}."
    assert [ngettext("{count} job", "{count} jobs", n) for n in (0, 1, 2)] == [
        "0 jobs",
        "1 job",
        "2 jobs",
    ]
    assert pgettext("column", "open") == "open"
    assert _("") == ""


@pytest.mark.usefixtures("czech")
def test_a_catalogue_translates_by_text_context_and_number() -> None:
    """The entry of the text and its context is taken, in the form the number asks for."""
    assert _("open") == "otevřít"
    assert pgettext("column", "open") == '"otevřeno"\tzde'
    assert _("There is no machine {name}.", name="{db}%s") == "{db}%s: není."
    assert [ngettext("{count} job", "{count} jobs", n) for n in (1, 3, 9)] == [
        "1 úloha",
        "3 úlohy",
        "9 úloh",
    ]


@pytest.mark.usefixtures("czech")
def test_what_is_not_translated_or_only_guessed_is_english() -> None:
    """An empty and a fuzzy entry are as if they were not there; the header is no word."""
    assert [_("not yet"), _("guessed"), _("unknown"), _("")] == [
        "not yet",
        "guessed",
        "unknown",
        "",
    ]


def test_marking_at_import_is_looked_up_when_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table made before the language was chosen speaks it all the same."""
    table = {"open": N_("open")}
    monkeypatch.setattr(words._Spoken, "words", Catalogue(PO))
    assert table["open"] == "open"
    assert _(table["open"]) == "otevřít"


@pytest.mark.parametrize(
    ("environ", "spoken"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja"}, "ja"),
        ({"LANG": "ja_JP.eucJP@x"}, "ja"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "ja_JP.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "de:ja:en"}, "ja"),
        ({"LANG": "C.UTF-8", "LANGUAGE": "ja"}, "en"),
        ({"LANG": "POSIX", "LANGUAGE": "ja"}, "en"),
        ({"LANG": "jam_JM.UTF-8"}, "en"),
    ],
)
def test_the_environment_names_a_language(environ: Mapping[str, str], spoken: str) -> None:
    """The usual variables in their usual order; only names count, no locale need be installed."""
    assert words.preferred(environ) == spoken


def test_what_was_asked_for_wins_where_it_can_be_shown(tmp_path: Path) -> None:
    """Command line, BOOTPOINT_LANG, the operator's file, LANG; English where no kanji come out."""
    able, unable = Kind("ssh", kanji=True), Kind("vt")
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    japanese = {"LANG": "ja_JP.UTF-8"}
    assert preferences.language(able, "", environ) == "en"
    assert preferences.language(able, "", environ | japanese) == "ja"
    assert preferences.language(able, "en", environ | japanese) == "en"
    assert preferences.language(unable, "ja", environ | japanese) == "en"
    assert preferences.language(able, "", environ | {"BOOTPOINT_LANG": "ja"}) == "ja"
    assert preferences.language(able, "", environ | {"BOOTPOINT_LANG": "xx"}) == "en"
    preferences.put("lang", "en", environ)
    assert preferences.language(able, "", environ | japanese) == "en"
    assert preferences.language(able, "", environ | {"BOOTPOINT_LANG": "ja"}) == "ja"


def test_a_serial_line_speaks_english_unless_asked(tmp_path: Path) -> None:
    """Nobody knows what stands at its other end; whoever asks for another language knows."""
    serial = Kind("serial", slow=True, kanji=True)
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "LANG": "ja_JP.UTF-8"}
    assert preferences.language(serial, "", environ) == "en"
    assert preferences.language(serial, "ja", environ) == "ja"


def test_a_language_chosen_in_the_console_is_kept_and_spoken_at_once(tmp_path: Path) -> None:
    """The choice is in the operator's file and can be taken back; other choices in it stay."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    kind = Kind("ssh", kanji=True)
    try:
        preferences.put("other", "x", environ)
        assert preferences.choose_language("ja", kind, environ) == "ja"
        assert words.language() == "ja"
        assert preferences.get("lang", environ) == "ja"
        assert preferences.choose_language("", kind, environ) == "en"
        assert preferences.get("lang", environ) == ""
        assert preferences.get("other", environ) == "x"
    finally:
        words.use("en")


def test_a_broken_file_of_choices_is_no_choice(tmp_path: Path) -> None:
    """A file that is no TOML, or holds something else, never keeps the console from opening."""
    file = preferences.path({"XDG_CONFIG_HOME": str(tmp_path)})
    file.parent.mkdir(parents=True)
    for text in ("lang = ", "lang = 5", "\x00", "[lang]\na = 1"):
        file.write_text(text)
        assert preferences.get("lang", {"XDG_CONFIG_HOME": str(tmp_path)}) == ""


def test_the_command_line_knows_every_language() -> None:
    """`--lang` offers what there are catalogues of."""
    assert tuple(LANGUAGES) == tuple(words.CHOICES)
    there = {folder.name for folder in words.LOCALE.iterdir() if folder.is_dir()}
    assert there | {"en"} == set(words.CHOICES)
