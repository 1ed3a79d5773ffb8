from __future__ import annotations

from worker.judging.table import JUDGES
from worker.messages import VERIFY


def test_every_verifier_with_a_queue_has_a_judge() -> None:
    assert set(JUDGES) == set(VERIFY)
