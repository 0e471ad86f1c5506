"""`python -m jobs.tasks.sentiment.convert FILE.pkl FILE.npz`: the pickle that MMSA publishes, written as plain arrays.

A pickle is a program. This EXECUTES what FILE.pkl holds, with your rights: start it for a file that you trust only.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.tasks.sentiment.mmsa import FIELDS, IN_FILE, check, save
from runner.errors import CommandFailed, UserError


def main(arguments: list[str] | None = None) -> int:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m jobs.tasks.sentiment.convert", description=__doc__, formatter_class=form
    )
    parser.add_argument("source", type=Path, metavar="FILE.pkl", help="a pickle that you trust: it is executed")
    parser.add_argument("target", type=Path, metavar="FILE.npz", help="what is written")
    options = parser.parse_args(arguments)
    sys.stderr.write(f"{options.source} is a pickle: what it holds is executed now\n")
    try:
        convert(options.source, options.target)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or options.target}: {error.strerror}\n")
        return CommandFailed.exit_status
    sys.stdout.write(f"{options.target}\n")
    return 0


def convert(source: Path, target: Path) -> None:
    """EXECUTE the pickle `source` and write what the sentiment task reads of it to `target`.

    Raises UserError where it is no pickle, or no data set in the MMSA layout; then nothing is left at `target`.
    """
    content = _executed(source)
    if not isinstance(content, Mapping):
        raise UserError(f"{source} holds a {type(content).__name__}; allowed: a dict of {', '.join(IN_FILE.values())}")
    splits = {name: content[name] for name in IN_FILE.values() if isinstance(content.get(name), Mapping)}
    save(target, {name: _plain(source, name, fields) for name, fields in splits.items()})
    try:
        check(target)
    except UserError:
        target.unlink()
        raise


def _executed(source: Path) -> Any:
    with source.open("rb") as file:
        try:
            return pickle.load(file, encoding="latin1")  # latin1: what Python 2 wrote
        except Exception as error:  # a damaged one raises whatever its bytes happen to mean
            reason = str(error).strip()[:200] or type(error).__name__
            raise UserError(f"{source} is not a whole pickle: {reason}") from error


def _plain(source: Path, split: str, fields: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    arrays = {}
    for field in (field for field in FIELDS if field in fields):
        try:
            array = np.asarray(fields[field])
        except ValueError:
            raise UserError(f"{source}: {split}/{field}: its rows have different lengths; pad them to one") from None
        if array.dtype.hasobject and field not in ("id", "ids"):
            raise UserError(f"{source}: {split}/{field}: found Python objects; allowed: numbers")
        arrays[field] = array.astype(str) if array.dtype.hasobject else array
    return arrays


if __name__ == "__main__":
    sys.exit(main())
