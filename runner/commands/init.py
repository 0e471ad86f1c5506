"""`runner init`: starter experiment and cluster files, and the schemas that editors read beside them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jobs.tasks.registry import TASKS
from runner.commands.schema import CLUSTER, schema_of
from runner.config import yaml_source
from runner.errors import UserError
from runner.extras import lacking
from runner.files import write_text

SCHEMAS = "schema"  # the folder beside the starters


def starters() -> dict[str, str]:
    """Path below `configs/` → content of every starter file."""
    base = files("runner.starters")
    found = {entry.name: entry.read_text(encoding="utf-8") for entry in base.iterdir() if entry.name.endswith(".yaml")}
    clusters = (base / "clusters").iterdir()
    found |= {f"clusters/{entry.name}": entry.read_text(encoding="utf-8") for entry in clusters}
    return dict(sorted(found.items()))


def schemas() -> dict[str, str]:
    """Path below `configs/` → JSON schema, one a task whose packages are installed and one for cluster files."""
    return {f"{SCHEMAS}/{name}.json": schema_of(name) + "\n" for name in (*TASKS, CLUSTER) if not lacking(name)}


def hinted(name: str, text: str) -> str:
    """The starter `name` with a first line that tells editors where its schema lies."""
    if name.startswith("clusters/"):
        return f"# yaml-language-server: $schema=../{SCHEMAS}/{CLUSTER}.json\n{text}"
    task = yaml_source.parse(text, Path(name)).value.get("task", "crystal")
    return (
        f"# yaml-language-server: $schema={SCHEMAS}/{task}.json\n{text}"
        if task in TASKS and not lacking(task)
        else text
    )


def write(texts: dict[str, str], folder: Path, force: bool) -> list[Path]:
    """Write `texts`, by file name, into `folder`, and the schemas; UserError, and nothing written, when one exists."""
    wanted = {folder / name: hinted(name, text) for name, text in texts.items()}
    existing = [path for path in wanted if path.exists()]
    if existing and not force:
        raise UserError(
            f"{existing[0]} exists" + (f" and {len(existing) - 1} more" if len(existing) > 1 else ""),
            next_command="the same command with --force, which overwrites",
        )
    for path, text in (wanted | {folder / name: text for name, text in schemas().items()}).items():
        write_text(path, text)
    return list(wanted)
