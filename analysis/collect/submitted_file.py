"""The experiment file of an experiment, as it was last submitted."""

from __future__ import annotations

from pathlib import Path

from runner.config import experiment_file
from runner.config.yaml_source import Source
from runner.errors import CommandFailed
from runner.rundir import manifest
from runner.rundir.layout import ExperimentDir


def submitted_file(directory: ExperimentDir) -> Source:
    """With its --set; CommandFailed where there is neither a copy of it nor the file itself."""
    sent = manifest.submissions(directory)
    copy = directory.experiment_copy(sent[-1].number) if sent else None
    if copy is not None and copy.is_file():
        origin = sent[-1].origin
        return experiment_file.load(copy, origin.overrides if origin else []).source
    config = Path(str(manifest.read(directory).config))
    if not config.is_file():
        raise CommandFailed(f"{directory.submissions} holds no experiment file, and {config} is not here")
    return experiment_file.load(config).source
