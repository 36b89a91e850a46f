"""Strings from outside are harmless wherever they are shown."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from engine.model.text import safe, slug

STEERING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_every_character_that_steers_is_written_out() -> None:
    """No code point of a steering category is left as it is, and no other is touched."""
    for start in range(0, sys.maxunicode + 1, 4096):
        for number in range(start, start + 4096):
            char = chr(number)
            told = f"\\u{{{number:x}}}" if unicodedata.category(char) in STEERING else char
            assert safe(char) == told
            assert safe(f"a{char}") == f"a{told}"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("", ""),
        ("erp", "erp"),
        ("東京 é", "東京 é"),
        ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
        ("two\nlines", "two\\u{a}lines"),
        ("rtl\u202egnp.exe", "rtl\\u{202e}gnp.exe"),
        (b"caf\xe9", "caf\\u{dce9}"),
    ],
)
def test_some_of_them(raw: str | bytes, shown: str) -> None:
    """As an operator sees them."""
    assert safe(raw) == shown


def test_long_ones_are_cut_before_they_are_written_out() -> None:
    """A cut shows, and a row of controls does not become endless."""
    assert safe("a" * 129) == "a" * 128 + "…"
    assert safe("\x00" * 200, 2) == "\\u{0}\\u{0}…"


@pytest.mark.parametrize(
    ("name", "made"),
    [("ERP Server", "erp-server"), ("Büro", "buro"), ("東京", "machine"), ("-" * 99, "machine")],
)
def test_a_slug_is_a_name(name: str, made: str) -> None:
    """Whatever a machine is called, something usable comes out."""
    assert slug(name) == made
