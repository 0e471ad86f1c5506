"""The sentiment model: padding, batches, gradients, losses against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from models.sentiment.losses import DISTANCES, cosine_distance, info_nce_to, kl_distance
from models.sentiment.options import MODALITIES, SentimentModelOptions
from models.sentiment.teacher import Teacher
from sentiment_cases import WIDTHS, only, small_model, utterances

torch.set_num_threads(1)
VARIANTS = [{}, {"shared": True}, {"encoder_layers": 0}, {"cross_layers": 2}]


def vectors(seed: int, count: int = 5, width: int = 4) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("options", VARIANTS)
def test_padding_and_what_stands_in_it_change_nothing(options) -> None:
    model = small_model(**options)
    plain, padded = model(utterances()), model(utterances(padding=3, filled_with=7.0))
    torch.testing.assert_close(padded.prediction, plain.prediction)
    torch.testing.assert_close(padded.guidance, plain.guidance)


@pytest.mark.parametrize("options", VARIANTS)
def test_batched_equals_single(options) -> None:
    model, whole = small_model(**options), utterances()
    together = model(whole)
    for number in range(3):
        alone = model(only(number, whole))
        torch.testing.assert_close(alone.prediction[0], together.prediction[number])
        for name in MODALITIES:
            torch.testing.assert_close(alone.vectors[name][0], together.vectors[name][number])


def test_a_teacher_sees_no_padding() -> None:
    torch.manual_seed(0)
    teacher = Teacher(SentimentModelOptions(width=8, num_heads=2), WIDTHS["audio"]).double().eval()
    features = teacher.features(utterances().audio)
    torch.testing.assert_close(teacher.features(utterances(padding=2, filled_with=9.0).audio), features)
    torch.testing.assert_close(teacher.features(only(1, utterances()).audio)[0], features[1])


def test_guidance_weights_are_shares_and_equal_before_training() -> None:
    guidance = small_model()(utterances()).guidance
    torch.testing.assert_close(guidance, torch.full((3, 3), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize(("options", "one"), [({}, False), ({"shared": True}, True)])
def test_guided_vectors_are_one_only_where_they_are_shared(options, one) -> None:
    model = small_model(**options)
    torch.nn.init.normal_(model.guide[-1].weight)
    said = model(utterances())
    assert torch.equal(said.vectors["vision"], said.vectors["audio"]) is one
    assert torch.equal(said.vectors["vision"], said.vectors["text"]) is one
    torch.testing.assert_close(said.guidance.sum(1), torch.ones(3, dtype=torch.float64))


def test_shared_and_separate_vectors_predict_the_same() -> None:
    separate, shared = small_model(), small_model(shared=True)
    assert torch.equal(separate(utterances()).prediction, shared(utterances()).prediction)


def test_the_vector_of_vision_says_nothing_of_the_order_or_number_of_audio() -> None:
    model, whole = small_model(), utterances()
    changed = utterances(filled_with=0.0)
    changed.audio.values.mul_(-1)
    torch.testing.assert_close(model(whole).vectors["text"], model(changed).vectors["text"])
    torch.testing.assert_close(model(whole).vectors["vision"], model(changed).vectors["vision"])
    assert not torch.allclose(model(whole).vectors["audio"], model(changed).vectors["audio"])


@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_reach_every_parameter(options) -> None:
    model = small_model({"vision": 8, "audio": 3}, **options)
    torch.nn.init.normal_(model.guide[-1].weight)  # zeros let nothing through to what is before them
    said = model(utterances())
    loss = said.prediction.square().mean() + info_nce_to(said.vectors["vision"], said.vectors["text"], 0.1)
    for name, width in (("vision", 8), ("audio", 3)):
        loss = loss + cosine_distance(model.as_teacher(name, said.vectors[name]), vectors(3, 3, width))
    torch.autograd.backward(loss)
    for name, parameter in model.named_parameters():
        if name.endswith("key_value.bias"):  # its half for the keys shifts all logits of a query alike
            parameter.grad[: len(parameter) // 2] = 1.0
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_zero_where_equal_and_positive_elsewhere(name) -> None:
    student, teacher = vectors(0), vectors(1)
    assert float(DISTANCES[name](teacher, teacher)) == pytest.approx(0, abs=1e-12)
    assert float(DISTANCES[name](student, teacher)) > 0.01


def test_cosine_distance_sees_directions_alone() -> None:
    student, teacher = vectors(0), vectors(1)
    torch.testing.assert_close(cosine_distance(3 * student, teacher), cosine_distance(student, teacher))
    assert float(cosine_distance(-teacher, teacher)) == pytest.approx(2)


def test_kl_distance_is_that_of_the_softmaxed_features() -> None:
    student, teacher = vectors(0), vectors(1)
    p, q = torch.softmax(teacher, 1), torch.softmax(student, 1)
    by_hand = sum(float(p[i, j]) * math.log(float(p[i, j] / q[i, j])) for i in range(5) for j in range(4)) / 5
    assert float(kl_distance(student, teacher)) == pytest.approx(by_hand)


def test_info_nce_against_a_computation_by_hand() -> None:
    query, key, temperature = vectors(0, 3), vectors(1, 3), 0.5
    total = 0.0
    for i in range(3):
        cosines = [float(F.cosine_similarity(query[i], key[j], dim=0)) / temperature for j in range(3)]
        total -= math.log(math.exp(cosines[i]) / sum(math.exp(value) for value in cosines))
    assert float(info_nce_to(query, key, temperature)) == pytest.approx(total / 3)


def test_info_nce_of_one_utterance_is_zero() -> None:
    assert float(info_nce_to(vectors(0, 1), vectors(1, 1), 0.1)) == 0


def test_shared_vectors_make_every_positive_pair_of_info_nce_perfect() -> None:
    model = small_model(shared=True)
    said = model(utterances())
    cosine = F.cosine_similarity(said.vectors["vision"], said.vectors["text"], dim=1)
    torch.testing.assert_close(cosine, torch.ones(3, dtype=torch.float64))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 10 is not a multiple of num_heads 4"):
        SentimentModelOptions(width=10)
