"""Record a model's chains for math and code tasks: k diverse ones each, and a greedy one.

    python -m benchmarks.accuracy.record --data FOLDER --out build/accuracy/chains.jsonl

Prompts, temperatures and seeds are those of the queue. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.tasks import MAX_TOKENS, K, choose
from worker.engines.protocol import ChainRequest, Engine, SampledChain
from worker.generation import open_engine
from worker.sampling import prompts_of, requests_of
from worker.settings import Settings
from worker.submission.lines import TaskLine

CONTEXT_TOKENS = 1536


def main() -> None:
    """Sample what is missing and append one line a task."""
    given = _arguments()
    tasks = choose(given.data, n_math=given.n_math, n_code=given.n_code)
    done = _recorded(given.out)
    missing = [line for line in tasks if line.custom_id not in done]
    print(f"{len(done)} of {len(tasks)} tasks are recorded, {len(missing)} to do", flush=True)
    engine = _engine(given)
    at_once = given.parallel // K + 1  # the next task fills what the last chains of the others leave
    started = time.monotonic()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("a", encoding="utf-8") as out, ThreadPoolExecutor(at_once) as pool:
        name = given.name or Path(given.model).name
        running = [pool.submit(_record, engine, line, name) for line in missing]
        n_tokens = 0
        for n, future in enumerate(as_completed(running), start=1):
            row = future.result()
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            out.flush()
            n_tokens += sum(chain["n_tokens"] for chain in [*row["chains"], row["greedy"]])
            spent = time.monotonic() - started
            print(f"{n}/{len(missing)} {row['task']['custom_id']} {n_tokens / spent:.1f} tok/s", flush=True)
    engine.close()


def _record(engine: Engine, line: TaskLine, name: str) -> dict[str, Any]:
    requests = requests_of(line.custom_id, line)
    greedy = ChainRequest(
        index=K, messages=prompts_of(line)[0][1], seed=0, temperature=0.0, max_tokens=MAX_TOKENS
    )
    by_index = {request.index: request for request in [*requests, greedy]}
    chains = sorted(engine.sample(line.custom_id, list(by_index.values())), key=lambda chain: chain.index)
    if [chain.index for chain in chains] != list(by_index):
        raise RuntimeError(f"{line.custom_id}: the engine gave other chains than were asked for")
    *sampled, best = [_row(chain, by_index[chain.index], name) for chain in chains]
    task = json.loads(line.model_dump_json(exclude_unset=True))
    return {"task": task, "engine": engine.name, "chains": sampled, "greedy": best}


def _row(chain: SampledChain, request: ChainRequest, name: str) -> dict[str, Any]:
    row = asdict(chain) | {
        "model": name,  # a folder's path is nobody else's business
        "seed": request.seed,
        "temperature": request.temperature,
        "prompt_variant": request.variant,
    }
    logprob = None if chain.logprob is None else round(chain.logprob, 4)
    return row | {"logprob": logprob, "latency_s": round(chain.latency_s, 2)}


def _recorded(path: Path) -> set[str]:
    """Return the ids of the tasks that are recorded, and cut off a line that a kill left unfinished."""
    if not path.exists():
        return set()
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    path.write_bytes(whole)
    return {json.loads(line)["task"]["custom_id"] for line in whole.splitlines()}


def _engine(given: argparse.Namespace) -> Engine:
    settings = replace(
        Settings.from_env(os.environ),
        engine=given.engine,
        model=given.model,
        parallel_chains=given.parallel,
        context_tokens=CONTEXT_TOKENS,
    )
    return open_engine(settings, os.environ)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("BENCHMARK_DATA")
    parser.add_argument(
        "--data", type=Path, default=default, required=default is None, help="folder of the data"
    )
    parser.add_argument("--out", type=Path, default=Path("build/accuracy/chains.jsonl"))
    parser.add_argument("--engine", default="llamacpp")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--name", help="of the model in the file; its folder's name by default")
    parser.add_argument("--n-math", type=int, default=100)
    parser.add_argument("--n-code", type=int, default=80)
    parser.add_argument("--parallel", type=int, default=8, help="chains decoded together")
    return parser.parse_args()


if __name__ == "__main__":
    main()
