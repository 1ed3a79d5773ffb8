"""Commands that show a run of the calibration: plot and report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from cli.calibrations import parsed_id, place
from cli.console import fail, out, plain
from worker.figures import FIGURES, Format, draw
from worker.reporting import run_page
from worker.store.nights import calibrations_of_run, get_run, history, last_run

Run = Annotated[str | None, typer.Option("--run", help="A run's id; the last one when left out.")]

LISTED = "`merge-reasoner calibrate show --all --json` has it with each calibration, as run_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A run and what belongs to it."""

    run: dict[str, Any]
    rows: list[dict[str, Any]]
    histories: dict[str, list[dict[str, Any]]]


def plot(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for the figures.")] = Path(),
    form: Annotated[
        list[str] | None, typer.Option("--format", help="svg or png; both when left out.")
    ] = None,
    run: Run = None,
) -> None:
    """Draw the figures of a run: risk, coverage, reliability, set size, drift and history, for each domain.

    Needs the extra `plots` (Matplotlib).

    Example:

        merge-reasoner calibrate plot -o figures --format svg
    """
    forms: list[Format] = [one for one in ("svg", "png") if one in (form or ("svg", "png"))]
    if len(forms) < len(set(form or ())):
        raise fail("--format is svg or png")
    n = 0
    with _shown(run) as found:
        for row in found.rows:
            if "after" not in row["report"]:
                continue  # nothing could be fitted, so there is nothing to draw
            for name in FIGURES:
                for one in forms:
                    content = draw(name, row, found.histories[row["domain"]], form=one)
                    _write(output / f"{row['id']}-{name}.{one}", content)
                    n += 1
            out.print(plain(f"{row['domain'] or 'all domains'}: {row['id']}-*"), soft_wrap=True)
    out.print(plain(f"{n} figures in {output}"), soft_wrap=True)


def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("calibration.html"),
    run: Run = None,
) -> None:
    """Write a run as one HTML page: every number in tables, with figures where Matplotlib is installed.

    Example:

        merge-reasoner calibrate report -o calibration.html
    """
    with _shown(run) as found:
        _write(output, run_page(found.run, found.rows, found.histories).encode())
    out.print(plain(f"wrote {output}"), soft_wrap=True)


@contextmanager
def _shown(run: str | None) -> Iterator[_Shown]:
    with place() as (settings, store):
        tenant = settings.tenant
        id_: UUID | None = None if run is None else parsed_id(run, of="run", listed=LISTED)
        found = last_run(store, tenant=tenant) if id_ is None else get_run(store, id_, tenant=tenant)
        if found is None:
            raise fail("there is no such run; `merge-reasoner calibrate run` makes one")
        rows = calibrations_of_run(store, found["id"])
        yield _Shown(
            run=found,
            rows=rows,
            histories={
                row["domain"]: history(store, tenant=tenant, domain=row["domain"], until=found["finished_at"])
                for row in rows
            },
        )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise fail(f"cannot write {path}: {error.strerror}") from error
