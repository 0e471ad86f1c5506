"""The structure files that the rows of a table name: beside the table, or in a folder for them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.tasks.crystal.data.records import SUFFIXES
from runner.errors import UserError

PLACES = ("", "cif", "structures", "poscar")  # beside the table, and below it


class StructureFiles:
    """Finds the file of an entry. Folders are listed once: asking a file system for each guess takes minutes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        places = [folder / place for place in PLACES if os.path.isdir(folder / place)]
        self.names = {place: frozenset(os.listdir(place)) for place in places if os.access(place, os.R_OK | os.X_OK)}

    def find(self, entry: str, where: str) -> Path:
        """The file that `entry` names: itself, or with one of the usual suffixes.

        Raises UserError, beginning with `where` the entry stands, for none.
        """
        guesses = (entry, *(f"{entry}{suffix}" for suffix in SUFFIXES), f"POSCAR-{entry}", f"POSCAR-{entry}.vasp")
        for place, names in self.names.items():
            for guess in guesses:  # os.path.isfile is false for a name that no file can have, unlike Path.is_file
                if (guess in names or os.sep in guess) and os.path.isfile(place / guess):
                    return place / guess
        raise UserError(f"{where}: no structure file for {entry!r}; looked {self.places}")

    @property
    def places(self) -> str:
        """What `find` looks for, and where."""
        below = ", ".join(filter(None, PLACES))
        return f"for the name itself, and with {', '.join(SUFFIXES)}, in {self.folder} and its {below}"

    def stats(self, entries: Iterable[str]) -> list[Any]:
        """What changes with the files of `entries`: name, size and time of each; None where there is no file."""
        stats: list[Any] = []
        for entry in entries:
            try:
                path = self.find(entry, "")
                stats.append([path.name, (status := path.stat()).st_size, status.st_mtime_ns])
            except (UserError, OSError):
                stats.append(None)
        return stats
