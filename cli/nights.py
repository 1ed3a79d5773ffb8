"""What a night and its calibrations look like on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from rich.table import Column, Table

from cli.console import out, plain, print_json, shown
from cli.rates import rates_json, rates_table
from worker.calibrating import Night
from worker.grading import WHY_NOT_SPREAD
from worker.store.nights import NewCalibration

UNTOLD = "neither right nor wrong by their labels, counted as wrong"

CONTRADICTED = "against what was in force"

RECORDED = {None: "not on record", True: "as it stands on record", False: "DIFFERS from the record"}


def tell_night(
    night: Night,
    written: str,
    recorded: Mapping[UUID, bool | None],
    rates_recorded: bool | None,
    *,
    as_json: bool,
) -> None:
    """Tell what a night came to.

    Args:
        night: The night.
        written: What became of candidates that passed: ``active``, ``held``, or empty when nothing was written.
        recorded: Of a past night, whether each calibration is as it was written.
        rates_recorded: Likewise of the verifiers' rates.
        as_json: One document instead of tables.
    """
    if as_json:
        print_json(
            {
                "run_id": None if night.run_id is None else str(night.run_id),
                "as_of": night.as_of.isoformat(),
                "plan": night.plan.to_json(),
                "counts": night.counts,
                "calibrations": [_as_json(one, written, recorded) for one in night.calibrations],
                "verifiers": rates_json(night.rates),
                "not_calibrated": {"spread": WHY_NOT_SPREAD} if night.counts["spread"] else {},
            }
            | ({"verifiers_as_recorded": rates_recorded} if recorded else {})
        )
        return
    out.print(plain(f"as of {night.as_of.isoformat()}"), soft_wrap=True)
    _tell_untold(night.counts)
    if not night.calibrations:
        of_merge = " of MERGE" if night.counts["spread"] else ""
        out.print(
            f"no decision{of_merge} has a label yet: give task lines a label, or send labels with "
            "`merge-reasoner label`",
            soft_wrap=True,
        )
        return
    table = Table(
        Column("domain", overflow="fold"),
        "status",
        "labels",
        "lambda",
        "tau margin",
        "tau conf",
        "coverage",
        "answered",
        "risk",
    )
    for one in night.calibrations:
        after = one.report.get("after") or {}
        cells = (one.n_labels, one.thresholds.lambda_, one.thresholds.tau_margin, one.thresholds.tau_conf)
        performed = (after.get(name) for name in ("coverage", "answered_share", "selective_risk"))
        table.add_row(plain(one.domain or "all"), _status(one, written), *map(shown, (*cells, *performed)))
    out.print(table)
    for one in night.calibrations:
        if one.why:
            out.print(plain(f"{one.domain or 'all'}: {one.why}"), soft_wrap=True)
        if against := one.report.get("contradicted"):
            out.print(plain(f"{one.domain or 'all'}, {CONTRADICTED}: {'; '.join(against)}"), soft_wrap=True)
        if one.id in recorded:
            out.print(
                plain(f"{one.domain or 'all'}: {RECORDED[recorded[one.id]]} ({one.id})"), soft_wrap=True
            )
    if night.rates:
        out.print(rates_table(night.rates))
    if recorded:
        out.print(f"verifiers: {RECORDED[rates_recorded]}")


def _tell_untold(counts: Mapping[str, Any]) -> None:
    if n_spread := counts["spread"]:
        out.print(f"{n_spread} labelled decisions of SPREAD teach nothing: {WHY_NOT_SPREAD}", soft_wrap=True)
    for of, grades in counts.get("untold", {}).items():
        out.print(plain(f"{of}, {UNTOLD}: {_counted(grades)}"), soft_wrap=True)


def _counted(grades: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {grade}" for grade, n in sorted(grades.items()))


def _status(one: NewCalibration, written: str) -> str:
    if one.why:
        return "rejected" if written else "would be rejected"
    return {"": "would pass", "held": "candidate", "active": "active"}[written]


def _as_json(one: NewCalibration, written: str, recorded: Mapping[UUID, bool | None]) -> dict[str, object]:
    found: dict[str, object] = {
        "id": str(one.id),
        "domain": one.domain or None,
        "status": _status(one, written),
        "why": one.why,
        "n_labels": one.n_labels,
        "lambda": one.thresholds.lambda_,
        "tau_margin": one.thresholds.tau_margin,
        "tau_conf": one.thresholds.tau_conf,
        "model_weights": one.model_weights,
        "drift": one.drift,
        "report": one.report,
    }
    return found | ({"as_recorded": recorded[one.id]} if one.id in recorded else {})


def calibrations_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return calibrations as they stand in their rows, one a line."""
    table = Table(
        Column("calibration", no_wrap=True),
        Column("domain", overflow="fold"),
        "status",
        "labels",
        "lambda",
        "tau margin",
        "tau conf",
        "as of",
        Column("why", overflow="fold"),
    )
    for row in rows:
        as_of = row["window_until"] or row["created_at"]
        cells = (row["n_labels"], row["lambda"], row["tau_margin"], row["tau_conf"])
        table.add_row(
            str(row["id"]),
            plain(row["domain"] or "all"),
            row["status"],
            *map(shown, cells),
            as_of.isoformat(sep=" ", timespec="minutes"),
            plain(row["why"]),
        )
    return table


def tell_one(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Tell everything of a calibration, as it stands in its row."""
    if as_json:
        print_json(row)
        return
    out.print(calibrations_table([row]))
    report = row["report"]
    table = Table("on the held-out part", "coverage", "mean size", "answered", "risk")
    for name in ("before", "after"):
        found = report.get(name) or {}
        keys = ("coverage", "mean_size", "answered_share", "selective_risk")
        table.add_row(name, *(shown(found.get(key)) for key in keys))
    out.print(table)
    facts = {
        "conformal lambda": report.get("conformal_lambda"),
        "paper's lambda*": (report.get("empirical_lambda") or {}).get("lambda_"),
        "truth among the answers": report.get("ceiling"),
        "bound on the risk": (report.get("certified") or {}).get("risk_bound"),
        "drift p": row["drift"].get("p_value"),
    }
    for name, value in facts.items():
        out.print(f"{name}: {shown(value)}")
    if against := report.get("contradicted"):
        out.print(plain(f"{CONTRADICTED}: {'; '.join(against)}"), soft_wrap=True)
    if untold := report.get("untold"):
        out.print(f"{UNTOLD}: {_counted(untold)}", soft_wrap=True)
    consensus = report.get("consensus")
    if consensus:
        out.print(plain(f"p = {consensus['p']:.3f}, rho = {consensus['rho']:.3f}: {consensus['verdict']}"))
