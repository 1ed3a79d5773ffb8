"""Everything breaks while thousands of tasks run, and the record is what a quiet run leaves."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from benchmarks.soak.faults import ONCE
from benchmarks.soak.run import soak
from worker.embedded.services import Services
from worker.errors import ServiceError

pytestmark = [
    pytest.mark.services,
    pytest.mark.soak,
    pytest.mark.timeout(
        1800
    ),  # far beyond what it takes; a stuck run ends with its seed and story long before
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits another process's files"),
]

N_TASKS = int(os.environ.get("SOAK_TASKS", "3000"))
SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))


def test_nothing_is_lost_or_done_twice_while_everything_breaks(tmp_path: Path) -> None:
    try:
        with Services(tmp_path / "trial"):
            pass
    except ServiceError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"the embedded servers cannot start here: {error}")
    found = soak(tmp_path, n_tasks=N_TASKS, n_faults=len(ONCE) + 5, n_poison=2, seed=SEED, budget_s=60)
    assert found["tasks"] == N_TASKS
