"""Relations that need something from outside: an embedding, an entailment judge, a program's behaviour.

What is expensive is passed in as a function, so that this room loads no model; each relation says ``None``
where it cannot tell, and ``reasoner.equivalence`` asks it once a pair at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reasoner.equivalence import Relation
from reasoner.errors import InvalidRuleError
from reasoner.normal_forms import normal_number

Embed = Callable[[Sequence[str]], NDArray[np.float64]]
"""Maps n texts to an array of shape (n, d); one row each, in order."""

Entails = Callable[[str, str], bool | None]
"""Whether the first text entails the second; ``None`` is "cannot tell"."""

COSINE = 0.95
"""The paper's threshold for two answers to be one."""

_NUMBERS = re.compile(r"(?:(?<!\w)[-+])?\d[\d,]*(?:\.\d+)?%?")  # the hyphen of "covid-19" is no sign


def numbers_in(text: str) -> tuple[str, ...]:
    """Return the numbers a text mentions, in normal form and in order."""
    return tuple(normal_number(number.rstrip(",")) for number in _NUMBERS.findall(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """What embeddings say of two texts."""

    same: bool | None
    cosine: float | None
    """``None`` where their numbers decided, or where a text has no direction."""


class EmbeddingLikeness:
    """Two texts are the same when they mention the same numbers and the cosine of their embeddings is high enough.

    "Gets 29 dollars" and "gets 35 dollars" lie close: texts that mention different numbers are never the same
    answer, and texts that are one number are the same without asking. Each text is embedded once.

    Raises:
        InvalidRuleError: ``cosine`` lies outside [-1, 1].
    """

    def __init__(self, embed: Embed, *, cosine: float = COSINE) -> None:
        if not -1.0 <= cosine <= 1.0:
            raise InvalidRuleError(f"a cosine lies in [-1, 1], not {cosine}")
        self._embed = embed
        self._least = cosine
        self._known: dict[str, NDArray[np.float64]] = {}

    def __call__(self, left: str, right: str) -> Likeness:
        """Return whether the two are the same, symmetrically; "cannot tell" when a text has no direction."""
        if numbers_in(left) != numbers_in(right):
            return Likeness(same=False, cosine=None)
        if normal_number(left) == normal_number(right):
            return Likeness(same=True, cosine=None)
        known = self._known
        missing = [text for text in (left, right) if text not in known]
        if missing:
            known.update(zip(missing, self._embed(missing), strict=True))
        lengths = float(np.linalg.norm(known[left]) * np.linalg.norm(known[right]))
        if not lengths > 0.0:  # a zero or NaN vector points nowhere
            return Likeness(same=None, cosine=None)
        cosine = float(known[left] @ known[right]) / lengths
        return Likeness(same=cosine >= self._least, cosine=cosine)


def embedding_relation(embed: Embed, *, cosine: float = COSINE) -> Relation:
    """Return the relation of ``EmbeddingLikeness``.

    Raises:
        InvalidRuleError: ``cosine`` lies outside [-1, 1].
    """
    likeness = EmbeddingLikeness(embed, cosine=cosine)
    return lambda left, right: likeness(left, right).same


def entailment_relation(entails: Entails) -> Relation:
    """Return "each entails the other": the relation of semantic entropy (Kuhn et al. 2023, section 3.2)."""

    def same(left: str, right: str) -> bool | None:
        forth = entails(left, right)
        if forth is False:  # one direction refused is enough, whatever the other says
            return False
        back = entails(right, left)
        if back is False:
            return False
        return None if forth is None or back is None else True

    return same


def behavioural_relation(behaviour: Mapping[str, Sequence[Hashable] | None]) -> Relation:
    """Return "the two programs returned the same on every generated input".

    Args:
        behaviour: Per normal form of a program, what it returned on each of the same inputs; ``None`` or no
            entry when it could not be observed, and then nothing is the same as it.
    """

    def same(left: str, right: str) -> bool | None:
        one, other = behaviour.get(left), behaviour.get(right)
        if one is None or other is None or len(one) != len(other) or not one:
            return None
        return all(a == b for a, b in zip(one, other, strict=True))

    return same
