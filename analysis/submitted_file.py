"""The experiment file of an experiment, as it was last submitted."""

from __future__ import annotations

from pathlib import Path

from runner import experiment as experiment_file
from runner import manifest
from runner.errors import CommandFailed
from runner.layout import ExperimentDir
from runner.yaml_source import Source


def submitted_file(directory: ExperimentDir) -> Source:
    """With its --set; CommandFailed where there is neither a copy of it nor the file itself."""
    sent = manifest.submissions(directory)
    copy = directory.submission(sent[-1].number) / "experiment.yaml" if sent else None
    if copy is not None and copy.is_file():
        return experiment_file.load(copy, sent[-1].origin.get("overrides") or []).source
    config = Path(str(manifest.read(directory).content.get("config")))
    if not config.is_file():
        raise CommandFailed(f"{directory.submissions} holds no experiment file, and {config} is not here")
    return experiment_file.load(config).source
