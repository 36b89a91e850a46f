"""Collects what the engine may say to a console, for `.ci/words`.

    f"{file.name} is still arriving: {size(n)} bytes so far."     in the engine's sources
    pgettext("engine", "{name} is still arriving: {n} bytes so far.")        what is collected

Every text in the engine's sources that reads like words is taken, sentence by sentence: there is no
list to keep, so none can be forgotten. Left out is what no console is ever sent: what goes to the
log, into a command, or into an error of the programmer's; and the small reasons that a format, a
file system or a host gave, which stay as they are for whoever searches for them. Facts in a text
get the names they have in the sources; where nothing but facts is left, nothing is collected.

    python3 .ci/spoken.py FOLDER      writes FOLDER/engine/…, sources that xgettext can read
"""

# ruff: noqa: INP001  (a script beside `.ci/words`, no part of a package)

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
APART = (
    # The command line, the sample site and messages by mail speak English; a console sees none.
    "engine/cli/",
    "engine/sample/",
    "engine/alerts/words.py",
    "engine/api/metrics.py",
    # Statements in another language: of databases, shells, boot menus, other processes.
    "engine/state/schema.py",
    "engine/guests/backends/guestfs_inner.py",
    "engine/guests/windows/firstboot.py",
)
REASONS = (
    "engine/alerts/",
    "engine/api/",
    "engine/config/",
    "engine/daemon/",
    "engine/images/watching/",
    "engine/jobs/",
    "engine/model/",
)
"""Where parts of sentences are collected too; elsewhere only whole sentences are."""
ENGINEERS = {"ValueError", "TypeError", "RuntimeError", "AssertionError", "KeyError", "SystemExit"}
"""Errors that only a mistake in the program raises; consoles are told of another one instead."""
UNHEARD = {"log", "logging", "re", "argparse", "text", "Path"}
"""Whose functions are given texts that nobody is told."""
ASKING = {"startswith", "endswith", "removeprefix", "removesuffix", "split", "partition", "run"}
SENTENCE = re.compile(r"(?<=[.?]) +(?=[A-Z{])")
WHOLE = re.compile(r"[\w{].* .*[.?]|[A-Z].* .*: \S.*")
"""A whole sentence; another one, or a command, may come after a colon."""
FIELD = re.compile(r"\{\w+\}")
WORDY = re.compile(r"[A-Za-z'-]{2,},? [a-z]|[a-z]{2,} \{|\} [a-z]{2,}|[a-z]{2,}: \{")
CODE = re.compile(r"[$|\\<>\[\]]|--|=\S|^\W*$|\bSELECT\b|/\w+/\w|\n|^-\S|_\w+=| -[a-z] |%[sd]|&&")

MUTE = re.compile(r"\n|SELECT|^\W*$")


def name_of(node: ast.expr) -> str:
    """Return what a fact is called, by the expression that gives it."""
    match node:
        case ast.Attribute(value=ast.Name(id="wish"), attr="reason"):
            return "note"  # an operator's own words
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_").lower()
        case (
            ast.Call(args=[inner, *_])
            | ast.Call(func=inner)
            | ast.Subscript(value=inner)
            | ast.BinOp(left=inner)
            | ast.BoolOp(values=[inner, *_])
            | ast.IfExp(body=inner)
            | ast.GeneratorExp(elt=inner)
        ):
            return name_of(inner)
        case _:
            return "fact"


def template(node: ast.expr) -> str | None:
    """Return a text with its facts by name; None: it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("{", "").replace("}", "")
    if not isinstance(node, ast.JoinedStr):
        return None
    told, seen = "", dict[str, int]()
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            name = name_of(part.value)
            seen[name] = seen.get(name, 0) + 1
            told += "{" + name + (str(seen[name]) if seen[name] > 1 else "") + "}"
        elif isinstance(part, ast.Constant):
            told += str(part.value)
    return told


def silent(node: ast.AST) -> bool:
    """Tell whether what stands in a place of the sources is told to nobody."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Compare():
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id=whose), attr=what)):
            return whose in UNHEARD or what in ASKING
        case ast.Call(func=ast.Attribute(attr=what)):
            return what in ASKING
        case ast.Raise(exc=ast.Call(func=ast.Name(id=error))):
            return error in ENGINEERS
        case _:
            return False


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the texts below a place of the sources, in their order."""
    if silent(node):
        return
    if isinstance(node, ast.expr) and (told := template(node)) is not None:
        yield told
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from texts(child)


def sentences(told: str) -> Iterator[str]:
    """Yield what can be told of a text sentence by sentence."""
    for one in SENTENCE.split(told):
        sentence = one.strip(" ;,")
        words = FIELD.sub("{}", sentence)
        if words.startswith("{}{}"):
            continue  # where one fact ends and the next begins, nobody could tell
        if WORDY.search(words) and not (CODE if not WHOLE.fullmatch(sentence) else MUTE).search(
            words
        ):
            yield sentence


def collect(file: Path, *, parts: bool) -> list[str]:
    """Return the sentences of one source, each once; of parts of sentences those that are asked."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    told = dict.fromkeys(one for text in texts(tree) for one in sentences(text))
    return [one for one in told if parts or WHOLE.fullmatch(one)]


def main(folder: Path) -> None:
    """Write what is collected as sources that xgettext can read."""
    known = dict[str, str]()
    for file in sorted((TOP / "engine").rglob("*.py")):
        place = file.relative_to(TOP)
        if str(place).startswith(APART):
            continue
        told = collect(file, parts=str(place).startswith(REASONS))
        # One translation for texts that differ in what their facts are called only.
        if found := [one for one in told if known.setdefault(FIELD.sub("{}", one), one) == one]:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            lines = [f'pgettext("engine", {one!r})\n' for one in found]
            (folder / place).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
