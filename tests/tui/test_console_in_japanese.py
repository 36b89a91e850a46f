"""The console in Japanese, driven by keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.bench import Bench
from tui import preferences, words


@pytest.fixture(autouse=True)
def japanese() -> Iterator[None]:
    """Speak Japanese."""
    words.use("ja")
    yield
    words.use("en")


async def test_from_the_fleet_to_the_emergency_and_back(bench: Bench) -> None:
    """Screens, help and an emergency's pages are Japanese; leaving says that nothing changed."""
    bench.start()
    async with bench.open(unicode=True) as hand:
        await hand.sees("今すぐ起動できる: 3 台中 3 台", "Enter 開く")
        await hand.press("enter")
        await hand.sees("今すぐ起動: 可", "データ時点", "起動可能")
        await hand.press("question_mark")
        await hand.sees("この画面のキー")
        await hand.press("escape", "f")
        await hand.sees("まだ何も変更していません", "失うもの")
        await hand.press("escape", "escape", "slash")
        await hand.type("we")
        await hand.press("enter")
        await hand.sees("絞り込み: we", "マシン 3 件中 1 件", "Esc で解除")


async def test_the_language_is_changed_in_the_console(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`:lang` speaks another language at once and keeps it in the operator's own file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    bench.start()
    async with bench.open(unicode=True) as hand:
        await hand.sees("今すぐ起動できる: 3 台中 3 台")
        await hand.press("colon")
        await hand.type("lang en")
        await hand.press("enter")
        await hand.sees("CAN START NOW: 3 of 3", "The console speaks English now")
    assert preferences.get("lang") == "en"
