"""The console's words in the operator's language, looked up when they are shown.

    _("Choose a machine first.")                    one sentence
    _("There is no machine {name}.", name=name)     placeholders by name, never an f-string
    ngettext("{count} job", "{count} jobs", n)      by number; `{count}` is filled in
    pgettext("column", "STATE")                     one English word with two meanings
    N_("leave; the engine goes on")                 only marked, in a table made at import;
                                                    `_(key.says)` looks it up when drawn

`_key(...)`, `Sign(...)`, `Column(...)`, `Order(...)` and the label of `paragraph(...)` need no
mark: they are collected, and looked up where they are drawn. Whole sentences are marked, never
parts that are put together: other languages have another order. Machine states (READY, LATE),
commands, file names and log keys are the same in every language and are not marked.

English is the source. `make words` collects what is marked, and what the engine says (in the
context `engine`), into `locale/bootpoint.pot` and merges it into each
`locale/*/LC_MESSAGES/bootpoint.po`. Those files are read as they are, so there is nothing to
compile and nothing that can be out of date. A test fails where a translation is missing.
"""

from __future__ import annotations

import gettext as _gettext
import re
from collections.abc import Mapping
from pathlib import Path

SOURCE = "en"
LOCALE = Path(__file__).parent / "locale"
CHOICES = {"en": "English", "ja": "日本語"}
"""Languages there are, each by its own name."""
CONTEXT = "\x04"
"""Stands between context and text in a key, as in GNU gettext's own files."""
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t"}
_STRING = re.compile(r'(?:(msgctxt|msgid|msgid_plural|msgstr)(?:\[(\d+)\])? )?"(.*)"')


class Catalogue:
    """One language's words.

    Attributes:
        forms: Key -> its translations, one for each form of number; the key of a text in a
            context is `context + CONTEXT + text`. Entries without a translation, and fuzzy ones,
            are absent.
    """

    def __init__(self, text: str = "") -> None:
        """Read the text of a .po file; empty: English as it stands in the sources."""
        self.forms: dict[str, tuple[str, ...]] = {}
        for entry in text.split("\n\n"):
            self._take(entry)
        head = "".join(self.forms.pop("", ()))
        rule = re.search(r"plural=([^;\n]+);", head)
        self._form = _gettext.c2py(rule.group(1)) if rule else lambda number: int(number != 1)

    def _take(self, entry: str) -> None:
        parts: dict[str, list[str]] = {}
        part: list[str] = []
        for line in entry.splitlines():
            if line.startswith("#, ") and "fuzzy" in line:
                return
            if found := _STRING.fullmatch(line):
                name, form, words = found.groups()
                if name:
                    part = parts[name + (form or "")] = []
                part.append(words)
        told = {name: _plain("".join(words)) for name, words in parts.items()}
        forms = tuple(words for name, words in told.items() if name.startswith("msgstr"))
        if forms and all(forms):
            self.forms[key(told["msgid"], told.get("msgctxt"))] = forms

    def one(self, text: str) -> str:
        """Return the translation of a key, or the text of the key itself."""
        forms = self.forms.get(text)
        return forms[0] if forms else text.rpartition(CONTEXT)[2]

    def numbered(self, one: str, many: str, number: int) -> str:
        """Return the form of a text that a number asks for."""
        forms = self.forms.get(one)
        if forms:
            return forms[min(self._form(number), len(forms) - 1)]
        return one if number == 1 else many


def key(text: str, context: str | None = None) -> str:
    """Return what a text in a context is known by."""
    return text if context is None else context + CONTEXT + text


def _plain(words: str) -> str:
    if "\\" not in words:
        return words
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), words)


class _Spoken:
    """The language of this process; a console speaks one at a time."""

    language = SOURCE
    words = Catalogue()


def use(language: str) -> None:
    """Speak this language from now on; one that there is no catalogue of is English."""
    file = LOCALE / language / "LC_MESSAGES" / "bootpoint.po"
    known = language in CHOICES and language != SOURCE
    _Spoken.words = Catalogue(file.read_text(encoding="utf-8") if known else "")
    _Spoken.language = language if known else SOURCE


def language() -> str:
    """Return the language spoken now, such as `ja`."""
    return _Spoken.language


def preferred(environ: Mapping[str, str]) -> str:
    """Return the language that the environment asks for, by the rules of GNU gettext.

    Only names are looked at: the locale need not be installed on this system.
    """
    named = next((environ[n] for n in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(n)), "C")
    if named.partition(".")[0] in ("C", "POSIX"):
        return SOURCE
    for name in [*environ.get("LANGUAGE", "").split(":"), named]:
        short = re.split(r"[_.@-]", name)[0].lower()
        if short in CHOICES:
            return short
    return SOURCE


def N_(text: str) -> str:  # noqa: N802  (the usual name, which xgettext and translators know)
    """Mark a text that is looked up later; return it as it is."""
    return text


def _(text: str, /, **facts: object) -> str:
    """Return a text in the operator's language, its placeholders filled in."""
    words = _Spoken.words.one(text)
    return words.format(**facts) if facts else words


def pgettext(context: str, text: str, /, **facts: object) -> str:
    """Return a text that means something else elsewhere; the context says which is meant."""
    words = _Spoken.words.one(key(text, context))
    return words.format(**facts) if facts else words


def told(context: str) -> dict[str, str]:
    """Return all that there are translations of in a context: text -> its translation."""
    start = context + CONTEXT
    words = _Spoken.words.forms.items()
    return {name.removeprefix(start): of[0] for name, of in words if name.startswith(start)}


def ngettext(one: str, many: str, count: int, /, **facts: object) -> str:
    """Return the form for a number; `{count}` in it is that number."""
    return _Spoken.words.numbered(one, many, count).format(count=count, **facts)
