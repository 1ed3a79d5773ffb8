"""The audit's commands, as an auditor types them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from tests.integration.bench import Outbox, query, send
from worker.grading import grade_due
from worker.judging.protocol import Surroundings
from worker.judging.table import Judges
from worker.messages import DECIDE, GENERATE_GIVEN
from worker.stages.decide import decide
from worker.stages.desk import Desk
from worker.stages.generate import generate_given

pytestmark = pytest.mark.services

Result = Any
Run = Callable[..., Result]

FORMULA = '=HYPERLINK("http://a.example","see")'
HOSTILE = ("[bold red]x[/]", "\x1b]0;title\x07", "a,b\n;c", "+1", "@SUM(A1)", " -2+3", "＝1")


@pytest.fixture
def run(desk: Desk, tmp_path: Path) -> Run:
    assert desk.settings.database_url is not None
    environment = {
        "DATABASE_URL": desk.settings.database_url,
        "MERGEREASONER_STATE_DIR": str(tmp_path / "none"),
        "COLUMNS": "300",
    }

    def typed(*arguments: object, tenant: str = "default") -> Result:
        return CliRunner().invoke(
            app,
            ["audit", *map(str, arguments)],
            env=environment | {"MERGEREASONER_TENANT": tenant},
        )

    return typed


def qa(name: str, *answers: str, **more: Any) -> dict[str, Any]:
    return {"custom_id": name, "kind": "qa", "candidates": list(answers), "domain": "trivia"} | more


@pytest.fixture
def batch(desk: Desk, outbox: Outbox) -> str:
    lines = [
        qa("sure", *["yes"] * 8, label="yes"),
        qa("wrong", *["no"] * 8, label="yes"),
        qa("torn", *"abcdefgh", domain="letters"),
        qa("formula", *[FORMULA] * 4),
        *(qa(f"hostile-{i}", *[answer] * 3, domain="hostile") for i, answer in enumerate(HOSTILE)),
    ]
    made = send(desk, *lines)
    generate_given(desk, outbox.take(GENERATE_GIVEN))
    decide(desk, outbox.take(DECIDE))
    with Judges(Surroundings(settings=desk.settings)) as judges:
        grade_due(desk.store, judges, tenant="default")
    return str(made.batch_id)


def names(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["custom_id"] for line in result.stdout.splitlines()]


def test_decisions_are_found_by_what_they_are(run: Run, batch: str) -> None:
    assert names(run("find", "--domain", "trivia", "--json")) == ["formula", "wrong", "sure"]
    assert names(run("find", "--state", "abstained", "--json")) == ["torn"]
    assert names(run("find", "--degree", "7..9", "--margin", "..0.2", "--json")) == ["torn"]
    assert names(run("find", "--margin", "1", "--answer", " YES ", "--json")) == ["sure"]
    assert names(run("find", "--label", "wrong", "--state", "answered", "--json")) == ["wrong"]
    assert names(run("find", "--label", "right", "--batch", "last", "--json")) == ["sure"]
    assert names(run("find", "--label", "any", "--batch", batch, "--since", "1h", "--json")) == [
        "wrong",
        "sure",
    ]
    assert names(run("find", "--until", "1h", "--json")) == []
    today = datetime.now(UTC).date().isoformat()
    assert "sure" in names(
        run("find", "--since", "1d", "--until", today, "--json")
    )  # a day is meant to its end
    assert names(run("find", "--json", tenant="other")) == []


@pytest.mark.usefixtures("batch")
def test_a_page_ends_with_the_way_to_the_next(run: Run) -> None:
    first = run("find", "-n", 4, "--json")
    cursor = first.stderr.split()[-1]
    rest = run("find", "-n", 100, "--json", "--after", cursor)
    assert "more" not in rest.stderr
    assert names(first) + names(rest) == names(run("find", "--all", "--json"))
    assert run("find", "--domain", "trivia", "--after", cursor).exit_code == 2
    assert "cursor" in run("find", "--after", "'; DROP TABLE tasks; --").stderr


@pytest.mark.usefixtures("batch")
def test_a_table_shows_hostile_answers_and_obeys_none(run: Run) -> None:
    shown = run("find").stdout
    assert "[bold red]x[/]" in shown
    assert not set(shown) & set("\x1b\x07")
    assert "torn" in run("show", "torn").stdout


@pytest.mark.usefixtures("batch")
def test_a_csv_file_holds_no_formulas_and_the_json_lines_every_byte(run: Run, tmp_path: Path) -> None:
    told = run("find", "-o", tmp_path / "d.csv")
    assert told.exit_code == 0, told.output
    rows = list(csv.DictReader(io.StringIO((tmp_path / "d.csv").read_text(), newline="")))
    answers = {row["custom_id"]: row["answer"] for row in rows}
    assert answers["formula"] == "'" + FORMULA
    assert answers["sure"] == "yes"
    assert not [a for a in answers.values() if a.lstrip(" ")[:1] in {"=", "+", "-", "@", "＝"}]
    assert run("find", "-o", tmp_path / "d.jsonl").exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    exact = {line["custom_id"]: line["answer"] for line in lines}
    assert exact["formula"] == FORMULA
    assert len(lines) == len(rows) == 4 + len(HOSTILE)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert run("find", "-o", tmp_path / "no" / "d.csv").exit_code == 2
    assert (
        run("find", "-n", 2, "-o", tmp_path / "page.csv").stderr.splitlines()[-1].startswith("more: --after")
    )
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "page.csv").read_text(), newline="")))) == 2
    assert run("find", "--format", "table", "-o", tmp_path / "t.txt", "-n", 2).exit_code == 2


@pytest.mark.usefixtures("batch", "needs_pyarrow")
def test_a_parquet_file_has_the_same_columns_whatever_is_found(run: Run, tmp_path: Path) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    assert run("find", "-o", tmp_path / "d.parquet").exit_code == 0
    assert run("find", "--kind", "code", "-o", tmp_path / "none.parquet").exit_code == 0
    found, none = (parquet.read_table(tmp_path / name) for name in ("d.parquet", "none.parquet"))
    assert found.schema == none.schema
    assert (found.num_rows, none.num_rows) == (4 + len(HOSTILE), 0)
    row = next(one for one in found.to_pylist() if one["custom_id"] == "torn")
    assert row["abstained"] is True
    assert row["vote_margin"] == 0.125
    assert row["decided_at"].tzinfo is not None
    assert isinstance(row["abstain_reasons"], list)


def test_parquet_without_its_extra_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    told = run("find", "-o", tmp_path / "d.parquet")
    assert told.exit_code == 2
    assert "mergereasoner[parquet]" in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert list(tmp_path.glob("*.parquet")) == []
    assert "name a file" in run("find", "--format", "parquet").stderr


@pytest.mark.usefixtures("batch")
def test_a_query_with_a_name_is_kept_changed_and_removed_for_its_tenant(run: Run) -> None:
    assert names(run("find", "--label", "wrong", "--since", "1h", "--save", "bad [red]", "--json")) == [
        "wrong"
    ]
    assert names(run("find", "--query", "bad [red]", "--json")) == ["wrong"]
    assert names(run("find", "--query", "bad [red]", "--label", "right", "--json")) == ["sure"]
    assert names(run("find", "--query", "bad [red]", "--until", "2h", "--since", "3h", "--json")) == []
    listed = run("queries").stdout
    assert "bad [red]" in listed
    assert "--label wrong" in listed
    assert json.loads(run("queries", "--json").stdout)["filters"] == {"label": ["wrong"], "since": "1h"}
    assert "no query" in run("find", "--query", "bad [red]", tenant="other").stderr
    assert run("queries", "--remove", "bad [red]", tenant="other").exit_code == 2
    again = run("find", "--label", "right", "--query", "bad [red]", "--save", "bad [red]", "--json")
    assert names(again) == ["sure"]
    assert again.stderr == "bad [red] replaced; it was: --label wrong --since 1h\n"
    removed = run("queries", "--remove", "bad [red]")
    assert (removed.exit_code, removed.stdout, removed.stderr) == (0, "", "bad [red] removed\n")
    for told in ("saved as all", "all replaced; it was: without filters"):
        assert run("find", "--save", "all", "--json").stderr.splitlines() == [told]
    run("queries", "--remove", "all")
    assert run("queries", "--json").stdout == ""
    assert "1 to 100" in run("find", "--save", " ").stderr


WRONG = {
    ("--since", "soon"): "--since 'soon' is no time",
    ("--since", "999999w"): "lies outside the years",
    ("--margin", "a..b"): "--margin 'a..b' is no range",
    ("--margin", "0.5..0.1"): "margin",
    ("--margin", "nan.."): "margin",
    ("--degree", "-1.."): "degree",
    ("--label", "maybe"): "right, wrong",
    ("--why", "tired"): "vote_margin",
    ("--kind", "maths"): "math, code",
    ("--verdict", "coed:refuted"): "of code",
    ("--batch", "x"): "no id",
    ("--format", "xml"): "table, jsonl",
    ("--all", "--limit", "3"): "leave out one of the two",
    ("--all", "--format", "table"): "leave out --all",
    ("--json", "-o", "x.csv"): "--json says jsonl",
    ("-o", "x.txt", "--save", "x"): ".jsonl, .csv or .parquet",
    ("--since", "2026-05-02", "--until", "2026-05-01"): "nothing lies between",
}


def test_a_wrong_option_is_one_clear_line(run: Run) -> None:
    for arguments, told in WRONG.items():
        result = run("find", *arguments)
        assert result.exit_code == 2
        assert told in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_story_tells_chains_by_cluster_evidence_thresholds_and_costs(
    run: Run, desk: Desk, batch: str
) -> None:
    task = query(desk.store, "SELECT id FROM tasks WHERE custom_id = 'torn'")[0].id
    with desk.store.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO verdicts (task_id, candidate, verifier, version, outcome, reason, claim, evidence, "
                "limits, elapsed_s, attempt) VALUES (:task, 'answer:0:x', 'facts', '1', 'refuted', 'it is [red]', "
                """'{}', '{"passage": "of the \\u001b[2J handbook"}', '{}', 0.5, 1)"""
            ),
            {"task": task},
        )
    told = run("show", "torn", "--batch", batch).stdout
    for words in ("clusters", "chains", "evidence", "passage", "it is [red]", "lambda 0.3", "tau_conf 0.3"):
        assert words in told
    assert "all domains" in told
    assert "0.5 s of 1 verdicts" in told
    assert "\x1b" not in told
    costs = json.loads(run("show", str(task), "--json").stdout)["costs"]
    assert costs["verifiers_s"] == 0.5
    assert costs["elapsed_s"] > 0
    assert run("show", "torn", tenant="other").exit_code == 2
    assert run("show", str(task), tenant="other").exit_code == 2


@pytest.mark.usefixtures("batch")
def test_statistics_count_what_was_decided(run: Run, desk: Desk) -> None:
    def rows(*arguments: object, **more: Any) -> list[dict[str, Any]]:
        result = run("stats", *arguments, "--json", **more)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    with desk.store.begin() as connection:
        connection.execute(text("UPDATE tasks SET state = 'failed' WHERE custom_id = 'formula'"))
    (all_,) = rows()
    assert all_["decisions"] == 4 + len(HOSTILE)
    assert all_["failed"] == 1
    assert (all_["labelled"], all_["agreement"]) == (2, 0.5)
    by_domain = {row["value"]: row for row in rows("--by", "domain")}
    assert by_domain["letters"]["answered"] == 0
    assert sum(by_domain["letters"]["abstained_why"].values()) >= 1
    assert by_domain["letters"]["mean_degree"] == pytest.approx(8)
    assert by_domain["trivia"]["mean_set"] == 1
    assert by_domain["trivia"]["failed"] == 1
    (today,) = rows("--every", "day", "--domain", "trivia")
    assert today["period"] in {(datetime.now(UTC) - timedelta(days=i)).date().isoformat() for i in (0, 1)}
    assert today["decisions"] == 3
    assert [row["value"] for row in rows("--by", "model")] == ["given"]
    assert rows(tenant="other") == []
    assert rows("--since", "2h", "--until", "1h") == []
    assert "letters" in run("stats", "--by", "domain", "--every", "week").stdout
    assert "day, week, month" in run("stats", "--every", "year").stderr
    assert "kind, domain, model" in run("stats", "--by", "tenant").stderr


def test_an_entry_that_is_made_again_is_the_same(run: Run, desk: Desk, batch: str) -> None:
    facets = (
        "SELECT task_id, label, facets, profile, batch, calibration, answer "
        "FROM search_entries e JOIN search_profiles p ON p.id = e.profile ORDER BY task_id"
    )
    relabelled = query(desk.store, facets)
    assert {row.label for row in relabelled} == {"right", "wrong", "none"}
    n = len(relabelled)
    assert run("reindex").stdout == "0 search entries written\n"
    assert run("reindex", "--all", tenant="other").stdout == "0 search entries written\n"
    assert run("reindex", "--all").stdout == f"{n} search entries written\n"
    assert query(desk.store, facets) == relabelled
    with desk.store.begin() as connection:
        connection.execute(text("DELETE FROM search_entries"))
    assert json.loads(run("reindex", "--json").stdout) == {"n_written": n}
    assert query(desk.store, facets) == relabelled
