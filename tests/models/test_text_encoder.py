"""Frozen text encoders: the installed one, a folder, the hub's cache, and none."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from crystals import RECORDS
from models.encoders.text import TextEncoder
from models.encoders.text_folder import EncoderMissing, locate, width_of

torch.set_num_threads(1)
TEXTS = [RECORDS[0]["text"], "", "NaCl is halite.", RECORDS[3]["text"] * 3]


@cache
def minilm() -> TextEncoder:
    return TextEncoder.load("minilm")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT with random weights, and the installed tokenizer."""
    torch.manual_seed(0)
    installed, _ = locate("minilm")
    tokenizer = AutoTokenizer.from_pretrained(installed)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_vectors_are_those_of_sentence_transformers() -> None:
    # its model divides the mean over the tokens by its length
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(locate("minilm")[0]), device="cpu").encode(TEXTS, convert_to_tensor=True)
    ours = minilm().encode(TEXTS, pooling="mean", max_length=256).pooled
    torch.testing.assert_close(torch.nn.functional.normalize(ours, dim=1), reference, rtol=1e-4, atol=1e-5)


def test_tokens_give_the_pooled_vectors() -> None:
    for pooling in ("mean", "cls"):
        found = minilm().encode(TEXTS, pooling=pooling, want_tokens=True)
        states, mask = found.tokens, found.token_mask
        expected = states[:, 0] if pooling == "cls" else states.sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(found.pooled, expected, rtol=1e-4, atol=1e-5)
        assert not states[~mask].any()


def test_order_and_batch_size_do_not_matter() -> None:
    together = minilm().encode(TEXTS, batch_size=4).pooled
    torch.testing.assert_close(
        minilm().encode(TEXTS[::-1], batch_size=1).pooled.flip(0), together, rtol=1e-4, atol=1e-5
    )


def test_long_texts_are_cut_and_no_text_gives_no_rows() -> None:
    found = minilm().encode(TEXTS, max_length=16, want_tokens=True)
    assert found.tokens.shape == (4, 16, 384)
    assert found.token_mask.sum(1).tolist() == [16, 2, 8, 16]
    assert minilm().encode([]).pooled.shape == (0, 384)


def test_more_tokens_than_the_encoder_reads_are_refused() -> None:
    assert minilm().encode(TEXTS, max_length=512).pooled.shape == (4, 384)
    with pytest.raises(ValueError, match="max_length 513 is more than the 512 tokens that minilm@"):
        minilm().encode(TEXTS, max_length=513)


def test_nothing_of_an_encoder_is_trained() -> None:
    assert not minilm().encode(TEXTS).pooled.requires_grad


def test_folder_is_an_encoder_whose_identity_follows_its_weights(folder: Path) -> None:
    before = TextEncoder.load(str(folder))
    assert before.encode(TEXTS).pooled.shape == (4, before.width) == (4, 8)
    assert width_of(str(folder)) == 8
    assert before.identity == locate(str(folder))[1]
    moved = shutil.copytree(folder, folder.parent / "elsewhere" / folder.name)
    assert locate(str(moved))[1] == before.identity
    BertModel(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    assert locate(str(folder))[1] != before.identity


def test_hub_id_is_read_from_the_cache_and_known_by_its_commit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = folder.parent / "hub"
    repository = hub / "models--somebody--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc123")
    shutil.copytree(folder, repository / "snapshots" / "abc123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    encoder = TextEncoder.load("somebody/tiny")
    assert encoder.identity == "somebody/tiny@abc123"
    torch.testing.assert_close(encoder.encode(TEXTS).pooled, TextEncoder.load(str(folder)).encode(TEXTS).pooled)
    (repository / "snapshots" / "abc123" / "model.safetensors").unlink()  # a download that was interrupted
    with pytest.raises(EncoderMissing, match="'somebody/tiny' is not on this machine"):
        TextEncoder.load("somebody/tiny")


@pytest.mark.parametrize("name", ["nobody/nothing", "/no/such/folder"])
def test_missing_encoder_says_how_to_get_it(name: str) -> None:
    with pytest.raises(EncoderMissing, match=rf"'{name}' is not on this machine.*\n?.*`runner prepare` on a node with"):
        TextEncoder.load(name)
    with pytest.raises(EncoderMissing, match=r"at revision 'v2' is not on this machine"):
        width_of(name, "v2")


def test_what_is_no_hub_id_cannot_be_fetched() -> None:
    with pytest.raises(EncoderMissing, match="'/no/such/folder' could not be fetched"):
        TextEncoder.load("/no/such/folder", download=True)


def test_fetching_without_network_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderMissing, match="'nobody/nothing' could not be fetched"):
        TextEncoder.load("nobody/nothing", download=True)
