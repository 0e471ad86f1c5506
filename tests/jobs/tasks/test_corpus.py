"""What a run reads: the second time from the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from build_log import builds
from jobs.tasks.crystal.dataset import far_targets, gather
from jobs.tasks.crystal.graphs import shards
from jobs.tasks.crystal.schema import CrystalParams
from jobs.tasks.crystal.text import embedding_cache

DATA = {"dataset": "jarvis_minerals", "target": "formation_energy_peratom", "train": 8, "val": 2, "test": 2}
MODELS = [
    {"middle_fusion": {"name": "dynamic", "layers": [2]}},
    {"encoder": {"name": "alignn", "hidden": 32}, "middle_fusion": {"name": "middle", "layers": [1, 3]}},
    {"late_fusion": {"name": "gated"}},
]


def test_a_model_that_differs_computes_no_graph_and_no_text_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs, texts = [], []
    build, encode = shards.build_chunk, embedding_cache.encode
    monkeypatch.setattr(shards, "build_chunk", lambda its, **more: graphs.append(len(its)) or build(its, **more))
    monkeypatch.setattr(embedding_cache, "encode", lambda its, **more: texts.append(len(its)) or encode(its, **more))
    for model in MODELS:
        params = CrystalParams.model_validate({"data": DATA, "text": {"describe": "robocrys"}, "model": model})
        gather(params, tmp_path, torch.device("cpu"), 1, lambda text: None)
        assert (sum(graphs), sum(texts)) == (12, 12)
    assert sorted(build["kind"] for build in builds(tmp_path)) == ["embeddings", "graphs"]


def test_targets_far_from_all_others_are_noted() -> None:
    values = np.linspace(0, 1, 101)
    assert far_targets(values, "gap") == []
    assert far_targets(np.ones(9), "gap") == []
    (note,) = far_targets(np.append(values, [-12, 5000.0]), "gap")
    assert note.startswith("gap: 2 of 103 values lie beyond 20 interquartile ranges, such as 5000 (half of all: 0.2")
