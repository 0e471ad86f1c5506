"""Which crystals train, validate and test."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from build_log import builds
from jobs.tasks.crystal.data.check import check_crystals, check_data
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.sources import load
from jobs.tasks.crystal.data.splits import choose
from jobs.tasks.crystal.schema import DataParams
from runner.errors import UserError


@pytest.fixture(scope="module")
def mp6k() -> list[Crystal]:
    return load("mp6k", "formation_energy_peratom").crystals


@pytest.mark.parametrize("method", ["official", "random", "formula"])
def test_a_smaller_stage_is_part_of_a_larger_one(mp6k, method) -> None:
    small = choose(mp6k, DataParams(split=method, train=500, val=50, test=50))
    large = choose(list(reversed(mp6k)), DataParams(split=method, train=2000, val=200, test=200))
    for name in ("train", "val", "test"):
        assert small.ids[name] == large.ids[name][: len(small.ids[name])]
    assert [len(small.ids[name]) for name in ("train", "val", "test")] == [500, 50, 50]


@pytest.mark.parametrize("method", ["official", "random", "formula"])
def test_splits_are_disjoint_and_complete(mp6k, method) -> None:
    split = choose(mp6k, DataParams(split=method))
    assert sorted(split.all_ids) == sorted(it.material_id for it in mp6k)


def test_official_keeps_the_published_split(mp6k) -> None:
    split = choose(mp6k, DataParams())
    assert {name: len(ids) for name, ids in split.ids.items()} == {"train": 5481, "val": 434, "test": 362}
    published = {it.material_id: it.split for it in mp6k}
    assert all(published[material_id] == name for name, ids in split.ids.items() for material_id in ids)


def test_another_seed_takes_other_crystals_of_the_same_split(mp6k) -> None:
    first, second = (choose(mp6k, DataParams(train=500, seed=seed)).ids["train"] for seed in (0, 1))
    assert 0 < len(set(first) & set(second)) < 120


def test_formula_never_stands_on_both_sides(mp6k) -> None:
    formula = {it.material_id: it.formula for it in mp6k}
    split = choose(mp6k, DataParams(split="formula"))
    sides = [{formula[material_id] for material_id in ids} for ids in split.ids.values()]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert [len(ids) / len(mp6k) for ids in split.ids.values()] == pytest.approx([0.8, 0.1, 0.1], abs=0.001)
    assert split.notes == []


def test_official_split_says_which_share_of_formulas_also_trains(mp6k) -> None:
    (note,) = choose(mp6k, DataParams(split="official")).notes
    assert note.startswith("split: official: 17% of val and 16% of test crystals have a formula that also trains")


def test_random_says_when_a_formula_stands_on_both_sides(mp6k) -> None:
    (note,) = choose(mp6k, DataParams(split="random")).notes
    assert "crystals have a formula that also trains" in note
    assert "`split: formula` keeps each formula on one side" in note
    assert choose(mp6k[:300:30], DataParams(split="random", fractions=(0.6, 0.2, 0.2))).notes == []


def test_without_official_split_the_others_are_named(mp6k) -> None:
    bare = [Crystal(it.material_id, it.lattice, it.fractional, it.atomic_numbers) for it in mp6k[:20]]
    with pytest.raises(UserError, match="no official split for this target; allowed: random, formula"):
        choose(bare, DataParams())


def test_more_than_there_are_is_an_error(mp6k) -> None:
    with pytest.raises(UserError, match=r"data\.val: 435 crystals wanted, the official split of mp6k has 434"):
        choose(mp6k, DataParams(val=435), "mp6k")


# checking a configuration before anything is loaded


def problems(describe: str | None = None, **data) -> list[str]:
    return [str(problem) for problem in check_data(DataParams(**data), describe)]


def test_a_good_configuration_has_no_problems() -> None:
    assert problems() == []
    assert problems("jarvis", target="band_gap", train=500, val=50, test=50) == []
    assert problems("robocrys", dataset="jarvis_minerals", target="mbj_bandgap", split="random", train=186) == []


def test_problems_name_key_found_allowed_and_nearest() -> None:
    (target,) = problems(target="band_gab")
    assert target.startswith("data.target: mp6k has no target 'band_gab'")
    assert target.endswith("did you mean: band_gap")
    (dataset,) = problems(dataset="jarvis_mineral")
    assert dataset.startswith("data.dataset: there is no data set, folder or file 'jarvis_mineral'")
    (text,) = problems("robocris", dataset="jarvis_minerals")
    assert "text.describe: jarvis_minerals has no text column 'robocris'" in text
    assert text.endswith("did you mean: robocrys")


def test_counts_are_checked_for_the_target_and_split() -> None:
    train, val = problems(target="shear_modulus_vrh", train=2000, val=100)
    assert train.startswith("data.train: 2,000 crystals wanted; the official split of mp6k has 1,024")
    assert "allowed: 1 to 82, or null for all" in val
    assert len(problems(split="random", train=5100)) == 1
    assert problems(split="random", train=5000) == []


def test_fractions_above_one_are_refused() -> None:
    (problem,) = problems(split="random", fractions=(0.8, 0.2, 0.2))
    assert "data.fractions: found [0.8, 0.2, 0.2]" in problem


def table(folder: Path, rows: list[dict]) -> str:
    """Five crystals with a gap and a text, changed by `rows`."""
    salt = {"lattice_mat": [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], "elements": ["Na", "Cl"],
            "coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}  # fmt: skip
    whole = [{"id": f"a{n}", "structure": salt, "gap": n, "note": "salt"} for n in range(5)]
    changed = [{**row, **change} for row, change in zip_longest(whole, rows, fillvalue={})]
    (folder / "t.json").write_text(json.dumps(changed))
    return str(folder / "t.json")


def in_table(folder: Path, rows: list[dict], check: Any = check_data) -> list[str]:
    data = DataParams(dataset=table(folder, rows), target="gap", split="random", fractions=(0.6, 0.2, 0.2))
    return [str(problem) for problem in check(data, "note", folder / "cache")]


@pytest.mark.parametrize("cell", ["3,5", "3 eV", "3.5eV", "about 3"])
def test_a_target_that_is_no_number_is_named_with_its_row(tmp_path, cell) -> None:
    (problem,) = in_table(tmp_path, [{}, {"gap": cell}])
    assert f"t.json: gap is no number: {cell!r} in row 2\n    allowed: numbers with a decimal point" in problem
    (problem,) = in_table(tmp_path, [{"gap": cell}] * 5)
    assert f"gap is no number: {cell!r} in row 1" in problem


@pytest.mark.parametrize("cell", ["", "na", "N/A", None, "-", "NaN", "null"])
def test_words_for_a_missing_value_are_no_mistake(tmp_path, cell) -> None:
    assert in_table(tmp_path, [{}, {"gap": cell}]) == []


def test_duplicate_ids_are_found_by_a_look_at_the_table(tmp_path) -> None:
    (problem,) = in_table(tmp_path, [{}, {"id": "a0"}])
    assert "data.dataset: 1 ids stand more than once in" in problem


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"structure": {"lattice_mat": [[1, 0, 0]] * 3, "elements": ["Na"], "coords": [[0, 0, 0]]}},
         "data.dataset: crystal 'a1' in .*t.json: the cell has a volume of 0"),
        pytest.param({"structure": "no CIF"}, "data.dataset: crystal 'a1' in .*: not a readable POSCAR",
                     marks=pytest.mark.torch),
        ({"id": ""}, "data.dataset: crystal '' in .*: an id is a text"),
    ],
)  # fmt: skip
def test_crystals_are_checked_before_anything_is_sent(tmp_path, row, message) -> None:
    (problem,) = in_table(tmp_path, [{}, row], check_crystals)
    assert re.match(message, problem)


def test_empty_texts_are_found_before_anything_is_sent(tmp_path) -> None:
    splits = ["train", "train", "train", "val", "test"]
    rows = [{"split": split, "note": " " if split == "train" else "salt"} for split in splits]
    data = DataParams(dataset=table(tmp_path, rows), target="gap", split="official")
    assert check_data(data, "note", tmp_path / "cache") == []
    (problem,) = check_crystals(data, "note", tmp_path / "cache")
    assert str(problem).startswith(f"text.describe: all 3 train crystals of {data.dataset} have an empty note")
    assert check_crystals(data, "jarvis", tmp_path / "cache") == []


def test_good_crystals_are_kept_for_the_runs(tmp_path) -> None:
    assert in_table(tmp_path, [], check_crystals) == []
    assert len(builds(tmp_path / "cache")) == 1


def test_a_jarvis_set_that_was_not_fetched_is_not_refused(tmp_path) -> None:
    assert check_data(DataParams(dataset="dft_3d", target="mbj_bandgap"), "jarvis", tmp_path) == []


def test_checking_a_configuration_imports_nothing_heavy() -> None:
    program = (
        "import sys; from jobs.tasks.crystal.schema import DataParams;"
        "from jobs.tasks.crystal.data.check import check_data;"
        "assert check_data(DataParams(), 'jarvis') == [];"
        "print(sorted({'torch', 'jarvis', 'pandas', 'ase', 'vesin', 'scipy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
