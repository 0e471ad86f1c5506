"""What can be done before the runs start: data sets and encoders fetched, graphs built, texts embedded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jobs.task import Preparation, attempted
from jobs.tasks.crystal.compiled_kernel import NoKernels, build_kernels
from jobs.tasks.crystal.data import sources
from jobs.tasks.crystal.data.crystals import Crystal
from jobs.tasks.crystal.data.params import DataParams
from jobs.tasks.crystal.data.properties import refuse_without_logarithm
from jobs.tasks.crystal.data.splits import choose
from jobs.tasks.crystal.graphs.store import GraphStore
from jobs.tasks.crystal.schema import CrystalParams, GraphParams, TextParams
from jobs.tasks.crystal.text.descriptions import describe
from jobs.tasks.crystal.text.embeddings import embed
from runner.errors import CommandFailed, UserError

Log = Callable[[str], None]


def prepare(params: Sequence[CrystalParams], cache_root: Path, log: Log) -> list[Preparation]:
    """Fetch and fill what `params` need, each thing once; what cannot be had is reported, not raised."""
    preparations = []
    for data in _distinct(p.data for p in params):
        wanted = [p for p in params if p.data == data]
        try:
            crystals, details = _crystals(data, cache_root)
        except UserError as error:
            preparations.append(Preparation(f"data set {data.dataset}", False, error.message))
            continue
        preparations.append(Preparation(f"data set {data.dataset}, {data.target}", True, details))
        for graph in _distinct(p.graph for p in wanted if p.model.uses_graph):
            what = f"graphs ({graph.strategy}, {len(crystals):,} crystals)"
            preparations.append(attempted(what, _graphs, crystals, graph, cache_root, log))
        for text, tokens in _distinct((p.text, p.model.reads_tokens) for p in wanted if p.reads_text):
            what = f"descriptions ({text.describe}) as {text.encoder} reads them"
            preparations.append(attempted(what, _texts, crystals, text, tokens, cache_root, log))
    if any(p.may_be_compiled for p in params):
        preparations.append(_kernels(cache_root))
    return preparations


def _kernels(root: Path) -> Preparation:
    """Always ready: without them torch computes the same, more slowly on a CPU."""
    try:
        built = ", ".join(build_kernels(root))
    except (NoKernels, CommandFailed) as error:
        built = f"none, runs on a CPU take longer: {error}"
    return Preparation("compiled convolutions", True, built)


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _crystals(data: DataParams, cache_root: Path) -> tuple[list[Crystal], str]:
    """The crystals that some run will read; how many, notes on them, and each row that has no readable structure."""
    whole = sources.load(data.dataset, data.target, cache_root)
    refuse_without_logarithm(whole.crystals, data.target, data.scale)
    split = choose(whole.crystals, data, data.dataset)
    wanted = set(split.all_ids)
    crystals = [crystal for crystal in whole.crystals if crystal.material_id in wanted]
    details = "; ".join([f"{len(crystals):,} crystals", *whole.notes, *split.notes])
    return crystals, "\n    ".join([details, *whole.unread.values()])


def _graphs(crystals: list[Crystal], graph: GraphParams, root: Path, log: Log) -> str:
    store = GraphStore.open(crystals, graph, root, workers=cores(), log=log)
    return f"{store.nbytes / 1e6:,.0f} MB in memory"


def _texts(crystals: list[Crystal], text: TextParams, tokens: bool, root: Path, log: Log) -> str:
    texts = describe(crystals, text.describe, root, log, cores())
    embed(texts, text, root, want_tokens=tokens, download=True, workers=cores(), log=log)
    missing = sum(item is None for item in texts)
    return f"{missing} crystals without one" if missing else ""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
