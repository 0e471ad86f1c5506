"""How often the rules of choosing err: claims without a difference, power, and how near the choice is to the best.

    python -m benchmarks.choice              # two minutes; writes results/choice.json, the tables of docs/analysis.md
    python -m benchmarks.choice --check      # whether the page is that of the last results

Everything is decided by the product's own functions, on losses that are drawn. The noise is that of 14 real seeds: a
loss of variant k, seed s and item c is (loss of the item) + a_ks + b_kc + e_ksc, with a normal and b, e of Student's t
with 4 degrees of freedom.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.rank.choice import Candidate, choose
from analysis.rank.significance import tie
from analysis.rank.statistics import LEVEL, Array, paired_interval, pooled_seed_variance, two_way
from benchmarks.page import filled, table
from runner.rundir.planned import Select

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "analysis.md"
MEASURED = HERE / "results" / "choice.json"
MEAN = 0.23  # MAE of the variants, eV/atom
T_DEGREES = 4
SEEDS, ITEMS = (3, 5), (50, 100, 500, 2000)
VARIANTS = 12


class Noise(NamedTuple):
    """Standard deviations, eV/atom."""

    seed: float  # of a variant's mean, from seed to seed
    both: float  # of an item's loss, from seed to seed
    item: float  # of the difference of two variants, from item to item


NOISE = {
    "measured": Noise(0.0097, 0.0996, 0.05),
    "seeds dominate": Noise(0.0097, 0.001, 0.001),
    "items dominate": Noise(0.0, 0.01, 0.2),
}


def losses(random: np.random.Generator, excess: Array, noise: Noise, seeds: int, items: int) -> Array:
    """(n, K, S, C) losses without what all variants share; excess: (n, K) true means."""
    shape = (*excess.shape, seeds, items)

    def heavy(sd: float, *size: int) -> Array:
        return random.standard_t(T_DEGREES, size) * (sd / (T_DEGREES / (T_DEGREES - 2)) ** 0.5)

    drawn = heavy(noise.both, *shape) + heavy(noise.item / 2**0.5, *shape[:2], 1, items)
    return np.asarray(drawn + random.normal(0, noise.seed, (*shape[:3], 1)) + excess[..., None, None])


def claims(noise: Noise, seeds: int, items: int, better: float, repeats: int, random: np.random.Generator) -> float:
    """Share of pairs of variants in which a difference is claimed; better: the true difference, of MEAN."""
    from scipy.special import stdtrit

    claimed = 0
    for start in range(0, repeats, 100):
        count = min(100, repeats - start)
        drawn = losses(random, np.tile([0.0, -better * MEAN], (count, 1)), noise, seeds, items)
        estimate = two_way(drawn[:, 1] - drawn[:, 0])
        half = estimate.error * stdtrit(estimate.degrees, 1 - (1 - LEVEL) / 2)
        claimed += int((np.abs(estimate.difference) > half).sum())
    return claimed / repeats


def pooled_claims(noise: Noise, items: int, repeats: int, random: np.random.Generator) -> float:
    """The same for two seeds of VARIANTS equal variants, whose seed variance is pooled."""
    claimed = 0
    for _ in range(repeats):
        drawn = losses(random, np.zeros((1, VARIANTS)), noise, 2, items)[0]
        interval = paired_interval(drawn[1], drawn[0], pooled=pooled_seed_variance(drawn.mean(-1)))
        claimed += interval.is_beyond_noise(interval.p)
    return claimed / repeats


def choices(better: float, seeds: int, items: int, repeats: int, random: np.random.Generator) -> dict[str, float]:
    """One of VARIANTS is better by the share `better`; variant 0 is the simplest, and the better one is not."""
    select, near, best_taken, optimism = Select(), 0, 0, 0.0
    truth = np.full(VARIANTS, MEAN)
    truth[1] -= better * MEAN
    layers = [0, *(1 + number % 3 for number in range(1, VARIANTS))]
    for _ in range(repeats):
        values = losses(random, truth[None], NOISE["measured"], seeds, items)[0].mean((-2, -1))
        best = float(values.min())
        candidates = [
            Candidate(f"v{number}", float(value), seeds, tied=tie(float(value), best, select).tied,
                      fused_layers=layers[number], parameters=1000 + number)
            for number, value in enumerate(values)
        ]  # fmt: skip
        choice = choose(candidates)
        chosen, lowest = int(choice.variant[1:]), int(choice.best[1:])
        near += truth[chosen] <= 1.05 * truth.min()
        best_taken += truth[lowest] <= 1.05 * truth.min()
        optimism += 1 - values[lowest] / truth[lowest]
    return {"within_5_percent": near / repeats, "lowest_within_5_percent": best_taken / repeats,
            "optimism": float(optimism / repeats)}  # fmt: skip


def simulated(repeats: int, seed: int = 0) -> dict[str, Any]:
    """All results; `repeats` of each."""
    random = np.random.default_rng(seed)
    pairs = [
        {"noise": name, "seeds": seeds, "items": items,
         "type_1": claims(noise, seeds, items, 0.0, repeats, random),
         "power_10": claims(noise, seeds, items, 0.1, repeats, random)}
        for name, noise in NOISE.items() for seeds in SEEDS for items in ITEMS
    ]  # fmt: skip
    pooled = [
        {"noise": name, "items": items, "type_1": pooled_claims(noise, items, repeats, random)}
        for name, noise in NOISE.items() for items in ITEMS[:3]
    ]  # fmt: skip
    chosen = [
        {"better": better, "seeds": seeds, "items": items, **choices(better, seeds, items, repeats, random)}
        for better in (0.0, 0.1, 0.2) for seeds, items in ((1, 100), (2, 100), (3, 100), (3, 400))
    ]  # fmt: skip
    return {"repeats": repeats, "seed": seed, "variants": VARIANTS, "pairs": pairs, "pooled": pooled, "choices": chosen}


def most_allowed(repeats: int) -> float:
    """The highest share of false claims that a simulation may show: 8 % and two standard errors of its own."""
    return 0.08 + 2 * (0.08 * 0.92 / repeats) ** 0.5


def tables(found: dict[str, Any]) -> dict[str, str]:
    """The parts of the page, by the names of their places."""
    pairs = [
        [row["noise"], str(row["seeds"]), f"{row['items']:,}", f"{row['type_1']:.1%}", f"{row['power_10']:.0%}"]
        for row in found["pairs"]
    ]
    pooled = [[row["noise"], "2, pooled", str(row["items"]), f"{row['type_1']:.1%}", ""] for row in found["pooled"]]
    chosen = [
        [f"{row['better']:.0%}" if row["better"] else "none", str(row["seeds"]), str(row["items"]),
         f"{row['within_5_percent']:.0%}", f"{row['lowest_within_5_percent']:.0%}", f"{row['optimism']:.1%}"]
        for row in found["choices"]
    ]  # fmt: skip
    return {
        "choice_claims": table(
            ("noise", "seeds", "items", "claims without a difference", "with one of 10 %"), pairs + pooled, numbers=4
        ),
        "choice_variants": table(
            (
                "one is better by",
                "seeds",
                "items",
                "choice within 5 % of the best",
                "lowest mean within 5 %",
                "optimism",
            ),
            chosen,
            numbers=5,
        ),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--repeats", type=int, default=2000)
    chosen = arguments.parse_args()
    if not chosen.check:
        MEASURED.write_text(json.dumps(simulated(chosen.repeats), indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    made = filled(page, tables(json.loads(MEASURED.read_text(encoding="utf-8"))))
    if chosen.check:
        sys.exit(0 if made == page else f"{PAGE} is not that of {MEASURED.name}: python -m benchmarks.choice")
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
