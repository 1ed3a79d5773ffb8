from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reasoner.outcomes import Outcome
from reasoner.verifier_rates import VerifierRates, measure_verifier

VERDICTS = st.lists(st.tuples(st.sampled_from(Outcome), st.booleans()))


@given(VERDICTS)
def test_every_verdict_is_counted_once(verdicts: list[tuple[Outcome, bool]]) -> None:
    rates = measure_verifier(verdicts)
    assert rates.n_right == sum(is_right for _, is_right in verdicts)
    assert rates.n_right + rates.n_wrong == len(verdicts)


@given(VERDICTS)
def test_abstentions_leave_the_rates_alone(verdicts: list[tuple[Outcome, bool]]) -> None:
    sided = [one for one in verdicts if one[0] is not Outcome.ABSTAINED]
    rates, without = measure_verifier(verdicts), measure_verifier(sided)
    assert (rates.sensitivity, rates.specificity) == (without.sensitivity, without.specificity)


@given(VERDICTS)
def test_a_rate_lies_in_its_interval(verdicts: list[tuple[Outcome, bool]]) -> None:
    rates = measure_verifier(verdicts)
    for rate, interval in (
        (rates.sensitivity, rates.sensitivity_interval),
        (rates.specificity, rates.specificity_interval),
    ):
        assert (rate is None) == (interval is None)
        if rate is not None and interval is not None:
            assert interval[0] - 1e-9 <= rate <= interval[1] + 1e-9


def test_a_verifier_that_took_no_side_has_no_rates() -> None:
    rates = VerifierRates(right_abstained=3, wrong_abstained=1)
    assert (rates.sensitivity, rates.specificity, rates.abstained) == (None, None, 1.0)
