"""What the engine says, in the operator's language: whatever it can send has a translation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api.changes import Kind, Words
from engine.hypervisors.esxi import inventory
from tests.unit.tui.sample import look
from tui import heard, sayings, words
from tui.rows import Line
from tui.screens.reports import laid_out

TOP = Path(__file__).parents[3]
TELLING = {
    "AlertView",
    "FactView",
    "FileEdit",
    "Finding",
    "FindingView",
    "JournalLine",
    "LedgerEntry",
    "NextView",
    "Problem",
    "RegistryEdit",
    "StepView",
    "Words",
    "note",
    "warn",
    "write_journal",
}
"""What takes a text that a console is sent."""
KANA = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
FACT = "a1b2"
"""Stands for any fact: the name of a machine, a figure."""


def plain(line: Line) -> str:
    """Return the text of a line."""
    return "".join(text for text, _tone in line)


@pytest.fixture(autouse=True)
def japanese() -> Iterator[None]:
    """Speak Japanese."""
    words.use("ja")
    yield
    words.use("en")


def test_the_engines_sentences_are_translated_with_their_facts() -> None:
    """A sentence is known by its template; names in it stay, and the unknown stays English."""
    assert heard.heard("one of the newest 24") == "最新 24 件のうち"
    said = heard.heard("Boot point bp000007 of {x} %s is pinned.")
    assert said == "{x} %s のブートポイント bp000007 を固定しました。"
    assert heard.heard("A sentence of a newer engine.") == "A sentence of a newer engine."
    said = heard.heard("It is tried again by itself. Nobody knows this one.")
    assert said == "自動的に再試行します。 Nobody knows this one."
    assert heard.heard("check: no new thing") == "check: no new thing"
    told = "usually every 1h, the newest came 9h ago; silence is no alarm"
    assert heard.heard(f"check: {told}") == f"check: {heard.heard(told)}" != f"check: {told}"
    said = heard.heard("the newest came 9h ago; silent from Mon 23 Nov 06:34")
    assert "11/23(月) 06:34" in said
    assert heard.heard("check is resumed.").startswith("check ")  # a name, though a known word
    words.use("en")
    assert heard.heard("one of the newest 24") == "one of the newest 24"


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an argument may be, with a fact in each of their places."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else FACT for part in parts
            )
        case (
            ast.IfExp(body=first, orelse=second)
            | ast.BinOp(left=first, right=second)
            | ast.BoolOp(values=[first, second])
        ):
            yield from _texts(first)
            yield from _texts(second)


def _told_in(file: Path) -> Iterator[tuple[int, str]]:
    """Yield each sentence that one source gives to somebody who tells it, with its line."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if ast.unparse(node.func).rpartition(".")[2] not in TELLING:
            continue
        for given in (*node.args, *(keyword.value for keyword in node.keywords)):
            for text in _texts(given):
                for sentence in re.split(r"(?<=[.?]) (?=[A-Z])", text.strip(" ;,")):
                    if re.search("[a-z]{2} [a-z]", sentence):
                        yield node.lineno, sentence


def test_whatever_the_engine_can_send_has_japanese() -> None:
    """Problems, findings, steps, journal lines, ledger reasons, facts: none is left in English.

    How the catalogue was made is not looked at: each text that the engine's sources give to
    something that is told is said as the engine would say it, and must come back translated.
    """
    missing, count = [], 0
    for file in sorted((TOP / "engine").rglob("*.py")):
        place = file.relative_to(TOP)
        if str(place).startswith(("engine/cli/", "engine/sample/")):
            continue
        for line, sentence in _told_in(file):
            count += 1
            if not KANA.search(heard.heard(sentence)):
                missing.append(f"{place}:{line}: {sentence}")
    assert count > 700
    assert not missing, "\n".join(missing)


def test_each_sentence_of_a_text_is_translated_though_another_is_not_known() -> None:
    """Sentences are found one by one, those with what looks like an end inside them too."""
    said = heard.heard("The file a. B of erp is new. The engine started. Nothing was changed.")
    assert said == ("The file a. B of erp is new. エンジンが起動しました。 何も変更していません。")
    said = heard.heard("The watched folder /mnt/a. B is back. The engine started.")
    assert said == "監視フォルダー /mnt/a. B が復旧しました。 エンジンが起動しました。"


@pytest.mark.parametrize("kind", ["VFFS", "PMEM"])
def test_what_a_datastore_is_that_holds_no_vm_is_translated_too(kind: str) -> None:
    """The finding is a sentence around a phrase; both are in the operator's language."""
    store = inventory.Datastore(None, "fast", kind, accessible=True, free=0, capacity=0)
    said = heard.heard(f"Datastore fast is {store.kind}.")
    assert kind in said
    assert said.startswith("データストア fast は ")
    assert "which" not in said


def test_a_ledger_is_told_in_the_operators_language_and_the_guests_lines_are_its_own() -> None:
    """Reasons are translated and wrapped within the screen; what a guest's file holds stays."""
    reason = "Names of devices that depend on the old hardware become UUIDs."
    lines = [
        Words("3 changes would be made, by backend userland.", Kind.TITLE, ours=True),
        Words("5.10.0", label="Kernel"),
        Words(f"   {reason}", ours=True),
        Words(f"   -{reason}", Kind.OLD),
    ]
    told = [plain(line) for line in laid_out(lines, look("ledger", "erp", (80, 24)))]
    assert told[0] == " 変更 3 件を行うことになります (バックエンド userland)。"
    assert told[1] == " カーネル     5.10.0"
    assert told[2] == "    元のハードウェアに依存するデバイス名を UUID に変えます。"
    assert "".join(told[3:]).replace(" ", "") == f"-{reason}".replace(" ", "")


def test_what_somebody_else_wrote_stays_as_it_is() -> None:
    """A note or a name that reads like a sentence of the engine is not translated."""
    said = heard.heard("pin boot point bp000001: waits for a slot")
    assert said.endswith(": waits for a slot")


def test_a_vague_template_takes_no_sentence_apart() -> None:
    """`{machine} in {root}` fits much; where its facts would be whole phrases it is not meant."""
    said = "Nobody knows of anything in whatever this may be"
    assert heard.heard(said) == said


@pytest.mark.parametrize("text", [" in " * 5000, "a: " * 5000, "; " * 3000, "x. " * 2000])
def test_a_text_made_to_take_long_does_not(text: str) -> None:
    """Texts hold names of files and guests; none of them keeps the console from painting."""
    assert isinstance(heard.heard(text), str)


def _said_by_the_engine() -> str:
    """Return all texts in the engine's sources, placeholders as `{}`, one a line."""
    told = []
    for file in sorted((TOP / "engine").rglob("*.py")):
        if file.is_relative_to(TOP / "engine" / "cli"):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                told.append(
                    "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "{}"
                        for part in node.values
                    )
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                told.append(node.value)
    return "\n".join(told)


def test_each_template_is_something_the_engine_says() -> None:
    """No template outlives its sentence: its longest part stands in the engine's sources."""
    said = _said_by_the_engine()
    for template in (*sayings.WORDS, *sayings.PUT_TOGETHER):
        parts = [
            part for text in re.split(r"\{\w+\}", template) for part in re.split("[;,] ", text)
        ]
        longest = max(parts, key=len).strip(" .()").removeprefix("waits for ")
        longest = longest.removeprefix("1 ")
        assert longest in said, template
