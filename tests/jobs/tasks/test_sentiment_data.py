"""Sentiment data: layouts that are named, pickles that are refused and converted, planted importance."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.tasks.sentiment.convert import main as convert
from jobs.tasks.sentiment.generate import main as generate_file
from jobs.tasks.sentiment.mmsa import IN_FILE, check, load, save
from jobs.tasks.sentiment.samples import mask_of_lengths
from jobs.tasks.sentiment.schema import Planted
from jobs.tasks.sentiment.synthetic import generate
from runner.errors import UserError

SIZES = {"train": 5, "valid": 3, "test": 2}


def content(**changes: Any) -> dict[str, dict[str, Any]]:
    """A small unaligned data set in the MMSA layout; `changes` replace fields of the train split, None removes one."""
    random = np.random.default_rng(0)
    found: dict[str, dict[str, Any]] = {}
    for split, count in SIZES.items():
        found[split] = {
            "raw_text": [f"words {number}" for number in range(count)],
            "text": random.standard_normal((count, 4, 768)).astype(np.float32),
            "vision": random.standard_normal((count, 6, 3)),
            "audio": random.standard_normal((count, 8, 2)).astype(np.float32),
            "vision_lengths": [6, 1, 2, 5, 4][:count],
            "audio_lengths": np.array([8, 2, 3, 0, 5][:count]),
            "regression_labels": np.linspace(-3, 3, count),
            "id": [f"{split}$_${number}" for number in range(count)],
        }
    found["train"] = {key: value for key, value in (found["train"] | changes).items() if value is not None}
    return found


def written(folder: Path, value: dict[str, dict[str, Any]]) -> Path:
    path = folder / "data.npz"
    save(path, {split: {name: np.asarray(field) for name, field in fields.items()} for split, fields in value.items()})
    return path


def pickled(folder: Path, value: Any, protocol: int = 4) -> Path:
    path = folder / "data.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


class Attack:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return subprocess.getoutput, (f"touch '{self.trace}'",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["data.pkl", "data.npz", "features"])
def test_a_pickle_is_refused_unopened_with_the_command_of_the_converter(
    tmp_path: Path, protocol: int, name: str
) -> None:
    trace = tmp_path / "it ran"
    path = pickled(tmp_path, Attack(trace), protocol).rename(tmp_path / name)
    for reader in (load, check):
        with pytest.raises(UserError, match=r"data\.dataset: .* is (a pickle|not an \.npz)"):
            reader(path)
    assert not trace.exists()
    if name == "data.pkl":
        with pytest.raises(UserError, match=r"EXECUTES it(.|\n)*jobs\.tasks\.sentiment\.convert .*data\.npz"):
            load(path)


def test_the_converter_writes_what_the_pickle_holds(tmp_path: Path, capsys: Any) -> None:
    wanted = content(id=np.array(["a", "b", "c", "d", "e"], dtype=object))
    target = tmp_path / "converted.npz"
    assert convert([str(pickled(tmp_path, wanted)), str(target)]) == 0
    assert "is executed now" in capsys.readouterr().err
    for name, split in load(target).splits.items():
        assert split.ids == list(wanted[IN_FILE[name]]["id"])
        np.testing.assert_allclose(split.labels, wanted[IN_FILE[name]]["regression_labels"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], "holds a list; allowed: a dict of train, valid, test"),
        ({"train": {}}, "has no train, valid, test"),
        (content(vision=[[[1.0]], [[1.0, 2.0]]]), "train/vision: its rows have different lengths"),
        (content(audio=[[[None]]]), "train/audio: found Python objects; allowed: numbers"),
        (content(id=5), r"train/id: found shape \(\); allowed: \(n,\) texts"),
    ],
)
def test_the_converter_leaves_nothing_of_a_pickle_that_does_not_fit(
    tmp_path: Path, value: Any, message: str, capsys: Any
) -> None:
    assert convert([str(pickled(tmp_path, value)), str(tmp_path / "out.npz")]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["data.pkl"]


@pytest.mark.parametrize("cut", [0, 1, 200, -1])
def test_the_converter_says_that_a_pickle_is_truncated(tmp_path: Path, cut: int, capsys: Any) -> None:
    path = pickled(tmp_path, content())
    path.write_bytes(path.read_bytes()[:cut])
    assert convert([str(path), str(tmp_path / "out.npz")]) == 2
    assert "data.pkl is not a whole pickle" in capsys.readouterr().err


def test_the_converter_names_a_file_that_is_not_there(tmp_path: Path, capsys: Any) -> None:
    assert convert([str(tmp_path / "no.pkl"), str(tmp_path / "out.npz")]) == 1
    assert "no.pkl: No such file or directory" in capsys.readouterr().err


def test_unaligned_data_are_read_with_their_lengths(tmp_path: Path) -> None:
    samples = load(written(tmp_path, content()))
    train = samples.splits["train"]
    assert samples.widths == {"text": 768, "vision": 3, "audio": 2}
    assert train.ids[0] == "train$_$0"
    assert train.modalities["vision"].mask.sum(1).tolist() == [6, 1, 2, 5, 4]
    assert train.modalities["audio"].mask.sum(1).tolist() == [8, 2, 3, 1, 5]  # nothing was heard: one position
    assert (train.modalities["vision"].values[1, 1:] == 0).all()
    assert samples.notes == ()


def test_aligned_data_are_padded_where_all_features_are_zero_at_either_end(tmp_path: Path) -> None:
    vision = np.random.default_rng(0).standard_normal((5, 6, 3))
    vision[0, :2], vision[1, 4:], vision[2] = 0, 0, 0
    samples = load(written(tmp_path, content(vision=vision, vision_lengths=None)))
    mask = samples.splits["train"].modalities["vision"].mask
    assert mask[0].tolist() == [False, False, True, True, True, True]
    assert mask[1].tolist() == [True, True, True, True, False, False]
    assert mask[2].tolist() == [True, False, False, False, False, False]  # no face was found


def test_the_tokens_of_bert_say_which_positions_are_text(tmp_path: Path) -> None:
    tokens = np.zeros((5, 3, 4))
    tokens[:, 1, :3] = 1
    mask = load(written(tmp_path, content(text_bert=tokens))).splits["train"].modalities["text"].mask
    assert mask.sum(1).tolist() == [3] * 5


def test_features_that_are_not_finite_become_zero_and_are_counted(tmp_path: Path) -> None:
    audio = content()["train"]["audio"]
    audio[0, 0, 0], audio[1, 1, 1] = -np.inf, np.nan
    samples = load(written(tmp_path, content(audio=audio)))
    assert samples.notes == ("train/audio: 2 values are not finite and were set to 0",)
    assert samples.splits["train"].modalities["audio"].values[0, 0, 0] == 0
    assert np.isfinite(samples.standardised().splits["train"].modalities["audio"].values).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, r"train/text: missing; found raw_text, vision"),
        ({"text": np.zeros((5, 768))}, r"train/text: found shape \(5, 768\); allowed: \(n, length, features\)"),
        ({"audio": np.zeros((5, 0, 2))}, r"train/audio: found shape \(5, 0, 2\)"),
        ({"vision": np.zeros((4, 6, 3))}, r"train/vision: found 4 utterances, but regression_labels has 5"),
        ({"vision": np.zeros((5, 6, 9))}, r"vision has different numbers of features: train 9, valid 3, test 3"),
        ({"text": np.full((5, 4, 768), "x")}, r"train/text: found values of type <U1; allowed: numbers"),
        ({"vision_lengths": [6, 1, 2, 5]}, r"train/vision_lengths: found shape \(4,\); allowed: \(5,\)"),
        ({"vision_lengths": [6, 1, 7, 5, 9]}, r"vision_lengths: found 7 at 2 and 1 more; allowed: 0 to 6"),
        ({"audio_lengths": [-1, 1, 2, 5, 4]}, r"train/audio_lengths: found -1 at 0; allowed: 0 to 8"),
        ({"text_bert": np.zeros((5, 3, 9))}, r"train/text_bert: found shape \(5, 3, 9\); allowed: \(5, 3, 4\)"),
        ({"regression_labels": None}, r"train/regression_labels: missing"),
        ({"regression_labels": np.array([0, 1, np.nan, 0, 0])}, r"regression_labels: found nan at 2; allowed: −3 to 3"),
        ({"regression_labels": np.array([0, 4, 0, 0, 5.0])}, r"regression_labels: found 4 at 1 and 1 more"),
        ({"regression_labels": np.zeros((5, 7))}, r"regression_labels: found shape \(5, 7\)"),
        ({"id": ["a", "b"]}, r"train/id: found 2, but regression_labels has 5"),
        ({"id": ["a", "b", "c", "d", "a"]}, r"train/id: 'a' stands more than once"),
        ({"id": 5}, r"train/id: found shape \(\); allowed: \(n,\) texts"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(written(tmp_path, content(**changes)))


def test_a_file_without_the_splits_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no valid, test; found train/text; allowed: arrays called valid/text"):
        load(written(tmp_path, {"train": {"text": np.zeros(1)}}))
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.npz")


def test_labels_with_two_values_are_noted(tmp_path: Path) -> None:
    samples = load(written(tmp_path, content(regression_labels=np.array([-1.0, 1, 1, -1, 1]))))
    assert len(samples.notes) == 1
    assert samples.notes[0].startswith("train/regression_labels: no other values than -1 and 1: these are classes")


def test_utterances_of_test_that_are_in_train_too_are_told(tmp_path: Path) -> None:
    samples = load(written(tmp_path, content(id=["valid$_$0", "b", "c", "d", "e"])))
    assert samples.notes == ("1 utterances of valid or test are in train too, such as 'valid$_$0'",)


@pytest.mark.parametrize("aligned", [False, True])
def test_a_generated_file_is_what_the_generator_gives(tmp_path: Path, aligned: bool, capsys: Any) -> None:
    path = tmp_path / "planted.npz"
    arguments = ["--train", "6", "--valid", "4", "--test", "3", "--length", "5", *(["--aligned"] if aligned else [])]
    assert generate_file([str(path), *arguments, "--importance", "1", "2", "1"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    importance = {"text": 1, "vision": 2, "audio": 1}
    planted = generate(Planted(train=6, valid=4, test=3, length=5, aligned=aligned, importance=importance))
    found = load(path)
    for name, split in planted.splits.items():
        assert found.splits[name].ids == split.ids
        np.testing.assert_array_equal(found.splits[name].labels, split.labels)
        for modality, its in split.modalities.items():
            np.testing.assert_array_equal(found.splits[name].modalities[modality].values, its.values)
            np.testing.assert_array_equal(found.splits[name].modalities[modality].mask, its.mask)


def test_a_mistake_in_the_generators_options_is_said(tmp_path: Path, capsys: Any) -> None:
    assert generate_file([str(tmp_path / "x.npz"), "--train", "0"]) == 2
    assert "train: Input should be greater than or equal to 2" in capsys.readouterr().err


def test_each_modality_explains_its_planted_share_of_the_sentiment() -> None:
    samples = generate(Planted(train=4000, valid=2, test=2, length=8, noise=0.3, text_width=4))
    train = samples.splits["train"]
    for name, share in (("text", 0.6), ("vision", 0.3), ("audio", 0.1)):
        its = train.modalities[name]
        means = its.values.sum(1) / its.mask.sum(1, keepdims=True)
        signal = means @ np.linalg.svd(means - means.mean(0), full_matrices=False)[2][0]
        assert np.corrcoef(signal, train.labels)[0, 1] ** 2 == pytest.approx(share, abs=0.04)


def test_subsets_are_nested_and_keep_their_order() -> None:
    samples = generate(Planted(train=20, valid=4, test=4, length=3, text_width=4))
    sizes = {"val": None, "test": None}
    small, large = (samples.subset({"train": size, **sizes}, 1).splits["train"].ids for size in (5, 12))
    assert set(small) < set(large)
    assert small == sorted(small)
    with pytest.raises(UserError, match=r"data\.train: found 21, but the data set has 20 utterances"):
        samples.subset({"train": 21, **sizes}, 1)


def test_standardised_features_have_mean_0_and_sd_1_outside_the_padding() -> None:
    train = generate(Planted(train=50, valid=4, test=4, length=6, text_width=4)).standardised().splits["train"]
    its = train.modalities["audio"]
    known = its.values[its.mask]
    np.testing.assert_allclose(known.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(known.std(0), 1, atol=1e-4)
    assert (its.values[~its.mask] == 0).all()


def test_a_length_of_zero_leaves_one_position() -> None:
    assert mask_of_lengths(np.array([0, 2]), 3).tolist() == [[True, False, False], [True, True, False]]


def test_an_array_of_python_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **{"train/id": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(UserError, match="train/id holds Python objects, which only a pickle could give back"):
        load(path)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("train/text.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (300 << 20,)})
        for _ in range(300):
            file.write(bytes(1 << 20))
    with pytest.raises(UserError, match=r"claim to hold 314,572,800 bytes of arrays.*np\.savez"):
        check(path)


def test_a_dense_compression_that_savez_does_not_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("train/text.npy", bytes(1 << 20))
    with pytest.raises(UserError, match=r"train/text is compressed in a way that np\.savez does not use"):
        check(path)


def test_a_sparse_file_of_twenty_gigabytes_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        file.truncate(20 << 30)
        file.seek(0, 2)  # a table of contents that claims nearly all of it
        file.write(b"PK\5\6" + bytes(4) + b"\1\0\1\0" + (3 << 30).to_bytes(4, "little") + bytes(6))
    with pytest.raises(UserError, match="its table of contents claims 3,221,225,472 bytes"):
        check(path)


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.npz")
    with pytest.raises(UserError, match=r"data\.npz is no regular file"):
        check(tmp_path / "data.npz")
