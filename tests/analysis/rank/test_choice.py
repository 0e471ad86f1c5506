import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.rank.choice import Candidate, choose


def candidate(name, val, **changes):
    defaults = {"seeds": 3, "sd": 0.001, "fused_layers": 1, "parameters": 100}
    return Candidate(name, val, **defaults | changes)


def test_the_best_alone_is_taken():
    choice = choose([candidate("b", 0.20), candidate("a", 0.10)])
    assert choice.variant == "a"
    assert choice.tie_set == ("a",)
    assert "no other variant is tied" in choice.reason


def test_the_best_alone_is_taken_although_unhealthy():
    choice = choose([candidate("a", 0.10, blocking=("ratio 20",)), candidate("b", 0.20)])
    assert choice.variant == "a"
    assert "taken although unhealthy: ratio 20" in choice.reason


def test_a_tie_goes_to_the_fewest_fused_layers():
    choice = choose([candidate("2,3", 0.097, fused_layers=2, parameters=50), candidate("2", 0.1, tied=True)])
    assert choice.variant == "2"
    assert "fewest fused layers (1)" in choice.reason


def test_then_to_the_fewest_parameters():
    choice = choose([candidate("big", 0.097, parameters=200), candidate("small", 0.1, tied=True)])
    assert choice.variant == "small"
    assert "fewest parameters (100)" in choice.reason


def test_then_to_the_better_metric():
    choice = choose([candidate("a", 0.097), candidate("b", 0.1, tied=True)])
    assert choice.variant == "a"
    assert "best metric of the simplest" in choice.reason


def test_unhealthy_variants_are_left_out_of_a_tie_and_listed():
    tied = [candidate("2", 0.1, tied=True, blocking=("ratio 15",)), candidate("2,3", 0.097, fused_layers=2)]
    choice = choose(tied)
    assert choice.variant == "2,3"
    assert choice.excluded == {"2": ("ratio 15",)}
    assert "Left out as unhealthy: 2 (ratio 15)" in choice.reason
    assert "only healthy one" in choice.reason


def test_when_all_are_unhealthy_none_is_left_out():
    tied = [candidate("2", 0.1, tied=True, blocking=("x",)), candidate("2,3", 0.097, fused_layers=2, blocking=("y",))]
    choice = choose(tied)
    assert choice.variant == "2"
    assert choice.excluded == {}
    assert "Every tied variant has a blocking finding, so none is left out" in choice.reason


def test_one_seed_says_that_seed_noise_is_unknown():
    assert "Seed noise unknown" in choose([candidate("a", 0.1, seeds=1, sd=None)]).reason
    assert "Seed noise unknown" not in choose([candidate("a", 0.1)]).reason


def test_the_sentence_says_what_simplicity_costs():
    tied = candidate("2", 0.103, tied=True, tie_reason="within 5 % of the best")
    reason = choose([candidate("2,3", 0.100, fused_layers=2), tied]).reason
    assert "but 2 is tied: within 5 % of the best, at a cost of +3.0 % on validation." in reason


def test_the_best_of_several_is_said_to_be_optimistic():
    assert "The best val_mae of 2 is optimistic" in choose([candidate("a", 0.1), candidate("b", 0.2)]).reason
    assert "optimistic" not in choose([candidate("a", 0.1)]).reason


def test_a_score_is_maximised_where_the_mode_says_so():
    assert choose([candidate("a", 0.7), candidate("b", 0.9)], mode="max").variant == "b"


def test_unknown_size_never_beats_a_known_one():
    unknown = candidate("a", 0.09, fused_layers=None, parameters=None)
    assert choose([unknown, candidate("b", 0.1, tied=True)]).variant == "b"


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="no complete variant"):
        choose([])


variants = st.builds(
    Candidate,
    name=st.uuids().map(str),
    val=st.floats(0.01, 1),
    seeds=st.just(3),
    tied=st.booleans(),
    blocking=st.sampled_from([(), ("unhealthy",)]),
    fused_layers=st.one_of(st.none(), st.integers(0, 3)),
    parameters=st.one_of(st.none(), st.integers(1, 5)),
)


@given(st.lists(variants, min_size=1, max_size=6), st.randoms())
def test_the_order_of_the_variants_never_matters(candidates, random):
    shuffled = random.sample(candidates, len(candidates))
    assert choose(shuffled) == choose(candidates)


@given(st.lists(variants, min_size=1, max_size=6))
def test_the_choice_is_tied_and_healthy_if_any_tied_one_is(candidates):
    choice = choose(candidates)
    by_name = {item.name: item for item in candidates}
    assert choice.variant in choice.tie_set
    if len(choice.tie_set) > 1 and any(not by_name[name].blocking for name in choice.tie_set):
        assert not by_name[choice.variant].blocking


def test_the_candidate_has_no_field_of_the_test_split():
    assert not any("test" in field.name for field in dataclasses.fields(Candidate))
