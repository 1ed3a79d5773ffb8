"""What the verifiers together say about a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reasoner.decisions import Judgement
from reasoner.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who confirmed and who refuted, with a refutation outweighing confirmations of its own kind."""

    confirmed_by: tuple[str, ...] = ()
    """Verifiers, sorted, of kinds that did not refute."""

    confirming_kinds: frozenset[str] = frozenset()
    refuting_kinds: frozenset[str] = frozenset()
    judged: bool = False

    @property
    def refuted(self) -> bool:
        """Refuted by some kind and confirmed by no other."""
        return bool(self.refuting_kinds) and not self.confirming_kinds

    @property
    def disputed(self) -> bool:
        """Confirmed by one kind and refuted by another."""
        return bool(self.refuting_kinds) and bool(self.confirming_kinds)

    @property
    def outcome(self) -> Outcome | None:
        """One word for it; a dispute is nobody's majority and reads ``abstained``."""
        if not self.judged:
            return None
        if self.refuted:
            return Outcome.REFUTED
        if self.confirming_kinds and not self.disputed:
            return Outcome.CONFIRMED
        return Outcome.ABSTAINED


UNJUDGED = Standing()


def standing(judgements: Sequence[Judgement]) -> Standing:
    """Return the standing of a cluster from all judgements about its members."""
    if not judgements:
        return UNJUDGED
    refuting = frozenset(j.kind for j in judgements if j.outcome is Outcome.REFUTED)
    confirming = [j for j in judgements if j.outcome is Outcome.CONFIRMED and j.kind not in refuting]
    return Standing(
        confirmed_by=tuple(sorted({j.verifier for j in confirming})),
        confirming_kinds=frozenset(j.kind for j in confirming),
        refuting_kinds=refuting,
        judged=True,
    )


def judgements_by_form(
    judgements: Iterable[Judgement], normalise: Callable[[str], str]
) -> dict[str, list[Judgement]]:
    """Return the judgements of each normal form."""
    table: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        table.setdefault(normalise(judgement.answer), []).append(judgement)
    return table


def split_contested(forms: list[str], table: dict[str, list[Judgement]]) -> list[list[str]]:
    """Split a cluster where one kind of verifier confirmed some of its answers and refuted others.

    The relation said they are the same answer and the verifier says they are not (two programs that agree on
    generated inputs and differ on a test), and the verifier looked closer. Each answer it refuted becomes a
    cluster of its own; what it did not judge stays with what it confirmed, since silence changes nothing.
    """
    if len(forms) == 1 or not table:
        return [forms]
    confirming: set[str] = set()
    refuting: dict[str, set[str]] = {}
    for form in forms:
        of_form = standing(table.get(form, []))
        confirming |= of_form.confirming_kinds
        refuting[form] = set(of_form.refuting_kinds)
    parted = [form for form in forms if refuting[form] & confirming]
    kept = [form for form in forms if form not in parted]
    return ([kept] if kept else []) + [[form] for form in parted]
