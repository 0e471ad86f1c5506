"""`runner init`: starter experiment and cluster files; and the JSON schemas that editors read beside them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from jobs.adopt.schema import AdoptParams
from jobs.tasks.registry import TASKS, load_task
from runner.config import yaml_source
from runner.config.cluster import LocalCluster, SlurmCluster
from runner.config.experiment import Experiment
from runner.config.field_comments import comments
from runner.errors import UserError
from runner.extras import lacking
from runner.files import write_text

SCHEMAS = "schema"  # the folder beside the starters


def starters() -> dict[str, str]:
    """Path below `configs/` → content of every starter file."""
    base = files("runner.starters")
    entries = {entry.name: entry for entry in base.iterdir() if entry.name.endswith(".yaml")}
    entries |= {f"clusters/{entry.name}": entry for entry in (base / "clusters").iterdir()}
    return {name: entries[name].read_text(encoding="utf-8") for name in sorted(entries)}


def schemas() -> dict[str, str]:
    """Path below `configs/` → JSON schema: one per task whose packages are installed, and one for cluster files."""
    return {f"{SCHEMAS}/{name}.json": schema_of(name) + "\n" for name in (*TASKS, CLUSTER) if not lacking(name)}


def hinted(name: str, text: str) -> str:
    """The starter `name` with a first line that tells editors where its schema lies."""
    if name.startswith("clusters/"):
        return f"# yaml-language-server: $schema=../{SCHEMAS}/{CLUSTER}.json\n{text}"
    task = yaml_source.parse(text, Path(name)).value.get("task", "crystal")
    known = task in TASKS and not lacking(task)
    return f"# yaml-language-server: $schema={SCHEMAS}/{task}.json\n{text}" if known else text


def write(texts: dict[str, str], folder: Path, force: bool) -> list[Path]:
    """Write `texts`, by file name, into `folder`, and the schemas; UserError, and nothing written, when one exists."""
    wanted = {folder / name: hinted(name, text) for name, text in texts.items()}
    if (existing := [path for path in wanted if path.exists()]) and not force:
        raise UserError(
            f"{existing[0]} exists" + (f" and {len(existing) - 1} more" if len(existing) > 1 else ""),
            next_command="the same command with --force, which overwrites",
        )
    for path, text in (wanted | {folder / name: text for name, text in schemas().items()}).items():
        write_text(path, text)
    return list(wanted)


CLUSTER = "cluster"  # in place of a task: the schema of a cluster file


class Described(GenerateJsonSchema):
    """With the comment of every field as its description, which editors show."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        described, explained = super().model_schema(schema), comments(schema["cls"])
        for name, field in described.get("properties", {}).items():
            if name in explained:
                field.setdefault("description", explained[name])
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
        described = {key: text for key, text in whole["properties"][name].items() if key == "description"}
        whole["properties"][name] = {"$ref": f"#/$defs/{name.title()}", **described}
    return whole


def cluster_schema() -> dict[str, Any]:
    """Of a cluster file, of either kind."""
    return TypeAdapter(LocalCluster | SlurmCluster).json_schema(schema_generator=Described)
