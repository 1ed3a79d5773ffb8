"""Break the method on purpose, one line at a time, and say which test noticed.

python -m benchmarks.method.mutants --out build/method
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.method.results import save

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one line."""

    module: str
    before: str
    after: str
    what: str


MUTANTS = [
    Mutant("sets", "posterior[i] >= lambda_)", "posterior[i] > lambda_)", "threshold set: >= to >"),
    Mutant("sets", "(-posterior[i], i)", "(-posterior[i], -i)", "sets: ties to the higher position"),
    Mutant("sets", "key=lambda i: (-posterior[i], i)", "key=lambda i: -i", "sets: no order by posterior"),
    Mutant("sets", "if posterior[i] > 0.0)[:k]", "if posterior[i] >= 0.0)[:k]", "top-k: zero mass stays"),
    Mutant("sets", "if posterior[i] > 0.0)[:k]", "if posterior[i] > 0.0)[: k + 1]", "top-k: one more"),
    Mutant("sets", ">= alpha - ROUNDING or", "> alpha + ROUNDING or", "coverage: >= to >"),
    Mutant("sets", ">= alpha - ROUNDING or", ">= alpha or", "coverage: no allowance for rounding"),
    Mutant("sets", "or posterior[i] == 0.0:", "or False:", "coverage: zero mass enters"),
    Mutant("risk", "+ lambda_ * len(set(chosen))", "", "R_lambda without its size"),
    Mutant(
        "degree", "sum(n * (n - 1) for n in sizes)", "sum(n * n for n in sizes)", "Simpson: n(n-1) to n^2"
    ),
    Mutant("degree", "total * (total - 1) / pairs", "total * total / pairs", "Simpson: k'(k'-1) to k'^2"),
    Mutant("degree", "p / total * math.log(p / total)", "p * math.log(p)", "entropy not renormalised"),
    Mutant(
        "masses", "return chain.logprob / chain.n_tokens", "return chain.logprob", "l not divided by length"
    ),
    Mutant("masses", "if logprob > 0:", "if logprob > 1:", "a positive logprob accepted"),
    Mutant("masses", "chain.n_tokens <= 0:", "chain.n_tokens < 0:", "zero tokens accepted"),
    Mutant(
        "masses",
        "if chain.answer is not None\n    )",
        "\n    )",
        "a silent chain without logprob forces votes",
    ),
    Mutant("masses", "if not known:", "if False:", "missing logprobs count 0 beside known ones"),
    Mutant(
        "clusters",
        "-one.score, -one.log_mass, -one.best_l, one",
        "-one.score, one",
        "rank: no tie-break by l",
    ),
    Mutant(
        "clusters",
        "-one.best_l, one.positions[0])",
        "-one.best_l, -one.positions[0])",
        "rank: higher index wins",
    ),
    Mutant(
        "clusters",
        "(one.standing.refuted, -one.score",
        "(False, -one.score",
        "refuted clusters stay in front",
    ),
    Mutant("clusters", "(-len(at), -max(", "(len(at), -max(", "representative: the minority"),
    Mutant(
        "clusters",
        "(-len(at), -max(mean_logprobs[i] for i in at), at[0])",
        "(-len(at), at[0])",
        "wording: no tie by l",
    ),
    Mutant(
        "clusters",
        "-max(mean_logprobs[i] for i in at), at[0])",
        "-max(mean_logprobs[i] for i in at), -at[0])",
        "wording: higher index",
    ),
    Mutant("clusters", "confirmed or forms", "forms", "an unjudged wording before a confirmed one"),
    Mutant(
        "clusters",
        'score=log_mass if mode == "merge" else math.exp(best_l)',
        "score=log_mass",
        "SPREAD scored as MERGE",
    ),
    Mutant("deciding", "if chain.answer is None]", "if False]", "unanswered mass dropped"),
    Mutant(
        "deciding",
        "for i in one.positions) / total for one",
        "for i in one.positions) for one",
        "posterior not normalised",
    ),
    Mutant(
        "deciding",
        "for one in bundles if not one.standing.refuted for i",
        "for one in bundles for i",
        "no renormalisation after a refutation",
    ),
    Mutant(
        "deciding",
        "best.size / len(weighed.chains)",
        "best.size / max(1, len(weighed.answered))",
        "vote margin: k to k'",
    ),
    Mutant(
        "deciding",
        "cluster.size for cluster in clusters[:n_live]",
        "cluster.size for cluster in clusters",
        "merge degree counts the refuted",
    ),
    Mutant("deciding", "score > thresholds.tau_score", "score >= thresholds.tau_score", "tau_score: > to >="),
    Mutant(
        "deciding",
        "posterior[0] - max(posterior[1:n_live], default=0.0)",
        "posterior[0]",
        "runner-up gap without runner-up",
    ),
    Mutant(
        "deciding",
        'best.posterior if rules.mode == "merge" else best.score',
        "best.score",
        "tau_conf on the raw score",
    ),
    Mutant("deciding", "if i != 0", "if True", "the answer among its alternatives"),
    Mutant(
        "abstention",
        "vote_margin < thresholds.tau_margin",
        "vote_margin <= thresholds.tau_margin",
        "tau_margin: < to <=",
    ),
    Mutant(
        "abstention",
        "confidence < thresholds.tau_conf",
        "confidence <= thresholds.tau_conf",
        "tau_conf: < to <=",
    ),
    Mutant("abstention", 'rules.mode == "merge" and', "", "SPREAD abstains for its vote margin"),
    Mutant("abstention", "< rules.min_confirmations", "<= rules.min_confirmations", "one confirmation more"),
    Mutant("abstention", "if best.disputed:", "if False:", "a dispute is overlooked"),
    Mutant("abstention", "len(kinds) < 2", "len(kinds) < 1", "one kind is heterogeneous"),
    Mutant("standings", "and j.kind not in refuting]", "]", "confirmations outlive their kind's refutation"),
    Mutant(
        "standings",
        "bool(self.refuting_kinds) and not self.confirming_kinds",
        "bool(self.refuting_kinds)",
        "a dispute refutes",
    ),
    Mutant("standings", "if refuting[form] & confirming]", "if False]", "a contested cluster stays whole"),
    Mutant(
        "equivalence",
        "is True for other in group):\n                joined",
        "is not False for other in group):\n                joined",
        "cannot tell merges",
    ),
    Mutant(
        "equivalence",
        "if left < right else (right, left)",
        "if True else (right, left)",
        "asked in any order",
    ),
    Mutant(
        "equivalence", "2 * n > alive[i] * alive[j]", "2 * n >= alive[i] * alive[j]", "guard: half is enough"
    ),
    Mutant(
        "equivalence",
        "agreeing[min(i, other), max(i, other)] += moved",
        "pass",
        "guard: joins forget their pairs",
    ),
    Mutant(
        "equivalence", "if all(same(form, other)", "if any(same(form, other)", "complete linkage by one pair"
    ),
    Mutant("spread", "(i < rest)", "(i >= len(TEMPERATURES) - rest)", "remainder to the higher temperatures"),
    Mutant(
        "early_exit",
        "4 * best.size >= 3 * len(chains)",
        "4 * best.size > 3 * len(chains)",
        "paper: 75 % exclusive",
    ),
    Mutant("early_exit", "and not decision.abstain", "", "paper: stops although it would abstain"),
    Mutant(
        "early_exit",
        "if len(chains) < MIN_PAPER:",
        "if len(chains) < MIN_PAPER - 1:",
        "paper: three chains are enough",
    ),
    Mutant(
        "early_exit",
        "> tally.rivals + tally.unseen + CLEARANCE",
        "> tally.unseen + CLEARANCE",
        "lossless: seen rivals forgotten",
    ),
    Mutant(
        "early_exit",
        "> tally.rivals + tally.unseen + CLEARANCE",
        "> tally.rivals + CLEARANCE",
        "lossless: unseen chains forgotten",
    ),
    Mutant("early_exit", "first > second + remaining and", "", "lossless: the wording may change"),
    Mutant(
        "early_exit", "[mean_logprobs, [0.0] * len(chains)]", "[mean_logprobs]", "lossless: votes cannot come"
    ),
    Mutant(
        "early_exit",
        "max(1.0, *model_weights.values()) if model_weights else 1.0",
        "1.0",
        "lossless: heavy models forgotten",
    ),
    Mutant(
        "early_exit",
        "lowest = tally.leader / (tally.total + tally.unseen)",
        "lowest = tally.leader / tally.total",
        "lossless: confidence now, not at the end",
    ),
    Mutant(
        "early_exit",
        "len(flags) == 1 and None not in flags",
        "None not in flags",
        "lossless: ways of weighing may differ",
    ),
    Mutant(
        "early_exit", "not verified and is_settled(", "is_settled(", "lossless: stops before verifiers speak"
    ),
    Mutant("early_exit", 'rules.mode == "spread" or not chains', "not chains", "SPREAD stops early"),
    Mutant("bounds", "for i in range(n // 2 + 1)", "for i in range((n + 1) // 2)", "a tie is no error"),
    Mutant("bounds", "helps = p > 0.5", "helps = p >= 0.5", "merging helps at one half"),
    Mutant("bounds", "-2 * n_effective * edge", "-4 * n_effective * edge", "Hoeffding twice as sharp"),
    Mutant("bounds", "max(0.0, rho))", "rho)", "negative correlation earns chains"),
    Mutant("calibration", "(len(scores) + 1) * alpha", "len(scores) * alpha", "conformal without its + 1"),
    Mutant("calibration", "(masses, lambdas)", "(masses, lambdas, 'right')", "curve: >= to >"),
    Mutant("calibration", "self.coverage >= alpha)", "self.coverage > alpha)", "empirical lambda: >= to >"),
    Mutant("selective", "level = carried + (", "level = delta * carried + (", "no level is handed on"),
    Mutant("selective", "d.answerable and ", "", "what is never answered counts"),
    Mutant("drift", "min(1.0, N_TESTS * ", "min(1.0, ", "three tests at the price of one"),
    Mutant("consensus", "if probability > tau_min:", "if probability >= tau_min:", "merge operator: > to >="),
    Mutant(
        "proper_scores",
        "posterior[truth] / length if",
        "posterior[truth] if",
        "spherical score not normalised",
    ),
    Mutant("fitted", "-= strengths[0] / n_models", "-= 0.0", "weights drawn to 0, not to equal"),
    Mutant(
        "fitted",
        "WEAK * np.eye(len(strengths))",
        "1e-9 * np.eye(len(strengths))",
        "few labels make certainty",
    ),
    Mutant("fitted", "@ weighted - means.T @ means", "@ weighted", "Hessian without the means"),
    Mutant(
        "fitted",
        "len(task.supports) if task.right is None",
        "0 if task.right is None",
        "none right counts as the first",
    ),
    Mutant(
        "relations", "if numbers_in(left) != numbers_in(right):", "if False:", "embedding: numbers ignored"
    ),
    Mutant("relations", "cosine >= self._least", "cosine > self._least", "embedding: >= to >"),
    Mutant("relations", "if back is False:", "if False:", "entailment in one direction"),
    Mutant(
        "model_weights", "prior_labels * pooled", "0.0 * pooled", "log-odds shrunk towards 0, not the pool"
    ),
    Mutant("normal_forms", '.replace(",", "")', "", "thousands commas kept"),
    Mutant(
        "fitted_decision", "unanswered=1.0 - sum(posterior)", "unanswered=0.0", "fitted: no chance of none"
    ),
    Mutant("fitted_decision", "n / sampled[model]", "1.0", "fitted: chains counted whole"),
    Mutant(
        "fitted_decision",
        "(one.standing.refuted, -utility",
        "(False, -utility",
        "fitted: the refuted stay in front",
    ),
]


