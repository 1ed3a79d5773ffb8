"""Seconds that vLLM takes for the k chains of one long prompt, with its prefix cache and without.

    python -m benchmarks.engines.prefix_caching --model FOLDER_OR_NAME

Both on one loaded model, in turn, each time with a prompt that nobody has read before.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from benchmarks.method.results import save
from worker.engines.registry import build_engine
from worker.generation import engine_options
from worker.sampling import requests_of
from worker.settings import Settings
from worker.submission.lines import TaskLine

K = 8
MAX_TOKENS = 48
PREAMBLE = "You are a careful writer. Keep to the facts, be concrete, and never repeat yourself. " * 38


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/engines"))
    given = parser.parse_args()
    settings = replace(
        Settings.from_env(os.environ), engine="vllm", model=given.model, parallel_chains=16, log_level="ERROR"
    )
    with closing(build_engine("vllm", engine_options(settings, os.environ))) as engine:
        numbers = {"model": Path(given.model).name, **_measure(engine, rounds=given.rounds)}
    print(json.dumps(numbers, indent=1))
    save(given.out, "prefix_caching", numbers)


def _measure(engine: Any, *, rounds: int) -> dict[str, Any]:  # noqa: ANN401 - reaches inside
    """Return the seconds of each round; ``first`` is one token each, all but the time to read prompts."""
    asked = type(engine)._ask  # noqa: SLF001 - measured, not used

    async def without_cache(self: Any, prompt: Sequence[int], parameters: Any, label: str) -> Any:  # noqa: ANN401 - vLLM's
        parameters.skip_reading_prefix_cache = True
        return await asked(self, prompt, parameters, label)

    line = TaskLine.model_validate(
        {
            "custom_id": "prefix",
            "kind": "text",
            "prompt": PREAMBLE + "Write one sentence.",
            "options": {"k": K, "max_tokens": MAX_TOKENS, "early_exit": "none"},
        }
    )
    whole = requests_of("prefix", line)
    first = [replace(request, max_tokens=1) for request in whole]
    list(engine.sample("prefix", first))  # the first run compiles
    found: dict[str, list[float]] = {f"{how}{what}": [] for how in ("on", "off") for what in ("", "_first")}
    for _ in range(rounds):
        for name, seconds in found.items():
            engine._loop.start(engine._engine.reset_prefix_cache()).result()  # noqa: SLF001
            with ExitStack() as stack:
                if name.startswith("off"):
                    stack.enter_context(patch.object(type(engine), "_ask", without_cache))
                began = time.perf_counter()
                list(engine.sample("prefix", first if name.endswith("first") else whole))
                seconds.append(time.perf_counter() - began)
    n_prompt = len(engine._prompts.encode(whole[0].messages, max_tokens=MAX_TOKENS))  # noqa: SLF001
    return {
        "prompt_tokens": n_prompt,
        "chains": K,
        "max_tokens": MAX_TOKENS,
        "speedup": round(median(found["off"]) / median(found["on"]), 2),
        "speedup_first": round(median(found["off_first"]) / median(found["on_first"]), 2),
        **{f"{name}_s": [round(one, 2) for one in seconds] for name, seconds in found.items()},
    }


if __name__ == "__main__":
    main()
