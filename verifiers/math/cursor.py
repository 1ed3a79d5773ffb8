"""A cursor over tokens that counts how deep it is nested."""

from __future__ import annotations

from collections.abc import Callable

from verifiers.math.tokens import CannotReadError, Token
from verifiers.math.tree import Node

__all__ = ["MAX_DEPTH", "Cursor"]

MAX_DEPTH = 30  # of groups; nine frames each, and Python allows a thousand


class Cursor:
    """Takes tokens one after the other."""

    def __init__(self, tokens: list[Token]) -> None:
        """Start at the first token; the last one must be of kind ``end``."""
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return the token ``ahead`` places on, without taking it."""
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Take the next token."""
        token = self.peek()
        self._next += 1
        return token

    def skip(self, n_tokens: int) -> None:
        """Pass over tokens that ``peek`` has shown."""
        self._next += n_tokens

    def put_back(self, token: Token) -> None:
        """Make ``token`` the next one, in place of the one just taken."""
        self._next -= 1
        self._tokens[self._next] = token

    def at(self, *texts: str) -> bool:
        """Tell whether the next token is one of these signs or commands."""
        token = self.peek()
        return token.kind in ("op", "cmd") and token.text in texts

    def accept(self, *texts: str) -> bool:
        """Take the next token if it is one of these."""
        if self.at(*texts):
            self._next += 1
            return True
        return False

    def expect(self, *texts: str) -> Token:
        """Take the next token, which must be one of these."""
        if not self.at(*texts):
            raise self.unexpected(f"{texts[0]!r} was expected")
        return self.take()

    def unexpected(self, why: str = "it does not fit there") -> CannotReadError:
        """Return the error for the next token."""
        token = self.peek()
        what = "its end" if token.kind == "end" else repr(token.text[:40])
        return CannotReadError(f"cannot read {what}: {why}")

    def nested(self, parse: Callable[[], Node]) -> Node:
        """Call ``parse`` one level deeper.

        Raises:
            CannotReadError: The nesting is deeper than ``MAX_DEPTH``.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise CannotReadError(f"it is nested deeper than {MAX_DEPTH} levels")
        result = parse()
        self._depth -= 1
        return result
