"""The frame of a comparison: symmetric, three-valued, bounded; the rules for each kind of meaning are elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

from verifiers.claims import Collection
from verifiers.math.meaning import Meaning
from verifiers.math.tree import Node

__all__ = ["Comparison", "Rule", "Scalars"]

MAX_PAIRS = 2_500  # of items compared with one another in one claim


class Scalars(Protocol):
    """Who compares single values."""

    @property
    def method(self) -> str:
        """How they are compared, for the evidence."""
        ...

    def equal(self, left: Node, right: Node) -> bool | None:
        """Tell whether two values are equal; ``None`` when it can't be told."""
        ...

    def rational(self, node: Node) -> Fraction | None:
        """Return the exact value; ``None`` when it isn't known to be rational."""
        ...

    def is_a(self, node: Node, kind: str) -> bool | None:
        """Tell whether a value is ``integer``, ``rational`` or ``real``; ``None`` when it can't be told."""
        ...

    def number(self, node: Node) -> Fraction | None:
        """Return the value, exactly or to some fifty digits; ``None`` when it isn't a real number."""
        ...

    def order(self, left: Node, right: Node) -> int | None:
        """Return -1, 0 or 1, or ``None`` when the values have no order."""
        ...

    def proportional(self, left: Node, right: Node, *, positive: bool) -> bool | None:
        """Tell whether ``left`` is a constant (positive) multiple of ``right``."""
        ...


class Comparison:
    """One comparison; remembers what made it hesitate."""

    def __init__(
        self, scalars: Scalars, rules: Mapping[type, Rule], *, collection: Collection = "set"
    ) -> None:
        """Compare nothing yet.

        Args:
            scalars: Who compares single values.
            rules: How each kind of meaning is compared with those that stand at or below it in the mapping.
            collection: Whether repetitions count in a list of values, and their order.
        """
        self.scalars = scalars
        self.collection = collection
        self.doubts: list[str] = []
        self._rules = rules
        self._ranks = {kind: rank for rank, kind in enumerate(rules)}
        self._pairs = 0

    def same(self, left: Meaning, right: Meaning) -> bool | None:
        """Tell whether two meanings are the same answer; ``None`` when it can't be told.

        Raises:
            NeedsAlgebraError: The scalars given can't decide a value that decides the comparison.
        """
        if left == right:
            return True
        self._pairs += 1
        if self._pairs > MAX_PAIRS:
            return self.doubt("there are too many items to compare")
        if self._ranks[type(left)] > self._ranks[type(right)]:
            left, right = right, left
        return self._rules[type(left)](self, left, right)

    def doubt(self, why: str) -> bool | None:
        """Remember why it can't be told; returns ``None``, which says so."""
        if why not in self.doubts:
            self.doubts.append(why)
        return None

    def all_same(self, pairs: Iterable[tuple[Meaning, Meaning]]) -> bool | None:
        """Tell whether both of every pair are the same."""
        verdict: bool | None = True
        for left, right in pairs:
            same = self.same(left, right)
            if same is False:
                return False
            verdict = verdict if same else None
        return verdict

    def same_items(self, left: Sequence[Any], right: Sequence[Any]) -> bool | None:
        """Tell whether two collections hold the same: as sets, as multisets or as lists, whichever was asked for."""
        if self.collection == "list":
            return self.all_same(zip(left, right, strict=True)) if len(left) == len(right) else False
        return self.in_any_order(left, right)

    def in_any_order(self, left: Sequence[Any], right: Sequence[Any]) -> bool | None:
        """Tell whether every item of each side has an equal on the other; in a set repetitions don't count."""
        if not left or not right:
            return not left and not right
        if self.collection != "set":
            return self._paired(left, right)
        verdict: bool | None = True
        for one, others in [*((item, right) for item in left), *((item, left) for item in right)]:
            found: bool | None = False
            for other in others:
                same = self.same(one, other)
                if same:
                    found = True
                    break
                found = None if same is None else found
            if found is False:
                return False
            verdict = verdict if found else None
        return verdict

    def _paired(self, left: Sequence[Any], right: Sequence[Any]) -> bool | None:
        """Tell whether the items can be paired off, one by one."""
        if len(left) != len(right):
            return False
        same = [[self.same(one, other) for other in right] for one in left]
        certain = [[n for n, one in enumerate(row) if one] for row in same]
        possible = [[n for n, one in enumerate(row) if one is not False] for row in same]
        return True if _is_matched(certain) else None if _is_matched(possible) else False


def _is_matched(partners: Sequence[Sequence[int]]) -> bool:
    """Tell whether everybody can have a partner of their own (augmenting paths, Kuhn 1955)."""
    taken: dict[int, int] = {}

    def finds(one: int, seen: set[int]) -> bool:
        for partner in partners[one]:
            if partner not in seen:
                seen.add(partner)
                if partner not in taken or finds(taken[partner], seen):
                    taken[partner] = one
                    return True
        return False

    return all(finds(one, set()) for one in range(len(partners)))


# ``Any`` because each rule names the kind it is for; the table is what pairs them.
Rule = Callable[[Comparison, Any, Any], "bool | None"]
