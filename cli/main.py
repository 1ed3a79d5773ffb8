"""The command `merge-reasoner`."""

from __future__ import annotations

import sys

import typer

from cli.audit import audit
from cli.batches import cancel, results_command, status, submit
from cli.calibrate import calibrate
from cli.console import Exit
from cli.database import db
from cli.dead import dead, retry_command
from cli.demo import demo
from cli.docs import docs
from cli.label import label
from cli.ledger import export_command, import_command
from cli.merge import merge
from cli.models import models
from cli.nli import calibrate_nli, pull_nli_command, train_nli
from cli.pool import pool
from cli.seals import proof_command, redact_command, seal_command, verify_command
from cli.services import down, health, migrate_command, up, worker
from cli.traffic import limit, queue
from cli.verify import verify

app = typer.Typer(
    name="merge-reasoner",
    help=(
        "Samples reasoning chains, lets independent verifiers try to refute them, merges what is left, and "
        "answers or abstains."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(up)
app.command()(down)
app.command()(submit)
app.command()(status)
app.command("results")(results_command)
app.command()(cancel)
app.command("retry")(retry_command)
app.command()(label)
app.command()(merge)
app.command()(worker)
app.command()(health)
app.command("migrate")(migrate_command)
app.add_typer(db, name="db")
app.add_typer(verify, name="verify")
audit.command("export")(export_command)
audit.command("import")(import_command)
audit.command("seal")(seal_command)
audit.command("verify")(verify_command)
audit.command("proof")(proof_command)
audit.command("redact")(redact_command)
app.add_typer(audit, name="audit")
app.add_typer(docs, name="docs")
app.add_typer(queue, name="queue")
app.add_typer(limit, name="limit")
app.add_typer(dead, name="dead")
app.add_typer(calibrate, name="calibrate")
models.command("pull-nli")(pull_nli_command)
models.command()(train_nli)
models.command()(calibrate_nli)
app.add_typer(models, name="models")
app.add_typer(pool, name="pool")


def main() -> None:
    """Run the command line."""
    if sys.stdout is None:  # closed by whoever started us: there is nowhere to answer to
        sys.stderr.write("error: standard output is closed; redirect it to /dev/null to throw it away\n")
        sys.exit(Exit.USAGE)
    app()


if __name__ == "__main__":
    main()
