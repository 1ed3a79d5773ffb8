"""Put the measured numbers into docs/method.md, between its markers.

    python -m benchmarks.method.page

Each table stands between ``<!-- name -->`` and ``<!-- end -->``; everything between them is replaced.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.pages import Render, fill, table

PAGE = Path(__file__).parents[2] / "docs" / "method.md"

Numbers = dict[str, Any]


def f3(value: float) -> str:
    """Return three decimals without a minus zero."""
    return f"{value + 0.0:.3f}"


def methods(of: Numbers) -> str:
    """Return the table of ways to merge four models."""
    rows = []
    for one in of["methods"]:
        gain = one["against best single"]
        rows.append(
            [
                one["method"],
                f"{one['accuracy']:.4f}",
                f"{one['low']:.3f} to {one['high']:.3f}",
                *(f3(one[f"at {share}"]) for share in ("50%", "70%", "90%")),
                f3(one["aurc"]),
                f"{gain['gain']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})",
                f"{gain['won']} : {gain['lost']}, p = {gain['p']:.2f}",
            ]
        )
    head = ["method", "accuracy", "95 % (Wilson)", "at 50 %", "at 70 %", "at 90 %", "AURC"]
    return table([*head, "against best single (bootstrap 95 %)", "won : lost, McNemar one-sided"], rows)


def facts(of: Numbers) -> str:
    """Return the sentences about folds and ceiling."""
    lines = [
        f"{of['rows']} problems, {of['folds']} folds (row modulo {of['folds']}). Any model right (ceiling): "
        f"{of['ceiling']:.4f}."
    ]
    lines += [
        f"Folded otherwise ({one['ways']} random ways, {one['folds']} folds), the fitted merge's gain over the best "
        f"single model is {one['mean']:+.4f} on average, {one['min']:+.4f} at worst and {one['max']:+.4f} at best."
        for one in of["other folds"]
    ]
    found = of["measured"]
    lines.append(
        f"Measured p = {f3(found['p'])}, rho = {f3(found['rho'])} over all chains: {found['verdict']}."
    )
    return "\n".join(lines)


def reliability(of: Numbers) -> str:
    """Return stated against observed accuracy of the fitted merge."""
    rows = [[one["n"], f3(one["confidence"]), f3(one["accuracy"])] for one in of["reliability"]]
    return table(["problems", "stated confidence", "accuracy"], rows)


def pool(of: Numbers) -> str:
    """Return accuracy by agreement, and the best subsets."""
    report = of["pool"]
    rows = [[one["models_agreeing"], one["n_tasks"], f3(one["accuracy"])] for one in report["levels"]]
    subsets = [[", ".join(one["models"]), f"{one['accuracy']:.4f}"] for one in report["subsets"][:5]]
    mean = f"Mean error correlation rho = {f3(report['rho'])}; effective voters {report['effective_voters']:.2f} of 4."
    levels = table(["models agreeing", "problems", "accuracy"], rows)
    return "\n\n".join([levels, mean, table(["subset (fitted merge, five folds)", "accuracy"], subsets)])


def sets(of: Numbers) -> str:
    """Return coverage and size of sets."""
    rows = [
        [
            one["from"],
            one["alpha"],
            f3(one["ceiling"]),
            *(
                f"{f3(one[k]['coverage'])} / {one[k]['size']:.2f}"
                for k in ("coverage set", "conformal", "paper")
            ),
            f3(one["lambda"]),
        ]
        for one in of["sets"]
    ]
    head = ["posterior from", "alpha", "ceiling", "coverage set", "conformal lambda", "lambda = 0.3"]
    return table([*head, "fitted lambda"], rows)


def observations(of: Numbers) -> str:
    """Return what was sampled."""
    true = of["true N_eff"]
    asked = ", ".join(str(n) for n in of["evidences"])
    return (
        f"{of['observations']} observations of {asked} evidences; true N_eff: mean {true['mean']:.2f}, median "
        f"{true['median']:.2f}, largest {true['max']:.1f}."
    )


def degree(of: Numbers) -> str:
    """Return bias and RMSE of both merge degrees."""
    names = ["plug-in bias", "plug-in RMSE", "plug-in RMSE where finite", "corrected bias", "corrected RMSE"]
    names += ["infinite", "plug-in index bias", "plug-in index RMSE"]
    names += ["corrected index bias", "corrected index RMSE"]
    return table(["k", *names], [[one["k"], *(f3(one[name]) for name in names)] for one in of["degree"]])


def by_degree(of: Numbers) -> str:
    """Return estimates by true merge degree."""
    rows = []
    for one in of["by degree at 32"]:
        median = "infinite" if one["corrected median"] < 0 else f"{one['corrected median']:.2f}"
        span = f"{one['low']} to {one['high']}"
        rows.append([span, one["n"], f"{one['true']:.2f}", f"{one['plug-in']:.2f}", median])
    return table(["true N_eff", "observations", "mean true", "mean plug-in", "median corrected"], rows)


def temperature(of: Numbers) -> str:
    """Return what a sampling temperature does."""
    names = ["plug-in bias", "corrected bias", "corrected index bias", "coverage", "size"]
    rows = [[one["temperature"], *(f3(one[name]) for name in names)] for one in of["temperature"]]
    return table(["temperature", *names], rows)


def early_exit(of: Numbers) -> str:
    """Return chains saved and accuracy."""
    names = ["saved", "accuracy", "same answer", "same abstention"]
    rows = [[one["k"], one["way"], *(f3(one[name]) for name in names)] for one in of["rows"]]
    return table(["k", "way", *names], rows)


def speed(of: Numbers) -> str:
    """Return decisions per second."""
    rows = [[one["k"], one["relation"], f"{one['per_s']:,.0f}"] for one in of["rows"]]
    long = of["stream"]
    sentence = (
        f"{long['tasks']:,} tasks of 8 chains, decided one after another and written as JSON "
        f"({long['written_mb']:.0f} MB): {long['cpu_s']:.1f} s of CPU, {long['peak_growth_mb']:.1f} MB more memory. "
        f"Python {of['machine']['python']}, one of {of['machine']['cores']} cores, on a machine busy with other work."
    )
    return table(["k", "relation", "decisions/s"], rows) + "\n\n" + sentence


def stream(of: Numbers) -> str:
    """Return rate and memory of the command `merge` on files of growing length."""
    rows = [
        [
            f"{one['tasks']:,}",
            f"{one['read_mb']:,.0f}",
            f"{one['written_mb']:,.0f}",
            f"{one['cpu_s']:.1f}",
            f"{one['wall_s']:.1f}",
            f"{one['tasks'] / one['cpu_s']:,.0f}",
            f"{one['peak_mb']:.1f}",
        ]
        for one in of["rows"]
    ]
    head = ["tasks of 8 chains", "MB read", "MB written", "CPU s", "wall s", "tasks/CPU s", "peak memory, MB"]
    machine = of["machine"]
    about = (
        f"Python {machine['python']}, one process on {machine['cores']} cores that others use too (load "
        f"{machine['load']} at the end, so that wall time says little)."
    )
    return table(head, rows) + "\n\n" + about


def mutants(of: Numbers) -> str:
    """Return which test killed which mutant."""
    rows = [[f"`{one['module']}`", one["mutant"], f"`{one['killed by']}`"] for one in of["mutants"]]
    return f"{len(rows)} mutants, {of['survived']} survived.\n\n" + table(
        ["module", "mutant", "killed by"], rows
    )


TABLES: dict[str, tuple[str, Render]] = {
    "four models": ("four_models", methods),
    "four models: facts": ("four_models", facts),
    "four models: reliability": ("four_models", reliability),
    "four models: pool": ("four_models", pool),
    "ddxplus: observations": ("ddxplus", observations),
    "ddxplus: sets": ("ddxplus", sets),
    "ddxplus: degree": ("ddxplus", degree),
    "ddxplus: by degree": ("ddxplus", by_degree),
    "ddxplus: temperature": ("ddxplus", temperature),
    "early exit": ("early_exit", early_exit),
    "speed": ("speed", speed),
    "stream": ("stream", stream),
    "mutants": ("mutants", mutants),
}


def main() -> None:
    """Fill the page from whatever numbers there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/method"))
    given = parser.parse_args()
    fill(PAGE, {name: (given.out / f"{source}.json", render) for name, (source, render) in TABLES.items()})


if __name__ == "__main__":
    main()
