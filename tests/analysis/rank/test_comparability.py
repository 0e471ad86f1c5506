import json

import pytest

from analysis.collect.code_version import code_version, same_code, shown_code
from analysis.output.columns import EVERYWHERE, filled
from analysis.output.documents import to_latex
from analysis.output.records import csv_rows, to_json
from analysis.output.sections import choice, flags
from analysis.rank.comparability import Flag
from analysis.rank.summary import summarize
from experiment_factory import NOW, Plan, PlannedVariant, write_experiment

SIMPLE = PlannedVariant("2", error=0.100)
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


def summary_of(tmp_path, *variants, **plan):
    return summarize(write_experiment(tmp_path, Plan(variants, **plan)), now=NOW)


def flagged(tmp_path, **changes):
    """The flags of a variant with `changes` beside an ordinary one."""
    summary = summary_of(tmp_path, SIMPLE, PlannedVariant("3", error=0.103, layers=(3,), **changes))
    assert summary.variant("2").flags == ()
    return summary, {flag.kind: flag for flag in summary.variant("3").flags}


def test_equal_runs_have_no_flag_and_no_column(tmp_path):
    summary = summary_of(tmp_path, SIMPLE)
    assert flags(summary) == []
    assert "flags" not in [column.name for column in filled(summary, EVERYWHERE, summary.variants)]


@pytest.mark.parametrize(
    ("changes", "kind", "mark", "message", "advice"),
    [
        (
            {"results": {1: {"epochs": 6}}},
            "epochs",
            "epochs 6",
            "1 of 3 seeds trained 6 epochs where most runs trained 12",
            "train.epochs alike for all",
        ),
        (  # early stopping is said but does not say what is usual
            {"results": {seed: {"epochs": 5 + seed, "stopped_early": True} for seed in range(3)}},
            "epochs",
            "epochs 5 to 7",
            "3 of 3 seeds trained 5 to 7 epochs (stopped early) where most runs trained 12",
            "",
        ),
        (
            {"code": {0: OTHER, 2: OTHER}},
            "code",
            "code fedcba9",
            "2 of 3 seeds ran code fedcba9 where most runs ran 0a1b2c3",
            "compare what changed; to be sure, train all with one version",
        ),
        (
            {"results": {seed: {"adjustments": {"train.micro_batch": 16 + 16 * seed}} for seed in (0, 1)}},
            "micro_batch",
            "micro-batch 16, 32",
            "2 of 3 seeds computed each batch in parts of 16, 32, because GPU memory had run out: equal but for "
            "rounding",
            "",
        ),
        (
            {"states": {0: "failed", 2: "running"}},
            "unfinished",
            "1 failed, 1 running",
            "2 of 3 seeds without a result (1 failed, 1 running)",
            "runner failures, runner resubmit",
        ),
    ],
)
def test_what_is_unequal_is_flagged(tmp_path, changes, kind, mark, message, advice):
    _, found = flagged(tmp_path, **changes)
    assert found[kind] == Flag(kind, mark, message, advice)


def test_a_flag_is_a_line_of_its_section_and_a_word_of_the_choice(tmp_path):
    summary, found = flagged(tmp_path, results={1: {"epochs": 6}})
    assert [str(line) for line in flags(summary)] == [f"3: {found['epochs'].message} → train.epochs alike for all"]
    assert "unequal in epochs" in choice(summary)[-1].text


def test_a_variant_with_fewer_planned_seeds_is_flagged(tmp_path):
    path = write_experiment(tmp_path, Plan([SIMPLE, PlannedVariant("3"), PlannedVariant("4")]))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["runs"] = manifest["runs"][:-1]
    (path / "manifest.json").write_text(json.dumps(manifest))
    (flag,) = summarize(path, now=NOW).variant("4").flags
    assert flag.message == "2 seeds planned where most variants have 3"


