"""The command that shows everything at work on this machine."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from cli.batches import write_results
from cli.connection import open_publisher, open_store
from cli.console import Exit, JsonFlag, clipped, err, fail, out, shown, told
from cli.models import ensure_model
from cli.waiting import wait_for_batch
from worker.embedded.services import find_running
from worker.generation import loads_a_file
from worker.settings import Settings
from worker.store.batches import results
from worker.store.transactions import Store
from worker.submitting import submit
from worker.supervisor import Supervisor

EXAMPLES = Path("examples/demo.jsonl")
QUALITY_MODEL = "qwen2.5-coder-1.5b"
ANSWER_CHARS = 24


def demo(
    file: Annotated[Path, typer.Argument(help="Task lines to run.")] = EXAMPLES,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the decisions go.")] = Path(
        "demo/results.jsonl"
    ),
    quality: Annotated[
        bool, typer.Option("--quality", help="The 1.5B model: slower, right more often.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="A known model's name, or a path to a GGUF file.")] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible endpoint instead of a local model (with --model)."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run real tasks through a real queue, model, verifiers and database; stops what it starts.

    Examples:

        merge-reasoner demo

        merge-reasoner demo --quality

        merge-reasoner demo --base-url http://localhost:8000/v1 --model my-model
    """
    for ending in (signal.SIGTERM, signal.SIGINT):  # a shell's background jobs start with SIGINT ignored
        signal.signal(ending, _interrupt)
    try:
        with told():
            code = _run(
                file, output, _settings(quality=quality, model=model, base_url=base_url), as_json=as_json
            )
    except KeyboardInterrupt:
        raise fail("interrupted; everything that was started is stopped", Exit.SOME_FAILED) from None
    raise typer.Exit(code)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _settings(*, quality: bool, model: str | None, base_url: str | None) -> Settings:
    settings = Settings.from_env(os.environ)
    if quality:
        settings = replace(settings, model=QUALITY_MODEL)
    if model is not None:
        settings = replace(settings, model=model)
    if base_url is not None:
        settings = replace(settings, engine="openai", base_url=base_url)
    return settings


def _run(file: Path, output: Path, settings: Settings, *, as_json: bool) -> Exit:
    if not file.is_file():
        raise fail(f"there is no {file}; run the demo in the project's folder, or name a file of task lines")
    running = find_running(settings.state_dir)
    if running is not None:
        err.print("using the services that `merge-reasoner up` runs, with their model")
        there = replace(settings, database_url=running.database_url, broker_url=running.broker_url)
        return _submit_and_show(file, output, there, supervisor=None, as_json=as_json)
    if loads_a_file(settings):
        ensure_model(settings.model, settings.models_dir)
    with Supervisor(settings, progress=lambda step: err.print(f"· {step}", highlight=False)) as supervisor:
        return _submit_and_show(file, output, supervisor.settings, supervisor=supervisor, as_json=as_json)


def _submit_and_show(
    file: Path, output: Path, settings: Settings, *, supervisor: Supervisor | None, as_json: bool
) -> Exit:
    store, publisher = open_store(settings), open_publisher(settings)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb") as stream:
            made = submit(
                store,
                publisher,
                stream,
                file=file.name,
                error_file=output.parent / "errors.jsonl",
                settings=settings,
                key=f"demo:{uuid4()}",  # each demo is a run of its own
            )
        err.print(f"· submitted {made.n_tasks} tasks as batch {made.batch_id}")
        batch = wait_for_batch(
            store,
            made.batch_id,
            tenant=settings.tenant,
            each_poll=(lambda: None) if supervisor is None else supervisor.check,
        )
        write_results(store, batch.id, output)
        if as_json:
            write_results(store, batch.id, None)
        else:
            _show(store, batch.id, output, n_tasks=batch.n_tasks)
    finally:
        store.dispose()
    return Exit.SOME_FAILED if batch.states.get("failed") else Exit.OK


def _show(store: Store, batch_id: UUID, output: Path, *, n_tasks: int) -> None:
    table = Table(title=f"{n_tasks} decisions", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("task", "decision", "answer", "margin", "degree", "set", "verified", "tokens"):
        table.add_column(name, overflow="fold", no_wrap=name in {"margin", "degree", "set"})
    first = None
    for line in results(store, batch_id):
        first = first or line["custom_id"]
        why = ", ".join(line.get("abstain_reasons") or [])
        tokens = line["tokens"]
        table.add_row(
            line["custom_id"],
            f"{line['state']}{': ' + why if why else ''}",
            escape(_answer(line)),
            shown(line.get("vote_margin"), digits=2),
            shown(line.get("merge_degree"), digits=2),
            shown(line.get("set_size")),
            _verified(line["verdicts"]),
            f"{tokens['spent']}" + (f" (-{tokens['saved']})" if tokens["saved"] else ""),
        )
    out.print(table)
    out.print(
        "margin: share of the chains in the best cluster · degree: effective number of explanations · "
        "set: answers alive · verified: distinct programs that passed +, failed -, could not be told ? · "
        "tokens: spent (-saved by early exit)"
    )
    out.print(f"decisions: {output}")
    called_as = Path(sys.argv[0])
    command = called_as if called_as.name == "merge-reasoner" else "merge-reasoner"
    out.print(f"why one was decided so: {command} audit show {first}", soft_wrap=True)


def _answer(line: dict[str, Any]) -> str:
    """Return what fits a cell: of a program its signature, of a failure its message."""
    if line["answer"] is None:
        return clipped((line["error"] or {}).get("message") or "-", n_chars=ANSWER_CHARS)
    definitions = [row[4:].rstrip(": ") for row in line["answer"].splitlines() if row.startswith("def ")]
    return clipped(definitions[-1] if definitions else line["answer"], n_chars=ANSWER_CHARS)


def _verified(verdicts: dict[str, dict[str, int]]) -> str:
    signs = {"confirmed": "+", "refuted": "-", "abstained": "?"}
    return "; ".join(
        f"{name} " + " ".join(f"{signs[outcome]}{n}" for outcome, n in sorted(counts.items()))
        for name, counts in sorted(verdicts.items())
    )
