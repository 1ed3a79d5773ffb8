"""Gives the tests what the program printed: its own word, like every other answer of the program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from verifiers.sandbox.inside.codec import Value
from verifiers.sandbox.inside.link import Link


class Printed(NamedTuple):
    """What ``capsys.readouterr()`` returns."""

    out: str
    err: str


class Capture:
    """The ``capsys`` of a test."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def readouterr(self) -> Printed:
        """Return what the program has printed since the last time."""
        return Printed(*self._link.printed(capture=True))

    def __getattr__(self, name: str) -> NoReturn:
        raise self._link.cannot(f"the tests use capsys.{name}, which is not supported")


def captured(link: Link) -> Iterator[Capture]:
    """Be the fixture ``capsys``."""
    link.printed(capture=True)
    yield Capture(link)
    link.printed(capture=False)


def redirect(link: Link) -> None:
    """Make ``contextlib.redirect_stdout`` here redirect what the program prints over there, too."""

    class Redirect(contextlib.redirect_stdout[Value]):
        def __init__(self, target: Value) -> None:
            super().__init__(target)
            self._target = target

        def __enter__(self) -> Value:
            link.printed(capture=True)
            return super().__enter__()

        def __exit__(self, *about: Value) -> None:
            super().__exit__(*about)
            out, _ = link.printed(capture=False)
            self._target.write(out)

    contextlib.redirect_stdout = Redirect  # type: ignore[misc,assignment]
