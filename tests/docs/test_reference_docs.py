"""The reference is that of the code, and nothing in it is without a word of explanation."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

import analysis.cli
import runner.cli
from benchmarks.page import filled
from docs.generate import api, commands, cost, keys, starters
from docs.generate.reference import DOCS, pages, schemas
from runner.commands.init import cluster_schema, experiment_schema
from runner.config.experiment import Experiment
from runner.config.field_comments import comments
from runner.config.yaml_source import PlainLoader

CONFIGS = Path(__file__).parents[2] / "configs"


def test_reference_is_that_of_the_code() -> None:
    stale = [path.name for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    assert not stale, "run: make docs"
    for part in (cost, starters):
        page = part.PAGE.read_text(encoding="utf-8")
        assert filled(page, part.tables()) == page, "run: make docs"
    assert {path.name for path in (DOCS / "reference").glob("*.md")} == {path.name for path in pages()}


def test_every_command_and_option_is_documented() -> None:
    found = commands.undocumented("runner", runner.cli.app) + commands.undocumented("analysis", analysis.cli.app)
    assert not found, "a command needs a docstring, an option a help text"


def test_every_key_has_a_comment() -> None:
    assert not [key for schema in schemas() for key in keys.missing(schema)], "one comment a field, behind it"


def test_every_class_of_the_python_api_is_documented() -> None:
    assert not api.undocumented(), "a docstring for each class and method, a comment for each field"


def test_key_without_a_comment_and_command_without_help_are_found() -> None:
    assert keys.missing({"title": "Model", "properties": {"key": {"type": "integer"}}}) == ["Model.key"]
    app = runner.cli.typer.Typer()
    app.command("bare")(lambda count=1: None)
    app.command("other")(lambda: None)
    assert commands.undocumented("runner", app) == ["runner bare", "runner bare --count", "runner other"]


def test_comments_are_read_from_the_source_and_inherited() -> None:
    assert comments(Experiment)["experiment"] == "names the directory runs/<experiment>"
    assert comments(type("Made", (Experiment,), {})) == comments(Experiment)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_editor_accepts_what_ships(path: Path) -> None:
    content = yaml.load(path.read_text(encoding="utf-8"), PlainLoader)
    schema = cluster_schema() if path.parent.name == "clusters" else experiment_schema(content.get("task", "crystal"))
    jsonschema.validate(content, schema)


def test_editor_underlines_an_unknown_key() -> None:
    with pytest.raises(jsonschema.ValidationError, match="'epoch' was unexpected"):
        jsonschema.validate({"experiment": "a", "params": {"train": {"epoch": 1}}}, experiment_schema("crystal"))
