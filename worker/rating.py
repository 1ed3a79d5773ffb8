"""Sensitivity and specificity of each verifier, measured on the tasks whose truth came back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from reasoner.outcomes import Outcome
from reasoner.verifier_rates import VerifierRates, measure_verifier
from worker.claims import judged_form
from worker.judging.table import Judges
from worker.labelling import right_answers
from worker.store.labelled import LabelledRecord
from worker.store.rates import Measured
from worker.store.texts import digest


def rate_verifiers(records: Iterable[LabelledRecord], judges: Judges) -> dict[Measured, VerifierRates]:
    """Return the rates of every version of every verifier, per domain and over all domains.

    Raises:
        VerifierError: What compares answers with labels broke, or is missing.
    """
    found: dict[Measured, list[tuple[Outcome, bool]]] = defaultdict(list)
    for record in records:
        for verifier, version, outcome, is_right in _verdicts(record, judges):
            for domain in (record.domain, ""):
                key = Measured(verifier=verifier, version=version, domain=domain)
                found[key].append((outcome, is_right))
    return {key: measure_verifier(verdicts) for key, verdicts in sorted(found.items())}


def _verdicts(record: LabelledRecord, judges: Judges) -> Iterator[tuple[str, str, Outcome, bool]]:
    """Yield each verdict on an answer of which it is known whether it is right."""
    about = [(judged_form(one), one.verdict) for one in record.verdicts]
    if not any(form for form, _ in about):
        return
    right = {
        digest(form): is_right
        for form, is_right in right_answers(record.line, record.chains, record.labels, judges).items()
    }
    for form, verdict in about:
        is_right = right.get(form) if form else None
        if is_right is not None:
            yield verdict.verifier, verdict.version, verdict.outcome, is_right
