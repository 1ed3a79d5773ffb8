"""Commands about the weights on this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.console import Exit, err, out, print_json, told
from worker.models import check_model, list_models, pull_model
from worker.settings import Settings

models = typer.Typer(help="Weights: which are known, which are here, fetching them.", no_args_is_help=True)
