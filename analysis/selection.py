"""Naming a variant or a run of an experiment on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.rank import Variant
from analysis.summary import Summary
from runner.errors import UserError, nearest


def variant_named(summary: Summary, name: str) -> Variant:
    """A variant by its name, or one run of it by its id or a unique prefix of that; UserError otherwise."""
    by_name = {variant.name: variant for variant in summary.variants}
    if name in by_name:
        return by_name[name]
    found = [run for run in summary.collection.runs if run.run_id.startswith(name)]
    exact = [run for run in found if run.run_id == name]
    if len(exact or found) == 1:
        run = (exact or found)[0]
        variant = by_name[run.plan.variant]
        scored = tuple(item for item in variant.scored if item.run_id == run.run_id)
        return replace(variant, name=run.run_id, runs=(run,), scored=scored)
    experiment = summary.collection.manifest.experiment
    if found:
        listed = ", ".join(run.run_id for run in found[:5])
        raise UserError(f"{name!r} is the start of {len(found)} runs of {experiment}: {listed}")
    known = [*by_name, *(run.run_id for run in summary.collection.runs)]
    similar = nearest(name, known)
    hint = f"\n    did you mean: {similar}" if similar else ""
    raise UserError(
        f"{experiment} has no variant or run {name!r}\n    variants: {', '.join(list(by_name)[:20])}{hint}",
        next_command="analysis summarize",
    )


def variants_named(summary: Summary, names: Sequence[str]) -> list[Variant]:
    """The variants with these names; all of them where none is given."""
    return [variant_named(summary, name) for name in names] if names else list(summary.variants)