def test_a_flag_never_moves_a_rank_or_a_choice(tmp_path):
    leader = {"error": 0.097, "layers": (2, 3)}
    plain = summary_of(tmp_path / "a", SIMPLE, PlannedVariant("2,3", **leader))
    results = {0: {"epochs": 3, "adjustments": {"train.micro_batch": 8}}}
    changed = summary_of(tmp_path / "b", SIMPLE, PlannedVariant("2,3", **leader, results=results, code={1: OTHER}))
    assert len(changed.variant("2,3").flags) == 3
    assert changed.choice == plain.choice
    assert [variant.rank for variant in changed.variants] == [variant.rank for variant in plain.variants]


def test_every_table_has_the_flags_and_the_cost(tmp_path):
    summary, _ = flagged(tmp_path, code={0: OTHER})
    row = next(row for row in csv_rows(summary) if row["variant"] == "3")
    assert row["flags"] == "code fedcba9"
    assert row["gpu_minutes"] == pytest.approx(91 / 60)
    variant = next(item for item in to_json(summary)["variants"] if item["variant"] == "3")
    assert variant["flags"][0]["kind"] == "code"
    assert "% 3: 1 of 3 seeds ran code fedcba9" in to_latex(summary)
    assert "& GPU minutes" in to_latex(summary)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ({"path": "/x/runs/e/code/0123456789ab", "commit": None, "diff": None}, "copy 0123456789ab"),
        ({"path": "/home/a/code/array-runner", "commit": OTHER, "diff": ""}, f"commit {OTHER}"),
        ({"path": "/usr/lib/python3/site-packages", "commit": None, "diff": None}, None),
        ("nonsense", None),
    ],
)
def test_code_is_named_by_its_copy_or_its_commit(code, name):
    assert code_version({"code": code}) == name


def test_uncommitted_changes_and_own_code_are_another_version():
    clean = {"commit": OTHER, "diff": "", "path": "/x"}
    versions = {
        code_version({"code": clean}),
        code_version({"code": {**clean, "diff": "+1"}}),
        code_version({"code": clean, "user_code": {**clean, "diff": "-1"}}),
    }
    assert len(versions) == 3
    assert shown_code(code_version({"code": {**clean, "diff": "+1"}})).startswith("fedcba9+")


def test_equal_sources_are_one_version_whatever_was_committed():
    sources = {"commit": OTHER, "diff": "+1", "path": "/x/runs/e/code/0123456789ab", "digest": "aaaaaaaaaaaa"}
    later = {**sources, "commit": "1" * 40, "diff": "", "path": "/x/runs/e/code/ba9876543210"}
    assert code_version({"code": sources}) == code_version({"code": later}) == "sources aaaaaaaaaaaa"
    assert code_version({"code": {**later, "digest": "bbbbbbbbbbbb"}}) == "sources bbbbbbbbbbbb"


def test_code_of_the_user_counts_where_the_task_runs_it():
    code, users = {"digest": "aaaaaaaaaaaa"}, {"digest": "bbbbbbbbbbbb"}
    assert code_version({"code": code, "user_code": users}) == "sources aaaaaaaaaaaa and sources bbbbbbbbbbbb"
    assert code_version({"code": code, "user_code": users}, user_code=False) == "sources aaaaaaaaaaaa"


@pytest.mark.parametrize(("task", "flagged"), [("crystal", False), ("command", True), ("mine:Task", True)])
def test_a_task_of_ours_is_not_flagged_for_changes_in_the_users_folder(tmp_path, task, flagged):
    path = write_experiment(tmp_path, Plan([SIMPLE, PlannedVariant("3")], manifest={"task": task}))
    for number, file in enumerate(sorted(path.glob("runs/*/provenance.json"))):
        code = {"code": {"digest": "a" * 12}, "user_code": {"digest": ("b" if number else "c") * 12}}
        file.write_text(json.dumps(code))
    variant = summarize(path, now=NOW).variant("2")
    assert ([flag.kind for flag in variant.flags] == ["code"]) == flagged


def test_a_copy_and_a_commit_are_not_compared():
    assert same_code("copy 0123456789ab", f"commit {OTHER}")
    assert not same_code("copy 0123456789ab", "copy ba9876543210")
