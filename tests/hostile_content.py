"""What somebody writes who means harm: terminal escapes, formulas, pickles that run, planted caches. Used by tests.

Every payload, were it run, writes a file into the folder `outside`.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import pickle
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from runner.terminal import safe

ESCAPES = (
    "\x1b]52;c;cm0gLXJmIH4=\x07", "\x1b]0;title\x07", "\x1b[2J\x1b[H", "\x9b31m", "\u202egpj.exe", "\x1b[8m",
    "=HYPERLINK(\"http://x\")", "+cmd|' /C calc'!A0", "@SUM(1)", "-2+3+cmd|x", "\\input{/etc/passwd}",
    "<script>alert(1)</script>", "a\n\\input{x}", "[link](javascript:x)", "\x00", "\ud800",
    "${HOME}", "$(touch x)", "`id`",
)  # fmt: skip


class Payload:
    """Writes `executed` where it is unpickled."""

    def __init__(self, outside: Path) -> None:
        self.path = outside / "executed"

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def program(outside: Path) -> str:
    """The same as a Python module."""
    return f"open({str(outside / 'executed')!r}, 'w').close()\n"


def poisoned(outside: Path, chance: random.Random) -> bytes:
    """A pickle, alone or in what holds one."""
    data = pickle.dumps(Payload(outside), protocol=chance.choice((0, 2, 4)))
    objects = io.BytesIO()
    np.savez(objects, train=np.array([Payload(outside)], dtype=object))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:  # as torch.save
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    return chance.choice((data, objects.getvalue(), packed.getvalue(), gzip.compress(data)))


def escaped(target: Path, outside: Path, chance: random.Random) -> None:
    """Texts of the file replaced by what a terminal, a spreadsheet, LaTeX or HTML could obey."""
    lines = target.read_text(errors="replace").splitlines() or [""]
    for _ in range(chance.randint(1, 3)):
        row, text = chance.randrange(len(lines)), chance.choice(ESCAPES)
        if target.suffix in (".json", ".jsonl"):
            strings = [m.span() for m in re.finditer(r'"(?:[^"\\]|\\.)*"', lines[row])]
            start, end = chance.choice(strings) if strings else (0, 0)
            lines[row] = lines[row][:start] + json.dumps(text) + lines[row][end:]
        else:
            cells = lines[row].split(",")
            cells[chance.randrange(len(cells))] = text
            lines[row] = ",".join(cells)
    target.write_text("\n".join(lines) + "\n", errors="replace")


def pickled(target: Path, outside: Path, chance: random.Random) -> None:
    """A pickle in the file's place, and beside it under every name that could hold one."""
    target.write_bytes(poisoned(outside, chance))
    for name in ("best.pt", "last.pt", "stable.pt", "12_submitted.pkl", "cache.pkl", "splits.npz"):
        (target.parent / name).write_bytes(poisoned(outside, chance))


def planted_cache(target: Path, outside: Path, chance: random.Random) -> None:
    """Caches and code where an older version, Python or a careless one would look for them."""
    top = next(parent for parent in target.parents if parent.parent.name == "root")
    cache = {"records.json": b'{"version": 1, "records": {"2-s0-00000000": {"val_mae": -1}}}'}
    cache |= {name: poisoned(outside, chance) for name in ("records.pkl", "records.npz", "convolution.so")}
    modules = ("sitecustomize", "usercustomize", "conftest", "yaml", "numpy", "runner", "jobs", "analysis")
    code = {f"{name}.py": program(outside).encode() for name in modules}
    for place, files in {
        "analysis/cache": cache,
        ".cache": cache,
        "cache": cache,
        "code/0": code,
        "runs": code,
    }.items():
        with contextlib.suppress(OSError):  # an earlier damage took the folder
            if (top / place).resolve().is_relative_to(top):  # what lies outside stays as it is
                (top / place).mkdir(parents=True, exist_ok=True)
                for name, content in files.items():
                    (top / place / name).write_bytes(content)


def commands_the_terminal(text: str) -> bool:
    """Whether `text` holds a character that a terminal could obey."""
    return safe(text) != text


