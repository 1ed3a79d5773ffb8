"""How often the right passage of DDXPlus is among the first k: by words, by meaning, and fused.

python -m benchmarks.facts.retrieval --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.facts.knowledge import Knowledge, folder_argument, knowledge
from benchmarks.method.results import save
from verifiers.facts.bm25 import statistics_of
from verifiers.facts.chunking import passages_of
from verifiers.facts.ranking import SentenceModel, Vectors, cosines_to, rank
from verifiers.facts.terms import terms_of
from verifiers.passages import Found, Passage
from worker.embedders.minilm import MiniLM
from worker.settings import settings

MNLI = "mnli_dev_8000.jsonl"
DEPTHS = (1, 5, 10)
SEEN = (2, 4, 8)  # findings of a patient that the query names
ORDERS: dict[str, Callable[[Found], float | None]] = {
    "BM25": lambda one: one.bm25_rank,
    "MiniLM": lambda one: one.cosine_rank,
    "fused": lambda one: -one.fused,
}
Z = 1.96


@dataclass(frozen=True, slots=True)
class Query:
    """A search, and which passages answer it."""

    text: str
    is_right: Callable[[Passage], bool]


class Index:
    """Every passage of the documents, embedded once."""

    def __init__(
        self, documents: Sequence[tuple[str, str]], model: SentenceModel, *, titled: bool = True
    ) -> None:
        self.passages = [
            one for name, text in documents for one in passages_of(name, text, title=name if titled else "")
        ]
        self._terms = [terms_of(one.content) for one in self.passages]
        self._statistics = statistics_of(self._terms)
        self._model = model
        self._vectors: Vectors = model.embed([one.content for one in self.passages])
        self.n_unread = int(np.isnan(self._vectors).any(axis=1).sum())

    def search(self, query: str) -> tuple[Found, ...]:
        """Return every passage that any ranking has, best first."""
        cosines = cosines_to(self._model.embed([query])[0], self._vectors)
        n = len(self.passages)
        return rank(query, self.passages, self._terms, self._statistics, cosines, n=n)


def wilson(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    share, half = n_right / n, Z * Z / (2 * n)
    spread = Z * math.sqrt(share * (1 - share) / n + half / (2 * n))
    return (share + half - spread) / (1 + 2 * half), (share + half + spread) / (1 + 2 * half)


def shown_share(share: float, interval: tuple[float, float]) -> str:
    """Return a share with its interval, for a table."""
    return f"{share:.3f} ({interval[0]:.2f}-{interval[1]:.2f})"


def recalls(index: Index, queries: Sequence[Query]) -> dict[str, dict[str, object]]:
    """Return, per ranking, recall at each depth with its interval."""
    hits: dict[str, list[int]] = {name: [0] * len(DEPTHS) for name in ORDERS}
    for query in queries:
        found = index.search(query.text)
        for name, key in ORDERS.items():
            ranked = sorted((one for one in found if key(one) is not None), key=lambda one: key(one) or 0)
            place = next((i for i, one in enumerate(ranked, 1) if query.is_right(one.passage)), None)
            for i, depth in enumerate(DEPTHS):
                hits[name][i] += place is not None and place <= depth
    n = len(queries)
    return {
        name: {
            f"at {depth}": {"recall": n_hit / n, "interval": wilson(n_hit, n)}
            for depth, n_hit in zip(DEPTHS, found_at, strict=True)
        }
        for name, found_at in hits.items()
    }


def finding_queries(known: Knowledge, rng: np.random.Generator, n: int) -> list[Query]:
    """Return statements of one finding of one condition; right is the passage that speaks of both."""
    queries = []
    for _ in range(n):
        c = int(rng.integers(len(known.conditions)))
        f = int(rng.integers(len(known.findings)))
        if rng.random() < 0.5:
            f = int(rng.choice(np.flatnonzero(known.share[c] > 0)))  # as often one that patients have
        queries.append(_finding_query(known, c, f))
    return queries


def _finding_query(known: Knowledge, c: int, f: int) -> Query:
    name, sentence = known.conditions[c], known.stated(c, f)
    return Query(known.claimed(c, f), lambda passage: passage.document == name and sentence in passage.text)


def patient_queries(known: Knowledge, rng: np.random.Generator, n: int, seen: int) -> list[Query]:
    """Return findings of simulated patients without the diagnosis; right is any passage of their condition."""
    queries: list[Query] = []
    while len(queries) < n:
        c = int(rng.choice(len(known.conditions), p=known.prior))
        present = np.flatnonzero(rng.random(len(known.findings)) < known.share[c])
        if len(present) < seen:
            continue
        chosen = rng.choice(present, size=seen, replace=False)
        queries.append(_patient_query(known, c, [int(f) for f in chosen]))
    return queries


def _patient_query(known: Knowledge, c: int, findings: Sequence[int]) -> Query:
    text = "The patients " + ", and ".join(known.findings[f] for f in findings) + "."
    return Query(text, lambda passage: passage.document == known.conditions[c])


def paraphrases(folder: Path, rng: np.random.Generator, n: int) -> tuple[list[tuple[str, str]], list[Query]]:
    """Return premises of MNLI as documents, and n hypotheses that one of them entails, which are people's own words."""
    rows = [json.loads(line) for line in (folder / MNLI).read_text(encoding="utf-8").splitlines()]
    chosen = [rows[i] for i in rng.choice(len(rows), size=4 * n, replace=False)]
    premises = sorted({row["premise"] for row in chosen})
    name_of = {premise: str(i) for i, premise in enumerate(premises)}
    pairs = [(row["hypothesis"], name_of[row["premise"]]) for row in chosen if row["label"] == "entailment"]
    queries = [_named_query(text, name) for text, name in pairs[:n]]
    return [(name, premise) for premise, name in name_of.items()], queries


def _named_query(text: str, name: str) -> Query:
    return Query(text, lambda passage: passage.document == name)


def main() -> None:
    """Measure and save the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("build/facts"), help="where the numbers go")
    parser.add_argument("--queries", type=int, default=400, help="of each kind")
    given = parser.parse_args()
    known, rng = knowledge(given.data), np.random.default_rng(0)
    model = MiniLM.load(settings().models_dir)
    numbers: dict[str, object] = {"queries": given.queries}
    closed = Index(list(known.documents(closed=True)), model)
    numbers["one finding"] = {
        "passages": len(closed.passages),
        "not embedded": closed.n_unread,
        **recalls(closed, finding_queries(known, rng, given.queries)),
    }
    premises, queries = paraphrases(given.data, rng, given.queries)
    mixed = Index(premises, model, titled=False)
    numbers["a paraphrase (MNLI)"] = {
        "passages": len(mixed.passages),
        "not embedded": mixed.n_unread,
        **recalls(mixed, queries),
    }
    handbook = Index(list(known.documents(closed=False)), model)
    for seen in SEEN:
        numbers[f"a patient's {seen} findings"] = {
            "passages": len(handbook.passages),
            "not embedded": handbook.n_unread,
            **recalls(handbook, patient_queries(known, rng, given.queries, seen)),
        }
    save(given.out, "retrieval", numbers)
    for task, row in numbers.items():
        if isinstance(row, dict):
            print(_shown(task, row))


def _shown(task: str, row: dict[str, object]) -> str:
    lines = [f"\n{task} ({row['passages']} passages)\n", "| | recall@1 | @5 | @10 |", "|---|---|---|---|"]
    for name in ORDERS:
        found = row[name]
        assert isinstance(found, dict)
        cells = [shown_share(found[f"at {k}"]["recall"], found[f"at {k}"]["interval"]) for k in DEPTHS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
