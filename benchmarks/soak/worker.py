"""`merge-reasoner` with a replay engine that dies of poisoned prompts and takes a little time for others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator

from benchmarks.soak.workload import POISON
from cli.main import main
from worker.engines import registry
from worker.engines.protocol import ChainRequest, SampledChain
from worker.engines.replay import ReplayEngine

PAUSE_S = 0.01  # so that there is something to kill
SLOW = "slow"
"""A prompt that begins so takes ``SLOW_S``."""

SLOW_S = float(os.environ.get("SOAK_SLOW_S", "5"))


class PoisonedEngine(ReplayEngine):
    """Replays, unless the prompt is poison."""

    def sample(self, task_id: str, requests: list[ChainRequest]) -> Generator[SampledChain, None, None]:
        """Yield the recorded chains, or die as a broken driver would: at once and without a word."""
        if any(m.content.startswith(POISON) for r in requests for m in r.messages if m.role == "user"):
            os.kill(os.getpid(), signal.SIGKILL)
        is_slow = any(m.content.startswith(SLOW) for r in requests for m in r.messages)
        time.sleep(SLOW_S if is_slow else PAUSE_S)
        return super().sample(task_id, requests)


def _replay(options: registry.EngineOptions) -> PoisonedEngine:
    assert options.replay_file is not None
    return PoisonedEngine.from_file(options.replay_file)  # type: ignore[return-value]  # from_file returns its own class


if __name__ == "__main__":
    registry.ENGINES["replay"] = _replay
    main()
