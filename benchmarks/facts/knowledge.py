"""DDXPlus as reference documents, and as statements and patients to check against them.

python -m benchmarks.facts.knowledge --data FOLDER > ddxplus.jsonl     makes a collection for `docs add`
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TABLE = "ddxplus/symptom_condition_probs.json"
QUESTIONS = "ddxplus/release_evidences.json"

SHARES = ((0.9, "Nearly all"), (0.7, "Most"), (0.5, "More than half of the"), (0.2, "Some"), (0.0, "Few"))
_SUBJECT = re.compile(r"^(do|did|have|are|were) you\b(?: currently,?| ever)?\s*(.*?)\?*\s*$", re.IGNORECASE)
_YOU = {"you": "they", "your": "their", "yours": "theirs", "yourself": "themselves", "you’re": "they are"}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The tables in words."""

    conditions: list[str]
    findings: list[str]
    """Each as what patients do or have: ``have a sore throat``."""

    share: NDArray[np.float64]
    """P(finding | condition), shape (conditions, findings)."""

    prior: NDArray[np.float64]

    def stated(self, condition: int, finding: int) -> str:
        """Return the sentence of the condition's document about the finding."""
        share = float(self.share[condition, finding])
        name, what = self.conditions[condition], self.findings[finding]
        if share == 0:
            return f"No patients with {name} {what}."
        quantity = next(word for least, word in SHARES if share >= least)
        return f"{quantity} patients with {name} {what} ({max(1, round(100 * share))} in 100)."

    def claimed(self, condition: int, finding: int) -> str:
        """Return the statement that the finding fits the condition."""
        return f"Patients with {self.conditions[condition]} {self.findings[finding]}."

    def documents(self, *, closed: bool) -> Iterator[tuple[str, str]]:
        """Yield each condition's name and document, most frequent findings first.

        Args:
            closed: Whether it also says of every other finding that no patient has it; handbooks don't.
        """
        for c, name in enumerate(self.conditions):
            order = np.argsort(-self.share[c], kind="stable")
            yield name, " ".join(self.stated(c, int(f)) for f in order if closed or self.share[c, f] > 0)


def phrase(question: str) -> str:
    """Return what a patient who answers yes does or has; questions of another form are quoted."""
    match = _SUBJECT.match(question)
    if match is None:
        return f'answer yes to the question "{question.strip()}"'
    verb, rest = match.group(1).lower(), match.group(2)
    words = [_YOU.get(word.lower(), word) for word in rest.split()]
    auxiliary = {"do": [], "did": ["did"], "have": ["have"], "are": ["are"], "were": ["were"]}[verb]
    return " ".join([*auxiliary, *words])


def knowledge(folder: Path) -> Knowledge:
    """Return the tables in words.

    Raises:
        FileNotFoundError: They are not in the folder.
    """
    table = json.loads((folder / TABLE).read_text(encoding="utf-8"))
    questions = json.loads((folder / QUESTIONS).read_text(encoding="utf-8"))
    conditions, codes = table["conditions"], table["symptoms"]
    plain = [
        code for code in codes if questions[code]["data_type"] == "B"
    ]  # yes or no; the rest has no one meaning
    share = np.array([[table["probabilities"][c][f] for f in plain] for c in conditions], dtype=np.float64)
    counts = np.array([table["condition_counts"][c] for c in conditions], dtype=np.float64)
    return Knowledge(
        conditions=conditions,
        findings=[phrase(questions[code]["question_en"]) for code in plain],
        share=share,
        prior=counts / counts.sum(),
    )


def folder_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, which the variable BENCHMARK_DATA stands for."""
    default = os.environ.get("BENCHMARK_DATA")
    parser.add_argument(
        "--data", type=Path, default=default, required=default is None, help="folder of the data"
    )


def main() -> None:
    """Write the collection as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder_argument(parser)
    parser.add_argument("--handbook", action="store_true", help="leave out what no patient has")
    given = parser.parse_args()
    for name, text in knowledge(given.data).documents(closed=not given.handbook):
        print(json.dumps({"id": name, "title": name, "text": text}, ensure_ascii=False))


if __name__ == "__main__":
    main()
