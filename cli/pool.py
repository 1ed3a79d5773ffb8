"""Commands about several models that answered the same tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from cli.console import Exit, JsonFlag, err, fail, out, plain, print_json, shown, told
from cli.lines import File, judged_lines, opened
from reasoner.errors import InsufficientCalibrationDataError
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.pooling import Pool, PooledTask, PoolLine, pooled_task
from worker.pooling import pool as pool_of
from worker.settings import settings
from worker.submission.problems import LineProblem
from worker.weights import write_weights

pool = typer.Typer(
    help="Several models: who agrees, who errs alike, what merging them is worth.", no_args_is_help=True
)

MAX_SUBSETS_SHOWN = 5

Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Write fitted weights here, for `merge --weights`.")
]


@pool.callback()
def _pool() -> None:
    """Several models: who agrees, who errs alike, what merging them is worth."""


@pool.command()
def report(file: File, output: Output = None, as_json: JsonFlag = False) -> None:
    """Say what a pool's records are worth: lines as for `merge`, each chain with its "model", with "label".

    Example:

        merge-reasoner pool report chains.jsonl
        merge-reasoner pool report chains.jsonl -o weights.json
    """
    with told():
        tasks, n_bad = _read(file)
        if not tasks:
            raise fail(f"{file} holds no task that can be used")
        found = pool_of(tasks)
        if output is not None:
            _write(found, output)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
        if output is not None:
            err.print(
                plain(f"wrote {output}; use it with: merge-reasoner merge FILE --weights {output}"),
                soft_wrap=True,
            )
    raise typer.Exit(Exit.SOME_FAILED if n_bad else Exit.OK)


def _read(file: Path) -> tuple[list[PooledTask], int]:
    tasks: list[PooledTask] = []
    n_bad = 0
    with opened(file) as stream, Judges(Surroundings(settings=settings())) as judges:
        for line in judged_lines(stream, PoolLine, file, id_field="custom_id"):
            if isinstance(line, LineProblem):
                n_bad += 1
            else:
                tasks.append(pooled_task(line, judges))
    return tasks, n_bad


def _write(found: Pool, output: Path) -> None:
    if found.fitted is None or found.model_weights is None:
        raise InsufficientCalibrationDataError(
            "nothing can be learned of the models without labels; give lines a label"
        )
    write_weights(
        output,
        fitted=found.fitted,
        model_weights=found.model_weights,
        n_labelled=found.report.n_labelled,
    )


def _show(found: Pool) -> None:
    told_of = found.report
    out.print(f"{told_of.n_tasks} tasks, {told_of.n_labelled} with a label, {len(told_of.models)} models")
    _show_models(found)
    if len(told_of.models) > 1:
        names = [one.model for one in told_of.models]
        _show_matrix("agreement", names, told_of.agreement)
        if told_of.error_correlation is not None:
            _show_matrix("error correlation (phi)", names, told_of.error_correlation)
    levels = Table("models agreeing", "tasks", "labelled", "accuracy")
    for level in told_of.levels:
        levels.add_row(*map(shown, (level.models_agreeing, level.n_tasks, level.labelled, level.accuracy)))
    out.print(levels)
    _show_subsets(found)
    _show_bounds(found)


def _named(title: str) -> Column:
    """Return a column whose names are shown whole, however narrow the terminal."""
    return Column(plain(title), overflow="fold")


def _show_models(found: Pool) -> None:
    table = Table(_named("model"), "answered", "labelled", "right", "accuracy", "95 % (Wilson)", "weight")
    weights = found.model_weights or {}
    for one in found.report.models:
        interval = "-" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
        cells = map(shown, (one.answered, one.labelled, one.right, one.accuracy))
        table.add_row(plain(one.model), *cells, interval, shown(weights.get(one.model)))
    out.print(table)


def _show_matrix(title: str, names: Sequence[str], matrix: Sequence[Sequence[float]]) -> None:
    table = Table(_named(title), *map(_named, names))
    for name, row in zip(names, matrix, strict=True):
        table.add_row(plain(name), *(f"{cell:.3f}" for cell in row))
    out.print(table)


def _show_subsets(found: Pool) -> None:
    if not found.report.subsets:
        out.print("too few labels to compare subsets of the models")
        return
    table = Table("subset, merged by weights fitted on other tasks", "accuracy")
    for subset in found.report.subsets[:MAX_SUBSETS_SHOWN]:
        table.add_row(plain(", ".join(subset.models)), f"{subset.accuracy:.4f}")
    out.print(table)


def _show_bounds(found: Pool) -> None:
    told_of = found.report
    if told_of.rho is None:
        out.print("without labels there is nothing to say of errors")
        return
    out.print(
        f"error correlation rho = {told_of.rho:.3f}; effective voters "
        f"{shown(told_of.effective_voters)} of {len(told_of.models)}; "
        f"some model is right on {shown(told_of.ceiling)} of the tasks"
    )
    for name, bound in found.bounds.items():
        out.print(
            f"{plain(name)}: a chain is right with p = {bound.p:.3f}, two chains err alike with rho = {bound.rho:.3f}: "
            f"{bound.verdict}",
            soft_wrap=True,
        )
