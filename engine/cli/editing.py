"""A definition in the operator's own editor; what is not taken is kept, and offered again.

text of the engine, or the kept one ─► $VISUAL, $EDITOR ─► checked ─┬─► taken
                                        ▲                          └─► kept, with the reason on top
                                        └── again, or leave ◄───────────┘
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.api.definition_views import CheckView, DefinitionView
from engine.local.drafts import Draft, Drafts, drafts_folder
from engine.local.durable import make_folder
from engine.model.errors import Failure, Problem, WrongUse
from engine.model.text import safe

SAID = "#! "
"""Begins the lines that tell what is wrong; they are taken out again."""
EDITORS = ("sensible-editor", "nano", "vim", "vi")


@dataclass(frozen=True, slots=True)
class Editing:
    """One definition being edited.

    Attributes:
        name: Of the standby.
        view: Its text as it is.
        check: Asks the engine what it thinks of a text.
        drafts: Where texts are kept that were not taken.
    """

    name: str
    view: DefinitionView
    check: Callable[[str], CheckView]
    drafts: Drafts = field(default_factory=lambda: Drafts(drafts_folder()))

    def edit(self) -> str:
        """Return a text that the engine would take, or the one that is there.

        Raises:
            WrongUse: Something is wrong in it and there is nobody to ask; the text is kept.
        """
        text = self._begin()
        while True:
            text = self._typed(text)
            if text == self.view.text:
                return text
            review = self.check(text)
            if not review.wrong:
                return text
            told = [f"{one.text} {one.remedy}".strip() for one in review.wrong]
            file = self._keep(text, told[0])
            if not _again(told, file):
                raise WrongUse(self._refused(told[0], file))
            text = "".join(f"{SAID}{line}\n" for line in told) + text

    def accept(self, text: str) -> str:
        """Return a text that came from elsewhere. WrongUse: it would not be taken; it is kept."""
        review = self.check(text)
        if review.wrong:
            told = f"{review.wrong[0].text} {review.wrong[0].remedy}".strip()
            raise WrongUse(self._refused(told, self._keep(text, told)))
        return text

    @contextlib.contextmanager
    def keeping(self, text: str) -> Iterator[None]:
        """Hand a text in within the block; when that fails it is kept, else no draft is left."""
        try:
            yield
        except Failure as failure:
            file = self._keep(text, failure.problem.happened)
            remedy = f"{failure.problem.remedy} Your text is kept: {file}".strip()
            raise type(failure)(replace(failure.problem, remedy=remedy)) from failure
        self.drafts.drop(self.name)

    # --- parts ------------------------------------------------------------------------------

    def _begin(self) -> str:
        kept = self.drafts.read(self.name)
        if kept is None or kept.new or kept.text == self.view.text:
            return self.view.text
        at = f" of {kept.at:%Y-%m-%d %H:%M} UTC" if kept.at else ""
        why = f" It was not taken: {kept.why}" if kept.why else ""
        sys.stderr.write(f"A text{at} is kept that was not handed in.{why}\n")
        if sys.stdin.isatty():
            sys.stderr.write("Enter goes on with it; n begins with the definition as it is: ")
            sys.stderr.flush()
            if sys.stdin.readline().strip().lower().startswith("n"):
                return self.view.text
        return kept.text

    def _typed(self, text: str) -> str:
        make_folder(self.drafts.folder)
        file = self.drafts.folder / f".{self.name}.edit.toml"
        file.write_text(text, "utf-8")
        file.chmod(0o600)
        command = [*editor(os.environ), str(file)]
        try:
            code = subprocess.run(command, check=False).returncode
            told = file.read_text("utf-8", "replace")
        except OSError as error:
            raise WrongUse(_no_editor(command[0], os.strerror(error.errno or 0))) from error
        if code:
            raise WrongUse(_no_editor(command[0], f"it ended with {code}"))
        file.unlink(missing_ok=True)
        lines = [line for line in told.splitlines(keepends=True) if not line.startswith(SAID)]
        return "".join(lines)

    def _keep(self, text: str, why: str) -> Path:
        draft = Draft(self.name, text, new=False, base=self.view.digest, why=safe(why, 600))
        return self.drafts.keep(draft)

    def _refused(self, told: str, file: Path) -> Problem:
        return Problem(
            "standby.wrong",
            told,
            "Nothing was changed.",
            f"Your text is kept in {file}; offered again by: bootpoint standby edit {self.name}",
            {"draft": str(file)},
        )


def editor(environ: Mapping[str, str]) -> list[str]:
    """Return the operator's editor as a command. WrongUse when there is none."""
    for key in ("VISUAL", "EDITOR"):
        if environ.get(key, "").strip():
            return shlex.split(environ[key])
    for name in EDITORS:
        if found := shutil.which(name):
            return [found]
    raise WrongUse(_no_editor("an editor", "none was found"))


def _no_editor(name: str, why: str) -> Problem:
    return Problem(
        "editor.failed",
        f"{safe(name)} could not be used: {safe(why)}.",
        "Nothing was changed.",
        "Set EDITOR to one that works, such as EDITOR=nano; or give the text: --file FILE",
    )


def _again(told: list[str], file: Path) -> bool:
    """Say what is wrong; return whether the operator goes on."""
    for line in told:
        sys.stderr.write(f"{safe(line, 600)}\n")
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Nothing was changed. Enter: edit again. q: leave, kept in {file}: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() != "q"
