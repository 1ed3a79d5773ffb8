"""Decide whether an answer satisfies its conditions, by putting it in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from reasoner.outcomes import Outcome
from verifiers.math.comparison import Scalars
from verifiers.math.condition_reading import read_condition
from verifiers.math.conditions import Condition
from verifiers.math.equality import MAX_CLAIM_CHARS, found_answer
from verifiers.math.holding import Finding, finding
from verifiers.math.judgement import Judgement
from verifiers.math.naming import Naming
from verifiers.math.rational import NoValueError
from verifiers.math.readings import readings
from verifiers.math.showing import shown
from verifiers.math.solutions import Solution, solutions
from verifiers.math.substitution import Function, decadic, free_names, substituted
from verifiers.math.tokens import CannotReadError
from verifiers.math.tree import Add, Call, Degrees, Mul, Node, Num, Percent, Relation, walk

__all__ = ["satisfies"]

MAX_CONDITIONS = 50
MAX_ROWS = 60  # of the evidence
MAX_CORNERS = 3  # decimals whose rounding is looked at; each doubles the work
_BEST_FIRST = (Outcome.CONFIRMED, Outcome.ABSTAINED, Outcome.REFUTED)
_ANGLES = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))


@dataclass(frozen=True, slots=True)
class _Checked:
    """One condition, tried with one solution."""

    condition: str
    solution: str
    finding: Finding


def satisfies(answer: str, conditions: Sequence[str], unknowns: Sequence[str], scalars: Scalars) -> Judgement:
    """Return whether every solution that ``answer`` gives satisfies all ``conditions``.

    Args:
        answer: A bare answer or a text that contains one; hostile.
        conditions: LaTeX or plain text.
        unknowns: Their names, in the order of a bare ``(3, 4)``; may be empty where only one name occurs.
        scalars: Who computes values.

    Raises:
        NeedsAlgebraError: ``scalars`` only knows plain arithmetic and more is needed.
    """
    naming = Naming(unknowns)
    found = ""
    try:
        _check_size(answer, conditions)
        read = [_read(text, naming) for text in conditions]
        found = found_answer(naming.coded(answer))
        names = list(naming.codes) or _only_name(read)
        alternatives = _alternatives(found, names)
    except CannotReadError as error:
        evidence = {"method": "none", "answer": naming.decoded(found)[:200]}
        return Judgement(Outcome.ABSTAINED, str(error)[:500], evidence)
    tried = []
    for alternative in alternatives:  # in one way of reading it or another: "1,5" is one number or two
        tried.append(_tried(alternative, conditions, read, scalars, naming))
        if _outcome(tried[-1]) is Outcome.CONFIRMED:
            break
    checked = next(one for wanted in _BEST_FIRST for one in tried if _outcome(one) is wanted)
    return _judgement(checked, naming.decoded(found), scalars)


def _check_size(answer: str, conditions: Sequence[str]) -> None:
    if len(answer) > MAX_CLAIM_CHARS:
        raise CannotReadError(f"the answer is longer than {MAX_CLAIM_CHARS} characters")
    if not conditions:
        raise CannotReadError("there are no conditions")
    if len(conditions) > MAX_CONDITIONS:
        raise CannotReadError(f"there are more than {MAX_CONDITIONS} conditions")


def _read(text: str, naming: Naming) -> Condition:
    try:
        return read_condition(naming.coded(text))
    except CannotReadError as error:
        raise CannotReadError(
            f"cannot read the condition {text[:80]!r}: {naming.decoded(str(error))}"
        ) from error


def _only_name(conditions: Sequence[Condition]) -> list[str]:
    """Return the one name that occurs; with several, only an answer that names its values can be read."""
    names = free_names(tuple(conditions))
    return sorted(names) if len(names) == 1 else []


def _alternatives(found: str, unknowns: Sequence[str]) -> list[list[Solution]]:
    """Return the solutions in each way the answer may be read, likeliest first.

    Raises:
        CannotReadError: It can't be read in any.
    """
    alternatives: list[list[Solution]] = []
    problem = CannotReadError("the answer can't be read")
    for reading in readings(found):
        try:
            alternatives.append(solutions(reading.tree, unknowns))
        except CannotReadError as error:
            problem = error
    if not alternatives:
        raise problem
    return alternatives


# -- trying -----------------------------------------------------------------------------------------------------------


def _tried(
    found: Sequence[Solution],
    texts: Sequence[str],
    conditions: Sequence[Condition],
    scalars: Scalars,
    naming: Naming,
) -> list[_Checked]:
    checked = []
    for solution in found:
        said = ", ".join(
            _assignment(naming.decoded(name), _value_text(value, scalars)) for name, value in solution.items()
        )
        checked += [
            _Checked(text, said[:200], _doubting(condition, solution, scalars, naming))
            for text, condition in zip(texts, conditions, strict=True)
        ]
    return checked


def _assignment(name: str, value: str) -> str:
    return f"{name} {value}" if value.startswith("≈") else f"{name} = {value}"


def _value_text(value: Node | Function, scalars: Scalars) -> str:
    return shown(value.body if isinstance(value, Function) else value, scalars)


def _doubting(condition: Condition, solution: Solution, scalars: Scalars, naming: Naming) -> Finding:
    """Return whether a condition holds; when it doesn't, but would in another convention, that is doubtful."""
    said = finding(substituted(condition, solution), scalars)
    if said.holds is False:
        for other, values, why in _conventions(condition, solution):
            if finding(substituted(other, values), scalars).holds:
                return Finding(None, said.values, f"it holds only if {why}")
        if _is_rounding(condition, solution, scalars):
            return Finding(
                None, said.values, "the answer is a decimal, and what it may be a rounding of satisfies it"
            )
    return Finding(said.holds, said.values, naming.decoded(said.why))


