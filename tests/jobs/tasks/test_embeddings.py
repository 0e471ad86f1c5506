"""Embeddings of descriptions: right, cached, batched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from build_log import builds
from jobs.tasks.crystal.schema import TextParams
from jobs.tasks.crystal.text import embedding_cache, embeddings
from jobs.tasks.crystal.text.embeddings import embed
from models.encoders.text import TextEncoder
from runner.errors import CommandFailed, UserError

PARAMS = TextParams()
TEXTS = ["TiO2 is rutile.", "NaCl crystallizes in the cubic Fm-3m spacegroup.", None, "TiO2 is rutile.", "MgO"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.load("minilm")


def built(root) -> list[tuple[str, int]]:
    return [(build["kind"], build["items"]) for build in builds(root)]


def test_vectors_are_those_of_the_encoder(encoder, tmp_path) -> None:
    batch = embed(TEXTS, PARAMS, tmp_path).batch([0, 1, 2, 3, 4])
    expected = encoder.encode([text or "" for text in TEXTS], max_length=PARAMS.max_length).pooled
    assert batch.present.tolist() == [True, True, False, True, True]
    assert torch.allclose(batch.vector[batch.present], expected[batch.present], atol=1e-5)
    assert not batch.vector[2].any()
    assert batch.tokens is None


@pytest.mark.parametrize("on_device", [1 << 30, 0], ids=["resident", "from disk"])
def test_tokens_are_those_of_the_encoder_padded_to_the_batch(encoder, tmp_path, monkeypatch, on_device) -> None:
    monkeypatch.setattr(embeddings, "ON_DEVICE", on_device)
    whole = embed(TEXTS, PARAMS, tmp_path, want_tokens=True)
    for positions in ([4, 0, 2], [1], torch.tensor([3, 1])):
        batch = whole.batch(positions)
        texts = [TEXTS[int(position)] for position in positions]
        expected = encoder.encode([text for text in texts if text], want_tokens=True)
        kept = torch.tensor([text is not None for text in texts])
        assert batch.tokens.shape[:2] == expected.tokens.shape[:1] + expected.tokens.shape[1:2] or not kept.all()
        assert torch.equal(batch.token_mask[kept], expected.token_mask)
        assert torch.allclose(batch.tokens[kept], expected.tokens, atol=5e-3)
        assert not batch.token_mask[~kept].any()
        assert not batch.tokens[~batch.token_mask].any()


def test_only_new_texts_are_encoded(tmp_path) -> None:
    embed(TEXTS[:3], PARAMS, tmp_path)
    assert built(tmp_path) == [("embeddings", 2)]
    first = embed(TEXTS, PARAMS, tmp_path)
    assert built(tmp_path) == [("embeddings", 2), ("embeddings", 1)]
    again = embed(TEXTS, PARAMS, tmp_path)
    assert len(built(tmp_path)) == 2
    assert torch.equal(first.vector, again.vector)


def test_tokens_come_with_vectors_and_are_kept_apart(tmp_path) -> None:
    embed(TEXTS[:1], PARAMS, tmp_path)
    embed(TEXTS, PARAMS, tmp_path, want_tokens=True)
    assert built(tmp_path) == [("embeddings", 1), ("token embeddings", 3), ("embeddings", 2)]
    embed(TEXTS, PARAMS, tmp_path, want_tokens=True)
    embed(TEXTS, PARAMS, tmp_path)
    assert len(built(tmp_path)) == 3


@pytest.mark.parametrize("change", [{"pooling": "cls"}, {"max_length": 8}])
def test_what_changes_the_vectors_changes_their_place(change, tmp_path) -> None:
    first = embed(TEXTS[1:2], PARAMS, tmp_path)
    second = embed(TEXTS[1:2], PARAMS.model_copy(update=change), tmp_path)
    assert built(tmp_path) == [("embeddings", 1)] * 2
    assert not torch.allclose(first.vector, second.vector, atol=1e-3)


def test_texts_are_encoded_in_shards(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(embedding_cache, "SHARD", 2)
    whole = embed([f"crystal {number}" for number in range(5)], PARAMS, tmp_path, want_tokens=True)
    assert [items for kind, items in built(tmp_path) if kind == "embeddings"] == [2, 2, 1]
    alone = embed(["crystal 3"], PARAMS, tmp_path, want_tokens=True)
    assert torch.equal(whole.batch(np.array([3])).tokens, alone.batch([0]).tokens)
    assert torch.equal(whole.batch([3]).vector, alone.batch([0]).vector)


def test_crystals_without_any_text_have_zeros_of_the_right_width(tmp_path) -> None:
    batch = embed([None, None], PARAMS, tmp_path, want_tokens=True).batch([0, 1])
    assert batch.vector.shape == (2, 384)
    assert batch.tokens.shape == (2, 1, 384)
    assert not batch.token_mask.any()
    assert built(tmp_path) == []


def test_an_encoder_that_is_not_here_says_what_to_run(tmp_path) -> None:
    params = TextParams(encoder="nobody/no-such-encoder")
    with pytest.raises(UserError, match=r"nobody/no-such-encoder[\s\S]*next: runner prepare CONFIG, on the login node"):
        embed(TEXTS, params, tmp_path)


def test_an_unwritable_cache_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandFailed, match=r"lacks embeddings \(1 to compute\) and cannot be written"):
        embed(["MgO"], PARAMS, tmp_path / "file")
