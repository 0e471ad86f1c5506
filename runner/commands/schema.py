"""`runner schema`: the JSON schema of an experiment file for one task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jobs.registry import load_task
from runner.experiment import Experiment


def schema_of(task: str) -> str:
    """JSON schema of the whole file; `params` is the task's own, without required keys, since axes may set them."""
    whole: dict[str, Any] = Experiment.model_json_schema()
    params: dict[str, Any] = load_task(task, Path.cwd()).Params.model_json_schema()
    definitions = whole.setdefault("$defs", {})
    definitions |= params.pop("$defs", {})
    definitions["Params"] = {key: value for key, value in params.items() if key != "required"}
    whole["properties"]["params"] = {"$ref": "#/$defs/Params"}
    return json.dumps(whole, indent=1)
