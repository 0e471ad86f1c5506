"""Sentiment data: pickles that are refused without running anything, layouts that are named, planted importance."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.sentiment.generate import main as generate_file
from jobs.sentiment.mmsa import load
from jobs.sentiment.planted import generate
from jobs.sentiment.samples import mask_of_lengths
from jobs.sentiment.schema import Planted
from jobs.sentiment.unpickling import read_arrays
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


def written(folder: Path, value: Any, protocol: int = 4) -> Path:
    path = folder / "data.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_read_as_pickle_reads_them(tmp_path: Path, protocol: int) -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    values = [
        table, table.T, np.asfortranarray(table), table.astype(">f8"), table > 2, np.array(["a", "bc"]),
        np.array([b"a"]),
        np.array(["a", None, 3], dtype=object), np.float64(3), np.int64(2), np.str_("x"), {"k": (1, 2.5, None, b"z")},
    ]  # fmt: skip
    path = written(tmp_path, values, protocol)
    for found, wanted in zip(read_arrays(path), pickle.loads(path.read_bytes()), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert type(found) is type(wanted)
        assert np.asarray(found).dtype == np.asarray(wanted).dtype


class Attack:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("where", ["whole", "in ids", "in an object array"])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(tmp_path: Path, protocol: int, where: str) -> None:
    trace = tmp_path / "it ran"
    attack: Any = Attack(subprocess.getoutput, f"touch '{trace}'")
    if where == "in ids":
        attack = content(id=[attack] * 5)
    elif where == "in an object array":
        attack = content(id=np.array([attack] * 5, dtype=object))
    path = written(tmp_path, attack, protocol)
    asked = r"(subprocess|commands)\.getoutput"  # as old protocols call it
    with pytest.raises(UserError, match=rf"data\.dataset: .*data\.pkl asks to load {asked}, and nothing of it was run"):
        load(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # it would have run
    assert trace.exists()


def test_a_refused_pickle_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "payload.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    path = tmp_path / "data.pkl"
    path.write_bytes(b"cpayload\nanything\n.")
    code = (
        f"import sys; from pathlib import Path; sys.path.append({str(tmp_path)!r}); "
        f"from jobs.sentiment.unpickling import read_arrays; read_arrays(Path({str(path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "asks to load payload.anything" in done.stderr
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("bytes_", "named"),
    [
        (b"cbuiltins\neval\n(Vprint(1)\ntR.", r"builtins\.eval"),
        (b"cnumpy\nload\n(Vx\ntR.", r"numpy\.load"),
        (b"\x80\x04\x8c\x05numpy\x8c\x11lib.npyio.os.path\x93.", r"numpy\.lib\.npyio\.os\.path"),  # a dotted name
        (b"(Vtouch x\nios\nsystem\n.", r"os\.system"),  # the opcode INST
        (b"Vx\nP1\n.", "an object that lies outside the file"),
        (b"cnumpy\ndtype\n(VO\ntR.", "an array of type 'O'"),
        (b"cnumpy\ndtype\n(Vf8,O\ntR.", "an array of type 'f8,O'"),
    ],
)
def test_what_else_a_pickle_may_ask_for_is_refused(tmp_path: Path, bytes_: bytes, named: str) -> None:
    path = tmp_path / "data.pkl"
    path.write_bytes(bytes_)
    with pytest.raises(UserError, match=f"asks to load {named}"):
        read_arrays(path)


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", None, None, None, 1, 1, 0),  # a float64 of one byte
        (3, "<", None, None, None, -1, -1, 63),  # numbers that NumPy would follow as pointers
        (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0),
        (3, "|", (np.dtype("O"), (1,)), None, None, 8, 1, 0),
    ],
)
def test_a_forged_dtype_is_refused(tmp_path: Path, state: tuple[Any, ...]) -> None:
    class Forged:
        def __reduce__(self) -> Any:
            return np.dtype, ("f8", False, True), state

    with pytest.raises(UserError, match="asks to load a Float64DType with a state of its own"):
        read_arrays(written(tmp_path, Forged()))


@pytest.mark.parametrize("cut", [0, 1, 200, -1])
def test_a_truncated_pickle_is_said_to_be_one(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, content())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"data\.pkl is not a whole pickle"):
        load(path)


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
        ({"vision": [[[1.0]], [[1.0, 2.0]]]}, r"train/vision: its rows have different lengths"),
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
        ({"id": 5}, r"train/id: found a int; allowed: a list of texts"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(written(tmp_path, content(**changes)))


def test_a_pickle_without_the_splits_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no valid, test; found train"):
        load(written(tmp_path, {"train": {}}))
    with pytest.raises(UserError, match="holds a list; allowed: a dict of train, valid, test"):
        load(written(tmp_path, [1]))
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.pkl")


def test_utterances_of_test_that_are_in_train_too_are_told(tmp_path: Path) -> None:
    samples = load(written(tmp_path, content(id=["valid$_$0", "b", "c", "d", "e"])))
    assert samples.notes == ("1 utterances of valid or test are in train too, such as 'valid$_$0'",)


@pytest.mark.parametrize("aligned", [False, True])
def test_a_generated_file_is_what_the_generator_gives(tmp_path: Path, aligned: bool, capsys: Any) -> None:
    path = tmp_path / "planted.pkl"
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
    assert generate_file([str(tmp_path / "x.pkl"), "--train", "0"]) == 2
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
