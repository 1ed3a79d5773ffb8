"""Which claims a task's chains give rise to, and how verdicts about them reach the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Protocol, TypeVar

from reasoner.chains import Chain
from reasoner.decisions import Judgement
from reasoner.equivalence import Relation, exact
from reasoner.outcomes import Outcome
from worker.kinds import KINDS, rules_of_kind
from worker.store.texts import digest
from worker.store.verdicts import Judged
from worker.submission.lines import CodeVerification, TaskLine

SpecT = TypeVar("SpecT")

EQUIVALENCE = "equivalence"
"""The candidate of the one verdict that tells which of a task's answers are the same."""

RELATING = {"symbolic": "math", "embedding": "embedding", "entailment": "entailment"}
"""Which verifier gives that verdict, per equivalence that needs one."""


class Answered(Protocol):
    """Anything that has an answer, or none."""

    @property
    def answer(self) -> str | None:
        """The answer."""
        ...


def equivalence_of(line: TaskLine) -> str:
    """Return the task's equivalence: its own, else its kind's."""
    return line.options.equivalence or KINDS[line.kind].equivalence


def normaliser_of(line: TaskLine) -> Callable[[str], str]:
    """Return the normal form of the task's answers; the exact part of every equivalence."""
    return rules_of_kind(line.kind, line.language).normal_form


def distinct_answers(line: TaskLine, answers: Sequence[str | None]) -> dict[str, str]:
    """Return one wording per normal form, the first one, in the order of the normal forms."""
    normal_form = normaliser_of(line)
    found: dict[str, str] = {}
    for answer in answers:
        if answer is not None:
            found.setdefault(normal_form(answer), answer)
    return dict(sorted(found.items()))


def verifiers_needed(line: TaskLine, answers: Sequence[str | None]) -> list[str]:
    """Return the verifiers whose turn comes after generation, sorted; none when there is nothing to judge."""
    needed: set[str] = {spec.verifier for spec in line.verify}
    relating = RELATING.get(equivalence_of(line))
    if not needed and relating is None:
        return []
    n_distinct = len(distinct_answers(line, answers))
    if relating is not None and n_distinct > 1:
        needed.add(relating)
    return sorted(needed) if n_distinct else []


def specs_of(line: TaskLine, kind: type[SpecT]) -> list[tuple[int, SpecT]]:
    """Return the task's specs of one kind with their positions among its verifications."""
    return [(i, spec) for i, spec in enumerate(line.verify) if isinstance(spec, kind)]


def answers_of(said: Iterable[Answered]) -> list[str | None]:
    """Return the answer of each chain."""
    return [one.answer for one in said]


def candidate_key(spec: int, form: str) -> str:
    """Return the key of the claim that the answer of this normal form satisfies the task's spec."""
    return f"answer:{spec}:{digest(form)}"


def judged_form(judged: Judged) -> str | None:
    """Return the digest of the normal form that a verdict is about; ``None`` when it is about no single answer."""
    kind, _, rest = judged.candidate.partition(":")
    return rest.rpartition(":")[2] if kind == "answer" else None


def pairs_of(forms: Sequence[str]) -> list[tuple[str, str]]:
    """Return every pair of distinct normal forms, the smaller text first."""
    return list(combinations(sorted(forms), 2))


def judgements(line: TaskLine, chains: Sequence[Chain], judged: Sequence[Judged]) -> list[Judgement]:
    """Return what the verifiers concluded about each distinct answer; abstentions included."""
    if not line.verify:
        return []
    by_key = {one.candidate: one for one in judged}
    found = []
    for form, answer in distinct_answers(line, [c.answer for c in chains]).items():
        for i, spec in enumerate(line.verify):
            one = by_key.get(candidate_key(i, form))
            if one is not None:
                name = f"{spec.verifier}/{i}"
                found.append(Judgement(answer=answer, verifier=name, outcome=one.verdict.outcome))
    return found


def relation(line: TaskLine, judged: Sequence[Judged]) -> Relation:
    """Return the task's equivalence as far as the stored verdicts know it; what they don't know is "cannot tell"."""
    match equivalence_of(line):
        case "symbolic" | "embedding" | "entailment":
            return _judged_pairs(judged)
        case "behavioural":
            return _behavioural(line, judged)
        case _:
            return exact


def _judged_pairs(judged: Sequence[Judged]) -> Relation:
    """Return what the verdict about the equivalence says of each pair."""
    known: dict[tuple[str, str], bool | None] = {}
    for one in judged:
        if one.candidate == EQUIVALENCE:
            for left, right, outcome, *_ in one.verdict.evidence["pairs"]:
                known[left, right] = None if outcome == Outcome.ABSTAINED else outcome == Outcome.CONFIRMED

    def same(left: str, right: str) -> bool | None:
        pair = (digest(left), digest(right))
        return known.get(pair, known.get(pair[::-1]))

    return same


def _behavioural(line: TaskLine, judged: Sequence[Judged]) -> Relation:
    """Two programs are the same when every spec saw the same outputs and came to the same conclusion about both."""
    specs = [i for i, _ in specs_of(line, CodeVerification)]
    seen: dict[tuple[int, str], tuple[object, ...] | None] = {}
    for one in judged:
        behaviour = one.verdict.evidence.get("behaviour")
        if one.candidate.startswith("answer:"):
            _, spec, form = one.candidate.split(":")
            signature = None
            if behaviour:
                signature = (one.verdict.outcome, behaviour["inputs"], tuple(behaviour["outputs"]))
            seen[int(spec), form] = signature

    def same(left: str, right: str) -> bool | None:
        if not specs:
            return None
        pairs = [(seen.get((i, digest(left))), seen.get((i, digest(right)))) for i in specs]
        if any(a is not None and b is not None and a != b for a, b in pairs):
            return False
        return None if any(a is None or b is None for a, b in pairs) else True

    return same
