"""`python -m jobs.tasks.sentiment.generate FILE`: a data set with planted importance, as an .npz in the MMSA layout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from jobs.tasks.sentiment.mmsa import IN_FILE, save
from jobs.tasks.sentiment.samples import Samples
from jobs.tasks.sentiment.schema import Planted
from jobs.tasks.sentiment.synthetic import generate
from models.sentiment.options import MODALITIES
from runner.errors import ConfigError, UserError
from runner.rundir.run_config import problems_of
from runner.terminal import outputs


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jobs.tasks.sentiment.generate", description=__doc__)
    parser.add_argument("file", type=Path, help="the .npz that is written")
    parser.add_argument("--importance", type=float, nargs=3, metavar=("TEXT", "VISION", "AUDIO"), default=(6, 3, 1))
    parser.add_argument("--aligned", action="store_true", help="all modalities have the positions of the text")
    for name in ("train", "valid", "test", "length", "text_width", "vision_width", "audio_width", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=Planted.model_fields[name].default)
    parser.add_argument("--noise", type=float, default=Planted.model_fields["noise"].default)
    options = vars(parser.parse_args(arguments))
    path: Path = options.pop("file")
    options["importance"] = dict(zip(MODALITIES, options["importance"], strict=True))
    try:
        planted = Planted.model_validate(options)
        write(generate(planted), path, planted.aligned)
    except ValidationError as error:
        sys.stderr.write(f"error: {ConfigError(problems_of(error, 'the options'))}\n")
        return UserError.exit_status
    except OSError as error:
        sys.stderr.write(f"error: {path} cannot be written: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


def write(samples: Samples, path: Path, aligned: bool) -> None:
    """Write `samples` in the MMSA layout: padded arrays, lengths where unaligned."""
    save(path, {IN_FILE[name]: _split(samples, name, aligned) for name in samples.splits})


def _split(samples: Samples, name: str, aligned: bool) -> dict[str, NDArray[Any]]:
    split = samples.splits[name]
    fields: dict[str, NDArray[Any]] = {modality: it.values for modality, it in split.modalities.items()}
    fields |= {"regression_labels": split.labels, "id": np.array(split.ids)}
    unaligned = () if aligned else ("vision", "audio")
    return fields | {f"{modality}_lengths": split.modalities[modality].mask.sum(1) for modality in unaligned}


if __name__ == "__main__":
    with outputs():
        sys.exit(main())
