"""How often the facts verifier is right about DDXPlus, and where it errs: in the search or in the inference.

python -m benchmarks.facts.verdicts --data FOLDER [--model NAME]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.facts.knowledge import Knowledge, folder_argument, knowledge
from benchmarks.facts.retrieval import shown_share, wilson
from benchmarks.method.results import save
from reasoner.outcomes import Outcome
from verifiers.claims import SupportClaim
from verifiers.facts.chunking import passages_of
from verifiers.facts.conclusion import Bars
from verifiers.facts.memory import MemoryRetriever
from verifiers.facts.overlap import OverlapNli
from verifiers.facts.verifier import FactsVerifier
from verifiers.nli import NliModel, NliScores
from verifiers.passages import Passage
from worker.judging.facts import bars_of
from worker.models.nli import nli_of
from worker.settings import settings

LIKELY = 0.5  # share from which a finding fits a condition beyond doubt; one that no patient has does not
FINDINGS = 4  # of a patient, in one statement


@dataclass(frozen=True, slots=True)
class Case:
    """A statement, the truth about it, and the sentences that tell it."""

    statement: str
    is_true: bool
    told: Passage


class Remembered:
    """A model that scores each pair once, so that several bars are tried on the same scores."""

    def __init__(self, nli: NliModel) -> None:
        self._nli = nli
        self._scores: dict[tuple[str, str], NliScores] = {}
        self.name, self.revision = nli.name, nli.revision

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[NliScores]:
        """See ``NliModel``."""
        new = list(dict.fromkeys(pair for pair in pairs if pair not in self._scores))
        self._scores.update(zip(new, self._nli.score(new) if new else [], strict=True))
        return [self._scores[pair] for pair in pairs]

    def close(self) -> None:
        """See ``NliModel``."""
        self._nli.close()


def finding_cases(known: Knowledge, rng: np.random.Generator, n: int) -> list[Case]:
    """Return n statements of one finding, true and false in turn."""
    cases = []
    for i in range(n):
        c = int(rng.integers(len(known.conditions)))
        share = known.share[c]
        wanted = np.flatnonzero(share >= LIKELY) if i % 2 == 0 else np.flatnonzero(share == 0)
        cases.append(_case(known, c, [int(rng.choice(wanted))], is_true=i % 2 == 0))
    return cases


def patient_cases(known: Knowledge, rng: np.random.Generator, n: int) -> list[Case]:
    """Return n statements that a patient's findings fit a diagnosis: the true one, and any other, in turn.

    Of another condition some findings are those of no patient, so the statement is false.
    """
    cases: list[Case] = []
    while len(cases) < n:
        c = int(rng.choice(len(known.conditions), p=known.prior))
        present = np.flatnonzero(rng.random(len(known.findings)) < known.share[c])
        if len(present) < FINDINGS:
            continue
        chosen = [int(f) for f in rng.choice(present, size=FINDINGS, replace=False)]
        is_true = len(cases) % 2 == 0
        if not is_true:
            c = int(rng.choice(np.flatnonzero((known.share[:, chosen] == 0).any(axis=1))))
        cases.append(_case(known, c, chosen, is_true=is_true))
    return cases


def _case(known: Knowledge, c: int, findings: Sequence[int], *, is_true: bool) -> Case:
    name = known.conditions[c]
    return Case(
        statement=" ".join(known.claimed(c, f) for f in findings),
        is_true=is_true,
        told=Passage(document=name, ordinal=0, text=" ".join(known.stated(c, f) for f in findings)),
    )


def measured(
    verifier: FactsVerifier, cases: Sequence[Case], *, source: MemoryRetriever | None
) -> dict[str, object]:
    """Return outcomes per truth, accuracy among the decided, and how long it took, less what was scored before.

    Args:
        verifier: The one measured.
        cases: True and false ones.
        source: What is searched; ``None`` gives each case the sentences that tell it, so that only inference errs.
    """
    claims = [SupportClaim(statement=case.statement, source=source or [case.told]) for case in cases]
    start = time.perf_counter()
    verdicts = verifier.verify_many(claims, timeout_s=600)
    seconds = time.perf_counter() - start
    counts: Counter[tuple[bool, str]] = Counter(
        (case.is_true, verdict.outcome.value) for case, verdict in zip(cases, verdicts, strict=True)
    )
    right = counts[True, Outcome.CONFIRMED.value] + counts[False, Outcome.REFUTED.value]
    wrong = counts[True, Outcome.REFUTED.value] + counts[False, Outcome.CONFIRMED.value]
    return {
        "n": len(cases),
        "counts": {f"{truth} {outcome}": n for (truth, outcome), n in sorted(counts.items())},
        "decided": (right + wrong) / max(1, len(cases)),
        "accuracy of decided": right / max(1, right + wrong),
        "interval": wilson(right, right + wrong),
        "seconds": seconds,
    }


def models(name: str) -> dict[str, tuple[NliModel, Bars]]:
    """Return the model of this name at its calibrated bars and at even odds, and the baseline of shared words."""
    here = settings()
    loaded = nli_of(name, here.models_dir)
    nli = Remembered(loaded)
    return {
        "shared words": (OverlapNli(), Bars()),
        f"{name}, calibrated bars": (nli, bars_of(loaded)),
        f"{name}, bars 0.5": (nli, Bars(entails=0.5, contradicts=0.5, label="even")),
    }


def main() -> None:
    """Measure, save and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("build/facts"), help="where the numbers go")
    parser.add_argument("--model", default=settings().nli_model, help="as for MERGEREASONER_NLI_MODEL")
    parser.add_argument("--n", type=int, default=300, help="statements of one finding")
    parser.add_argument("--patients", type=int, default=100, help="statements of a patient's findings")
    given = parser.parse_args()
    known, rng = knowledge(given.data), np.random.default_rng(1)
    kinds: dict[str, list[Case]] = {
        "one finding": finding_cases(known, rng, given.n),
        "a patient": patient_cases(known, rng, given.patients),
    }
    passages = [
        one for name, text in known.documents(closed=True) for one in passages_of(name, text, title=name)
    ]
    searched = MemoryRetriever(passages)  # by words, which find these statements best: see retrieval.py
    numbers: dict[str, object] = {}
    for name, (nli, bars) in models(given.model).items():
        verifier = FactsVerifier(nli, bars=partial(replace, bars))
        for kind, cases in kinds.items():
            for where, source in (("told", None), ("searched", searched)):
                row = measured(verifier, cases, source=source)
                numbers[f"{kind}; {where}; {name}"] = row
                print(_shown(f"{kind} | {where} | {name}", row), flush=True)
    save(given.out, "verdicts", numbers)


def _shown(what: str, row: dict[str, object]) -> str:
    accuracy, interval = row["accuracy of decided"], row["interval"]
    assert isinstance(accuracy, float)
    assert isinstance(interval, tuple)
    share, took = f"{row['decided']:.3f}", f"{row['seconds']:.0f} s"
    return f"| {what} | {share} | {shown_share(accuracy, interval)} | {row['counts']} | {took} |"


if __name__ == "__main__":
    main()