def run(mutant: Mutant, folder: Path) -> str:
    """Return the first test that fails on the mutant, ``survived`` if none does.

    Raises:
        ValueError: The line to change is not there exactly once.
    """
    module = folder / "reasoner" / f"{mutant.module}.py"
    source = module.read_text(encoding="utf-8")
    if source.count(mutant.before) != 1:
        raise ValueError(f"{mutant.module}: {mutant.before!r} occurs {source.count(mutant.before)} times")
    module.write_text(source.replace(mutant.before, mutant.after), encoding="utf-8")
    tests = ["tests/unit/reasoner/" + name for name in ordered_tests(folder, mutant.module)]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    module.write_text(source, encoding="utf-8")
    found = re.search(r"^(?:FAILED|ERROR) \S+/test_\w+\.py(?:::(\w+))?", done.stdout, re.MULTILINE)
    if done.returncode == 0:
        return "survived"
    return found.group(1) or "collection" if found else "no test result"


def ordered_tests(folder: Path, module: str) -> list[str]:
    """Return the test files, the one named after the module first."""
    names = sorted(path.name for path in (folder / "tests/unit/reasoner").glob("test_*.py"))
    return sorted(names, key=lambda name: name != f"test_{module}.py")


def kept(out: Path, rerun: list[str]) -> list[dict[str, str]]:
    """Return the earlier results of modules that are not run again."""
    path = out / "mutants.json"
    if not rerun or not path.exists():
        return []
    rows: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))["mutants"]
    return [row for row in rows if row["module"] not in rerun]


def main() -> None:
    """Run every mutant in a copy of the project and save who killed it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/method"))
    parser.add_argument("--only", nargs="*", default=[], help="mutants of these modules; keep other results")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not given.only or mutant.module in given.only]
    rows = kept(given.out, given.only)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("reasoner", "tests/unit/reasoner", "tests/data/method"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for mutant in chosen:
            killer = run(mutant, folder)
            print(f"{mutant.module:14} {mutant.what:50} {killer}", flush=True)
            rows.append({"module": mutant.module, "mutant": mutant.what, "killed by": killer})
    rows.sort(key=lambda row: [mutant.what for mutant in MUTANTS].index(row["mutant"]))
    save(given.out, "mutants", {"mutants": rows, "survived": sum(r["killed by"] == "survived" for r in rows)})


if __name__ == "__main__":
    main()
