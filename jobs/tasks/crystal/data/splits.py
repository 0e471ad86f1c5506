"""Which crystals train, validate and test: whole splits first, then nested subsets of them.

A crystal's place in the order of its split is the hash of the seed and its id. So the first 500 of a split are among
its first 2,000, in whatever order the file lists them, and a smaller stage of a funnel uses part of the larger one.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.params import ALIGNN_SEED, DataParams
from jobs.tasks.crystal.data.records import SPLITS
from runner.errors import UserError


@dataclass(frozen=True)
class Split:
    """Ids by split, each in the order in which smaller subsets take them."""

    ids: Mapping[str, list[str]]  # train, val, test
    notes: list[str]  # warnings for the log and the report

    @property
    def all_ids(self) -> list[str]:
        return [material_id for name in SPLITS for material_id in self.ids[name]]


def choose(crystals: Sequence[Crystal], choice: DataParams, dataset: str = "the data set") -> Split:
    """Assign crystals to train, val and test by `choice.split`, then take the wanted number of each.

    `alignn` takes the numbers from an order of its own. Raises UserError where the data set has no official split,
    where more crystals are wanted than there are, and where a split would be empty.
    """
    if choice.split == "alignn":
        return _as_alignn(crystals, choice)
    whole = _official(crystals, dataset) if choice.split == "official" else _divided(crystals, choice)
    ids: dict[str, list[str]] = {}
    for name in SPLITS:
        wanted: int | None = getattr(choice, name)
        ordered = sorted(whole[name], key=lambda crystal: _rank(choice.seed, crystal.material_id))
        if not ordered:
            raise UserError(f"data.{name}: the {choice.split} split of {dataset} has no {name} crystal")
        if wanted is not None and wanted > len(ordered):
            raise UserError(
                f"data.{name}: {wanted:,} crystals wanted, the {choice.split} split of {dataset} has {len(ordered):,}\n"
                f"    allowed: 1 to {len(ordered):,}, or null for all"
            )
        whole[name] = ordered[:wanted]
        ids[name] = [crystal.material_id for crystal in whole[name]]
    return Split(ids, _shared_formulas(choice.split, whole))


def _as_alignn(crystals: Sequence[Crystal], choice: DataParams) -> Split:
    """The order of the list shuffled as `alignn.data.get_id_train_val_test` does: first train; val and test at its end.

    Raises UserError where the list is too short.
    """
    count = alignn_sizes(len(crystals), choice)
    shuffled = list(crystals)
    random.Random(ALIGNN_SEED).shuffle(shuffled)
    test = len(shuffled) - count["test"]
    parts = {"train": shuffled[: count["train"]], "val": shuffled[test - count["val"] : test], "test": shuffled[test:]}
    ids = {name: [crystal.material_id for crystal in part] for name, part in parts.items()}
    return Split(ids, _shared_formulas(choice.split, parts))


def alignn_sizes(total: int, choice: DataParams) -> dict[str, int]:
    """How many crystals `alignn` gives each split: the wanted number, else its share, rounded down.

    Raises UserError where one would be empty, and where they are more than `total`.
    """
    shares = dict(zip(SPLITS, choice.fractions, strict=True))
    count = {name: getattr(choice, name) or int(share * total) for name, share in shares.items()}
    for name in SPLITS:
        if not count[name] or sum(count.values()) > total:
            what = f"data.{name}: the alignn split takes {', '.join(f'{part} {n:,}' for part, n in count.items())}"
            raise UserError(f"{what} of {total:,} crystals; allowed: 1 or more each, {total:,} together")
    return count


def sizes(total: int, fractions: tuple[float, float, float]) -> dict[str, int]:
    """How many crystals `random` gives each split; `formula` comes near it."""
    _, val, test = (round(total * fraction) for fraction in fractions)
    return {"train": min(round(total * fractions[0]), total - val - test), "val": val, "test": test}


def _official(crystals: Sequence[Crystal], dataset: str) -> dict[str, list[Crystal]]:
    whole = {name: [crystal for crystal in crystals if crystal.split == name] for name in SPLITS}
    if not any(whole.values()):
        raise UserError(
            f"data.split: {dataset} has no official split for this target; allowed: random, formula, alignn"
        )
    return whole


def _divided(crystals: Sequence[Crystal], choice: DataParams) -> dict[str, list[Crystal]]:
    """Walk the crystals, or their formulas, in hashed order: test first, then val, then train."""
    want = sizes(len(crystals), choice.fractions)
    groups: dict[str, list[Crystal]] = defaultdict(list)
    for crystal in crystals:
        groups[crystal.formula if choice.split == "formula" else crystal.material_id].append(crystal)
    whole: dict[str, list[Crystal]] = {name: [] for name in SPLITS}
    before = 0
    for key in sorted(groups, key=lambda key: _rank(choice.seed, key)):
        middle = before + len(groups[key]) / 2  # a group lies in the split that holds its middle
        before += len(groups[key])
        if middle < want["test"]:
            whole["test"] += groups[key]
        elif middle < want["test"] + want["val"]:
            whole["val"] += groups[key]
        elif middle < want["test"] + want["val"] + want["train"]:
            whole["train"] += groups[key]
    return whole


def _shared_formulas(method: str, whole: Mapping[str, Sequence[Crystal]]) -> list[str]:
    """A warning where the same formula trains and is judged; none of the split that keeps them apart."""
    trained = {crystal.formula for crystal in whole["train"]}
    shared = {name: [it.formula for it in whole[name] if it.formula in trained] for name in ("val", "test")}
    if method == "formula" or not any(shared.values()):
        return []
    shares = " and ".join(f"{len(formulas) / len(whole[name]):.0%} of {name}" for name, formulas in shared.items())
    examples = ", ".join(sorted({formula for formulas in shared.values() for formula in formulas})[:3])
    return [
        f"split: {method}: {shares} crystals have a formula that also trains ({examples}, …), so their errors look "
        "smaller than on new formulas; `split: formula` keeps each formula on one side"
    ]


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()
