"""What commands show is shown, never obeyed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cli.console import plain


@pytest.mark.parametrize("text", ["[/bold] [red]", r"\[x] \\[/b]", r"\boxed{[1, 2]}", "a]b[c"])
def test_markup_of_others_is_shown_as_it_is(text: str) -> None:
    stream = io.StringIO()
    Console(file=stream, width=200).print(plain(text))
    assert stream.getvalue() == text + "\n"


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "\u202egnp.exe", "name\udcff"])
def test_control_characters_never_reach_the_terminal(text: str) -> None:
    shown = plain(text)
    assert "\ufffd" in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e\udcff")
