"""The layouts in which people of older scripts keep their crystals: sixty that ship, written as theirs lie."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alignn.data import get_id_train_val_test
from jarvis.core.atoms import Atoms

from jobs.context import RunContext
from jobs.tasks.crystal.data.check import check_crystals, check_data
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.sources import load, summary_of
from jobs.tasks.crystal.data.splits import choose
from jobs.tasks.crystal.schema import CrystalParams, DataParams
from jobs.tasks.crystal.task import CrystalTask
from runner.errors import ConfigError, UserError
from runner.files import read_mapping
from runner.rundir.layout import RunDir

torch.set_num_threads(1)
PROPERTY = "formation_energy_peratom"
SIXTY: list[Crystal] = load("jarvis_minerals", "bulk_modulus_kv").crystals[:60]
HEADER = ["id", "composition", "target", "description", "file"]


def atoms(crystal: Crystal) -> Atoms:
    return Atoms(lattice_mat=crystal.lattice, coords=crystal.fractional, elements=crystal.symbols, cartesian=False)


def write_csv(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def structures(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for crystal in SIXTY:
        atoms(crystal).write_cif(str(folder / f"{crystal.material_id}.cif"), with_spg_info=False)
    return folder


def text(crystal: Crystal) -> str:
    return crystal.texts["robocrys"].strip()


def rows(target: str, file: bool = True) -> list[list[Any]]:
    suffix = ".cif" if file else ""
    return [[c.material_id, c.formula, repr(c.targets[target]), text(c), f"{c.material_id}{suffix}"] for c in SIXTY]


def jarvis(root: Path) -> Path:
    folder = structures(root / "jarvis" / PROPERTY / "cif").parent
    write_csv(folder / "description.csv", [HEADER, *rows(PROPERTY)])
    return folder


def mp_2018(root: Path) -> Path:
    folder = structures(root / "mp_2018_new")
    header = ["id", "composition", PROPERTY, "band_gap", "description", "file"]
    return write_csv(folder / "mat_text.csv", [header, *([*r[:3], 1.5, *r[3:]] for r in rows(PROPERTY, file=False))])


def id_prop(root: Path) -> Path:
    folder = structures(root / "alignn")
    write_csv(folder / "id_prop.csv", [[f"{r[0]}.cif", r[2]] for r in rows(PROPERTY)])
    write_csv(folder / "description.csv", [["id", "description"], *([r[0], r[3]] for r in rows(PROPERTY))])
    return folder


def table(root: Path) -> Path:
    cifs = structures(root / "unused")
    path = root / "table.csv"
    cells = [[*r[:4], (cifs / r[4]).read_text()] for r in rows(PROPERTY)]
    return write_csv(path, [[*HEADER[:4], "cif"], *cells])


def class_of(root: Path) -> Path:
    folder = structures(root / "class" / "metal" / "structures").parent
    cells = [[r[0], int(c.targets["bulk_modulus_kv"] > 80), r[3]] for r, c in zip(rows(PROPERTY), SIXTY, strict=True)]
    write_csv(folder / "description.csv", [["id", "target", "description"], *cells])
    return folder


def moduli(root: Path) -> Path:
    folder = structures(root / "mp_2018_small" / "cif").parent
    header = ["id", "composition", "bulk", "shear", "description", "file"]
    cells = [[r[0], r[1], r[2], 3, *r[3:]] for r in rows("bulk_modulus_kv")]
    write_csv(folder / "description.csv", [header, *cells])
    return folder


def jarvis_list(root: Path) -> Path:
    path = root / "list.json"
    several = [{"jid": c.material_id, "atoms": atoms(c).to_dict(), "gap": c.targets[PROPERTY]} for c in SIXTY]
    missing = [{**several[0], "jid": name, "gap": gap} for name, gap in (("x", "na"), ("y", None))]
    path.write_text(json.dumps([*several, *missing]))
    return path


LAYOUTS = {
    "jarvis": (jarvis, {"target": "e_form_of_mine"}),
    "mp_2018_new": (mp_2018, {"target": PROPERTY}),
    "class": (class_of, {"target": "metal", "classify": {"threshold": 0.5}}),
    "mp_2018_small": (moduli, {"target": "bulk", "scale": "log10"}),
    "list": (jarvis_list, {"target": "gap"}),
    "id_prop": (id_prop, {"target": "any"}),
    "table": (table, {"target": "any"}),
}


def trained(path: Path, folder: Path, **data: Any) -> tuple[dict[str, Any], str]:
    """What a tiny run reports, and its predictions.csv."""
    described = path.suffix != ".json"
    params = CrystalParams.model_validate({
        "data": {"dataset": str(path), "split": "alignn", "train": 40, "val": 10, "test": 10, **data},
        "text": {"describe": "description", "max_length": 16},
        "model": {
            "encoder": {"name": "alignn", "alignn_layers": 1, "gcn_layers": 1, "embedding": 8, "hidden": 16},
            "middle_fusion": {"name": "dynamic", "layers": [1]} if described else {"name": "none"},
        },
        "train": {"epochs": 1, "batch_size": 16, "loss": "bce" if "classify" in data else "l1", "kernels": "torch"},
    })  # fmt: skip
    folder.mkdir()
    cache = folder.parent / "cache"
    assert check_data(params.data, "description" if described else None, cache) == []
    assert check_crystals(params.data, None, cache) == []
    assert all(item.ready for item in CrystalTask().prepare([params], cache, lambda line: None))
    outcome = CrystalTask().run(params, RunContext(RunDir(folder), cache_root=cache))
    return outcome.metrics, RunDir(folder).predictions.read_text()


@pytest.mark.parametrize("name", LAYOUTS)
def test_sixty_crystals_in_every_layout_prepare_and_train_by_naming_one_path(name: str, tmp_path: Path) -> None:
    write, data = LAYOUTS[name]
    metrics, predictions = trained(write(tmp_path), tmp_path / "run", **data)
    assert predictions.count("\n") == 21
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_same_crystals_give_the_same_bits_in_a_folder_and_in_a_table(tmp_path: Path) -> None:
    results = [
        trained(LAYOUTS[n][0](tmp_path), tmp_path / f"run {n}", target="any") for n in ("jarvis", "id_prop", "table")
    ]
    assert results[0] == results[1] == results[2]


def test_a_csv_and_its_folder_are_one_data_set(tmp_path: Path) -> None:
    folder = jarvis(tmp_path)
    one, other = (load(str(path), "any").crystals for path in (folder, folder / "description.csv"))
    assert [c.structure_key for c in one] == [c.structure_key for c in other]
    assert [c.material_id for c in one] == [c.material_id for c in SIXTY]
    assert set(one[0].targets) == {"target", "any"}  # `file` and `composition` are none
    assert set(one[0].texts) == {"composition", "description"}


@pytest.mark.parametrize("name", ["jarvis", "mp_2018_new", "id_prop", "table"])
def test_three_broken_structures_of_sixty_are_left_out_and_named_together(name: str, tmp_path: Path) -> None:
    path = LAYOUTS[name][0](tmp_path)
    broken = [crystal.material_id for crystal in SIXTY[3:6]]
    spoil(path, broken)
    for _ in range(2):  # the second time from the cache
        data = load(str(path), "any" if name != "mp_2018_new" else PROPERTY, tmp_path / "cache")
        assert len(data.crystals) == 57
        assert data.notes == [
            f"3 of 60 rows of {path} have no readable structure and were left out: {', '.join(broken)}"
        ]
    params = CrystalParams.model_validate(
        {"data": {"dataset": str(path), "target": PROPERTY if name == "mp_2018_new" else "any", "split": "random"}}
    )
    (first, *_) = CrystalTask().prepare([params], tmp_path / "cache", lambda line: None)
    assert first.detail.count("\n    ") == 3


def spoil(path: Path, broken: list[str]) -> None:
    """Cut a third of the structures off, remove a third, fill the rest with words."""
    if path.name == "table.csv":
        with path.open(newline="", encoding="utf-8") as file:
            cells = list(csv.reader(file))
        write_csv(path, [[*row[:4], "words"] if row[0] in broken else row for row in cells])
        return
    folder = path if path.is_dir() else path.parent
    for number, name in enumerate(broken):
        (file,) = folder.rglob(f"{name}.cif")
        if number % 3 == 0:
            file.write_text(file.read_text()[:100])
        elif number % 3 == 1:
            file.unlink()
        else:
            file.write_bytes(b"\xff words \x1b[2J")


@pytest.mark.parametrize("name", ["jarvis", "id_prop", "table"])
def test_ten_broken_structures_of_sixty_are_refused(name: str, tmp_path: Path) -> None:
    path = LAYOUTS[name][0](tmp_path)
    spoil(path, [crystal.material_id for crystal in SIXTY[:10]])
    with pytest.raises(UserError, match=r"10 of 60 rows have no readable structure; at most 10% are left out: JVASP"):
        load(str(path), "any", tmp_path / "cache")
    (problem,) = check_crystals(DataParams(dataset=str(path), target="any", split="random"), None, tmp_path / "cache")
    assert problem.key == "data.dataset"


def test_a_structure_that_is_repaired_is_read(tmp_path: Path) -> None:
    folder = jarvis(tmp_path)
    file = folder / "cif" / f"{SIXTY[3].material_id}.cif"
    content = file.read_text()
    for spoiled, count in ((None, 59), (content, 60)):
        file.unlink() if spoiled is None else file.write_text(spoiled)
        assert len(load(str(folder), "any", tmp_path / "cache").crystals) == count


def test_a_pipe_in_place_of_a_structure_is_not_waited_for(tmp_path: Path) -> None:
    folder = jarvis(tmp_path)
    file = folder / "cif" / f"{SIXTY[3].material_id}.cif"
    file.unlink()
    os.mkfifo(file)
    assert len(load(str(folder), "any").crystals) == 59


def test_a_wrong_path_says_the_way_out(tmp_path: Path) -> None:
    folder = jarvis(tmp_path)
    for wrong, way_out in (
        (folder.with_name("formation_energy"), rf"did you mean: {folder}"),
        (folder.parent, rf"no table\n    allowed: name one: {folder}/description\.csv"),
        (folder / "cif", rf"no table\n    allowed: name one: {folder}/description\.csv"),
        (folder / "description.cvs", rf"looked in {folder}(.|\n)*did you mean: {folder}/description\.csv"),
        (folder / "cif" / f"{SIXTY[0].material_id}.cif", r"is not a table; allowed: \.csv"),
    ):
        with pytest.raises(UserError, match=way_out):
            summary_of(str(wrong))
    (folder / "other.csv").write_text("id\n")
    assert load(str(folder), "any").crystals  # description.csv goes first
    (folder / "description.csv").rename(folder / "mine.csv")
    with pytest.raises(UserError, match=r"several tables\n    allowed: name one: .*mine\.csv, .*other\.csv"):
        load(str(folder), "any")


def test_a_table_without_structures_anywhere_says_what_was_looked_for(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [["id", "gap"], ["a", 1], ["b", 2]])
    with pytest.raises(
        UserError, match=r"no column 'structure'(.|\n)*files that the column id names(.|\n)*found: id, g"
    ):
        summary_of(str(path))


@pytest.mark.parametrize("frame", [False, True])
def test_a_pickle_is_refused_with_a_conversion_that_works(frame: bool, tmp_path: Path) -> None:
    import pandas as pd

    rows_of_it = [{"jid": c.material_id, "atoms": {**atoms(c).to_dict(), "coords": c.fractional}, "gap": 0.1 + 0.2}
                  for c in SIXTY[:9]]  # fmt: skip
    path = tmp_path / "my data.pkl"
    path.write_bytes(pickle.dumps(pd.DataFrame(rows_of_it) if frame else rows_of_it))
    for name in (path, tmp_path):
        (problem,) = check_data(DataParams(dataset=str(name), target="gap", split="random"))
        assert "EXECUTES the pickle once" in str(problem)
    command = shlex.split(str(problem).rpartition("\n    ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True, timeout=60)
    data = load(str(tmp_path / "my data.json"), "gap")
    assert [c.structure_key for c in data.crystals] == [c.structure_key for c in SIXTY[:9]]
    assert data.crystals[0].targets["gap"] == 0.1 + 0.2


@pytest.mark.parametrize("sizes", [(None, None, None), (40, 10, 10), (31, 7, 5), (1, 1, 1)])
def test_the_alignn_split_is_that_of_the_package(sizes: tuple[int | None, ...], tmp_path: Path) -> None:
    crystals = load(str(mp_2018(tmp_path)), PROPERTY).crystals
    train, val, test = sizes
    split = choose(crystals, DataParams(split="alignn", train=train, val=val, test=test))
    expected = get_id_train_val_test(60, 123, None, 0.1, 0.1, train, test, val)
    for name, positions in zip(("train", "val", "test"), expected, strict=True):
        assert split.ids[name] == [crystals[position].material_id for position in positions]


def test_an_alignn_split_that_does_not_fit_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = str(mp_2018(tmp_path))
    (problem,) = check_data(DataParams(dataset=path, target=PROPERTY, split="alignn", train=50, val=8, test=8))
    assert str(problem).startswith("data.train: the alignn split takes train 50, val 8, test 8 of 60 crystals; allowed")
    with pytest.raises(ValueError, match="always shuffled with 123"):
        DataParams(split="alignn", seed=7)


def test_targets_learned_as_logarithms_come_back_in_their_own_unit(tmp_path: Path) -> None:
    metrics, predictions = trained(moduli(tmp_path), tmp_path / "run", target="bulk", scale="log10")
    by_id = {crystal.material_id: crystal.targets["bulk_modulus_kv"] for crystal in SIXTY}
    cells = [row for row in csv.DictReader(predictions.splitlines()) if row["split"] == "test"]
    targets, values = (np.array([float(row[name]) for row in cells]) for name in ("target", "prediction"))
    assert targets == pytest.approx([by_id[row["id"]] for row in cells])
    assert values.min() > 0
    assert metrics["test_mae"] == pytest.approx(np.abs(targets - values).mean())
    assert metrics["test_mae_log10"] == pytest.approx(np.abs(np.log10(targets / values)).mean())
    split = read_mapping(RunDir(tmp_path / "run").splits)
    mean = np.mean([np.log10(by_id[name]) for name in split["train"]])
    assert metrics["test_mae_of_mean"] == pytest.approx(np.abs(targets - 10**mean).mean(), rel=1e-5)


def test_a_logarithm_of_what_is_not_above_zero_is_refused_at_submit(tmp_path: Path) -> None:
    for dataset in ("jarvis_minerals", str(jarvis(tmp_path))):
        data = DataParams(dataset=dataset, target=PROPERTY, scale="log10", split="random")
        (problem,) = check_crystals(data, None, tmp_path / "cache")
        assert (problem.key, "needs a formation_energy_peratom above 0" in problem.what) == ("data.scale", True)


def test_a_wrong_path_is_one_mistake_of_the_configuration() -> None:
    with pytest.raises(
        ConfigError, match=r"1 mistake(.|\n)*data\.dataset: there is no data set, folder or file 'mp_6k'"
    ):
        load("mp_6k", None)