def _conventions(condition: Any, solution: Solution) -> Iterator[tuple[Any, Solution, str]]:  # noqa: ANN401 - a tree
    """Yield what the condition or the solution may have meant instead."""
    percents = {name: value.value for name, value in solution.items() if isinstance(value, Percent)}
    if percents:
        yield condition, {**solution, **percents}, "the per cent sign is a unit"
    calls = [part for part in walk(condition) if isinstance(part, Call)]
    plain = {n: v for n, v in solution.items() if isinstance(v, Num) and v.value != 0}
    if plain and any(call.name in _ANGLES for call in calls):
        yield condition, {**solution, **{n: Degrees(v) for n, v in plain.items()}}, "the angle is in degrees"
    if any(call.name == "log" and len(call.args) == 1 for call in calls):
        yield decadic(condition), solution, "logarithms are to the base ten"


def _is_rounding(condition: Condition, solution: Mapping[str, Any], scalars: Scalars) -> bool:
    """Tell whether a relation that fails turns over somewhere within half a unit of the decimals' last places."""
    decimals = {name: v for name, v in solution.items() if isinstance(v, Num) and v.places}
    if not isinstance(condition, Relation) or not 0 < len(decimals) <= MAX_CORNERS:
        return False
    for left, right in zip(condition.sides, condition.sides[1:], strict=False):
        signs = set()
        for ends in product((-1, 1), repeat=len(decimals)):
            moved = {
                name: Num(v.value + Fraction(end, 2 * 10 ** (v.places or 0)))
                for end, (name, v) in zip(ends, decimals.items(), strict=True)
            }
            difference = Add((left, Mul((Num(Fraction(-1)), right))))
            try:
                value = scalars.number(substituted(difference, {**solution, **moved}))
            except NoValueError:
                return False
            signs.add(None if value is None else (value > 0) - (value < 0))
        if len(signs) > 1 or 0 in signs:
            return True
    return False


# -- concluding -------------------------------------------------------------------------------------------------------


def _outcome(checked: Sequence[_Checked]) -> Outcome:
    found = {one.finding.holds for one in checked}
    return Outcome.REFUTED if False in found else Outcome.ABSTAINED if None in found else Outcome.CONFIRMED


def _judgement(checked: Sequence[_Checked], found: str, scalars: Scalars) -> Judgement:
    outcome = _outcome(checked)
    ranked = sorted(checked, key=lambda one: {False: 0, None: 1, True: 2}[one.finding.holds])
    first = ranked[0]
    detail = f": {first.finding.why}" if first.finding.why else _sides(first.finding)
    solutions_tried = list(dict.fromkeys(one.solution for one in checked))
    if outcome is Outcome.CONFIRMED:
        n_conditions = len(checked) // max(1, len(solutions_tried))
        what = "the condition holds" if n_conditions == 1 else f"all {n_conditions} conditions hold"
        reason = f"{what} for {'; '.join(solutions_tried)}"
    elif outcome is Outcome.REFUTED:
        reason = f"{first.condition[:200]!r} does not hold for {first.solution}{detail}"
    else:
        reason = f"it can't be told whether {first.condition[:200]!r} holds for {first.solution}{detail}"
    evidence = {
        "method": scalars.method,
        "answer": found[:200],
        "solutions": solutions_tried[:MAX_ROWS],
        "conditions": [_row(one) for one in ranked[:MAX_ROWS]],
        "complete": "not claimed: other solutions may exist",
    }
    return Judgement(outcome, reason[:500], evidence)


def _sides(said: Finding) -> str:
    return f" ({' and '.join(said.values[:3])})" if said.values else ""


def _row(one: _Checked) -> dict[str, Any]:
    holds = {True: "holds", False: "fails", None: "undecided"}[one.finding.holds]
    row: dict[str, Any] = {"condition": one.condition[:200], "for": one.solution, "outcome": holds}
    if one.finding.values:
        row["values"] = list(one.finding.values)
    if one.finding.why:
        row["why"] = one.finding.why[:200]
    return row
