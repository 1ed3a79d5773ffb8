"""One task as a person reads it: what was asked, what was said, what was judged, what came of it and what it cost."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from typing import Any

from rich.panel import Panel
from rich.table import Table

from cli.console import clipped, out, plain, shown
from worker.store.chains import StoredChain
from worker.store.story import Story

WHOLE = 10_000_000
"""A width that clips nothing."""


def tell(story: Story, *, full: bool) -> None:
    """Print the story; ``full`` leaves nothing out."""
    width = WHOLE if full else 100
    _tell_task(story, width)
    _tell_clusters(story, width)
    for what, pruning in story.pruned.items():
        out.print(
            f"its {what} was taken away by pruning {pruning} (`merge-reasoner db prunings`)", soft_wrap=True
        )
    _tell_chains(story, width)
    _tell_verdicts(story, width)
    _tell_decision(story, width)
    _tell_events(story)
    _tell_costs(story)


def _text(value: str, width: int, *, n_chars: int) -> str:
    """Return a text for a cell: whole, or one line of it."""
    return plain(value if width == WHOLE else clipped(value, n_chars=n_chars))


def _tell_task(story: Story, width: int) -> None:
    task = story.task
    spec = task["spec"]
    prompt = spec.get("prompt") or "\n".join(turn["content"] for turn in spec.get("messages") or [])
    lines = [
        f"id {task['id']}  custom_id {task['custom_id']}  batch {task['batch_id']}",
        f"kind {task['kind']}  mode {task['mode']}  domain {task['domain']}  state {task['state']}"
        f"  attempt {task['attempt']}",
        "",
        prompt if width == WHOLE else clipped(prompt, n_chars=600),
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


def _clusters(story: Story) -> list[dict[str, Any]]:
    """Return the clusters of the current decision, best first."""
    return list(story.decisions[0]["document"]["clusters"]) if story.decisions else []


def _tell_clusters(story: Story, width: int) -> None:
    if not story.decisions:
        return
    table = Table("id", "answer", "chains", "posterior", "score", "in set", "verdict", title="clusters")
    for cluster in _clusters(story):
        table.add_row(
            str(cluster["id"]),
            _text(cluster["answer"], width, n_chars=60),
            ", ".join(str(member) for member in cluster["members"]),
            shown(cluster["posterior"]),
            shown(cluster["score"]),
            "yes" if cluster["in_set"] else "",
            _judged(cluster),
        )
    out.print(table)


def _judged(cluster: dict[str, Any]) -> str:
    by = ", ".join(cluster.get("confirmed_by") or [])
    return f"{cluster['outcome'] or '-'}{f' by {by}' if by else ''}"


def _tell_chains(story: Story, width: int) -> None:
    """Print the chains by cluster, those without an answer last."""
    clusters_of: dict[int, list[int]] = {}
    for cluster in _clusters(story):
        for member in cluster["members"]:
            clusters_of.setdefault(member, []).append(cluster["id"])
    none = [len(_clusters(story))]
    table = Table("cluster", "#", "answer", "tokens", "logprob", "T", "seed", "model", "text", title="chains")
    before: int | None = None
    for chain in sorted(story.chains, key=lambda one: (clusters_of.get(one.index, none), one.index)):
        clusters = clusters_of.get(chain.index, none)
        if before is not None and clusters[0] != before:
            table.add_section()
        before = clusters[0]
        table.add_row(
            "-" if clusters is none else ", ".join(map(str, clusters)),
            str(chain.index),
            _text(_named(chain), width, n_chars=40),
            shown(chain.n_tokens),
            shown(chain.logprob),
            shown(chain.temperature),
            shown(chain.seed),
            plain(chain.model),
            _text(chain.text, width, n_chars=60),
        )
    out.print(table)
    by_engine: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for chain in story.chains:
        by_engine[chain.engine, chain.model, chain.revision].append(chain.index)
    for (engine, model, revision), chains in by_engine.items():
        which = f"chains {', '.join(map(str, chains))}: " if len(by_engine) > 1 else ""
        out.print(plain(f"{which}engine {engine}, model {model} {revision}"), soft_wrap=True)


def _named(chain: StoredChain) -> str:
    if not chain.explanations or len(chain.explanations) == 1:
        return chain.answer or "-"
    return "; ".join(one.answer for one in chain.explanations)


def _tell_verdicts(story: Story, width: int) -> None:
    table = Table("verifier", "about", "outcome", "reason", "s", title="verdicts")
    for verdict in story.verdicts:
        about = verdict["candidate"]
        if verdict["chains"]:
            about = "chains " + ", ".join(map(str, verdict["chains"]))
        reason = clipped(verdict["reason"], n_chars=width)
        if verdict["evidence"]:
            evidence = json.dumps(verdict["evidence"], ensure_ascii=False)
            reason += "\nevidence: " + (evidence if width == WHOLE else clipped(evidence, n_chars=160))
        table.add_row(
            plain(f"{verdict['verifier']} {verdict['version']}"),
            plain(about),
            verdict["outcome"],
            plain(reason),
            shown(verdict["elapsed_s"], digits=2),
        )
    out.print(table)


def _tell_decision(story: Story, width: int) -> None:
    if not story.decisions:
        out.print("no decision yet")
        return
    decision = story.decisions[0]
    lines = [
        f"ABSTAINED: {', '.join(decision['abstain_reasons'])}" if decision["abstain_flag"] else "ANSWERED",
        f"answer: {clipped(decision['answer'] or '-', n_chars=width)}",
        f"vote margin {shown(decision['vote_margin'])}  confidence {shown(decision['confidence'])}  "
        f"merge degree {shown(decision['merge_degree'])}  set size {decision['set_size']}",
        _thresholds(story),
        f"configuration {decision['configuration']}  code {decision['code_version']}  "
        f"decided {_second(decision['created_at'])}",
    ]
    if len(story.decisions) > 1:
        older = ", ".join(f"{_second(one['created_at'])} {one['id']}" for one in story.decisions[1:])
        lines.append(f"older decisions: {older}")
    out.print(Panel(plain("\n".join(lines)), title="decision", title_align="left"))


def _thresholds(story: Story) -> str:
    """Return what was in force: the calibration's, or the task's own in their place."""
    calibration = story.calibration or {}
    own = story.task["spec"].get("options") or {}
    told = []
    for name in ("lambda", "tau_margin", "tau_conf", "tau_score"):
        mine = own.get(name)
        told.append(
            f"{name} {shown(calibration.get(name) if mine is None else mine)}{'' if mine is None else ' (own)'}"
        )
    named = story.decisions[0]["calibration_id"]
    of = f"{calibration.get('method', '')} of {calibration.get('domain') or 'all domains'}".strip()
    return f"thresholds: {'  '.join(told)}  (calibration {named}, {of})"


def _second(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def _tell_events(story: Story) -> None:
    table = Table("at", "from", "to", "who", "why", title="events")
    for event in story.events:
        at = event["at"].isoformat(sep=" ", timespec="milliseconds")
        table.add_row(
            at, event["from_state"] or "-", event["to_state"], plain(event["who"]), plain(event["why"])
        )
    out.print(table)


def _tell_costs(story: Story) -> None:
    """Print what the task took: tokens, seconds of models and verifiers, and from submission to decision."""
    costs = costs_of(story)
    out.print(
        plain(
            f"costs: {costs['tokens_spent']} tokens, {costs['tokens_saved']} saved by early exit; "
            f"{shown(costs['chains_s'])} s of {len(story.chains)} chains, "
            f"{shown(costs['verifiers_s'])} s of {len(story.verdicts)} verdicts; "
            f"{shown(costs['elapsed_s'])} s from submission to the end"
        ),
        soft_wrap=True,
    )


def costs_of(story: Story) -> dict[str, Any]:
    """Return what the task took; seconds of chains overlap where an engine batches them."""
    task = story.task
    ended, submitted = task["finished_at"], task["created_at"]
    return {
        "tokens_spent": task["tokens_spent"],
        "tokens_saved": task["tokens_saved"],
        "chains_s": sum(chain.latency_s or 0.0 for chain in story.chains),
        "verifiers_s": sum(verdict["elapsed_s"] for verdict in story.verdicts),
        "elapsed_s": None if ended is None else (ended - submitted).total_seconds(),
    }
