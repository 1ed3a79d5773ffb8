"""The process that trains: each request runs some steps and is answered with how far it is."""

from __future__ import annotations

import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from verifiers.entailment.network.training import train
from verifiers.entailment.rows import read_rows
from verifiers.entailment.serving import Answer, serve

STEPS = 10  # between two answers


def main() -> None:
    """Serve; arguments: the encoder's folder, the file of rows to learn from, the new folder, epochs."""
    base, rows, out, n_epochs = sys.argv[1:]

    def start() -> tuple[dict[str, Any], Answer]:
        steps = train(Path(base), read_rows(Path(rows)), Path(out), n_epochs=int(n_epochs))

        def answer(_request: dict[str, Any]) -> dict[str, Any]:
            some = list(islice(steps, STEPS))
            return {"step": asdict(some[-1])} if some else {"done": True}

        return {}, answer

    serve(start)


if __name__ == "__main__":
    main()
