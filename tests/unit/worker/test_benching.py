"""The speed of an engine."""

from __future__ import annotations

from worker.benching import PROMPT, measure_speed
from worker.engines.replay import RecordedChain, ReplayEngine


def test_speed_counts_the_tokens_of_all_chains() -> None:
    chains = [RecordedChain(text="a b c", logprob=-1.0, n_tokens=3)] * 5
    speed = measure_speed(ReplayEngine({PROMPT: chains}, latency_s=0.001), n_chains=5, max_tokens=8)
    assert (speed.chains, speed.tokens) == (5, 15)
    assert 0 < speed.first_chain_s <= speed.together_s
    assert speed.tokens_per_s == 15 / speed.together_s
    assert set(speed.to_json()) >= {"tokens_per_s", "alone_tokens_per_s"}
