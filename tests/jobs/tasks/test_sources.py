"""Reading data sets of every kind."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from ase import Atoms
from ase.io import write
from jarvis.core.atoms import Atoms as JarvisAtoms
from jarvis.db import figshare

from build_log import builds
from jobs.tasks.crystal.data import jarvis_sets, shipped_sets
from jobs.tasks.crystal.data.location import located
from jobs.tasks.crystal.data.records import SPLITS
from jobs.tasks.crystal.data.shipped_sets import official_split
from jobs.tasks.crystal.data.sources import load, summary_of
from jobs.tasks.crystal.data.summary import summarize
from runner.errors import CommandFailed, ConfigError, UserError

SALT = {
    "lattice_mat": [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]],
    "elements": ["Na", "Cl"],
    "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "cartesian": False,
}
POSCAR = "NaCl\n1.0\n0 2.8 2.8\n2.8 0 2.8\n2.8 2.8 0\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


def ase_salt() -> Atoms:
    return Atoms("NaCl", cell=SALT["lattice_mat"], scaled_positions=SALT["coords"], pbc=True)


def cif() -> str:
    import io

    stream = io.BytesIO()
    write(stream, ase_salt(), format="cif")
    return stream.getvalue().decode()


# shipped


def test_shipped_sets_have_their_rows_splits_and_texts() -> None:
    mp6k, minerals = load("mp6k", "band_gap"), load("jarvis_minerals", "mbj_bandgap")
    assert len(mp6k.crystals) == 6277
    assert mp6k.notes == []
    assert all(it.texts["jarvis"] and it.split for it in mp6k.crystals)
    assert len(minerals.crystals) == 233
    assert minerals.notes == ["269 of 502 crystals have no mbj_bandgap and were left out"]
    assert all("structured" in it.texts["robocrys"] or it.texts["robocrys"] for it in minerals.crystals)


@pytest.mark.parametrize("name", shipped_sets.NAMES)
def test_the_shipped_index_is_what_the_files_hold(name) -> None:
    assert summary_of(name).to_json() == summarize(load(name, None).crystals).to_json()


def test_an_older_property_name_is_read_and_noted() -> None:
    data = load("mp6k", "e_form")
    assert data.crystals[0].targets["e_form"] == data.crystals[0].targets["formation_energy_peratom"]
    assert data.notes == ["target e_form is called formation_energy_peratom in mp6k"]


def test_a_missing_target_names_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"no target 'bulk_modulus_kv'[\s\S]*band_gap \(6,277\)[\s\S]*bulk_modulus_vrh$"
    ):
        load("mp6k", "bulk_modulus_kv")


def test_an_unknown_data_set_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no data set, folder or file 'mp_6k'[\s\S]*did you mean: mp6k"):
        located("mp_6k")


# folder


def make_folder(folder: Path, id_prop: str) -> Path:
    folder.mkdir()
    (folder / "id_prop.csv").write_text(id_prop)
    (folder / "POSCAR-a.vasp").write_text(POSCAR)
    (folder / "b.cif").write_text(cif())
    write(folder / "c.xyz", ase_salt(), format="extxyz")
    return folder


def test_a_folder_without_header_in_alignns_convention(tmp_path) -> None:
    folder = make_folder(tmp_path / "data", "POSCAR-a.vasp,1.5\nb.cif,-2\nc,0.25\n")
    data = load(str(folder), "my_energy")
    assert [it.material_id for it in data.crystals] == ["POSCAR-a", "b", "c"]
    assert [it.targets["my_energy"] for it in data.crystals] == [1.5, -2.0, 0.25]
    for it in data.crystals:
        assert it.formula == "ClNa"
        assert it.volume == pytest.approx(2 * 2.8**3, rel=1e-4)


def test_a_folder_with_header_missing_values_and_descriptions(tmp_path) -> None:
    folder = make_folder(tmp_path / "data", "id,gap,energy\nPOSCAR-a.vasp,1.5,3\nb,na,4\nc,,5\n")
    (folder / "description.csv").write_text('id,text\nb,"salt, as a cube"\nPOSCAR-a.vasp,rock salt\n')
    data = load(str(folder), "gap")
    assert [it.material_id for it in data.crystals] == ["POSCAR-a"]
    assert data.notes == ["2 of 3 crystals have no gap and were left out"]
    assert load(str(folder), "energy").crystals[1].texts == {"text": "salt, as a cube"}
    summary = summary_of(str(folder))
    assert (summary.count("gap"), summary.count("energy"), summary.texts) == (1, 3, ("text",))


@pytest.mark.parametrize(
    ("id_prop", "message"),
    [
        ("x,1\nnowhere,2\n", r"id_prop\.csv:1: no structure file for 'x'; looked for the name itself, and with \.vasp"),
        ("id,gap\nb,1,2\n", r"id_prop\.csv:2: 3 columns; expected an id and 1 target values"),
        ("", "is empty"),
        ("b\nc\n", "no target column"),
        ("id;gap\nb;3,5\n", r"no target column; (.|\n)*separated by semicolons"),
        ("id,gap\nb,3,5\n", "3 columns; expected an id and 1 target values, written with a decimal point"),
        ("id,gap\n ,3\n", r"id_prop\.csv:2: no id"),
        ("id,gap\n\0,3\n", "no structure file for"),
        ("id,gap\n" + "b" * 300 + ",3\n", "no structure file for"),
        ("b.cif,1\nb.cif,2\n", "1 ids stand more than once in .*: b$"),
    ],
)
def test_a_bad_id_prop_is_refused_with_its_line(id_prop, message, tmp_path) -> None:
    with pytest.raises(UserError, match=message):
        load(str(make_folder(tmp_path / "data", id_prop)), "gap")


def test_a_broken_structure_file_is_named(tmp_path) -> None:
    folder = make_folder(tmp_path / "data", "b.cif,1\n")
    (folder / "b.cif").write_text("not a cif")
    with pytest.raises(UserError, match=r"crystal 'b' in .*b\.cif: not a readable CIF"):
        load(str(folder), "gap")


@pytest.mark.parametrize("scale", ["0.0", "1e-90", "1e200"])
def test_a_poscar_without_volume_is_refused(scale, tmp_path) -> None:
    folder = make_folder(tmp_path / "data", "POSCAR-a.vasp,1\n")
    (folder / "POSCAR-a.vasp").write_text(f"flat\n{scale}\n1 0 0\n0 1 0\n0 0 1\nNa\n1\nDirect\n0 0 0\n")
    with pytest.raises(UserError, match=r"crystal 'POSCAR-a' in .*: (the cell has a volume of|not a readable)"):
        load(str(folder), "gap")


@pytest.mark.parametrize("options", [{}, {"with_spg_info": False, "comment": "two lines\n# and data_ of words"}])
def test_a_cif_of_jarvis_tools_is_read(options, tmp_path) -> None:
    folder = make_folder(tmp_path / "data", "b.cif,1\n")
    JarvisAtoms(lattice_mat=SALT["lattice_mat"], coords=SALT["coords"], elements=SALT["elements"]).write_cif(
        str(folder / "b.cif"), **options
    )
    (it,) = load(str(folder), "gap").crystals
    assert (it.formula, len(it.atomic_numbers)) == ("ClNa", len(SALT["elements"]))
    assert it.volume == pytest.approx(2 * 2.8**3, rel=1e-4)


def test_a_molecule_without_cell_is_refused(tmp_path) -> None:
    folder = make_folder(tmp_path / "data", "water.xyz,1\n")
    (folder / "water.xyz").write_text("1\n\nO 0 0 0\n")
    with pytest.raises(UserError, match="no three cell vectors"):
        load(str(folder), "gap")


def test_a_folder_without_id_prop_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match=r"has no id_prop\.csv"):
        load(str(tmp_path), "gap")


def test_a_folder_is_parsed_once_until_it_changes(tmp_path) -> None:
    folder = make_folder(tmp_path / "data", "POSCAR-a.vasp,1.5\nb.cif,na\nc,0.25\n")
    (folder / "description.csv").write_text("c,salt\n")
    once, again = (load(str(folder), "gap", tmp_path / "cache") for _ in range(2))
    assert [build["items"] for build in builds(tmp_path / "cache")] == [3]
    for data in (once, again):
        plain = load(str(folder), "gap")
        assert data.notes == plain.notes
        for ours, its in zip(data.crystals, plain.crystals, strict=True):
            assert ours.structure_key == its.structure_key
            assert (ours.material_id, ours.texts, ours.split) == (its.material_id, its.texts, its.split)
            assert ours.targets == its.targets
    (folder / "c.xyz").write_text((folder / "c.xyz").read_text().replace("2.8", "2.9"))
    changed = load(str(folder), "gap", tmp_path / "cache").crystals
    assert changed[1].volume > once.crystals[1].volume
    assert len(builds(tmp_path / "cache")) == 2


# table


def rows() -> list[dict]:
    pymatgen = {
        "lattice": {"matrix": SALT["lattice_mat"]},
        "sites": [
            {"species": [{"element": symbol, "occu": 1}], "abc": at}
            for symbol, at in zip(SALT["elements"], SALT["coords"], strict=True)
        ],
    }
    layouts = [SALT, pymatgen, POSCAR, cif()]
    splits = ["train", "train", "valid", "test"]
    return [
        {"id": number, "structure": layout, "gap": value, "note": f"text {number}", "split": split}
        for number, (layout, value, split) in enumerate(zip(layouts, [1.0, None, 3.0, 4.0], splits, strict=True))
    ]


def write_table(path: Path) -> Path:
    if path.name.endswith(".csv"):
        frame = pd.DataFrame(rows())
        frame["structure"] = [one if isinstance(one, str) else json.dumps(one) for one in frame["structure"]]
        frame.to_csv(path, index=False)
    elif path.name.endswith(".parquet"):
        frame = pd.DataFrame(rows())
        frame["structure"] = [one if isinstance(one, str) else json.dumps(one) for one in frame["structure"]]
        frame.to_parquet(path)
    elif path.name.endswith(".json"):
        path.write_text(json.dumps(rows()))
    else:
        lines = "\n".join(json.dumps(row) for row in rows())
        path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_a_table_in_every_format_and_layout(name, tmp_path) -> None:
    path = write_table(tmp_path / name)
    data = load(str(path), "gap")
    assert [it.material_id for it in data.crystals] == ["0", "2", "3"]
    assert data.notes == ["1 of 4 crystals have no gap and were left out"]
    assert [it.split for it in data.crystals] == ["train", "val", "test"]
    assert [it.texts["note"] for it in data.crystals] == ["text 0", "text 2", "text 3"]
    assert {it.formula for it in load(str(path), None).crystals} == {"ClNa"}
    summary = summary_of(str(path))
    assert summary.targets["gap"] == {"train": 1, "val": 1, "test": 1}
    assert summary.texts == ("note",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"structure": {"lattice": {}, "sites": [{}]}}, "crystal '0' in .*: a pymatgen dict without 'species'"),
        ({"structure": 3}, "no structure that can be read; accepted: a jarvis-tools dict"),
        ({"structure": {**SALT, "elements": ["Na", "Xx"]}}, "unknown element Xx"),
        ({"split": "holdout"}, "unknown split 'holdout'; allowed: train, val, test"),
        ({"id": 2}, "1 ids stand more than once"),
        ({"id": None}, "1 rows have no id"),
    ],
)
def test_a_bad_row_is_refused_by_its_id(change, message, tmp_path) -> None:
    first, *rest = rows()
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{**first, **change}, *rest]))
    with pytest.raises(UserError, match=message):
        load(str(path), "gap")


def test_a_site_shared_by_two_elements_is_refused(tmp_path) -> None:
    mixed = {"species": [{"element": "Na", "occu": 0.5}, {"element": "K", "occu": 0.5}], "abc": [0, 0, 0]}
    structure = {"lattice": {"matrix": SALT["lattice_mat"]}, "sites": [mixed]}
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"id": 1, "structure": structure, "gap": 1}]))
    with pytest.raises(UserError, match="a site is partly occupied"):
        load(str(path), "gap")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}', "expected a list of objects"),
        ("[1", "cannot read"),
        ('[{"id": 1}]', "no column 'structure'"),
        ("[]", "no column 'id'"),
        ("[" * 100_000, "cannot read"),
        ('[{"id": "a",\n "gap": 3,5}]', "cannot read .*: line 2"),
        ('[{"id": "a", "structure": "{\'lattice_mat\': 1}", "gap": 1}]', "broken JSON: .*single quotes is no JSON"),
        ('[{"id": "a", "structure": {"lattice_mat": 1, "elements": 3, "coords": 1}}]', "elements are a list"),
        ('[{"id": "a", "structure": {"sites": [3]}}]', "a pymatgen dict without"),
        ('[{"id": " ", "structure": 1}]', "no structure that can be read"),
    ],
)
def test_what_is_no_table_is_refused(content, message, tmp_path) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load(str(tmp_path / "t.json"), None)


def test_a_table_with_semicolons_says_how_to_save_it(tmp_path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffid;structure;gap\na;x;3,5\n".encode())
    with pytest.raises(UserError, match=r"no column 'id'(.|\n)*separated by semicolons; .*sep=';', decimal=','"):
        summary_of(str(tmp_path / "t.csv"))


def test_the_byte_order_mark_of_a_spreadsheet_is_no_part_of_the_first_column(tmp_path) -> None:
    path = write_table(tmp_path / "t.csv")
    path.write_bytes("\ufeff".encode() + path.read_bytes())
    assert len(load(str(path), "gap").crystals) == 3


def test_a_table_that_is_not_utf_8_says_so(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("id,structure,gap\nä,x,1\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"t\.csv is not UTF-8: .*save it as UTF-8"):
        summary_of(str(tmp_path / "t.csv"))


def test_broken_json_lines_are_named_by_their_line(tmp_path) -> None:
    (tmp_path / "t.jsonl").write_text('{"id": "a"}\n\n{"id": b}\n')
    with pytest.raises(UserError, match="broken JSON in line 3"):
        summary_of(str(tmp_path / "t.jsonl"))


@pytest.mark.parametrize("name", ["t.csv", "t.json", "t.jsonl", "t.parquet", "data/id_prop.csv", "data/b.cif"])
def test_a_sparse_file_of_twenty_gigabytes_is_refused_by_its_size(name, tmp_path) -> None:
    make_folder(tmp_path / "data", "b.cif,1\n")
    with (tmp_path / name).open("wb") as file:
        file.truncate(20 << 30)
    if name.endswith("cif"):
        with pytest.raises(UserError, match=r"b\.cif has 21\.5 GB; allowed: at most 67\.1 MB"):
            load(str(tmp_path / "data"), "gap")
        return
    with pytest.raises(UserError, match=r"data\.dataset: .* has 21\.5 GB; allowed: at most 4\.3 GB"):
        summary_of(str(tmp_path / name if name.startswith("t.") else tmp_path / "data"))


def test_a_packed_table_that_unpacks_to_gigabytes_is_refused(tmp_path) -> None:
    with gzip.open(tmp_path / "t.jsonl.gz", "wb") as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    with pytest.raises(UserError, match=r"unpacks to more than 268\.4 MB"):
        summary_of(str(tmp_path / "t.jsonl.gz"))


def test_a_file_of_another_kind_is_refused(tmp_path) -> None:
    (tmp_path / "t.xlsx").write_text("")
    with pytest.raises(UserError, match=r"is not a table; allowed: \.csv"):
        load(str(tmp_path / "t.xlsx"), None)


# JARVIS


def put_archive(root: Path, name: str, content: list[dict]) -> None:
    file = figshare.get_db_info()[name][1]
    (root / "jarvis").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "jarvis" / f"{file}.zip", "w") as packed:
        packed.writestr(file, json.dumps(content))


def jarvis_row(number: int, **values) -> dict:
    return {"jid": f"JVASP-{number}", "atoms": SALT, "spg_number": "225", "nat": 2, "typ": "bulk", **values}


def test_jarvis_sets_are_known_to_jarvis_tools() -> None:
    assert set(jarvis_sets.NAMES) <= figshare.get_db_info().keys()


def test_a_jarvis_set_is_read_from_the_cache(tmp_path) -> None:
    rows = [jarvis_row(1, hse_gap=5.0, mbj_bandgap="na"), jarvis_row(2, hse_gap="na", mbj_bandgap=4.0)]
    put_archive(tmp_path, "dft_3d", rows)
    assert summary_of("dft_3d", tmp_path) is None
    data = load("dft_3d", "hse_bandgap-2", tmp_path)
    assert [it.material_id for it in data.crystals] == ["JVASP-1"]
    assert data.crystals[0].targets == {"hse_gap": 5.0, "hse_bandgap-2": 5.0}
    assert summary_of("dft_3d", tmp_path).targets.keys() == {"hse_gap", "mbj_bandgap"}


def test_a_jarvis_set_out_of_reach_says_what_to_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(
        CommandFailed, match=r"dft_3d is not in the cache[\s\S]*runner prepare CONFIG, on the login node"
    ):
        load("dft_3d", "mbj_bandgap", tmp_path)
    assert list((tmp_path / "jarvis").iterdir()) == []


def test_a_damaged_archive_is_named(tmp_path) -> None:
    file = figshare.get_db_info()["dft_3d"][1]
    (tmp_path / "jarvis").mkdir()
    (tmp_path / "jarvis" / f"{file}.zip").write_bytes(b"half")
    with pytest.raises(UserError, match=r"is damaged .*remove it and fetch it again"):
        load("dft_3d", "mbj_bandgap", tmp_path)


def test_a_jarvis_target_has_its_own_published_split(tmp_path) -> None:
    """JVASP-5 (rutile) and JVASP-25 stand in the leaderboard's test and train split; JVASP-1 in none."""
    rows = [jarvis_row(number, formation_energy_peratom=1.0, ncond=2.0) for number in (5, 25, 1, 25)]
    put_archive(tmp_path, "dft_3d", rows)
    data = load("dft_3d", "formation_energy_peratom", tmp_path)
    assert [(it.material_id, it.split) for it in data.crystals] == [
        ("JVASP-5", "test"),
        ("JVASP-25", "train"),
        ("JVASP-1", None),
    ]
    assert data.notes == ["1 rows of dft_3d repeat an id; the first of each was kept"]
    assert {it.split for it in load("dft_3d", "ncond", tmp_path).crystals} == {None}
    assert dict(summary_of("dft_3d", tmp_path).targets["ncond"]) == {"none": 3}


def test_shipped_minerals_have_the_official_split_of_dft_3d() -> None:
    published = official_split("dft_3d_2021", "formation_energy_peratom")
    assert [len([1 for split in published.values() if split == name]) for name in SPLITS] == [44567, 5572, 5572]
    assert all(published[it.material_id] == it.split for it in load("jarvis_minerals", None).crystals)


def test_mp6k_has_the_official_split_of_megnet() -> None:
    published = official_split("megnet", "e_form")
    assert len(published) == 69239
    assert all(published[it.material_id] == it.split for it in load("mp6k", None).crystals)
    assert official_split("megnet", "gap pbe") == published
    assert official_split("megnet2", "e_form") == {}
