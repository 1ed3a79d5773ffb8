"""The command that takes in the truth that came back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.batches import find_batch_called
from cli.connection import current_settings, reading
from cli.console import Exit, JsonFlag, err, out, plain, print_json, told
from cli.lines import opened
from worker.labels import Labelled, take_in_labels
from worker.store.labels import Standing


def label(
    file: Annotated[Path, typer.Argument(help="JSON lines, one label each; - reads standard input.")],
    batch: Annotated[
        str | None,
        typer.Option(help="The batch of lines that give a custom_id and no batch_id: an id, or `last`."),
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(help="Where lines that need a person go. Default: FILE.errors.jsonl beside the file."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take in the truth about tasks: each line names a task and gives `answer`, `answers` or `correct`.

    The newest label of a task wins, by `at`; nothing is overwritten, and the same file again adds nothing. `correct`
    says whether the decided answer is right: for programs, which can't be compared with an answer.

    Examples:

        merge-reasoner label outcomes.jsonl

        echo '{"custom_id": "t-17", "correct": true, "source": "review"}' | merge-reasoner label - --batch last
    """
    with told():
        settings = current_settings()
        name = "stdin" if str(file) == "-" else file.name
        error_file = errors or Path(f"{name}.errors.jsonl" if name == "stdin" else f"{file}.errors.jsonl")
        with opened(file) as stream, reading(settings) as store:
            batch_id = None if batch is None else find_batch_called(store, batch, tenant=settings.tenant).id
            made = take_in_labels(
                store, stream, file=name, error_file=error_file, settings=settings, batch_id=batch_id
            )
    _tell(made, as_json=as_json)
    raise typer.Exit(Exit.SOME_FAILED if made.n_problems else Exit.OK)


def _tell(made: Labelled, *, as_json: bool) -> None:
    counts = {standing.value: made.standings[standing] for standing in Standing}
    if as_json:
        print_json(
            {
                "n_lines": made.n_lines,
                "n_kept": made.n_kept,
                **counts,
                "unmatched": made.n_unmatched,
                "n_problems": made.n_problems,
                "error_file": None if made.error_file is None else str(made.error_file),
            }
        )
        return
    for problem in made.problems:
        err.print(plain(str(problem)), soft_wrap=True)
    if made.error_file is not None:
        err.print(
            plain(f"{made.n_problems} lines need a look; all of them, whole: {made.error_file}"),
            soft_wrap=True,
        )
    details = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    out.print(
        f"{made.n_kept} labels kept of {made.n_lines} lines ({details or 'nothing new'})", soft_wrap=True
    )
