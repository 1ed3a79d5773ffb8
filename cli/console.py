"""How commands speak: tables for people, JSON lines for programs, one clear line for errors."""

from __future__ import annotations

import errno
import getpass
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from reasoner.errors import ReasonerError
from verifiers.errors import VerifierError
from worker.errors import WorkerError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON lines instead of text.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor, changes its title or turns the writing direction; and what cannot be encoded."""


class Exit(IntEnum):
    """What an exit code means."""

    OK = 0
    SOME_FAILED = 1
    """The command ran; some tasks, lines or checks failed."""

    USAGE = 2
    """The call, its input or its surroundings are wrong; nothing was done."""


def print_json(value: object) -> None:
    """Write one JSON line to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def tell(as_json: bool, text: str, **facts: object) -> None:
    """Print what was done: ``facts`` for programs, ``text`` for people."""
    if as_json:
        print_json(facts)
    else:
        out.print(plain(text), soft_wrap=True)


def me() -> str:
    """Return who calls, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return "unknown"


def fail(message: str, code: Exit = Exit.USAGE) -> typer.Exit:
    """Say what is wrong on standard error and return what to raise."""
    err.print(f"[bold red]error:[/] {plain(message)}", soft_wrap=True)
    return typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
    """Turn the rooms' own errors into one line and an exit code; anything else is a bug and keeps its trace."""
    try:
        yield
    except (WorkerError, VerifierError, ReasonerError) as error:
        raise fail(str(error)) from error
    except BrokenPipeError:
        # The reader (head, say) has seen enough; closing quietly is what it expects.
        sys.stderr.close()
        raise typer.Exit(Exit.OK) from None
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise fail(f"cannot write: {error.strerror}", Exit.SOME_FAILED) from error


def shown(value: Any, *, digits: int = 3) -> str:  # noqa: ANN401 (any cell of a table)
    """Return a table cell: numbers rounded, nothing as a dash."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def clipped(text: str, *, n_chars: int) -> str:
    """Return one line of at most ``n_chars``."""
    line = " ".join(text.split())
    return line if len(line) <= n_chars else line[: n_chars - 1] + "…"


def plain(text: str) -> str:
    """Return ``text`` so that a terminal shows it and obeys nothing in it: neither our markup nor escape codes."""
    return escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", text))
