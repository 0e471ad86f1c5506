"""The file of a next stage: its template with the template's points for each promoted variant, as named points."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.tasks.registry import load_task
from runner.config.experiment import Experiment, Matrix, Overrides
from runner.config.experiment_file import examine
from runner.config.yaml_source import Source
from runner.errors import ConfigError, Mistakes, UserError
from runner.matrix import points
from runner.matrix.resolution import Misfit, Resolver
from runner.matrix.run_id import axis_names, variant_label

WARM_START = "train.warm_start"
FILLED_IN = "promoted"  # as the template's warm start: the checkpoint of each variant
Origin = dict[str, Any]


def template(name: str, config: str | Path | None) -> Path:
    """The template `name` as it is written, else beside or above the experiment file `config` that names it."""
    places = [Path(name), *(folder / name for folder in (Path(config).absolute().parents if config else ()))]
    return next(filter(os.path.isfile, places), places[0])


def content(source: Source, promoted: Sequence[tuple[str, Overrides, Origin]]) -> tuple[dict[str, Any], list[str]]:
    """The template `source` with its points × the `promoted` variants, and what had to be left out.

    promoted: name, overrides, and where it came from. A setting that goes below a part which the variant replaces, and
    that this part does not know (the width of a fusion that is none), is left out; points that become equal are one.
    """
    template = source.value
    given = dict(template.get("matrix") or {})
    named = dict(given.pop("named", None) or {})
    seeds = {"seeds": given.pop("seeds")} if "seeds" in given else {}
    task = str(template.get("task", Experiment.model_fields["task"].default))
    resolver = Resolver(load_task(task, Path.cwd()).Params, task, template.get("params") or {})
    warm = (template.get("params") or {}).get("train") or {}
    settings = _settings(source, given)
    names = axis_names(list(dict.fromkeys(key for one in settings for key in one)))
    origins: dict[str, Origin] = {}
    left_out: dict[str, None] = {}
    seen: set[str] = set()
    for variant, axes, origin in promoted:
        filled_in = isinstance(warm, dict) and warm.get("warm_start") == FILLED_IN
        shared = {**axes, **({WARM_START: _checkpoint(variant, origin)} if filled_in else {})}
        for one in settings:
            kept, digest = _fitting(resolver, shared, one)
            left_out |= dict.fromkeys(f"{variant} has no {key}: left out" for key in one if key not in kept)
            if digest is None or digest not in seen:
                name = _slug(variant, variant_label(kept, names) if kept else "")
                named[name], origins[name] = {**shared, **kept}, origin
            seen |= {digest} if digest else set()
    stage = {**template, "matrix": {"named": named, **seeds}, "promoted": origins}
    if stage.get("baseline") not in named:
        stage.pop("baseline", None)  # a baseline of the template's own axes is none of these points
    return stage, list(left_out)


def _settings(source: Source, given: dict[str, Any]) -> list[Overrides]:
    """What the template varies: its axes, zip and random axes without what it excludes; one empty point of nothing."""
    examined = examine(source.path)
    if "matrix" in examined.spoilt:
        raise ConfigError(examined.mistakes)
    if given.get("include"):
        raise UserError(f"{source.path}: points.include cannot be combined with promoted variants; "
                        "allowed: axes, zip, random, exclude, named, seeds")  # fmt: skip
    varied, problems = points.points(Matrix.model_validate(given), source) if given else ([points.Point({}, ())], [])
    Mistakes(problems).refuse()
    return [point.overrides for point in varied]


def _fitting(resolver: Resolver, variant: Overrides, settings: Overrides) -> tuple[Overrides, str | None]:
    """The settings that fit the variant, and the hash of both; None where they do not fit in another way."""
    resolved = resolver.resolve({**variant, **settings})
    if not isinstance(resolved, Misfit):
        return settings, resolved.digest
    kept = {key: value for key, value in settings.items() if not any(key.startswith(f"{part}.") for part in variant)}
    resolved = resolver.resolve({**variant, **kept})
    return (settings, None) if isinstance(resolved, Misfit) else (kept, resolved.digest)


def _checkpoint(variant: str, origin: Origin) -> str:
    if origin.get("checkpoint") is None:
        raise UserError(
            f"{variant} has no best.pt to start from, as {WARM_START} of the next stage asks",
            next_command="keep: {checkpoints: best} or all in the earlier stage",
        )
    return str(origin["checkpoint"])


def _slug(variant: str, settings: str) -> str:
    parts = (re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-._") for text in (variant, settings) if text)
    return "--".join(parts)[:100]
