"""Sensitivity and specificity of each verifier, measured on the tasks whose truth came back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from reasoner.outcomes import Outcome
from reasoner.verifier_rates import VerifierRates, measure_verifier
from worker.claims import judged_form
from worker.judging.table import Judges
from worker.labelling import right_by
from worker.store.chains import each_explanation
from worker.store.labelled import LabelledLine, LabelledRecord
from worker.store.rates import Measured
from worker.store.texts import digest

Rates = dict[Measured, VerifierRates]

Found = tuple[str, str, Outcome, bool]
"""Verifier, its version, what it said of an answer, and whether the answer is right."""


def rate_verifiers(records: Iterable[LabelledRecord], judges: Judges) -> Rates:
    """Return the rates of every version of every verifier, per domain and over all domains.

    Raises:
        VerifierError: What compares answers with labels broke, or is missing.
    """
    return _rates((record.domain, _compared(record, judges)) for record in records)


def add_up(counts: Iterable[tuple[str, str, str, VerifierRates]]) -> Rates:
    """Return the same from domain, verifier, version and counts that gradings hold."""
    found: Rates = {}
    for of, verifier, version, rates in counts:
        for domain in (of, ""):
            key = Measured(verifier=verifier, version=version, domain=domain)
            found[key] = found.get(key, VerifierRates()) + rates
    return dict(sorted(found.items()))


def _rates(found: Iterable[tuple[str, Iterable[Found]]]) -> Rates:
    collected: dict[Measured, list[tuple[Outcome, bool]]] = defaultdict(list)
    for of, verdicts in found:
        for verifier, version, outcome, is_right in verdicts:
            for domain in (of, ""):
                key = Measured(verifier=verifier, version=version, domain=domain)
                collected[key].append((outcome, is_right))
    return {key: measure_verifier(verdicts) for key, verdicts in sorted(collected.items())}


def _compared(record: LabelledRecord, judges: Judges) -> Iterator[Found]:
    if any(judged_form(one) for one in record.verdicts):
        yield from _verdicts(
            record, right_by(record.line, each_explanation(record.chains), record.truth, judges)
        )


def _verdicts(line: LabelledLine, right: Mapping[str, bool | None]) -> Iterator[Found]:
    """Yield each verdict on an answer of which it is known whether it is right."""
    by_digest = {digest(form): is_right for form, is_right in right.items()}
    for one in line.verdicts:
        form = judged_form(one)
        is_right = by_digest.get(form) if form else None
        if is_right is not None:
            yield one.verdict.verifier, one.verdict.version, one.verdict.outcome, is_right