def formulas(folder: Path) -> list[str]:
    """Cells of the CSV files below `folder` that a spreadsheet would run."""
    found = []
    for path in folder.rglob("*.csv") if folder.is_dir() and not folder.is_symlink() else ():
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        found += [cell for cell in cells if cell[:1] in ("=", "+", "-", "@") and not re.match(r"[+-]?[\d.]", cell)]
    return [cell for cell in found if cell not in ("-inf", "-nan", "-")]


POSCAR = "CsCl\n1.0\n4.1 0 0\n0 4.1 0\n0 0 4.1\nCs Cl\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n"
DATA = """\
experiment: hostile
task: {task}
params:
  data: {data}
{more}matrix: {{seeds: [0]}}
resources: {{cpus: 1, memory: 1G, time: 10m}}
"""
CRYSTAL = {
    "task": "crystal",
    "more": "  model: {encoder: {name: alignn, alignn_layers: 1, gcn_layers: 1, hidden: 8}}\n",
}
SENTIMENT = {"task": "sentiment", "more": "  teachers: {name: trained, width: 8, epochs: 1}\n"}


def _folder(place: Path) -> Path:
    place.mkdir()
    names = [f"s{number}" for number in range(12)]
    (place / "id_prop.csv").write_text("".join(f"{name}.vasp,{i / 10}\n" for i, name in enumerate(names)))
    for name in names:
        (place / f"{name}.vasp").write_text(POSCAR)
    return place


def _table(place: Path) -> Path:
    rows = "".join(f'a{i},"{POSCAR}",{i / 10}\n' for i in range(12))
    (path := place.with_suffix(".csv")).write_text("id,structure,gap\n" + rows)
    return path


def _json(place: Path) -> Path:
    rows = [{"id": f"a{i}", "structure": POSCAR, "gap": i / 10} for i in range(12)]
    (path := place.with_suffix(".json")).write_text(json.dumps(rows))
    return path


def _utterances(place: Path) -> Path:
    random_ = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "valid", "test"):
        arrays |= {
            f"{split}/{name}": random_.normal(size=(8, 4, 6)).astype("float32") for name in ("text", "audio", "vision")
        }
        arrays |= {f"{split}/regression_labels": random_.normal(size=8).astype("float32")}
    with (path := place.with_suffix(".npz")).open("wb") as file:
        np.savez(file, **arrays)
    return path


DATASETS: dict[str, tuple[Callable[[Path], Path], dict[str, str], str]] = {
    "folder": (_folder, CRYSTAL, "{{dataset: {path}, split: random, target: target, train: 6, val: 1, test: 1}}"),
    "table": (_table, CRYSTAL, "{{dataset: {path}, split: random, target: gap, train: 6, val: 1, test: 1}}"),
    "json": (_json, CRYSTAL, "{{dataset: {path}, split: random, target: gap, train: 6, val: 1, test: 1}}"),
    "npz": (_utterances, SENTIMENT, "{{dataset: {path}}}"),
}


def gzipped_bomb(target: Path, outside: Path, chance: random.Random) -> None:
    """A few kilobytes that unpack to 300 MB."""
    target.write_bytes(gzip.compress(b"0" * (1 << 20)) * 300)


def huge_arrays(target: Path, outside: Path, chance: random.Random) -> None:
    """Arrays whose headers promise terabytes."""
    shape = (10 ** chance.randint(9, 17), 9)
    header = str({"descr": "<f8", "fortran_order": False, "shape": shape})
    array = b"\x93NUMPY\x01\x00v\x00" + header.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(target, "w") as archive:
        for split in ("train", "valid", "test"):
            for name in ("text", "audio", "vision", "regression_labels"):
                archive.writestr(f"{split}/{name}.npy", array)


def experiment_file(kind: str, place: Path) -> tuple[Path, Path]:
    """A healthy data set of a kind below `place`, and the experiment file that reads it."""
    made, task, data = DATASETS[kind]
    path = made(place / "data")
    config = place / "experiment.yaml"
    config.write_text(DATA.format(**task, data=data.format(path=os.fspath(path))))
    return path, config
