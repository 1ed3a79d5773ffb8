"""Commands of the audit; `show` stands here, the others in modules of their own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.connection import current_settings, reading
from cli.console import JsonFlag, print_json, told
from cli.finding import find, queries, reindex_command
from cli.replay import replay_command
from cli.stats import stats
from cli.story import costs_of, tell
from worker.store.chains import StoredChain
from worker.store.story import find_task, load_story

audit = typer.Typer(help="Why a task was answered as it was.", no_args_is_help=True)
audit.command()(find)
audit.command()(queries)
audit.command()(stats)
audit.command("reindex")(reindex_command)


audit.command("replay")(replay_command)


@audit.callback()
def _audit() -> None:
    """Why a task was answered as it was."""


@audit.command()
def show(
    task: Annotated[str, typer.Argument(help="A task id, or a custom_id (the newest one of that name).")],
    batch: Annotated[str | None, typer.Option(help="The batch in which to look for the custom_id.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Print chains and evidence whole.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show everything on record about one task: prompt, chains, clusters, verdicts, decision, events.

    Examples:

        merge-reasoner audit show t-17

        merge-reasoner audit show 0199c0de-... --full
    """
    with told():
        settings = current_settings()
        with reading(settings) as store:
            story = load_story(store, find_task(store, task, tenant=settings.tenant, batch=batch))
    if as_json:
        print_json(
            {
                "task": story.task,
                "chains": [chain_json(chain) for chain in story.chains],
                "verdicts": story.verdicts,
                "decisions": story.decisions,
                "calibration": story.calibration,
                "labels": story.labels,
                "events": story.events,
                "pruned": story.pruned,
                "costs": costs_of(story),
            }
        )
        return
    tell(story, full=full)


def chain_json(chain: StoredChain) -> dict[str, Any]:
    """Return a chain as a JSON object."""
    return {name: value for name, value in asdict(chain).items() if name != "part"}
