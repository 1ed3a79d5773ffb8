"""The page of a run: every number in tables, figures where they can be drawn, in one HTML file that needs no other.

Domains come from task lines, so everything is escaped; the page has no script and fetches nothing.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.errors import PlotsUnavailableError
from worker.figures import FIGURES, draw

Row = Mapping[str, Any]

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; }
th, td { border: 1px solid #ccc; padding: .2rem .5rem; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
.rejected { color: #a00; } .active { color: #060; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } .figures svg { max-width: 33rem; height: auto; }
"""

PERFORMANCE = ("coverage", "mean_size", "answered_share", "selective_risk")


def run_page(run: Row, rows: Sequence[Row], histories: Mapping[str, Sequence[Row]]) -> str:
    """Return the page of a run.

    Args:
        run: Its row.
        rows: Its calibrations.
        histories: Per domain, what came into force, oldest first.
    """
    body = [
        f"<h1>Calibration as of {_text(run['as_of'])}</h1>",
        _table(("what", "value"), [*run["policy"].items(), *run["counts"].items()]),
        _table(
            ("domain", "status", "labels", "lambda", "tau_margin", "tau_conf", "why"),
            [
                (
                    row["domain"] or "all",
                    row["status"],
                    *(row[name] for name in ("n_labels", "lambda", "tau_margin", "tau_conf", "why")),
                )
                for row in rows
            ],
        ),
        *(_section(row, histories.get(row["domain"], [])) for row in rows),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Calibration</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _section(row: Row, history: Sequence[Row]) -> str:
    report = row["report"]
    parts = [
        f"<h2>{_text(row['domain'] or 'all domains')}</h2>",
        f'<p>{_text(row["id"])}: <b class="{_text(row["status"])}">{_text(row["status"])}</b> {_text(row["why"])}</p>',
        _performance(report),
        _promises(row),
        _table(
            ("drift test", "p", "older half", "newer half"),
            [(t["what"], t["p_value"], t["older"], t["newer"]) for t in row["drift"].get("tests", [])],
        ),
        _table(
            ("confidence from", "to", "tasks", "stated", "accuracy"),
            [
                (b["low"], b["high"], b["n"], b["confidence"], b["accuracy"])
                for b in report.get("reliability", [])
            ],
        ),
        _table(
            ("alpha", "lambda", "coverage", "mean size"),
            [(t["alpha"], t["lambda_"], t["coverage"], t["mean_size"]) for t in report.get("targets", [])],
        ),
        _weights(row["model_weights"]),
        _figures(row, history),
    ]
    return "\n".join(part for part in parts if part)


def _performance(report: Row) -> str:
    if "after" not in report:
        return ""
    rows = []
    for name, told in (("before", "thresholds in force"), ("after", "candidate")):
        found = report[name]
        rows.append((told, *(found[key] for key in PERFORMANCE), found["risk_interval"]))
    head = ("on the held-out part", "coverage", "mean size", "answered", "risk", "risk, 95 %")
    return _table(head, rows)


def _promises(row: Row) -> str:
    report = row["report"]
    certified, empirical = report.get("certified") or {}, report.get("empirical_lambda") or {}
    consensus = report.get("consensus") or {}
    facts = {
        "tasks fitted on": report.get("n_fit"),
        "tasks held out": report.get("n_held_out"),
        "tasks for the models' weights": report.get("n_for_weights"),
        "labels left out": report.get("left_out"),
        "neither right nor wrong by their labels, counted as wrong": report.get("untold"),
        "against what was in force": "; ".join(report.get("contradicted", [])) or None,
        "truth among the answers (ceiling)": report.get("ceiling"),
        "conformal lambda": report.get("conformal_lambda"),
        "paper's lambda*": empirical.get("lambda_"),
        "certified: errors of answered": f"{certified['n_errors']} of {certified['n_answered']}"
        if certified
        else None,
        "certified: upper bound on the risk": certified.get("risk_bound"),
        "expected calibration error": report.get("calibration_error"),
        "p, a chain is right": consensus.get("p"),
        "rho, two chains err alike": consensus.get("rho"),
        "majority": consensus.get("verdict"),
    }
    return _table(("what", "value"), facts.items())


def _weights(found: Row) -> str:
    weights = (found.get("fitted") or {}).get("weights") or {}
    return _table(("model", "weight in nats"), sorted(weights.items()))


def _figures(row: Row, history: Sequence[Row]) -> str:
    if "after" not in row["report"]:
        return ""
    try:
        drawn = [draw(name, row, history, form="svg").decode() for name in FIGURES]
    except PlotsUnavailableError as error:
        return f"<p>No figures: {_text(error)}</p>"
    return '<div class="figures">' + "".join(svg[svg.index("<svg") :] for svg in drawn) + "</div>"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    if not cells:
        return ""
    return "<table><tr>" + "".join(f"<th>{_text(name)}</th>" for name in head) + f"</tr>{cells}</table>"


def _listed(found: Mapping[str, Any]) -> str:
    """Return counts as text, ``2 unknown``, and those of domains as ``qa: 2 unknown``."""
    return "; ".join(
        f"{name}: {_listed(of)}" if isinstance(of, Mapping) else f"{of} {name}" for name, of in found.items()
    )


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        value = _listed(value) or None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (
            f'<td class="n">{value:.4g}</td>' if isinstance(value, float) else f'<td class="n">{value}</td>'
        )
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, float) for one in value):
        return '<td class="n">' + " to ".join(f"{one:.3f}" for one in value) + "</td>"
    return f"<td>{'-' if value is None else _text(value)}</td>"


def _text(value: object) -> str:
    return html.escape(str(value))
