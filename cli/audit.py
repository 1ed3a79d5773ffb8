"""Commands of the audit: the story of one task."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.table import Table

from cli.connection import current_settings, reading
from cli.console import JsonFlag, clipped, out, plain, print_json, shown, told
from cli.replay import replay_command
from worker.store.story import Story, find_task, load_story

audit = typer.Typer(help="Why a task was answered as it was.", no_args_is_help=True)


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
            }
        )
        return
    width = 10_000 if full else 100
    _tell_task(story, width)
    _tell_chains(story, width)
    _tell_verdicts(story, width)
    _tell_decision(story, width)
    _tell_events(story)


def chain_json(chain: Any) -> dict[str, Any]:  # noqa: ANN401 (any slotted record)
    """Return a slotted record as a JSON object."""
    return {name: getattr(chain, name) for name in chain.__slots__}


def _tell_task(story: Story, width: int) -> None:
    task = story.task
    spec = task["spec"]
    prompt = spec.get("prompt") or "\n".join(turn["content"] for turn in spec.get("messages") or [])
    lines = [
        f"id {task['id']}  custom_id {task['custom_id']}  batch {task['batch_id']}",
        f"kind {task['kind']}  mode {task['mode']}  domain {task['domain']}  state {task['state']}"
        f"  attempt {task['attempt']}  tokens {task['tokens_spent']} spent, {task['tokens_saved']} saved",
        "",
        prompt if width > 1000 else clipped(prompt, n_chars=600),
    ]
    if task["error"]:
        lines.append(f"error: {task['error'].get('type')}: {task['error'].get('message')}")
    if story.labels:
        lines.append("label: " + _label(max(story.labels, key=lambda label: (label["at"], label["id"]))))
    out.print(Panel(plain("\n".join(lines)), title="task", title_align="left"))


def _label(label: dict[str, Any]) -> str:
    if label["correct"] is not None:
        return f"decision {label['decision_id']} is {'right' if label['correct'] else 'wrong'}"
    return ", ".join(str(answer) for answer in label["answers"])


def _tell_chains(story: Story, width: int) -> None:
    table = Table(
        "#", "cluster", "answer", "tokens", "logprob", "T", "seed", "finish", "text", title="chains"
    )
    cluster_of = {
        member: cluster["id"]
        for decision in story.decisions[:1]
        for cluster in decision["document"]["clusters"]
        for member in cluster["members"]
    }
    for chain in story.chains:
        table.add_row(
            str(chain.index),
            shown(cluster_of.get(chain.index)),
            plain(clipped(chain.answer or "-", n_chars=min(width, 60))),
            shown(chain.n_tokens),
            shown(chain.logprob),
            shown(chain.temperature),
            shown(chain.seed),
            chain.finish_reason,
            plain(chain.text if width > 1000 else clipped(chain.text, n_chars=60)),
        )
    out.print(table)
    if story.chains:
        first = story.chains[0]
        out.print(plain(f"engine {first.engine}, model {first.model} {first.revision}"), soft_wrap=True)


def _tell_verdicts(story: Story, width: int) -> None:
    table = Table("verifier", "about", "outcome", "reason", "s", title="verdicts")
    for verdict in story.verdicts:
        table.add_row(
            f"{verdict['verifier']} {verdict['version']}",
            "chains " + ", ".join(map(str, verdict["chains"])) if verdict["chains"] else verdict["candidate"],
            verdict["outcome"],
            plain(clipped(verdict["reason"], n_chars=width)),
            shown(verdict["elapsed_s"], digits=2),
        )
    out.print(table)


def _tell_decision(story: Story, width: int) -> None:
    if not story.decisions:
        out.print("no decision yet")
        return
    decision = story.decisions[0]
    document = decision["document"]
    table = Table("id", "answer", "chains", "posterior", "score", "in set", "verdict", title="clusters")
    for cluster in document["clusters"]:
        table.add_row(
            str(cluster["id"]),
            plain(clipped(cluster["answer"], n_chars=min(width, 60))),
            ", ".join(str(member) for member in cluster["members"]),
            shown(cluster["posterior"]),
            shown(cluster["score"]),
            "yes" if cluster["in_set"] else "",
            cluster["outcome"] or "-",
        )
    out.print(table)
    calibration = story.calibration or {}
    reasons = ", ".join(decision["abstain_reasons"])
    out.print(
        Panel(
            plain(
                f"{'ABSTAINED: ' + reasons if decision['abstain_flag'] else 'ANSWERED'}\n"
                f"answer: {clipped(decision['answer'] or '-', n_chars=width)}\n"
                f"vote margin {shown(decision['vote_margin'])}  confidence {shown(decision['confidence'])}  "
                f"merge degree {shown(decision['merge_degree'])}  set size {decision['set_size']}\n"
                f"thresholds: lambda {shown(calibration.get('lambda'))}  tau_margin "
                f"{shown(calibration.get('tau_margin'))}  tau_conf {shown(calibration.get('tau_conf'))}  "
                f"(calibration {decision['calibration_id']})\n"
                f"configuration {decision['configuration']}  code {decision['code_version']}  "
                f"decided {decision['created_at'].isoformat(timespec='seconds')}"
            ),
            title="decision",
            title_align="left",
        )
    )


def _tell_events(story: Story) -> None:
    table = Table("at", "from", "to", "who", "why", title="events")
    for event in story.events:
        at = event["at"].isoformat(sep=" ", timespec="milliseconds")
        table.add_row(
            at, event["from_state"] or "-", event["to_state"], plain(event["who"]), plain(event["why"])
        )
    out.print(table)
