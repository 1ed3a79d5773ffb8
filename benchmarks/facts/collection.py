"""How quickly a stored collection is filled and searched by words, on an embedded Postgres of its own.

python -m benchmarks.facts.collection --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.facts.knowledge import folder_argument
from benchmarks.facts.retrieval import MNLI
from benchmarks.method.results import save
from db.migrate import migrate
from db.session import connect
from worker.documents.importing import import_documents
from worker.documents.retriever import CollectionRetriever, Shelf
from worker.embedded.services import Services
from worker.submission.lines import ReferenceDocument

QUERIES = 100


def documents(premises: list[str], rng: np.random.Generator, n: int) -> Iterator[ReferenceDocument]:
    """Yield n documents of about one passage, sentences of MNLI put together at random."""
    for i in range(n):
        chosen = rng.choice(len(premises), size=5)
        yield ReferenceDocument(id=f"d{i}", text=" ".join(premises[j] for j in chosen))


def main() -> None:
    """Measure, save and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("build/facts"), help="where the numbers go")
    parser.add_argument("--documents", type=int, default=20_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = [json.loads(line) for line in (given.data / MNLI).read_text(encoding="utf-8").splitlines()]
    premises = [row["premise"] for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        services = Services(Path(folder), broker_url="redis://none")
        services.start()
        try:
            migrate(services.database_url)
            store = connect(services.database_url)
            start = time.perf_counter()
            made = documents(premises, rng, given.documents)
            done = import_documents(store, "mixed", made, tenant="t", embedder=None)
            filling_s = time.perf_counter() - start
            retriever = CollectionRetriever(store, Shelf(store), "mixed", tenant="t", embedder=None)
            took = []
            for row in rows[:QUERIES]:
                start = time.perf_counter()
                retriever.retrieve(row["hypothesis"], n=5)
                took.append(time.perf_counter() - start)
            store.dispose()
        finally:
            services.stop()
    numbers = {
        "passages": done.n_passages,
        "documents per s": given.documents / filling_s,
        "search ms, median": 1000 * statistics.median(took),
        "search ms, 95th percentile": 1000 * sorted(took)[int(0.95 * QUERIES)],
    }
    save(given.out, "collection", numbers)
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
