"""`runner schema`: the JSON schema of an experiment file for one task, or of a cluster file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from jobs.adopt.schema import AdoptParams
from jobs.tasks.registry import load_task
from runner.config.cluster import LocalCluster, SlurmCluster
from runner.config.experiment import Experiment
from runner.config.field_comments import comments

CLUSTER = "cluster"  # in place of a task: the schema of a cluster file


class Described(GenerateJsonSchema):
    """With the comment of every field as its description, which editors show."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        described = super().model_schema(schema)
        explained = comments(schema["cls"])
        for name, field in described.get("properties", {}).items():
            if name in explained and "description" not in field:
                field["description"] = explained[name]
        return described


def schema_of(what: str) -> str:
    """JSON schema for the task `what`, or of a cluster file, as text."""
    return json.dumps(cluster_schema() if what == CLUSTER else experiment_schema(what), indent=1, ensure_ascii=False)


def experiment_schema(task: str) -> dict[str, Any]:
    """Of the whole file; `params` is the task's own, without required keys, since axes may set them."""
    whole: dict[str, Any] = Experiment.model_json_schema(schema_generator=Described)
    definitions = whole.setdefault("$defs", {})
    sections: dict[str, type[BaseModel]] = {"params": load_task(task, Path.cwd()).Params, "adopt": AdoptParams}
    for name, model in sections.items():
        section: dict[str, Any] = model.model_json_schema(schema_generator=Described)
        definitions |= section.pop("$defs", {})
        definitions[name.title()] = {key: value for key, value in section.items() if key != "required"}
        field = whole["properties"][name]
        whole["properties"][name] = {"$ref": f"#/$defs/{name.title()}", **_description(field)}
    return whole


def cluster_schema() -> dict[str, Any]:
    """Of a cluster file, of either kind."""
    return TypeAdapter(LocalCluster | SlurmCluster).json_schema(schema_generator=Described)


def _description(field: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in field.items() if key == "description"}
