"""What the name of a data set means: a set that ships, one of JARVIS, a folder, a table; and where it lies."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from jobs.tasks.crystal.data import jarvis_sets, shipped_sets, table
from jobs.tasks.crystal.data.folder import DESCRIPTION, ID_PROP
from jobs.tasks.crystal.data.structure_files import PLACES
from runner.errors import ConfigError, Problem, UserError, nearest

TABLES = (DESCRIPTION, "mat_text.csv")  # what older scripts call the table of a folder
PICKLES = (".pkl", ".pickle", ".p")
_CONVERSION = (
    "import json, sys, pandas; json.dump(pandas.DataFrame(pandas.read_pickle(sys.argv[1])).to_dict('records'), "
    "open(sys.argv[2], 'w'), default=lambda value: value.tolist() if hasattr(value, 'tolist') else value.to_dict())"
)


def located(dataset: str) -> tuple[str, Path]:
    """`shipped`, `jarvis`, `folder` or `table`, and the path of the latter two.

    A folder is one with id_prop.csv; of another its table is taken. Raises UserError for a name that is none of them,
    for a folder without one table, and for a pickle.
    """
    path = Path(os.path.expanduser(dataset))
    if dataset in shipped_sets.NAMES:
        return "shipped", path
    if dataset in jarvis_sets.NAMES:
        return "jarvis", path
    if os.path.isdir(path):  # unlike Path.is_dir false for a name that no file can have
        if not _is_open(path):
            raise UserError(f"data.dataset: the folder {dataset} cannot be read")
        return ("folder", path) if (path / ID_PROP).is_file() else ("table", _table_in(path))
    if not os.path.isfile(path):
        raise _unknown(dataset, path)
    if path.name.lower().removesuffix(".gz").endswith(PICKLES):
        raise _is_pickle(path)
    if not table.readable(path):
        raise UserError(f"data.dataset: {dataset} is not a table; allowed: {', '.join(table.SUFFIXES)}")
    return "table", path


def _table_in(folder: Path) -> Path:
    tables = _tables(folder)
    chosen = [path for path in tables if path.name in TABLES] or tables
    if len(chosen) == 1 or (chosen and chosen[0].name == TABLES[0]):
        return chosen[0]
    pickles = [path for path in sorted(folder.iterdir()) if path.name.lower().endswith(PICKLES)]
    if pickles and not chosen:
        raise _is_pickle(pickles[0])
    what = f"has no {ID_PROP} and " + ("several tables" if chosen else "no table")
    beside = _tables(folder.parent) if folder.name in PLACES and _is_open(folder.parent) else []
    below = [path for inner in sorted(folder.iterdir()) if _is_open(inner) for path in _tables(inner)]
    others = [str(path) for path in (chosen or beside or below)]
    shown = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
    wanted = f"name one: {shown}" if others else f"a folder with {ID_PROP}, or with a table such as {', '.join(TABLES)}"
    raise UserError(f"data.dataset: the folder {folder} {what}\n    allowed: {wanted}")


def _is_open(path: Path) -> bool:
    return os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)


def _tables(folder: Path) -> list[Path]:
    """The tables in `folder`, an id_prop.csv too, by name."""
    return sorted(path for path in folder.iterdir() if table.readable(path) and path.is_file())


def _unknown(dataset: str, path: Path) -> ConfigError:
    """There is nothing of that name: what was probably meant, by the names of data sets and of the files around."""
    names = [*shipped_sets.NAMES, *jarvis_sets.NAMES]
    around = next(parent for parent in (*path.parents, Path()) if _is_open(parent))
    near = nearest(path.parts[len(around.parts)], os.listdir(around))
    tables = f"a folder with {ID_PROP} or one table, a table ({', '.join(table.SUFFIXES)})"
    return ConfigError(
        [
            Problem(
                f"there is no data set, folder or file {dataset!r}; looked in {around.absolute()}",
                key="data.dataset",
                allowed=f"{', '.join(names)}, {tables}",
                nearest=nearest(dataset, names) or (near and str(around / near)),
            )
        ]
    )


def _is_pickle(path: Path) -> UserError:
    arguments = " ".join(map(shlex.quote, (_CONVERSION, str(path), str(path.with_suffix(".json")))))
    return UserError(
        f"data.dataset: {path} is a pickle, which is a program: whoever opens it runs what its author wrote. It was "
        "not opened\n    allowed: a table; this writes one and EXECUTES the pickle once, so only if you trust where it "
        f"is from:\n    python -c {arguments}"
    )
