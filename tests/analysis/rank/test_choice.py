import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.rank.choice import Candidate, choose


def candidate(name, val, **changes):
    defaults = {"seeds": 3, "sd": 0.001, "fused_layers": 1, "parameters": 100}
    return Candidate(name, val, **defaults | changes)


TWO = candidate("2,3", 0.097, fused_layers=2, parameters=50)


@pytest.mark.parametrize(
    ("candidates", "variant", "sentences"),
    [
        ([candidate("b", 0.20), candidate("a", 0.10)], "a", ["no other variant is tied"]),
        (  # the best alone is taken although unhealthy
            [candidate("a", 0.10, blocking=("ratio 20",)), candidate("b", 0.20)],
            "a",
            ["taken although unhealthy: ratio 20"],
        ),
        ([TWO, candidate("2", 0.1, tied=True)], "2", ["fewest fused layers (1)"]),
        (  # then the fewest parameters
            [candidate("big", 0.097, parameters=200), candidate("small", 0.1, tied=True)],
            "small",
            ["fewest parameters (100)"],
        ),
        ([candidate("a", 0.097), candidate("b", 0.1, tied=True)], "a", ["best metric of the simplest"]),
        (
            [TWO, candidate("2", 0.1, tied=True, blocking=("ratio 15",))],
            "2,3",
            ["Left out as unhealthy: 2 (ratio 15)", "only healthy one"],
        ),
        (
            [candidate("2,3", 0.100, fused_layers=2), candidate("2", 0.103, tied=True, tie_reason="within 5 %")],
            "2",
            ["but 2 is tied: within 5 %, at a cost of +3.0 % on validation."],
        ),
        ([candidate("a", 0.1, seeds=1, sd=None)], "a", ["Seed noise unknown"]),
        ([candidate("a", 0.1), candidate("b", 0.2)], "a", ["The best val_mae of 2 is optimistic"]),
    ],
)
def test_the_variant_and_the_reason(candidates, variant, sentences):
    choice = choose(candidates)
    assert choice.variant == variant
    assert [sentence for sentence in sentences if sentence not in choice.reason] == []


def test_the_tied_and_those_that_are_left_out_are_listed():
    choice = choose([TWO, candidate("2", 0.1, tied=True, blocking=("ratio 15",)), candidate("3", 0.2)])
    assert (choice.tie_set, choice.excluded) == (("2,3", "2"), {"2": ("ratio 15",)})


def test_when_all_are_unhealthy_none_is_left_out():
    tied = [candidate("2", 0.1, tied=True, blocking=("x",)), candidate("2,3", 0.097, fused_layers=2, blocking=("y",))]
    choice = choose(tied)
    assert choice.variant == "2"
    assert choice.excluded == {}
    assert "Every tied variant has a blocking finding, so none is left out" in choice.reason


def test_a_variant_alone_of_several_seeds_needs_no_caution():
    assert choose([candidate("a", 0.1)]).reasons == (
        "Take a (val_mae 0.1000 ± 0.0010, n = 3): the best, and no other variant is tied with it.",
    )


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
