"""Commands about the weights on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from cli.console import JsonFlag, err, out, print_json, tell, told
from worker.benching import measure_speed
from worker.errors import ModelFetchError
from worker.generation import loads_a_file, open_engine
from worker.models.catalogue import find_model, is_known
from worker.models.progress import Progress, Reporter
from worker.models.shelf import check_model, list_models, locate, pull_model
from worker.settings import Settings

models = typer.Typer(help="Weights: which are known, which are here, fetching them.", no_args_is_help=True)

LINE_EVERY_S = 10.0  # where there is no terminal to redraw

Name = Annotated[str, typer.Argument(help="A known model's name; `merge-reasoner models list` shows them.")]


@models.callback()
def _models() -> None:
    """Weights: which are known, which are here, fetching them."""


@models.command("list")
def list_command(as_json: JsonFlag = False) -> None:
    """Show the known models and which of them are on this machine.

    Example:

        merge-reasoner models list
    """
    with told():
        found = list_models(_models_dir())
    if as_json:
        for one in found:
            print_json(
                {
                    "name": one.model.name,
                    "bytes": one.model.n_bytes,
                    "sha256": one.model.sha256,
                    "licence": one.model.licence,
                    "path": None if one.path is None else str(one.path),
                }
            )
        return
    table = Table("model", "size", "here")
    for column in ("licence", "for"):
        table.add_column(column, overflow="fold")
    for one in found:
        model = one.model
        size = f"{model.n_bytes / 1e6:.0f} MB"
        table.add_row(model.name, size, "yes" if one.path else "-", model.licence, model.summary)
    out.print(table)
    out.print(f"files: {_models_dir()}", soft_wrap=True)


@models.command()
def pull(
    name: Annotated[
        str | None,
        typer.Argument(help="A known model's name; left out, what the engine of the settings loads."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Fetch a model, checked by its sha256; what has come stays when this is interrupted.

    Examples:

        merge-reasoner models pull qwen2.5-coder-0.5b

        MERGEREASONER_ENGINE=llamacpp merge-reasoner models pull
    """
    with told():
        settings = Settings.from_env(os.environ)
        if name is None and not loads_a_file(settings):
            tell(as_json, f"the engine {settings.engine} loads no file of ours", name=None, path=None)
            return
        name = name or settings.model
        path = ensure_model(name, settings.models_dir, verify=False)
        licence = find_model(name).licence if is_known(name) else None
    if as_json:
        print_json({"name": name, "path": str(path), "licence": licence})
        return
    if licence:
        err.print(f"· {licence}")
    out.print(str(path), soft_wrap=True)


@models.command()
def check(name: Name, as_json: JsonFlag = False) -> None:
    """Read all of a model's file and compare its sha256.

    Example:

        merge-reasoner models check qwen2.5-coder-0.5b
    """
    with told(), told_progress() as report:
        path = check_model(name, _models_dir(), progress=report)
    if as_json:
        print_json({"name": name, "path": str(path), "ok": True})
    else:
        out.print(f"{path} is what was promised", soft_wrap=True)


@models.command()
def bench(
    name: Annotated[
        str | None, typer.Argument(help="A model as in MERGEREASONER_MODEL; the settings' own when left out.")
    ] = None,
    chains: Annotated[int, typer.Option(help="How many at once.", min=1, max=256)] = 8,
    max_tokens: Annotated[int, typer.Option(help="Of each chain.", min=1, max=4096)] = 64,
    as_json: JsonFlag = False,
) -> None:
    """Load a model in the engine of the settings and tell how many tokens a second it samples here.

    Example:

        merge-reasoner models bench qwen2.5-coder-0.5b --chains 8
    """
    with told():
        settings = Settings.from_env(os.environ)
        settings = replace(settings, model=name or settings.model, pool_file=None)
        began = time.monotonic()
        with closing(open_engine(settings, os.environ)) as engine:
            loaded_s = time.monotonic() - began
            speed = measure_speed(engine, n_chains=chains, max_tokens=max_tokens)
    found = {
        "engine": settings.engine,
        "model": settings.model,
        "load_s": round(loaded_s, 2),
        **speed.to_json(),
    }
    if as_json:
        print_json(found)
        return
    out.print(
        f"{settings.model} in {settings.engine}: {speed.tokens_per_s:.1f} tokens/s with {chains} chains at once, "
        f"{speed.alone_tokens_per_s:.1f} with one; loaded in {loaded_s:.1f} s",
        soft_wrap=True,
    )


def ensure_model(name_or_path: str, models_dir: Path, *, verify: bool = True) -> Path:
    """Return a model's file, fetched first if it is a known one that is not here, showing progress.

    Raises:
        ModelFetchError: It cannot be had.
    """
    if not is_known(name_or_path):
        return locate(name_or_path, models_dir)
    if verify:
        try:
            return locate(name_or_path, models_dir)
        except ModelFetchError:
            err.print(f"· the model {name_or_path} is not here yet")
    with told_progress() as report:
        return pull_model(name_or_path, models_dir, progress=report)


@contextmanager
def told_progress() -> Iterator[Reporter]:
    """Show a bar on a terminal, and a line now and then elsewhere."""
    bars = Bars(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn(), console=err
    )
    bars.disable = not err.is_terminal
    shown: list[TaskID] = []
    next_line_at = 0.0

    def report(progress: Progress) -> None:
        nonlocal next_line_at
        if not shown:
            shown.append(bars.add_task("", total=progress.total_bytes))
        bars.update(shown[0], description=progress.step, completed=progress.done_bytes)
        if bars.disable and time.monotonic() >= next_line_at:
            err.print(
                f"· {progress.step}: {progress.done_bytes / 1e6:.0f} of {progress.total_bytes / 1e6:.0f} MB"
            )
            next_line_at = time.monotonic() + LINE_EVERY_S

    with bars:
        yield report


def _models_dir() -> Path:
    return Settings.from_env(os.environ).models_dir
